package main

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// outage is something that breaks for a while.
type outage struct {
	what   string
	plant  int           // index of the plant that it is about; -1 = all
	at     time.Duration // since the start
	last   time.Duration
	begin  func(context.Context, *proof) error
	mend   func(context.Context, *proof) error
	system string // id of the system that is down; empty = none

	began, ended time.Time // when it was so
}

// The whole script takes its figures from the promise that is proven: one plant's WAN is cut for 30 s with traffic going
// on, ERP and QMS are down for 20 s each, one agent is killed and started again. Plants that are busy for less than a
// minute get shorter ones in proportion.
func script(busy time.Duration) []outage {
	links := func(do func(*proxy.Proxy), ids ...string) func(context.Context, *proof) error {
		return func(_ context.Context, p *proof) error {
			for _, id := range ids {
				do(p.Links[id])
			}
			return nil
		}
	}
	all := []outage{
		{
			what: "the WAN of p2 is cut", plant: 1, at: 8 * time.Second, last: 30 * time.Second,
			begin: func(_ context.Context, p *proof) error { p.Plants[1].WAN.Cut(); return nil },
			mend:  func(_ context.Context, p *proof) error { p.Plants[1].WAN.Heal(); return nil },
		},
		{
			what: "the ERP is down", plant: -1, at: 14 * time.Second, last: 20 * time.Second, system: stack.ERP,
			begin: links((*proxy.Proxy).Cut, stack.ERP), mend: links((*proxy.Proxy).Heal, stack.ERP),
		},
		{
			what: "the QMS is down", plant: -1, at: 42 * time.Second, last: 20 * time.Second, system: stack.QMS,
			begin: links((*proxy.Proxy).Cut, stack.QMS), mend: links((*proxy.Proxy).Heal, stack.QMS),
		},
		{
			what: "the agent of p3 is killed", plant: 2, at: 48 * time.Second, last: 3 * time.Second,
			begin: func(_ context.Context, p *proof) error { p.Plants[2].Agent.Kill(); return nil },
			mend: func(ctx context.Context, p *proof) error {
				ctx, cancel := context.WithTimeout(ctx, startLimit)
				defer cancel()
				return p.Plants[2].StartAgent(ctx)
			},
		},
		{
			what: "the press line of p4 is frozen", plant: 3, at: 20 * time.Second, last: 15 * time.Second,
			begin: func(_ context.Context, p *proof) error { p.Plants[3].Line.Freeze(); return nil },
			mend:  func(_ context.Context, p *proof) error { p.Plants[3].Line.Thaw(); return nil },
		},
	}
	if scale := busy.Seconds() / time.Minute.Seconds(); scale < 1 {
		for i := range all {
			all[i].at, all[i].last = scaled(all[i].at, scale), scaled(all[i].last, scale)
		}
	}
	return all
}

func scaled(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// breakThings carries the script out.
func (p *proof) breakThings(ctx context.Context) error {
	var breaking []func() error
	for i := range p.faults {
		breaking = append(breaking, func() error { return p.breakThing(ctx, &p.faults[i]) })
	}
	return inParallel(breaking...)
}

func (p *proof) breakThing(ctx context.Context, o *outage) error {
	if err := stack.Until(ctx, p.start.Add(o.at)); err != nil {
		return err
	}
	o.began = time.Now()
	p.say("%s for %s", o.what, o.last.Round(100*time.Millisecond))
	if err := o.begin(ctx, p); err != nil {
		return err
	}
	if err := stack.Until(ctx, o.began.Add(o.last)); err != nil {
		return err
	}
	err := o.mend(ctx, p)
	o.ended = time.Now()
	p.say("no longer: %s", o.what)
	return err
}
