package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	d := &demo{world: w, began: began, out: os.Stdout, until: map[broken]time.Time{}, calls: make(chan func())}
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
	until map[broken]time.Time // when what was broken for a time is mended
	calls chan func()          // of the control page, which are made between two steps of the show
}

// show runs until ctx ends or q is pressed. It waits for what it starts, but for the reader of keys, which nothing can
// call back from a read.
func (d *demo) show(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.view.Seed, d.view.Dir, d.view.API, d.view.Plants = d.seed, d.dir, d.base(), make([]plantView, len(d.plants))
	screen, keys := openScreen(d.out)
	defer func() { screen.close(&d.view) }()

	watcher, news, serving := newWatcher(d.world), make(chan facts), make(chan error, 1)
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
	watching.Go(func() { serving <- d.control.run(ctx, d) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-serving:
			return err
		case call := <-d.calls:
			call()
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
	v.Console = d.control.says()
	if err := d.mendDue(time.Now()); err != nil {
		return err
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
	if key >= '1' && int(key-'1') < len(d.plants) {
		v.Chosen = int(key - '1')
		v.Said = fmt.Sprintf("f, w, k and z are for plant %s now", d.plants[v.Chosen].Plant)
		return nil
	}
	b, ok := d.ofKey(key)
	if !ok {
		return nil
	}
	said, err := d.turn(b, now)
	v.Said = now.Local().Format("15:04:05") + " " + said
	return err
}
