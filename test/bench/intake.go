package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// applied is what one database does in the cloud's intake: events with all that belongs to them, and beside it the same
// rows inserted and nothing else.
type applied struct {
	Database string  `json:"database"`
	Events   float64 `json:"events_per_second"`
	Bare     float64 `json:"bare_events_per_second"`
	OfBare   float64 `json:"of_bare"`
	Rows     float64 `json:"rows_per_event"`
}

// intake runs the benchmark of the store, on PostgreSQL too where HOLDFAST_PEER_POSTGRES names its programs.
func (r *rig) intake(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkIntake$", "-benchtime", strconv.Itoa(r.options.rounds)+"x", "-v",
		"github.com/holdfast-mesh/holdfast/cloud/store")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		switch a, ok := parseIntake(line); {
		case ok:
			r.report.intake = append(r.report.intake, a)
		case strings.Contains(line, "PEER SKIPPED"):
			r.report.skipped = strings.TrimSpace(line[strings.Index(line, "PEER SKIPPED"):])
		}
	}
	if len(r.report.intake) == 0 {
		return fmt.Errorf("the benchmark says nothing:\n%s", out)
	}
	for _, a := range r.report.intake {
		if err := r.report.line(struct {
			Part string `json:"part"`
			applied
		}{"intake", a}); err != nil {
			return err
		}
	}
	return nil
}

// parseIntake reads a line of go test's results: name, count, then values with their units.
func parseIntake(line string) (a applied, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkIntake/") {
		return a, false
	}
	name := strings.TrimPrefix(fields[0], "BenchmarkIntake/")
	a.Database, _, _ = strings.Cut(name, "-")
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return a, false
		}
		switch fields[i+1] {
		case "events/s":
			a.Events = v
		case "bare-events/s":
			a.Bare = v
		case "of-bare":
			a.OfBare = v
		case "rows/event":
			a.Rows = v
		}
	}
	return a, a.Events > 0 && a.Bare > 0
}
