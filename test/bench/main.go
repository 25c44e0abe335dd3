// Command bench measures how fast Holdfast is, and puts beside every figure what the same libraries do without it, in the
// same run on the same machine: paho, a group commit to one bbolt bucket, franz-go. That pipeline neither maps nor judges
// nor keeps lanes; it carries once the raw payload and once as many bytes as our record has, value and headers.
//
// The agent is the release build, from the folder bin, in a process of its own, the bare pipeline is another one, and the brokers are a third, so
// that processor time and memory of each are its own. Competitors take turns in another order each round, and a figure is
// the median of the rounds. Only ratios within one run mean something: the machine may be shared.
//
// Results go to a file of JSON lines and, as a table, into a Markdown page.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/queue"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Roles in which this program starts itself again, each in a process of its own.
const (
	roleWorld = "world" // the brokers
	roleBare  = "bare"  // the bare pipeline
	roleAgent = "agent" // the agent under the profiler
)

// run plays the role that the first argument names; without one it is the bench itself.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return bench(ctx, nil)
	}
	switch role, rest := args[0], args[1:]; role {
	case roleWorld:
		return world(ctx, rest)
	case roleBare:
		return bare(ctx, rest)
	case roleAgent:
		return profiled(ctx, rest)
	case agent.CommandCheckSegment: // the agent has its files checked by its own program, which is this one in roleAgent
		return queue.CheckSegment(rest[0])
	case agent.CommandCheckDownlink:
		return downlink.CheckFile(rest[0])
	}
	return bench(ctx, args)
}

// options of a run.
type options struct {
	messages int
	rounds   int
	parts    string
	bin      string
	lines    string
	page     string
	commit   string
	keep     string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.messages, "messages", 200_000, "messages of 400 bytes in each run of W1 and W2")
	f.IntVar(&o.rounds, "rounds", 3, "rounds; each figure is their median")
	f.StringVar(&o.parts, "parts", "w1,w2,profile,idle,intake", "what to measure")
	f.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	f.StringVar(&o.lines, "lines", "", "file of JSON lines; empty = none")
	f.StringVar(&o.page, "page", "", "Markdown page whose part between the marks is replaced; empty = none")
	f.StringVar(&o.commit, "commit", "unknown", "commit that is measured")
	f.StringVar(&o.keep, "keep", "", "folder that keeps profiles and logs; empty = removed at the end")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("argument %q is not known", f.Arg(0))
	case o.messages < 10*warm:
		return o, fmt.Errorf("%d messages are too few: want %d at least", o.messages, 10*warm)
	case o.rounds < 1:
		return o, fmt.Errorf("%d rounds: want 1 at least", o.rounds)
	}
	return o, nil
}

// bench measures what the options name and writes the report. What was measured before a part failed is written, too.
func bench(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	r, err := newRig(o)
	if err != nil {
		return err
	}
	defer r.close()
	parts := map[string]func(context.Context) error{
		"w1": r.fullSpeed, "w2": r.outage, "profile": r.profile, "idle": r.idle, "intake": r.intake,
	}
	for name := range strings.SplitSeq(o.parts, ",") {
		part, known := parts[name]
		if !known {
			return fmt.Errorf("part %q is not known: want some of w1, w2, profile, idle, intake", name)
		}
		if err := part(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.report.write(os.Stdout, o); err != nil {
			return err
		}
	}
	return nil
}

// say tells a person how far the run is.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
