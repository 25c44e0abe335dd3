package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// confirmBeyond is from how many records on a "y" is not enough.
const confirmBeyond = 1000

// progressEvery is how often progress is written where no terminal can overwrite its line.
const progressEvery = 10 * time.Second

// partial is the end of a command that did a part of its work.
type partial struct{ err error }

// Error returns what ended it.
func (e *partial) Error() string { return e.err.Error() }

// Is tells that it is [cli.ErrPartial].
func (e *partial) Is(target error) bool { return target == cli.ErrPartial }

// Unwrap returns what ended it.
func (e *partial) Unwrap() error { return e.err }

// replayFlags are the flags of queue replay as they are written.
type replayFlags struct {
	from, to, lane, rate, reason string
	execute                      bool
}

func (p *program) replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use: "replay --from TIME --to TIME", Short: "send records again that were sent before; a dry run until --execute", Args: cobra.NoArgs,
		Long: "Sends the records of a time range again: same ids, same origin, behind live traffic. The cloud knows them by their ids,\n" +
			"so that nothing is applied twice. Without --execute it only says what would be sent.",
		RunE: func(c *cobra.Command, _ []string) error {
			order, err := f.order(p.now())
			if err != nil {
				return err
			}
			return p.replay(c.Context(), order)
		},
	}
	c.Flags().StringVar(&f.from, "from", "", "time from which on records were queued, such as 2026-11-20T22:00Z, or 2h for two hours ago")
	c.Flags().StringVar(&f.to, "to", "", "time before which they were queued")
	c.Flags().StringVar(&f.lane, "lane", string(event.LaneQuality), "quality or telemetry")
	c.Flags().StringVar(&f.rate, "rate", strconv.Itoa(localapi.DefaultRate)+"/s", "records a second at most")
	c.Flags().StringVar(&f.reason, "reason", "", "why; stands in the ledger")
	c.Flags().BoolVar(&f.execute, "execute", false, "send")
	return c
}

// order reads the flags.
func (f *replayFlags) order(now time.Time) (o localapi.Replay, err error) {
	o = localapi.Replay{Lane: event.Lane(f.lane), Reason: strings.TrimSpace(f.reason), Execute: f.execute}
	if f.from == "" || f.to == "" {
		return o, problem.New(problem.Usage, "replay needs --from and --to")
	}
	if o.From, err = moment(f.from, now); err != nil {
		return o, err
	}
	if o.To, err = moment(f.to, now); err != nil {
		return o, err
	}
	if o.Rate, err = strconv.Atoi(strings.TrimSuffix(f.rate, "/s")); err != nil || o.Rate < 1 {
		return o, problem.New(problem.Usage, "rate %q: want such as 200/s", f.rate)
	}
	return o, o.Check()
}

// replay shows the plan, and with execute asks, sends and reports.
func (p *program) replay(ctx context.Context, order localapi.Replay) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	plan, err := planOf(ctx, client, order)
	if err != nil {
		return err
	}
	if p.global.output == formatTable {
		if err := p.write(p.planText(&plan, order)); err != nil {
			return err
		}
	}
	if !order.Execute || plan.Records == 0 {
		if plan.Records > 0 {
			p.say("Nothing was sent. To send: the same command with --execute --reason \"...\"")
		}
		if p.global.output == formatJSON {
			return p.writeJSON(localapi.Update{Plan: &plan})
		}
		return nil
	}
	if err := p.confirm(&plan); err != nil {
		return err
	}
	return p.send(ctx, client, order)
}

func planOf(ctx context.Context, client *localapi.Client, order localapi.Replay) (plan localapi.Plan, err error) {
	order.Execute = false
	err = client.Replay(ctx, order, func(u localapi.Update) {
		if u.Plan != nil {
			plan = *u.Plan
		}
	})
	return plan, err
}

// send executes the order.
func (p *program) send(ctx context.Context, client *localapi.Client, order localapi.Replay) error {
	var done *localapi.Progress
	var last localapi.Progress
	show := &progressLine{w: p.err, terminal: cli.IsTerminal(p.err), quiet: p.global.quiet, now: p.now}
	err := client.Replay(ctx, order, func(u localapi.Update) {
		switch {
		case u.Progress != nil:
			last = *u.Progress
			show.progress(last)
		case u.Done != nil:
			last, done = *u.Done, u.Done
		}
	})
	show.end()
	if done == nil && last.Sent == 0 {
		return err
	}
	if err := p.writeEnd(done, last); err != nil {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &partial{errors.New("stopped; the same command begins again, and the cloud knows by their ids what it has")}
	case err != nil:
		return &partial{err}
	}
	return nil
}

// writeEnd says how far a replay came: done, or progress where it ended before.
func (p *program) writeEnd(done *localapi.Progress, last localapi.Progress) error {
	switch {
	case p.global.output == formatTable:
		return p.write(fmt.Sprintf("sent %s of %s again\n", localapi.Number(last.Sent), localapi.Things(last.Total, "record")))
	case done != nil:
		return p.writeJSON(localapi.Update{Done: done})
	}
	return p.writeJSON(localapi.Update{Progress: &last})
}

func (p *program) planText(plan *localapi.Plan, order localapi.Replay) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Plan   plant %s   lane %s   %s to %s\n", plan.Plant, plan.Lane, p.date(order.From), p.date(order.To))
	if plan.Records == 0 {
		fmt.Fprintln(w, "no record that was sent lies in this range")
		return w.String()
	}
	fmt.Fprintf(w, "%s   %s   first %s   last %s   at %d/s about %s\n", localapi.Things(plan.Records, "record"), localapi.Size(plan.Bytes),
		p.date(plan.First), p.date(plan.Last), order.Rate, localapi.Age(time.Duration(plan.Records)*time.Second/time.Duration(order.Rate)))
	rows := [][]cell{cells("TYPE", "RECORDS")}
	for _, t := range plan.Types {
		rows = append(rows, cells(clean(t.Type), localapi.Number(t.Records)))
	}
	p.table(w, rows)
	return w.String()
}

// date writes a time with its date and zone.
func (p *program) date(t time.Time) string {
	if p.global.utc {
		t = t.UTC()
	} else {
		t = t.Local()
	}
	return t.Format("2006-01-02T15:04:05Z07:00")
}

// confirm asks; many records want more than a habit of the fingers.
func (p *program) confirm(plan *localapi.Plan) error {
	if p.global.yes {
		return nil
	}
	want, question := "y", fmt.Sprintf("Send %s again? [y/N] ", localapi.Things(plan.Records, "record"))
	if plan.Records > confirmBeyond {
		want, question = plan.Plant, fmt.Sprintf("To send %s again, type the plant's id (%s): ", localapi.Things(plan.Records, "record"), plan.Plant)
	}
	_, _ = fmt.Fprint(p.err, question)
	answer, err := bufio.NewReader(p.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(answer) != want {
		return problem.New(problem.Usage, "not confirmed: nothing was sent (without a terminal: -y)")
	}
	return nil
}

// progressLine shows how far a replay is: one line that a terminal overwrites, else one line per 10 s.
type progressLine struct {
	w        io.Writer
	terminal bool
	quiet    bool
	now      func() time.Time
	last     time.Time
}

func (l *progressLine) progress(p localapi.Progress) {
	now := l.now()
	if l.quiet || !l.terminal && now.Sub(l.last) < progressEvery {
		return
	}
	l.last = now
	text := fmt.Sprintf("replaying  %s/%s  %d%%", localapi.Number(p.Sent), localapi.Number(p.Total), 100*p.Sent/max(p.Total, 1))
	if l.terminal {
		_, _ = fmt.Fprintf(l.w, "\r%s   (^C stops)", text)
		return
	}
	_, _ = fmt.Fprintln(l.w, text)
}

// end leaves the line that was overwritten.
func (l *progressLine) end() {
	if l.terminal && !l.last.IsZero() {
		_, _ = fmt.Fprintln(l.w)
	}
}
