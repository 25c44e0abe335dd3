package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const (
	refresh    = 500 * time.Millisecond // of the table
	statusPace = 10 * time.Second       // of status lines, without a terminal
)

// options of a run.
type options struct {
	data string
	span time.Duration
	seed uint64
}

func runCommand(began time.Time, hurry <-chan struct{}) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use: "run", Short: "start five plants, the cloud and the business systems, and watch them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), hurry, o, began) },
	}
	c.Flags().StringVar(&o.data, "data", "", "new or empty directory for data and logs, kept at the end; empty: a temporary one")
	c.Flags().DurationVar(&o.span, "for", 0, "end after this time; 0: when told to")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of what happens in the plants")
	return c
}

// run runs the demo until it is told to end. A temporary directory stays if something went wrong: the logs are in it.
func run(ctx context.Context, hurry <-chan struct{}, o options, began time.Time) error {
	if o.span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, began.Add(o.span))
		defer cancel()
	}
	w, err := newWorld(o)
	if err != nil {
		return err
	}
	fmt.Printf("starting five plants, the cloud and the business systems; logs and data in %s\n", w.dir)
	d := &demo{world: w, began: began, out: os.Stdout}
	if err = w.start(ctx); err == nil {
		err = d.show(ctx)
	} else if ctx.Err() != nil {
		err = nil // told to end before the start was over
	}
	if err := errors.Join(err, w.stop(hurry)); err != nil || o.data != "" {
		return err
	}
	return os.RemoveAll(w.dir)
}

// newWorld finds the programs and makes the directory.
func newWorld(o options) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &world{self: self, seed: o.seed}
	for _, name := range []string{"agent", "cloud"} {
		if _, err := os.Stat(w.program(name)); err != nil {
			return nil, fmt.Errorf("find the programs beside this one (make build puts them there): %w", err)
		}
	}
	if o.data == "" {
		w.dir, err = os.MkdirTemp("", "holdfast-demo-")
		return w, err
	}
	if w.dir, err = filepath.Abs(o.data); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	switch found, err := os.ReadDir(w.dir); {
	case err != nil:
		return nil, err
	case len(found) > 0:
		return nil, usageError{fmt.Errorf("%s is not empty: the plants begin with their first lots, so they need a new directory", w.dir)}
	}
	return w, nil
}

// demo shows the world and lets keys act on it.
type demo struct {
	*world
	began time.Time
	out   *os.File
	view  view
}

// show runs until ctx ends or q is pressed. It waits for what it starts, but for the reader of keys, which nothing can
// call back from a read.
func (d *demo) show(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.view.Seed, d.view.Dir, d.view.API, d.view.Plants = d.seed, d.dir, d.base(), make([]plantView, len(d.plants))
	screen, keys := openScreen(d.out)
	defer func() { screen.close(&d.view) }()

	watcher, news := newWatcher(d.world), make(chan facts)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case news <- watcher.look(ctx):
			case <-ctx.Done():
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-news:
			if err := d.take(f); err != nil {
				return err
			}
			if screen.draw(&d.view); screen.err != nil {
				return nil
			}
		case key, ok := <-keys:
			if !ok {
				if screen.isTerminal() {
					return nil // it was closed
				}
				keys = nil // nobody there to press one
				continue
			}
			if key == 'q' {
				return nil
			}
			if err := d.press(key); err != nil {
				return err
			}
			screen.say(&d.view)
		}
	}
}

// take brings the view up to date. It returns an error when a program has ended by itself, which should not happen.
func (d *demo) take(f facts) error {
	v := &d.view
	v.facts, v.Running = f, f.At.Sub(d.began)
	if lots, _, _ := v.counts(); v.FirstEvent == 0 && lots > 0 { // events of the agent about itself do not count
		v.FirstEvent = time.Since(d.began)
	}
	v.Metrics = d.cloud.Address + "/metrics (cloud)"
	for i, p := range d.plants {
		v.Plants[i].ID, v.Plants[i].Zone, v.Plants[i].Line = p.Plant, p.Zone, len(p.Lines) > 0
		if p.agent == nil {
			continue
		}
		select {
		case <-p.agent.Ready():
			v.Plants[i].Metrics = p.agent.Address + "/metrics"
		default:
		}
	}
	if p := d.ended(); p != nil {
		return ended(p)
	}
	return nil
}

// ended says how a process ended that nobody had ended, and what it said last.
func ended(p *stack.Process) error {
	how := "exit status 0"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended by itself: %s\n%s", p.Name, how, p.Tail())
}

// press does what a key stands for.
func (d *demo) press(key byte) error {
	v, now := &d.view, time.Now()
	var err error
	switch {
	case key >= '1' && int(key-'1') < len(d.plants):
		v.Chosen = int(key - '1')
		v.Said = fmt.Sprintf("f, w, k and z are for plant %s now", d.plants[v.Chosen].Plant)
		return nil
	case strings.IndexByte("fwkz", key) >= 0:
		v.Said, err = d.act(key, now)
	case key == 'e':
		v.Said = toggled(&v.ERPStopped, now, "the ERPs are stopped: what they should know waits in the cloud", "the ERPs run again")
		err = order{Do: doERP}.write(d.office)
	case key == 'm':
		v.Said = toggled(&v.QMSStopped, now, "the QMS is stopped: what is decided there waits", "the QMS runs again")
		err = order{Do: doQMS}.write(d.office)
	default:
		return nil
	}
	v.Said = now.Local().Format("15:04:05") + " " + v.Said
	return err
}

// act does what a key stands for to the chosen plant, and says what that was.
func (d *demo) act(key byte, now time.Time) (said string, err error) {
	p, v := d.plants[d.view.Chosen], &d.view.Plants[d.view.Chosen]
	switch key {
	case 'f':
		said, err = "a part of a lot of its own fails at press 4", order{Do: doFail}.write(p.orders)
	case 'w':
		said = toggled(&v.WANCut, now, "the WAN is cut: the agent keeps what happens on its disk", "the WAN is whole again")
		if v.WANCut.IsZero() {
			p.wan.Heal()
		} else {
			p.wan.Cut()
		}
	case 'k':
		said = toggled(&v.Killed, now, "the agent is killed: the broker keeps what it had not acknowledged", "the agent is started again: it goes on where its disk says")
		if v.Killed.IsZero() {
			err = d.startAgent(p)
		} else {
			p.killAgent()
		}
	case 'z':
		if len(p.Lines) == 0 {
			return "plant " + p.Plant + " has no press line that speaks OPC UA", nil
		}
		said = toggled(&v.Frozen, now, "its press line is frozen: what is not seen becomes a gap, and its lots wait", "its press line goes on")
		err = order{Do: doFreeze}.write(p.orders)
	}
	return "plant " + p.Plant + ": " + said, err
}

// toggled notes since when something is off, or that it is on again, and returns the text for that.
func toggled(since *time.Time, now time.Time, off, on string) string {
	if since.IsZero() {
		*since = now
		return off
	}
	*since = time.Time{}
	return on
}
