package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// tapFlags are the flags of tap as they are written.
type tapFlags struct {
	lane, signal, quality string
	count                 int
}

func (p *program) tapCommand() *cobra.Command {
	var f tapFlags
	c := &cobra.Command{
		Use: "tap", Short: "show events as they become durable; nothing is sent or held up by it", Args: cobra.NoArgs,
		Long: "Shows each event from now on once it is on disk: when, its place in the queue, what, of which lot, with quality and both\n" +
			"times. What is too much to read is left out, and said. With -o json one event a line, whole.\n\n" +
			"Exit code: 0 after --count events or ^C, 6 the agent does not answer.",
		RunE: func(c *cobra.Command, _ []string) error {
			if f.count < 0 {
				return problem.New(problem.Usage, "count %d: want 1 or more, or 0 for no end", f.count)
			}
			return p.tap(c.Context(), &f)
		},
	}
	c.Flags().StringVar(&f.lane, "lane", "", "quality or telemetry; empty: both")
	c.Flags().StringVar(&f.signal, "signal", "", "only events with this text in source, topic or node, lot, or type")
	c.Flags().StringVar(&f.quality, "quality", "", "only sampled values that are good, uncertain, bad or stale, or what is quarantined")
	c.Flags().IntVar(&f.count, "count", 0, "end after so many events; 0: at ^C")
	return c
}

// errEnough ends a tap.
var errEnough = errors.New("enough events were shown")

func (p *program) tap(ctx context.Context, f *tapFlags) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	order := localapi.Tap{Lane: event.Lane(f.lane), Find: f.signal, Quality: f.quality}
	if err := order.Check(); err != nil {
		return err
	}
	shown := 0
	err = client.Tap(ctx, order, func() { p.say("waiting for events; ^C ends") }, func(e localapi.Tapped) error {
		if err := p.showTapped(&e); err != nil {
			return err
		}
		if e.Skipped == 0 {
			shown++
		}
		if shown == f.count && f.count > 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (p *program) showTapped(e *localapi.Tapped) error {
	if p.global.output == formatJSON {
		line := json.NewEncoder(p.out)
		line.SetEscapeHTML(false) // an event is shown as it is
		return line.Encode(e)
	}
	if e.Skipped > 0 {
		return p.write(fmt.Sprintf("... %s left out: more than can be shown\n", localapi.Things(e.Skipped, "event")))
	}
	return p.write(p.tappedText(e))
}

// tappedText is one line: arrival, place in the queue, what, of which lot, with its quality, and where it came from.
func (p *program) tappedText(e *localapi.Tapped) string {
	place := fmt.Sprintf("%s seq %s", e.Lane, localapi.Number(e.Seq))
	if e.Urgent {
		place += " " + p.paint(yellow, "urgent")
	}
	words := []string{p.instant(e.Recorded), place, clean(e.Type)}
	if e.Lot != "" {
		words = append(words, clean(e.Lot))
	}
	words = append(words, p.gist(e)...)
	source := "-"
	if !e.Time.IsZero() && e.Clock != string(event.TimeMissing) {
		source = p.instant(e.Time)
	}
	if e.Clock != "" {
		source += " " + e.Clock
	}
	words = append(words, "source "+source)
	if from := strings.TrimSpace(e.Source + " " + e.Item); from != "" {
		words = append(words, clean(from))
	}
	return strings.Join(words, "   ") + "\n"
}

// gist says what most events say: a name with its value and what it is worth.
func (p *program) gist(e *localapi.Tapped) []string {
	var d struct {
		Characteristic, Signal, Value, Unit, Evaluation, Verdict, Reason, Code string
	}
	_ = json.Unmarshal(e.Data, &d) // an event without these members has no gist
	var words []string
	if name := d.Characteristic + d.Signal; name != "" {
		words = append(words, clean(strings.TrimSpace(name+" = "+d.Value+" "+d.Unit)))
	}
	for _, worth := range []string{e.Quality, d.Evaluation, d.Verdict} {
		if worth != "" {
			words = append(words, p.paint(worthColour(worth), clean(worth)))
		}
	}
	if d.Reason != "" {
		words = append(words, clean(d.Reason))
	}
	if d.Code != "" {
		words = append(words, "("+clean(d.Code)+")")
	}
	return words
}

func worthColour(worth string) string {
	switch worth {
	case "pass", "good":
		return green
	case "fail", "bad", localapi.Unread:
		return red
	}
	return yellow
}

// instant writes a time of day to the millisecond.
func (p *program) instant(t time.Time) string {
	if p.global.utc {
		return t.UTC().Format("15:04:05.000Z")
	}
	return t.Local().Format("15:04:05.000")
}
