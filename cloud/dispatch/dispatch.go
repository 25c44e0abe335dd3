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
	"maps"
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
	Workers int    // effects out at once at each system; 0 = 16
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
	targets []*target // by id
	log     zerolog.Logger
	metrics *metrics

	claims int64     // made so far; touched by Run alone, as is looked
	looked time.Time // when stale effects were looked for

	wake chan struct{} // a worker became free, or effects became due
}

// New returns a dispatcher for the systems by their configured ids; reg may be nil.
func New(cfg Config, s *store.Store, engine *workflow.Engine, systems map[string]connector.System, log zerolog.Logger, reg prometheus.Registerer) *Dispatcher {
	d := &Dispatcher{cfg: cfg, store: s, engine: engine, log: log, wake: make(chan struct{}, 1)}
	if d.cfg.Workers == 0 {
		d.cfg.Workers = DefaultConfig.Workers
	}
	for _, id := range slices.Sorted(maps.Keys(systems)) {
		d.targets = append(d.targets, &target{id: id, system: systems[id]})
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
		} else {
			quiet.Recovered("dispatcher goes on")
		}
		for _, c := range rows {
			c.target.occupy(1)
			running.Go(func() {
				defer d.look()
				defer c.target.occupy(-1)
				// An attempt that has begun is ended and recorded: stopping in between would leave an unknown write.
				d.attempt(context.WithoutCancel(ctx), c)
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

// look has Run look for due effects once more.
func (d *Dispatcher) look() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// claimed is an effect that is ours, and where it goes.
type claimed struct {
	target *target
	row    store.EffectRow
}

// claim takes due effects for the free workers of each system, or says how long there is nothing to do.
func (d *Dispatcher) claim(ctx context.Context) (taken []claimed, sleep time.Duration, err error) {
	now := d.cfg.Now()
	if now.Sub(d.looked).Abs() >= staleEvery {
		if err := d.revive(ctx, now); err != nil {
			return nil, 0, err
		}
		d.looked = now
	}
	due, sleep, err := d.due(ctx, now)
	if err != nil || len(due) == 0 {
		return nil, sleep, err
	}
	// Each claim has a name of its own: an attempt that outlived its lease must not pass for the one that came after it in
	// the same process.
	d.claims++
	owner := d.cfg.Owner + "/" + strconv.FormatInt(d.claims, 10)
	err = d.store.Update(ctx, func(tx *store.Tx) error {
		for _, t := range due {
			rows, err := tx.ClaimEffects(owner, []string{t.id}, t.free(d.cfg.Workers), now, d.cfg.Lease)
			if err != nil {
				return err
			}
			for i := range rows {
				taken = append(taken, claimed{target: t, row: rows[i]})
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return taken, sleep, nil
}

// due returns the systems that have a worker free and an effect due, and how long it is until the next one will be. It
// needs no writer; most looks find nothing.
func (d *Dispatcher) due(ctx context.Context, now time.Time) (due []*target, sleep time.Duration, err error) {
	sleep = longestSleep
	err = d.store.View(ctx, func(tx *store.Tx) error {
		offs, err := tx.DispatchOffs()
		if err != nil {
			return err
		}
		for _, t := range d.targets {
			if t.free(d.cfg.Workers) <= 0 {
				continue // the worker that becomes free wakes us
			}
			if off(offs, t.id, now) {
				continue // who turns it on wakes us
			}
			some, next, err := tx.NextEffect(t.id, now)
			if err != nil {
				return err
			}
			if some {
				due = append(due, t)
			}
			if !next.IsZero() {
				sleep = min(sleep, next.Sub(now))
			}
		}
		return nil
	})
	return due, sleep, err
}

// revive makes effects due of lots that someone else keeps restricted, in systems without a feed of changes.
func (d *Dispatcher) revive(ctx context.Context, now time.Time) error {
	var mute []string
	for _, t := range d.targets {
		if !t.system.Caps().Feed {
			mute = append(mute, t.id)
		}
	}
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
func (d *Dispatcher) attempt(ctx context.Context, c claimed) {
	row := &c.row
	a := &attempt{dispatcher: d, row: row, target: c.target, returned: c.target.returned()}
	err := a.run(ctx)
	if a.asked && proven(err) {
		d.answered(ctx, c.target)
	}
	if err == nil {
		return
	}
	if errors.Is(err, workflow.ErrFence) {
		d.log.Warn().Err(err).Str(telemetry.KeyEffect, row.ID).Msg("effect was taken over")
		return
	}
	var r connector.Result
	if !errors.As(err, &r) {
		r = connector.Result{Outcome: event.RetryLater, Code: string(problem.CodeOf(err)), Message: err.Error(), Waits: true}
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
	d.later(ctx, a, r)
}

// proven tells whether the end of an attempt proves that its system answers.
func proven(err error) bool {
	var r connector.Result
	return err == nil || errors.As(err, &r) && (r.Waits || r.Outcome == event.Conflict || r.Outcome == event.Rejected)
}

// silent tells whether a result says that its system does not answer, whatever it is asked.
func silent(r *connector.Result) bool {
	return r.Outcome == event.Unknown || r.Code == connector.BreakerOpen || r.Refused || r.Outcome == event.RetryLater && r.RetryAfter == 0 && !r.Waits
}

// answered wakes what waits for a system when that begins to answer. Its workers and its rate spread them, those that
// restrict first.
func (d *Dispatcher) answered(ctx context.Context, t *target) {
	if !t.answered() {
		return
	}
	if err := d.store.Update(ctx, func(tx *store.Tx) error { return tx.WakeEffects(t.id, d.cfg.Now()) }); err != nil {
		d.log.Error().Err(err).Str(telemetry.KeySystem, t.id).Msg("effects of a system that answers again wait for their time")
	}
	d.look()
}

// later gives an effect back until it may be tried again.
func (d *Dispatcher) later(ctx context.Context, a *attempt, r connector.Result) {
	row := a.row
	d.metrics.outcome(row.System, r.Outcome)
	wait := d.backoff(row, r)
	if a.asked && silent(&r) {
		wait = a.target.absent(wait, r.Code == connector.BreakerOpen || r.Refused, d.cfg.Now())
	}
	d.log.Info().Str(telemetry.KeyEffect, row.ID).Str("outcome", string(r.Outcome)).Str("code", r.Code).Str(telemetry.KeyError, r.Message).
		Str(telemetry.KeyBackoff, wait.String()).Int64(telemetry.KeyAttempt, row.Tries+1).Msg("effect waits")
	if err := d.store.Update(ctx, func(tx *store.Tx) error {
		if r.Outcome == event.RetryLater && a.target.returned() != a.returned {
			wait = min(wait, firstBackoff) // what waited was woken while this one was out
		}
		if r.Code == notGranted {
			switch err := a.still(tx); {
			case err == nil:
				wait = 0 // the grant came while this one was out
			case !errors.Is(err, ErrMoved):
				return err
			}
		}
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
