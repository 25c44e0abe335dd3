package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// tendEvery is how often what moves with time alone is looked at.
	tendEvery = 2 * time.Second
	// lookEvery is how often all lots that ask are looked at, should a cause have been missed.
	lookEvery = 30 * time.Second
	// lookPage is how many of them are looked at in one transaction.
	lookPage = 100
	// defaultMaxAge is the default of [Config.CoverageMaxAge]: four heads of an agent.
	defaultMaxAge = 2 * time.Minute
)

// tend does what no event asks for, until ctx ends: control records as a sign of life, alerts about silent agents.
func (e *Engine) tend(ctx context.Context) {
	quiet := telemetry.Quiet{Log: e.log, Now: e.now}
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := e.tendOnce(ctx)
		if now := e.now(); err == nil && now.Sub(looked).Abs() >= lookEvery {
			looked = now
			err = e.look(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			quiet.Failed(err, "control records and alerts wait")
		default:
			quiet.Recovered("control records and alerts go on")
		}
	}
}

// tendOnce looks first whether there is anything to do: most looks find nothing, and a writer waits for every other.
func (e *Engine) tendOnce(ctx context.Context) error {
	now := event.At(e.now()).Truncate(time.Microsecond)
	look := e.attention.take(now)
	var due []agentKey
	alerts := false
	err := e.store.View(ctx, func(tx *store.Tx) error {
		t := &turn{engine: e, tx: tx, now: now}
		found, later, err := t.overdue(look)
		if err != nil {
			return err
		}
		due = found
		e.attention.put(later)
		fresh, over, err := t.silence()
		alerts = len(fresh)+len(over) > 0
		return err
	})
	if err == nil && (len(due) > 0 || alerts) {
		t := &turn{}
		err = e.commit(ctx, t, func() error {
			if err := t.remind(due); err != nil || !alerts {
				return err
			}
			return t.listen()
		})
	}
	if err != nil {
		e.attention.note(look) // they are still to be looked at
	}
	return err
}

// Look has one lot's release looked at, for a cause that is no event: an object of a feed that can't be read, or can be
// read at last.
func (e *Engine) Look(ctx context.Context, lot event.LotKey) error {
	t := &turn{}
	return e.commit(ctx, t, func() error {
		t.suspect(lot)
		return nil
	})
}

// look has every lot that asks looked at. A reader finds those about which something is to be written; a writer waits for
// every other.
func (e *Engine) look(ctx context.Context) error {
	after := event.LotKey("")
	for {
		lots, moved, err := e.lookFrom(ctx, after)
		if err == nil && len(moved) > 0 {
			t := &turn{}
			err = e.commit(ctx, t, func() error {
				for _, lot := range moved {
					t.suspect(lot)
				}
				return nil
			})
		}
		if err != nil || len(lots) < lookPage {
			return err
		}
		after = lots[len(lots)-1]
	}
}

// lookFrom looks at a page of lots behind one, and returns which of them something is to be written about.
func (e *Engine) lookFrom(ctx context.Context, after event.LotKey) (lots, moved []event.LotKey, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) (err error) {
		if lots, err = tx.AskingAfter(after, lookPage); err != nil {
			return err
		}
		for _, lot := range lots {
			t := &turn{engine: e, tx: tx, now: event.At(e.now()).Truncate(time.Microsecond)}
			err := t.examine(lot)
			switch {
			case errors.Is(err, store.ErrReading):
				moved = append(moved, lot)
			case err != nil:
				return fmt.Errorf("examine release of lot %s: %w", lot, err)
			}
		}
		return nil
	})
	return lots, moved, err
}
