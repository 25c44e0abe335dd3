package workflow

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// longestSleep bounds how long a wall clock that was set forward can delay a timer. One that was set back delays those
	// that wait for a time; what is due at once waits for no clock.
	longestSleep = 10 * time.Second
	// timerPage is how many timers are fired in one transaction.
	timerPage = 100
)

// Run fires timers, and tends what moves with time alone, until ctx ends. Trouble with the database is waited out.
func (e *Engine) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.tend(ctx)
	}()
	defer func() { <-done }()
	quiet := telemetry.Quiet{Log: e.log, Now: e.now}
	for {
		next, err := e.fire(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			quiet.Failed(err, "timers wait")
			next = time.Second
		default:
			quiet.Recovered("timers go on")
		}
		wait := time.NewTimer(next)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-e.timers:
			wait.Stop()
		case <-wait.C:
		}
	}
}

// fire applies the timers that are due and returns how long to sleep.
func (e *Engine) fire(ctx context.Context) (time.Duration, error) {
	for {
		var atOnce, timers []quality.Timer
		if err := e.store.View(ctx, func(tx *store.Tx) (err error) {
			if atOnce, err = tx.TimersNamed(timerPage, quality.TimerAnswered, quality.TimerWithdrawn, timerTouch, timerRedrive); err == nil {
				timers, err = tx.Timers(timerPage)
			}
			return err
		}); err != nil {
			return 0, err
		}
		if len(atOnce) > 0 {
			if err := e.fireDue(ctx, atOnce); err != nil {
				return 0, err
			}
			continue
		}
		now, due := e.now(), 0
		for due < len(timers) && !timers[due].Due.After(now) {
			due++
		}
		if due > 0 {
			if err := e.fireDue(ctx, timers[:due]); err != nil {
				return 0, err
			}
			continue // what fired may have set others
		}
		if len(timers) == 0 {
			return longestSleep, nil
		}
		return min(longestSleep, timers[0].Due.Sub(now)), nil
	}
}

// fireDue applies timers in one transaction. One whose event was not accepted is removed all the same: it was fired
// before, or waits as a dead letter, and would come up again and again.
func (e *Engine) fireDue(ctx context.Context, timers []quality.Timer) error {
	inputs := make([]Input, len(timers))
	for i, x := range timers {
		data := &event.TimerFired{MayLot: event.MayLot{Lot: x.Lot}, Timer: event.Name(x.Name), Object: x.Object, Due: event.At(x.Due)}
		inputs[i].Event = e.own(data, x.Name, x.Object, event.At(x.Due).String())
	}
	results, err := e.Apply(ctx, inputs, nil)
	if err != nil {
		return err
	}
	var left []quality.Timer
	for i := range results {
		if results[i].Outcome != Accepted {
			left = append(left, timers[i])
		}
	}
	if len(left) == 0 {
		return nil
	}
	return e.store.Update(ctx, func(tx *store.Tx) error {
		for _, x := range left {
			if err := tx.DropTimer(x.Name, x.Object, x.Due); err != nil {
				return err
			}
		}
		return nil
	})
}
