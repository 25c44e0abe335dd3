package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// errViolated says that the proof failed; what is wrong has been printed.
var errViolated = errors.New("the proof has failed")

func checkCommand() *cobra.Command {
	p := &proof{out: os.Stdout, blind: map[event.LotKey]bool{}}
	c := &cobra.Command{
		Use: "check", Short: "prove the release of lots of five plants under faults, and end with what was counted", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.run(c.Context()) },
	}
	c.Flags().StringVar(&p.data, "data", "", "new or empty directory for data and logs, kept at the end; empty: a temporary one")
	c.Flags().Uint64Var(&p.seed, "seed", 1, "seed of what happens in the plants")
	c.Flags().IntVar(&p.lose, "lose", 50, "one answer in so many is lost after its effect")
	c.Flags().DurationVar(&p.patience, "settle", proofSettle, "how long the end may take once nothing is broken any more")
	c.Flags().IntVar(&p.lots, "lots", wholeProof, "lots of all plants together")
	return c
}

// Pace of the proof. A machine makes a lot in 2 s: 200 lots of a plant on four machines take 100 s, and five plants send
// some 200 messages a second.
const (
	proofParts = 4
	proofEvery = 250 * time.Millisecond
	proofPause = 4 * proofEvery
	proofDelay = 2 * time.Second // of the engineer, and up to twice as long
	// proofSlack is how long a message may wait for a gateway that was killed.
	proofSlack = 10 * time.Second
	// proofSettle is how long the end may take once nothing is broken any more, if not told otherwise: two back-offs of half
	// a minute, and the minute after which a nonconformance is recorded without the reading that it waits for.
	proofSettle = 75 * time.Second
)

// proof is one run of the check.
type proof struct {
	data     string
	seed     uint64
	lots     int
	lose     int           // one answer in so many is lost after its effect
	patience time.Duration // how long the end may take
	out      io.Writer

	*stack.Stack
	began  time.Time // of the program
	start  time.Time // of what happens in the plants
	stream *company.Stream
	faults []outage
	blind  map[event.LotKey]bool // lots that ran on a line while it was not seen
	undone bool                  // something that people should have done could not be done in time

	mu     sync.Mutex      // guards what follows
	lifted history.History // holds that somebody lifted by the API
	ended  int             // programs that were told to end
	unruly []string        // those that did not do so in order
}

// run makes the proof. A temporary directory stays if it failed: the logs are in it.
func (p *proof) run(ctx context.Context) (err error) {
	p.began = time.Now()
	w, err := newWorld(options{data: p.data})
	if err != nil {
		return err
	}
	if err := p.open(ctx, w); err != nil {
		return err
	}
	defer p.Close()
	p.say("five plants, the cloud and the business systems run; logs and data in %s", w.dir)
	err = p.play(ctx)
	if err == nil {
		err = p.settle(ctx)
	}
	if ctx.Err() != nil {
		return errors.New("told to end before the proof was made")
	}
	if err != nil {
		return err
	}
	if err := p.judge(ctx); err != nil || p.data != "" {
		return err
	}
	p.Close()
	return os.RemoveAll(w.dir)
}

// open starts everything.
func (p *proof) open(ctx context.Context, w *world) (err error) {
	cfg := stack.Config{Bin: filepath.Dir(w.self), Dir: w.dir, Plants: dialect.Sites(), Attr: childAttr()}
	cfg.SAP.QM = []string{"*"}
	if p.Stack, err = stack.New(cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := p.StartAll(ctx); err != nil {
		p.Close()
		return err
	}
	return nil
}

// say prints a line with the time since the start.
func (p *proof) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%6.1f s  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// plan is what the plants do. Each share is one that shows some tens of such lots in a thousand.
func (p *proof) plan() company.Plan {
	return company.Plan{
		Start: p.start, Lots: p.lots, Parts: proofParts, Every: proofEvery, Pause: proofPause, Delay: proofDelay, Signals: 1, Slack: proofSlack,
		Failing: 40, Unsafe: 40, FailFinal: 20, Corrected: 20, Reinspect: 20, Held: 20, Lifted: 20, HeldLate: 40, LateFail: 20, WrongUnit: 10, Contrary: p.some(10),
		Garbled: 5, Rejected: 20, Reworked: 10, Undecided: 10, Repealed: 20, TakenBack: 20, Foreign: 10, UnknownMat: 10,
		Shared: 100, Ordered: 300, Hurried: 200, Duplicated: 10, Late: 5, Swapped: 10,
	}
}

// some is a share in a thousand lots, but so large that some of few lots have their part in it.
func (p *proof) some(share int) int { return max(share, 4000/max(p.lots, 40)) }

// play lets everything happen: what the plants say, what people do, and what breaks meanwhile.
func (p *proof) play(ctx context.Context) (err error) {
	p.start = dialect.Stamp(time.Now().Add(time.Second))
	if p.stream, err = company.Generate(p.seed, p.plan()); err != nil {
		return err
	}
	desk := stack.Desk{Base: "http://" + p.Cloud.Address + api.Base, Token: p.Token, Lifted: p.note}
	staff := stack.Staff{Systems: p.Systems, Lift: desk.Lift}
	if err := staff.Prepare(p.stream.Lots, p.stream.Acts); err != nil {
		return err
	}
	for _, f := range p.Faults() {
		f.Add(fault.Fault{Kind: fault.LostAfter, Every: p.lose})
	}
	span := p.span()
	p.say("seed %d: %d lots, %d messages, %d acts of people in %s", p.seed, len(p.stream.Lots), len(p.stream.Messages), len(p.stream.Acts), span.Round(time.Second))
	p.faults = script(p.busy())
	return inParallel(
		func() error { return p.speak(ctx) },
		func() error { return p.act(ctx, &staff) },
		func() error { return p.breakThings(ctx) },
		func() error { return p.watch(ctx, span) },
	)
}

// act lets people do what they do. What cannot be done in time is a matter for the report.
func (p *proof) act(ctx context.Context, staff *stack.Staff) error {
	own, cancel := context.WithDeadline(ctx, p.start.Add(p.span()+proofSettle/2))
	defer cancel()
	err := staff.Play(own, p.start, p.stream.Acts)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		p.undone = true
		return nil
	}
	return err
}

// note keeps that somebody lifted a hold.
func (p *proof) note(lot event.LotKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lifted = append(p.lifted, history.Fact{At: time.Now(), Kind: history.Offered, By: "alice", Type: event.TypeHoldLifted, Lot: lot, Door: "C"})
}

// span is how long it all takes.
func (p *proof) span() (end time.Duration) {
	for i := range p.stream.Messages {
		end = max(end, p.stream.Messages[i].Offset)
	}
	for i := range p.stream.Acts {
		end = max(end, p.stream.Acts[i].Offset)
	}
	return end
}

// busy is how long machines work on lots: what breaks does so while there is traffic.
func (p *proof) busy() (end time.Duration) {
	for i := range p.stream.Lots {
		end = max(end, p.stream.Lots[i].Runs[0].To.Sub(p.start))
	}
	return end
}

// speak publishes what all plants say.
func (p *proof) speak(ctx context.Context) error {
	var speaking []func() error
	for _, at := range p.Plants {
		out, err := plant.Connect(at.MQTT.URL(), "plant")
		if err != nil {
			return err
		}
		defer out.Close()
		speaking = append(speaking, func() error { return stack.Play(ctx, out, at.ID, p.start, p.stream.Messages) })
		if at.Line != nil {
			speaking = append(speaking, func() error { return stack.PlayLine(ctx, at.Line, at.ID, p.start, p.stream.Parts) })
		}
	}
	return inParallel(speaking...)
}

// watch tells every ten seconds how far everything is.
func (p *proof) watch(ctx context.Context, span time.Duration) error {
	for at := 10 * time.Second; at < span; at += 10 * time.Second {
		if err := stack.Until(ctx, p.start.Add(at)); err != nil {
			return err
		}
		p.progress()
	}
	return nil
}

// progress prints what the systems' own books say.
func (p *proof) progress() {
	s, usages := p.readERPs(), map[event.UsageStatus]int{}
	for i := range p.stream.Lots {
		usages[s.usage(p, &p.stream.Lots[i])]++
	}
	p.say("ERP: %d lots free, %d in inspection, %d restricted, %d blocked; answers lost so far: %d", usages[event.Unrestricted],
		usages[event.InInspection], usages[event.Restricted], usages[event.Blocked], p.lost())
}

// lost counts the answers that were lost after their effect.
func (p *proof) lost() (n int) {
	for _, f := range p.Faults() {
		n += f.Acted()
	}
	return n
}

// settle waits until every lot has come to what its facts ask for, or until it is too late for that.
func (p *proof) settle(ctx context.Context) error {
	began := time.Now()
	for deadline := began.Add(p.patience); ; {
		now, err := p.dump(ctx, p.Path(ownDatabase), "now")
		if err != nil {
			return err
		}
		f, err := p.ends(now)
		if err != nil {
			return err
		}
		if len(f.Violations) == 0 || time.Now().After(deadline) {
			p.say("%d differences left %s after the last fact", len(f.Violations), time.Since(began).Round(100*time.Millisecond))
			return nil
		}
		if err := stack.Until(ctx, time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
}

// inParallel calls all at the same time and returns when the last one has, with all their errors.
func inParallel(calls ...func() error) error {
	var calling sync.WaitGroup
	errs := make([]error, len(calls))
	for i, call := range calls {
		calling.Go(func() { errs[i] = call() })
	}
	calling.Wait()
	return errors.Join(errs...)
}
