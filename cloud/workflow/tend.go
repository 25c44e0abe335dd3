package workflow

import (
	"context"
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
	idle := false
	if err := e.store.View(ctx, func(tx *store.Tx) (err error) {
		t := &turn{engine: e, tx: tx, now: event.At(e.now()).Truncate(time.Microsecond)}
		idle, err = t.idle()
		return err
	}); err != nil || idle {
		return err
	}
	t := &turn{}
	return e.commit(ctx, t, func() error {
		if err := t.remind(); err != nil {
			return err
		}
		return t.listen()
	})
}

// idle tells whether no control record and no alert is due.
func (t *turn) idle() (bool, error) {
	agents, err := t.tx.LiveAgents()
	if err != nil {
		return false, err
	}
	for i := range agents {
		due, err := t.due(&agents[i])
		if err != nil || due {
			return false, err
		}
	}
	fresh, over, err := t.silence()
	return err == nil && len(fresh) == 0 && len(over) == 0, err
}

// look has every lot that asks looked at.
func (e *Engine) look(ctx context.Context) error {
	after := event.LotKey("")
	for {
		var lots []event.LotKey
		t := &turn{}
		if err := e.commit(ctx, t, func() (err error) {
			if lots, err = t.tx.AskingAfter(after, lookPage); err != nil {
				return err
			}
			for _, lot := range lots {
				t.suspect(lot)
			}
			return nil
		}); err != nil {
			return err
		}
		if len(lots) < lookPage {
			return nil
		}
		after = lots[len(lots)-1]
	}
}
