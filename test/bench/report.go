package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// goal is the least share of the padded bare pipeline's rate that W1 has to reach.
const goal = 0.5

// outcome is one run with its place.
type outcome struct {
	Part  string `json:"part"`
	Round int    `json:"round"`
	*measured
}

// report gathers what was measured.
type report struct {
	path    string // of the JSON lines; empty = none
	runs    []outcome
	costs   []cost
	idle    *resting
	intake  []applied
	skipped string // what the intake's benchmark did not run, and why
	began   time.Time
}

func newReport(o options) report { return report{path: o.lines, began: time.Now().UTC()} }

// add takes in a run.
func (r *report) add(part string, round int, m *measured) error {
	r.runs = append(r.runs, outcome{part, round, m})
	return r.line(r.runs[len(r.runs)-1])
}

// line adds a line of JSON to the file, at once: a run may take an hour.
func (r *report) line(v any) error {
	if r.path == "" {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// Marks of the part of the page that a run replaces.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

// write prints the table, and puts it into the page.
func (r *report) write(out io.Writer, o options) error {
	text := r.markdown(o)
	if _, err := io.WriteString(out, text); err != nil || o.page == "" {
		return err
	}
	page, err := os.ReadFile(o.page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		return fmt.Errorf("page %s lacks the marks %s and %s", o.page, beginMark, endMark)
	}
	return os.WriteFile(o.page, []byte(before+beginMark+"\n"+text+endMark+after), 0o644)
}

func (r *report) markdown(o options) string {
	var b strings.Builder
	say(&b, "Machine: %s, %d processors, %s/%s, %s. Load average %s at the end. Commit %s, %s. Rounds: %d, of %d messages; each figure is the median.\n",
		machine(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), load(), o.commit, r.began.Format("2006-01-02 15:04 UTC"), o.rounds, o.messages)
	r.table(&b, o, "W1", "Full speed: what the MQTT broker has, through the disk, to Kafka")
	r.table(&b, o, "W2", "Kafka away for all messages, then back: the drain")
	r.costTable(&b)
	r.intakeTable(&b)
	r.idleTable(&b)
	return b.String()
}

// table shows a part with all competitors.
func (r *report) table(b *strings.Builder, o options, part, title string) {
	of := func(c string, f func(*measured) float64) float64 { return median(r.runs, part, c, f) }
	rate := func(m *measured) float64 { return m.Rate }
	ours, padded, raw := of("holdfast", rate), of("bare, padded", rate), of("bare, raw", rate)
	if ours == 0 || padded == 0 || raw == 0 {
		return
	}
	say(b, "### %s. %s\n", part, title)
	say(b, "| | events/s | onto disk/s | CPU s per 100,000 | peak memory MiB | bytes/event | on the wire | on disk | lost | duplicates | out of order |")
	say(b, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, c := range []string{"holdfast", "bare, padded", "bare, raw"} {
		disk := "as sent"
		if v := of(c, func(m *measured) float64 { return m.Stored }); v > 0 {
			disk = fmt.Sprintf("%.0f", v)
		}
		say(b, "| %s | %.0f | %s | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |", c, of(c, rate), disk,
			of(c, func(m *measured) float64 { return m.CPU }), of(c, func(m *measured) float64 { return float64(m.PeakBytes) / (1 << 20) }),
			of(c, func(m *measured) float64 { return m.RecordBytes }), of(c, func(m *measured) float64 { return m.WireBytes }),
			of(c, func(m *measured) float64 { return m.DiskBytes }), of(c, func(m *measured) float64 { return float64(m.Lost) }),
			of(c, func(m *measured) float64 { return float64(m.Duplicates) }), of(c, func(m *measured) float64 { return float64(m.Disorder) }))
	}
	say(b, "\nHoldfast reaches **%.2f** of the padded bare pipeline's rate and %.2f of the raw one's.%s\n", ours/padded, ours/raw, judged(part, ours/padded, o.rounds))
}

// leastRounds is how many rounds a judgement needs: in one, a load of the machine that comes and goes decides.
const leastRounds = 3

// judged says whether the goal of a part is reached.
func judged(part string, ratio float64, rounds int) string {
	switch {
	case part != "W1":
		return ""
	case rounds < leastRounds:
		return fmt.Sprintf(" Whether the goal of %.1f is reached takes %d rounds to say.", goal, leastRounds)
	case ratio >= goal:
		return fmt.Sprintf(" The goal of %.1f is reached.", goal)
	}
	return fmt.Sprintf(" The goal of %.1f is missed.", goal)
}

func (r *report) costTable(b *strings.Builder) {
	if len(r.costs) == 0 {
		return
	}
	say(b, "### Where the agent's processor time goes in W1\n")
	say(b, "| | share |\n| --- | ---: |")
	for _, c := range r.costs {
		say(b, "| %s | %.0f %% |", c.Name, c.Percent)
	}
	say(b, "")
}

func (r *report) intakeTable(b *strings.Builder) {
	if len(r.intake) == 0 {
		return
	}
	say(b, "### Intake: state, ledger, effects, outbox and offset in one transaction\n")
	say(b, "| | events/s | bare insert of the same rows, events/s | share of bare | rows/event |\n| --- | ---: | ---: | ---: | ---: |")
	for _, a := range r.intake {
		say(b, "| %s | %.0f | %.0f | %.2f | %.2f |", a.Database, a.Events, a.Bare, a.OfBare, a.Rows)
	}
	if r.skipped != "" {
		say(b, "\nNot measured: %s", r.skipped)
	}
	say(b, "")
}

func (r *report) idleTable(b *strings.Builder) {
	i := r.idle
	if i == nil {
		return
	}
	met := func(ok bool) string {
		if ok {
			return "reached"
		}
		return "missed"
	}
	say(b, "### The agent at rest\n")
	say(b, "| | figure | goal | |\n| --- | ---: | ---: | --- |")
	say(b, "| memory (RSS) | %.1f MiB | < %d MiB | %s |", float64(i.RSS)/(1<<20), mostIdleBytes>>20, met(i.RSS < mostIdleBytes))
	say(b, "| processor | %.2f %% of one | < %.0f %% | %s |", i.CPUPercent, mostIdleCPU, met(i.CPUPercent < mostIdleCPU))
	say(b, "| binary, stripped | %.1f MB | < 25 MB | %s |", float64(i.Binary)/1e6, met(i.Binary < mostBinaryBytes))
	say(b, "| start to first connection, median of %d | %.0f ms (slowest %.0f ms) | < %d ms | %s |", i.Starts, i.StartMS, i.StartMost,
		mostStart.Milliseconds(), met(i.StartMS < float64(mostStart.Milliseconds())))
	say(b, "")
}
