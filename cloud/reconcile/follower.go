package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// leaseLength outlasts one page: its list, and the calls that read each of its decisions again.
	leaseLength = time.Minute
	// batch is how many events are applied together: few, so that the first of a page do not wait for the last.
	batch = 20
	// retryUnread is how often an object that became no event is read again, mostUnread how many of them at a time.
	retryUnread = time.Minute
	mostUnread  = 20

	firstBackoff    = time.Second
	shortestBackoff = 2 * time.Second
	longestBackoff  = 30 * time.Second
)

// follower follows one system's feed. Its methods but age are called by one goroutine.
type follower struct {
	feed    Feed
	deps    Deps
	log     zerolog.Logger
	metrics *metrics
	quiet   telemetry.Quiet

	full     bool             // everything is to be read once more
	beside   connector.Cursor // where that stands
	failures int              // in a row
	// handled says how a record looked when it was dealt with: a sweep shows again what changed shortly before it.
	handled map[string]string
	// busy are lots that changed while an effect on their usage was under way, as they were shown last: whether the effect
	// has seen the change is known when it ends. There are no more of them than effects under way; a new process reads
	// everything once more.
	busy map[event.LotKey]connector.View

	mu    sync.Mutex // guards what follows
	fresh time.Time  // all that changed before this is known
	kept  int64      // objects that became no event
}

func newFollower(feed Feed, deps Deps, m *metrics) *follower {
	log := deps.Log.With().Str(telemetry.KeySystem, feed.ID).Logger()
	return &follower{
		feed: feed, deps: deps, log: log, metrics: m, quiet: telemetry.Quiet{Log: log, Now: deps.Now}, full: true, fresh: deps.Now(),
		handled: map[string]string{}, busy: map[event.LotKey]connector.View{},
	}
}

// age returns how old the newest change can be that is not known yet.
func (f *follower) age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deps.Now().Sub(f.fresh)
}

// known notes that all that changed before a time is known.
func (f *follower) known(before time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fresh = before
}

func (f *follower) unread() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}

// run follows the feed until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.NewTimer(f.turn(ctx))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// turn takes the next step and returns how long to wait for the one after it.
func (f *follower) turn(ctx context.Context) time.Duration {
	more, err := f.step(ctx)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		f.failures++
		f.metrics.errors.WithLabelValues(f.feed.ID).Inc()
		f.quiet.Failed(problem.New(code(err), "feed of system %s: %w", f.feed.ID, err), "feed waits")
		return f.backoff(err)
	}
	f.failures = 0
	f.quiet.Recovered("feed goes on")
	if more {
		return 0
	}
	return f.feed.Config.Interval
}

// code names a failure.
func code(err error) problem.Code {
	var r connector.Result
	switch {
	case !errors.As(err, &r):
		return problem.Internal
	case r.Refused:
		return problem.SystemRefused
	case r.Outcome == event.Rejected:
		return problem.SystemAnswer
	case r.RetryAfter > 0 && r.Code != connector.BreakerOpen:
		return problem.SystemThrottled
	}
	return problem.SystemDown
}

// backoff returns the wait after a failure: at least what the system asked for, else doubling with jitter up to twice
// the interval, so that a decision does not wait long once the system is back.
func (f *follower) backoff(err error) time.Duration {
	longest := min(max(2*f.feed.Config.Interval, shortestBackoff), longestBackoff)
	top := min(firstBackoff<<min(f.failures-1, 9), longest)
	wait := top/2 + rand.N(top/2)
	var r connector.Result
	if errors.As(err, &r) {
		wait = max(wait, min(r.RetryAfter, connector.MaxRetryAfter))
	}
	return wait
}

// step reads one page and tells whether the next one is to follow at once. While another copy has the lease it does
// nothing.
func (f *follower) step(ctx context.Context) (more bool, err error) {
	began := f.deps.Now()
	at, ours, err := f.position(ctx)
	if err != nil {
		return false, err
	}
	if !ours {
		f.known(began) // to the copy that follows it, which says how old it is there
		f.full = true  // what that copy keeps in memory alone may end with it
		return false, nil
	}
	end, next, err := f.page(ctx, connector.Cursor(at.Cursor))
	if err != nil {
		return false, err
	}
	if at.Full.IsZero() && end {
		f.full, at.Full = false, began // the first sweep is everything
	}
	at.Cursor = string(next)
	if err := f.save(ctx, at); err != nil {
		return false, err
	}
	if !end {
		return true, nil
	}
	f.known(began)
	if err := errors.Join(f.again(ctx), f.settled(ctx)); err != nil {
		return false, err
	}
	return false, f.everything(ctx, at, began)
}

// everything reads one page of all that the system has, where that is due: one at each look, so that what is new never
// waits behind what is old, and the system's rate is left to the effects.
func (f *follower) everything(ctx context.Context, at store.Feed, now time.Time) error {
	f.full = f.full || now.Sub(at.Full) >= f.feed.Config.Full
	if !f.full {
		return nil
	}
	end, next, err := f.page(ctx, f.beside)
	if err != nil {
		return err
	}
	f.beside = next
	if !end {
		return nil
	}
	f.full, f.beside, at.Full = false, "", now
	return f.save(ctx, at)
}

// position takes or keeps the lease and returns where the feed stands.
func (f *follower) position(ctx context.Context) (at store.Feed, ours bool, err error) {
	err = f.deps.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if _, ours, err = tx.TakeLease("feed/"+f.feed.ID, f.deps.Owner, f.deps.Now(), leaseLength); err != nil || !ours {
			return err
		}
		at, err = tx.FeedOf(f.feed.ID)
		return err
	})
	return at, ours, err
}

// save stores where the feed stands, if it is still ours to follow.
func (f *follower) save(ctx context.Context, at store.Feed) error {
	var kept int64
	err := f.deps.Store.Update(ctx, func(tx *store.Tx) error {
		_, ours, err := tx.TakeLease("feed/"+f.feed.ID, f.deps.Owner, f.deps.Now(), leaseLength)
		if err == nil && !ours {
			err = fmt.Errorf("feed of %s: %w", f.feed.ID, workflow.ErrFence)
		}
		if err == nil {
			err = tx.PutFeed(f.feed.ID, at)
		}
		if err == nil {
			kept, err = tx.CountUnread(f.feed.ID)
		}
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = kept
	return err
}

// page reads what follows a cursor and applies it. End tells that there was no more.
func (f *follower) page(ctx context.Context, from connector.Cursor) (end bool, next connector.Cursor, err error) {
	views, next, err := f.feed.System.Changes(ctx, from, f.feed.Config.Page)
	if err != nil {
		return false, from, fmt.Errorf("read changes: %w", err)
	}
	for begin := 0; begin < len(views); begin += batch {
		if err := f.take(ctx, views[begin:min(begin+batch, len(views))]); err != nil {
			return false, from, err
		}
	}
	return len(views) < f.feed.Config.Page, next, nil
}

// again reads objects once more that became no event.
func (f *follower) again(ctx context.Context) error {
	var due []store.Unread
	if err := f.deps.Store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.UnreadOf(f.feed.ID, mostUnread)
		return err
	}); err != nil {
		return err
	}
	for _, u := range due {
		if f.deps.Now().Sub(u.Tried) < retryUnread {
			return nil // those behind it were tried later still
		}
		o := connector.Object{Kind: connector.ObjectKind(u.Kind), ID: u.Object}
		if o.Kind == connector.ObjectLot {
			o = connector.Object{Kind: o.Kind, Lot: event.LotKey(u.Lot)}
		}
		v, _, err := f.feed.System.Read(ctx, o)
		if err != nil && !refused(err) {
			return fmt.Errorf("read %s %s again: %w", u.Kind, u.Object, err)
		}
		if err != nil || !v.Exists {
			o.Lot = event.LotKey(u.Lot) // what it was about is still so
			v = connector.View{Object: o, Exists: v.Exists}
			err = f.keep(ctx, &v, unreadable(err))
		} else {
			delete(f.handled, handle(&v)) // as long as it is kept it was not dealt with
			err = f.take(ctx, []connector.View{v})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settled deals with lots that were busy and no longer are. What was shown of most of them is what the effect left; the
// others are read again, since they may have changed once more.
func (f *follower) settled(ctx context.Context) error {
	for _, lot := range slices.Sorted(maps.Keys(f.busy)) {
		v := f.busy[lot]
		in, err := f.lot(ctx, &v)
		if err == nil && in != nil {
			err = f.reread(ctx, lot)
		}
		switch {
		case errors.Is(err, errBusy): // the next effect has begun
		case err != nil:
			return err
		default:
			delete(f.busy, lot)
		}
	}
	return nil
}

// reread applies what a lot shows now. One that the system does not show any more says nothing.
func (f *follower) reread(ctx context.Context, lot event.LotKey) error {
	v, _, err := f.feed.System.Read(ctx, connector.Object{Kind: connector.ObjectLot, Lot: lot})
	switch {
	case err != nil && refused(err), err == nil && !v.Exists:
		return nil
	case err != nil:
		return fmt.Errorf("read lot %s again: %w", lot, err)
	}
	in, err := f.lot(ctx, &v)
	if err != nil || in == nil {
		return err
	}
	return f.apply(ctx, &pending{inputs: []workflow.Input{*in}, from: []*connector.View{&v}})
}

// refused tells whether a system will answer the same way however often it is asked.
func refused(err error) bool {
	var r connector.Result
	return errors.As(err, &r) && r.Outcome == event.Rejected
}

func unreadable(err error) error {
	if err == nil {
		return errors.New("the list shows it, but it can't be read")
	}
	return err
}

// take applies what views show, and keeps those that can't become an event.
func (f *follower) take(ctx context.Context, views []connector.View) error {
	var p pending
	for i := range views {
		v := &views[i]
		if f.handled[handle(v)] == look(v) {
			continue
		}
		if d := v.Disposition; d != nil && (d.Supersedes != "" || d.Version > 1) {
			// What it takes the place of may stand before it.
			if err := f.apply(ctx, &p); err != nil {
				return err
			}
		}
		in, err := f.input(ctx, v)
		var lasting *unfit
		switch {
		case errors.As(err, &lasting):
			err = f.keep(ctx, v, lasting)
		case errors.Is(err, errBusy):
			f.busy[v.Lot], err = *v, nil
		case err == nil && in == nil:
			err = f.done(ctx, v)
		case err == nil:
			p.inputs, p.from = append(p.inputs, *in), append(p.from, v)
		}
		if err != nil {
			// What was read already counts, so that a system that fails now and then is followed all the same.
			return errors.Join(err, f.apply(ctx, &p))
		}
	}
	return f.apply(ctx, &p)
}

// pending is what is to be applied together.
type pending struct {
	inputs []workflow.Input
	from   []*connector.View
}

// apply hands what is pending to the engine.
func (f *follower) apply(ctx context.Context, p *pending) error {
	if len(p.inputs) == 0 {
		return nil
	}
	results, err := f.deps.Engine.Apply(ctx, p.inputs, nil)
	if err != nil {
		return fmt.Errorf("apply %d events: %w", len(p.inputs), err)
	}
	for i, r := range results {
		f.metrics.events.WithLabelValues(f.feed.ID, string(r.Outcome)).Inc()
		if r.Outcome == workflow.Refused && r.Deadletter == 0 {
			err = f.keep(ctx, p.from[i], r.Cause)
		} else {
			err = f.done(ctx, p.from[i])
		}
		if err != nil {
			return err
		}
	}
	*p = pending{}
	return nil
}

// mostHandled bounds what is remembered; forgetting costs a look into the database.
const mostHandled = 20_000

// handle names what a view shows, look how it looks. A lot is compared with what is stored of it each time.
func handle(v *connector.View) string { return string(v.Kind) + " " + objectID(v) }

func look(v *connector.View) string {
	switch {
	case v.Disposition != nil:
		return fmt.Sprint(v.Lot, *v.Disposition)
	case v.Allocation != nil:
		return fmt.Sprint(v.Lot, *v.Allocation)
	}
	return "new"
}

// done notes that an object was dealt with.
func (f *follower) done(ctx context.Context, v *connector.View) error {
	if len(f.handled) >= mostHandled {
		clear(f.handled)
	}
	if v.Disposition != nil || v.Allocation != nil {
		f.handled[handle(v)] = look(v)
	}
	if f.unread() == 0 {
		return nil
	}
	dropped := false
	err := f.deps.Store.Update(ctx, func(tx *store.Tx) (err error) {
		dropped, err = tx.DropUnread(f.feed.ID, string(v.Kind), objectID(v))
		return err
	})
	if err != nil || !dropped || v.Disposition == nil {
		return err
	}
	return f.deps.Engine.Look(ctx, v.Lot)
}

// keep notes an object that became no event, for a person to see. A decision that is not understood may be the one that
// forbids: it keeps its lot from being released.
func (f *follower) keep(ctx context.Context, v *connector.View, why error) error {
	now, first := f.deps.Now(), false
	err := f.deps.Store.Update(ctx, func(tx *store.Tx) (err error) {
		first, err = tx.PutUnread(&store.Unread{
			System: f.feed.ID, Kind: string(v.Kind), Object: objectID(v), Lot: string(v.Lot), Reason: why.Error(), Since: now, Tried: now,
		})
		return err
	})
	if err == nil && first {
		f.log.Warn().AnErr(telemetry.KeyError, why).Str("object", handle(v)).Msg("object of the feed is not understood")
		if v.Kind == connector.ObjectDecision && v.Lot != "" {
			err = f.deps.Engine.Look(ctx, v.Lot)
		}
	}
	return err
}

// objectID names what a view shows: a lot by its key, all else by the system's own id.
func objectID(v *connector.View) string {
	if v.ID == "" {
		return string(v.Lot)
	}
	return v.ID
}
