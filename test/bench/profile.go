package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// profiled runs the agent as its program does, under the profiler.
func profiled(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet(roleAgent, flag.ContinueOnError)
	config := f.String("config", "", "the agent's configuration")
	into := f.String("profile", "", "file for the profile of processor time")
	if err := f.Parse(args); err != nil {
		return err
	}
	cfg, mapper, err := agent.Load(*config, os.LookupEnv)
	if err != nil {
		return err
	}
	out, err := os.Create(*into)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return agent.New(cfg, mapper, telemetry.NewLogger(os.Stderr, telemetry.FormatJSON)).Run(ctx)
}

// cost is a part of the agent's processor time.
type cost struct {
	Name    string  `json:"name"`
	Percent float64 `json:"percent"`
}

// centre is where time goes: the functions that stand for it, of which the costliest counts, with all that they call.
type centre struct {
	name     string
	function *regexp.Regexp
}

// centres lists parts of the way that do not hold each other, but for the collector, whose help stands in all of them.
func centres() []centre {
	var all []centre
	for _, c := range [][2]string{
		{"mapping of the payload (decode, expressions, event)", `/agent/mapping\.\(\*Mapper\)\.Map$`},
		{"seal of the event (encode, check, hash)", `/pkg/event\.\(\*Event\)\.Seal$`},
		{"headers and record of the event", `/agent\.record$`},
		{"commit to the queue (bbolt, sync)", `/agent/queue\.\(\*Lane\)\.commitWaiting$`},
		{"MQTT client: reading and parsing packets", `paho\.mqtt\.golang\.(startIncoming|startIncomingComms)`},
		{"MQTT client: routing, hash of the payload, signal", `/agent/source/mqtt\.\(\*connection\)\.receive$`},
		{"MQTT client: writing acknowledgements", `paho\.mqtt\.golang\.startOutgoingComms`},
		{"reading back from the queue", `/agent/queue\.\(\*Lane\)\.Next$`},
		{"handing over to the producer", `/agent/uplink\.\(\*Uplink\)\.produce$`},
		{"Kafka producer: batches, compression, sending", `kgo\.\(\*broker\)\.handleReqs$`},
		{"Kafka producer: answers, acked position", `kgo\.\(\*producer\)\.finishRecordPromise|kgo\.\(\*producer\)\.finishPromises`},
		{"garbage collector's own workers", `^runtime\.gcBgMarkWorker$`},
	} {
		all = append(all, centre{c[0], regexp.MustCompile(c[1])})
	}
	return all
}

const costs = 5

// profile names the five largest costs of W1.
func (r *rig) profile(ctx context.Context) error {
	c := holdfast()
	path := filepath.Join(r.dir, "agent.cpu")
	c.start = func(r *rig, ctx context.Context, s *stage, _ *competitor) (*stack.Process, error) {
		if err := s.configure(s.mqtt); err != nil {
			return nil, err
		}
		return stack.Start(ctx, "agent", s.dir, r.self, nil, roleAgent, "-config", filepath.Join(s.dir, "agent.yaml"), "-profile", path)
	}
	if _, err := r.compete(ctx, c, r.options.messages, false); err != nil {
		return err
	}
	if r.options.keep != "" {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(r.options.keep, "agent.cpu"), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=2000", r.self, path).Output()
	if err != nil {
		return fmt.Errorf("read profile: %w", err)
	}
	r.report.costs = largest(out)
	if len(r.report.costs) < costs {
		return fmt.Errorf("the profile has %d of the known costs, want %d at least: %v", len(r.report.costs), costs, r.report.costs)
	}
	return r.report.line(struct {
		Part  string `json:"part"`
		Costs []cost `json:"largest_costs"`
	}{"profile", r.report.costs})
}

// largest returns the largest centres of a profile, as pprof's command top prints it.
func largest(top []byte) (found []cost) {
	by := map[string]float64{}
	all := centres()
	for lines := bufio.NewScanner(bytes.NewReader(top)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(fields[4], "%"), 64)
		if err != nil {
			continue // the heading
		}
		for _, c := range all {
			if c.function.MatchString(fields[5]) {
				by[c.name] = max(by[c.name], percent)
			}
		}
	}
	for name, percent := range by {
		found = append(found, cost{name, percent})
	}
	slices.SortFunc(found, func(a, b cost) int {
		if a.Percent != b.Percent {
			return int(100 * (b.Percent - a.Percent))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return found[:min(len(found), costs)]
}
