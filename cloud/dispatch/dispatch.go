// Package dispatch carries out the effects that the workflow wants, by one write protocol for all systems: look up by
// our reference, read with version, decide again, write conditionally, read back, record.
//
// A state effect is level-triggered: what a system should hold is worked out from the lot's state right before the
// write, so ten changes during an outage become one correct call, and a hold that arrives in between wins. A document
// effect is made once: it is looked up by its reference before every write, and one write of it is in flight at a time.
// A time-out is unknown, never failed, and is looked up. Applied is said here only, after reading back. Long waits are
// rows in SQL, not goroutines.
//
// What frees a lot is asked for again right before each write: the usage and the usage decision need the grant of the
// release, warehouse tasks the verified release. A notice tells what is true when it leaves; what is true no longer is
// not sent, and nobody is told the same a third time.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Config of the dispatcher.
type Config struct {
	Owner   string // names this process in leases
	Workers int    // effects out at once; 0 = 16
	// Lease is how long a claimed effect is ours, counted anew before each write. It must outlast what lies between two
	// writes: at most three calls of 10 s.
	Lease time.Duration
	// Settle is how long an unknown write gets to land before it is looked up.
	Settle time.Duration
	// ERP returns the system that enforces usage at a plant; nil = none has one, and no warehouse task is ever freed.
	ERP func(event.PlantID) string
	// Plant returns the plant that a system knows by a name of its own; empty = not known. Nil = none is.
	Plant func(system, name string) event.PlantID
	Now   func() time.Time
}

// erpOf returns the ERP of a plant. A name that no system has keeps a lot from ever counting as verified.
func (c *Config) erpOf(plant event.PlantID) string {
	if c.ERP == nil {
		return "none"
	}
	return c.ERP(plant)
}

func (c *Config) plantOf(system, name string) event.PlantID {
	if c.Plant == nil {
		return ""
	}
	return c.Plant(system, name)
}

// DefaultConfig has the reasons beside each number.
var DefaultConfig = Config{Workers: 16, Lease: 45 * time.Second, Settle: 2 * time.Second, Now: time.Now}

const (
	firstBackoff = time.Second
	// While a system is down the guard answers and no call is made, so that trying costs nothing; waiting longer would only
	// keep a lot in the wrong state after the system is back. What restricts has to be enforced within 60 s of that.
	longestBackoff  = 30 * time.Second
	longestForHolds = 10 * time.Second
	longestSleep    = 5 * time.Second
	// lookAgain is how often a lot is read that waits for someone to take a restriction back, in a system that does not
	// say what changes there; staleEvery is how often such lots are looked for.
	lookAgain  = 3 * time.Minute
	staleEvery = 30 * time.Second
)

// Dispatcher claims due effects and carries them out.
type Dispatcher struct {
	cfg     Config
	store   *store.Store
	engine  *workflow.Engine
	systems map[string]connector.System
	log     zerolog.Logger
	metrics *metrics

	claims int64     // made so far; touched by Run alone, as is looked
	looked time.Time // when stale effects were looked for

	wake chan struct{} // a worker became free
	mu   sync.Mutex    // guards busy
	busy int
}

// New returns a dispatcher for the systems by their configured ids; reg may be nil.
func New(cfg Config, s *store.Store, engine *workflow.Engine, systems map[string]connector.System, log zerolog.Logger, reg prometheus.Registerer) *Dispatcher {
	d := &Dispatcher{cfg: cfg, store: s, engine: engine, systems: systems, log: log, wake: make(chan struct{}, 1)}
	if d.cfg.Workers == 0 {
		d.cfg.Workers = DefaultConfig.Workers
	}
	d.metrics = newMetrics(reg, d)
	return d
}

// Run works until ctx ends, then waits for the effects in hand; what they did is recorded even then.
func (d *Dispatcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	quiet := telemetry.Quiet{Log: d.log, Now: d.cfg.Now}
	for ctx.Err() == nil {
		rows, sleep, err := d.claim(ctx)
		if err != nil && ctx.Err() == nil {
			quiet.Failed(err, "dispatcher waits for the database")
			sleep = time.Second
		}
		for i := range rows {
			d.occupy(1)
			running.Go(func() {
				defer d.occupy(-1)
				// An attempt that has begun is ended and recorded: stopping in between would leave an unknown write.
				d.attempt(context.WithoutCancel(ctx), &rows[i])
			})
		}
		if len(rows) > 0 {
			continue
		}
		timer := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case <-d.engine.Effects():
		case <-d.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (d *Dispatcher) occupy(n int) {
	d.mu.Lock()
	d.busy += n
	d.mu.Unlock()
	if n < 0 {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (d *Dispatcher) free() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg.Workers - d.busy
}

// claim takes due effects for the free workers, or says how long there is nothing to do.
func (d *Dispatcher) claim(ctx context.Context) (rows []store.EffectRow, sleep time.Duration, err error) {
	free, now := d.free(), d.cfg.Now()
	if free <= 0 {
		return nil, longestSleep, nil
	}
	if now.Sub(d.looked).Abs() >= staleEvery {
		if err := d.revive(ctx, now); err != nil {
			return nil, 0, err
		}
		d.looked = now
	}
	var next time.Time
	var waits bool
	// Looking costs no writer; most looks find nothing.
	if err := d.store.View(ctx, func(tx *store.Tx) (err error) {
		next, waits, err = tx.NextEffect()
		return err
	}); err != nil {
		return nil, 0, err
	}
	if !waits || next.After(now) {
		if !waits {
			return nil, longestSleep, nil
		}
		return nil, min(longestSleep, next.Sub(now)), nil
	}
	systems := make([]string, 0, len(d.systems))
	for id := range d.systems {
		systems = append(systems, id)
	}
	slices.Sort(systems)
	// Each claim has a name of its own: an attempt that outlived its lease must not pass for the one that came after it in
	// the same process.
	d.claims++
	owner := d.cfg.Owner + "/" + strconv.FormatInt(d.claims, 10)
	err = d.store.Update(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.ClaimEffects(owner, systems, free, now, d.cfg.Lease)
		return err
	})
	return rows, longestSleep, err
}

// revive makes effects due of lots that someone else keeps restricted, in systems without a feed of changes.
func (d *Dispatcher) revive(ctx context.Context, now time.Time) error {
	var mute []string
	for id, system := range d.systems {
		if !system.Caps().Feed {
			mute = append(mute, id)
		}
	}
	slices.Sort(mute)
	var stale []string
	if err := d.store.View(ctx, func(tx *store.Tx) (err error) {
		stale, err = tx.StaleUsage(mute, now.Add(-lookAgain))
		return err
	}); err != nil || len(stale) == 0 {
		return err
	}
	return d.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range stale {
			if err := tx.LookAgain(id, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// attempt carries out one claimed effect and records what came of it.
func (d *Dispatcher) attempt(ctx context.Context, row *store.EffectRow) {
	a := &attempt{dispatcher: d, row: row, system: d.systems[row.System]}
	err := a.run(ctx)
	if err == nil {
		return
	}
	if errors.Is(err, workflow.ErrFence) {
		d.log.Warn().Err(err).Str(telemetry.KeyEffect, row.ID).Msg("effect was taken over")
		return
	}
	var r connector.Result
	if !errors.As(err, &r) {
		r = connector.Result{Outcome: event.RetryLater, Code: string(problem.CodeOf(err)), Message: err.Error()}
	}
	if errors.Is(err, errNeverFound) {
		err = a.settle(ctx, workflow.Settlement{
			Outcome: event.Rejected, Wanted: string(row.Kind), Code: string(problem.EffectUnknown), Wrote: true,
			Message: "written " + strconv.FormatInt(row.Attempts, 10) + " times and never found; the last answer was " + row.Message,
		})
		if err == nil {
			return
		}
		r.Message = err.Error()
	}
	d.later(ctx, row, r)
}

// later gives an effect back until it may be tried again.
func (d *Dispatcher) later(ctx context.Context, row *store.EffectRow, r connector.Result) {
	d.metrics.outcome(row.System, r.Outcome)
	wait := d.backoff(row, r)
	d.log.Info().Str(telemetry.KeyEffect, row.ID).Str("outcome", string(r.Outcome)).Str("code", r.Code).Str(telemetry.KeyError, r.Message).
		Str(telemetry.KeyBackoff, wait.String()).Int64(telemetry.KeyAttempt, row.Tries+1).Msg("effect waits")
	if err := d.store.Update(ctx, func(tx *store.Tx) error {
		return tx.DeferEffect(row, d.cfg.Now().Add(wait), r.Outcome, r.Code, r.Message)
	}); err != nil {
		// The lease ends by itself; the effect is then looked up first.
		d.log.Error().Err(err).Str(telemetry.KeyEffect, row.ID).Msg("effect could not be given back")
	}
}

// backoff is what the system asked for, else full jitter that doubles up to the longest.
func (d *Dispatcher) backoff(row *store.EffectRow, r connector.Result) time.Duration {
	if r.RetryAfter > 0 {
		return min(r.RetryAfter, connector.MaxRetryAfter)
	}
	if r.Outcome == event.Unknown {
		return d.cfg.Settle
	}
	longest := longestBackoff
	if row.Priority == 0 {
		longest = longestForHolds
	}
	top := min(firstBackoff<<min(row.Tries, 9), longest)
	return top/4 + rand.N(top*3/4)
}

// facts returns what decides about a lot, from the state of now.
func (d *Dispatcher) facts(ctx context.Context, lot event.LotKey) (f quality.Facts, err error) {
	err = d.store.View(ctx, func(tx *store.Tx) (err error) {
		f, err = tx.Facts(lot)
		return err
	})
	if err == nil && f.Lot.Key == "" {
		err = fmt.Errorf("lot %s of an effect is not known", lot)
	}
	return f, err
}
