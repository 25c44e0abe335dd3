package connector

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// GuardConfig says how much a system is asked.
type GuardConfig struct {
	Rate  float64       // calls of verbs a second; 0 = no limit
	Burst int           // calls that may come at once; 0 = 1
	Wait  time.Duration // longest that a call waits for its turn before it comes back as retry_later; 0 = [DefaultGuardWait]
	// Failures in a row open the breaker; 0 = 5. Open is how long it stays so before one call tries again; 0 = 2 s.
	Failures uint32
	Open     time.Duration
	Now      func() time.Time // nil = time.Now
}

// DefaultGuardWait is short, because a call that waits keeps a worker: longer waits are rows of the effect table.
const DefaultGuardWait = time.Second

// BreakerOpen is the code of a call that was not made, because the system did not answer the ones before it.
const BreakerOpen = "breaker_open"

// Guard is a [System] that stands before another one, with one token bucket and one breaker for its credential. Calls
// for holds go first. While the system is down, throttles us or has refused our user, calls come back at once as
// retry_later. It has no goroutine of its own.
type Guard struct {
	inner   System
	cfg     GuardConfig
	limiter *rate.Limiter
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	queue   queue
	calls   calls

	mu      sync.Mutex // guards all below
	refused *Result    // our user was refused: nothing is tried until Reset
	until   time.Time  // the system asked to be left alone until then
	opened  time.Time  // when the breaker last opened
	down    time.Time  // when it first opened since it was last closed; zero = it is closed
}

var _ System = (*Guard)(nil)

// NewGuard returns a guard before s.
func NewGuard(s System, cfg GuardConfig) *Guard {
	if cfg.Wait == 0 {
		cfg.Wait = DefaultGuardWait
	}
	if cfg.Failures == 0 {
		cfg.Failures = 5
	}
	if cfg.Open == 0 {
		cfg.Open = 2 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	limit := rate.Limit(cfg.Rate)
	if cfg.Rate <= 0 {
		limit = rate.Inf
	}
	g := &Guard{inner: s, cfg: cfg, limiter: rate.NewLimiter(limit, max(cfg.Burst, 1))}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Timeout:     cfg.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= cfg.Failures },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			g.mu.Lock()
			defer g.mu.Unlock()
			switch to {
			case gobreaker.StateClosed:
				g.down = time.Time{}
			case gobreaker.StateOpen:
				g.opened = cfg.Now()
				if g.down.IsZero() {
					g.down = g.opened
				}
			}
		},
	})
	return g
}

type firstKey struct{}

// First marks calls made under the returned context as those for a hold: they take their turn before all others. A
// [Guard] sees it by itself for a write or a search of an effect that restricts.
func First(ctx context.Context) context.Context { return context.WithValue(ctx, firstKey{}, true) }

func first(ctx context.Context, e *quality.Effect) bool {
	if marked, _ := ctx.Value(firstKey{}).(bool); marked {
		return true
	}
	if e == nil {
		return false
	}
	return e.Kind == quality.LotUsageSet && (e.Usage == event.Restricted || e.Usage == event.Blocked) ||
		e.Kind == quality.TasksGate && e.Gate == quality.GateHeld
}

// Kinds is that of the system.
func (g *Guard) Kinds() []quality.Kind { return g.inner.Kinds() }

// Caps is that of the system.
func (g *Guard) Caps() Caps { return g.inner.Caps() }

// Open tells whether calls come back without reaching the system: the breaker is open, or our user was refused.
func (g *Guard) Open() bool {
	return g.Refused() || g.breaker.State() == gobreaker.StateOpen
}

// Refused tells whether our user was refused, which only [Guard.Reset] ends.
func (g *Guard) Refused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused != nil
}

// Reset lets calls through again after our user was refused: a person has looked.
func (g *Guard) Reset() {
	g.mu.Lock()
	g.refused, g.until = nil, time.Time{}
	g.mu.Unlock()
	if s, ok := g.inner.(interface{ Reset() }); ok {
		s.Reset()
	}
}

// Check is that of the system, under the guard.
func (g *Guard) Check(ctx context.Context) (found []Finding, err error) {
	err = g.reading(ctx, nil, func() error { found, err = g.inner.Check(ctx); return err })
	return found, err
}

// Find is that of the system, under the guard.
func (g *Guard) Find(ctx context.Context, e quality.Effect) (refs []event.Ref, err error) {
	err = g.reading(ctx, &e, func() error { refs, err = g.inner.Find(ctx, e); return err })
	return refs, err
}

// Read is that of the system, under the guard.
func (g *Guard) Read(ctx context.Context, o Object) (v View, version Version, err error) {
	err = g.reading(ctx, nil, func() error { v, version, err = g.inner.Read(ctx, o); return err })
	return v, version, err
}

// Changes is that of the system, under the guard.
func (g *Guard) Changes(ctx context.Context, since Cursor, limit int) (views []View, next Cursor, err error) {
	next = since
	err = g.reading(ctx, nil, func() error { views, next, err = g.inner.Changes(ctx, since, limit); return err })
	return views, next, err
}

// Write is that of the system, under the guard.
func (g *Guard) Write(ctx context.Context, e quality.Effect, v Version) (r Result) {
	done, bad := g.admit(ctx, &e)
	if bad != nil {
		return *bad
	}
	r.Outcome = event.Unknown // stands if the system's code panics: the breaker must hear of every call
	defer func() { g.note(ctx, r, done) }()
	r = g.inner.Write(ctx, e, v)
	return r
}

// reading makes a reading call; an error that holds no result is one of ours and says nothing about the system.
func (g *Guard) reading(ctx context.Context, e *quality.Effect, call func() error) error {
	done, bad := g.admit(ctx, e)
	if bad != nil {
		return *bad
	}
	r := Result{Outcome: event.Unknown} // stands if the system's code panics: the breaker must hear of every call
	defer func() { g.note(ctx, r, done) }()
	err := call()
	r = Result{}
	errors.As(err, &r)
	return err
}

// admit waits for a turn and a token. It returns what tells the breaker how the call went, or why there is none.
func (g *Guard) admit(ctx context.Context, e *quality.Effect) (done func(error), bad *Result) {
	if bad := g.closed(); bad != nil {
		return nil, bad
	}
	if bad := g.token(ctx, first(ctx, e)); bad != nil {
		return nil, bad
	}
	if bad := g.closed(); bad != nil { // meanwhile
		return nil, bad
	}
	note, err := g.breaker.Allow()
	if err != nil {
		return nil, &Result{Outcome: event.RetryLater, Code: BreakerOpen, Message: "the system does not answer", RetryAfter: g.patience(first(ctx, e))}
	}
	begin := g.cfg.Now()
	return func(err error) {
		now := g.cfg.Now()
		g.calls.add(now.Sub(begin), err != nil, now)
		note(err)
	}, nil
}

// closed returns why no call may leave now, or nil.
func (g *Guard) closed() *Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused != nil {
		r := *g.refused
		r.Evidence = nil
		return &r
	}
	if wait := g.until.Sub(g.cfg.Now()); wait > 0 {
		return &Result{Outcome: event.RetryLater, Code: "throttled", Message: "the system asked to be left alone", RetryAfter: wait}
	}
	return nil
}

// Longest waits behind an open breaker: short for a hold, which should be among the first when the system is back, and
// long enough for all others that ten thousand of them, each a row to be written, come back 300 times a second.
const (
	maxHoldPatience = 5 * time.Second
	maxPatience     = 30 * time.Second
)

// patience returns how long a call should stay away: while the breaker is open, longer the longer the system has been
// down, and never so short that callers spin while one of them probes.
func (g *Guard) patience(urgent bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	wait := max(g.cfg.Open-now.Sub(g.opened), g.cfg.Open/4)
	if !g.down.IsZero() {
		wait = max(wait, now.Sub(g.down)/8)
	}
	if urgent {
		return min(wait, maxHoldPatience)
	}
	return min(wait, maxPatience)
}

// token takes one token, holds first. A wait that would be too long is not begun.
func (g *Guard) token(ctx context.Context, urgent bool) *Result {
	busy := func(wait time.Duration) *Result {
		return &Result{Outcome: event.RetryLater, Code: "rate", Message: "more calls wait than the system's rate allows", RetryAfter: wait}
	}
	if g.limiter.Limit() == rate.Inf {
		return nil
	}
	ahead := g.queue.ahead(urgent)
	if wait := time.Duration(float64(ahead) / g.cfg.Rate * float64(time.Second)); wait > g.cfg.Wait {
		return busy(wait)
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Wait+time.Duration(float64(time.Second)/g.cfg.Rate))
	defer cancel()
	if err := g.queue.enter(ctx, urgent); err != nil {
		return busy(g.cfg.Wait)
	}
	defer g.queue.leave()
	if err := g.limiter.Wait(ctx); err != nil {
		return busy(g.cfg.Wait)
	}
	return nil
}

// note tells breaker and throttle how a call went. A call that the caller gave up says nothing.
func (g *Guard) note(ctx context.Context, r Result, done func(error)) {
	g.mu.Lock()
	if r.Refused {
		g.refused = &r
	}
	if r.Outcome == event.RetryLater && r.RetryAfter > 0 && !r.Waits {
		g.until = g.cfg.Now().Add(min(r.RetryAfter, MaxRetryAfter))
	}
	g.mu.Unlock()
	failed := r.Outcome == event.Unknown || r.Outcome == event.RetryLater && r.RetryAfter == 0 && !r.Refused && !r.Waits
	if failed && ctx.Err() == nil {
		done(r)
		return
	}
	done(nil)
}

// queue lets one caller at a time wait for the next token, those for holds before all others.
type queue struct {
	mu      sync.Mutex // guards all below
	busy    bool
	waiting [2][]chan struct{} // holds, others; each in order of arrival
}

// ahead returns how many callers would be served before a new one.
func (q *queue) ahead(urgent bool) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.waiting[0])
	if q.busy {
		n++
	}
	if !urgent {
		n += len(q.waiting[1])
	}
	return n
}

// enter waits for the caller's turn.
func (q *queue) enter(ctx context.Context, urgent bool) error {
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return nil
	}
	class, turn := 1, make(chan struct{})
	if urgent {
		class = 0
	}
	q.waiting[class] = append(q.waiting[class], turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	if !q.drop(class, turn) {
		q.leave() // the turn came with the end of our patience: it goes on to the next
	}
	return ctx.Err()
}

// drop takes a caller out of its line; false = its turn has come already.
func (q *queue) drop(class int, turn chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting[class] {
		if w == turn {
			q.waiting[class] = append(q.waiting[class][:i:i], q.waiting[class][i+1:]...)
			return true
		}
	}
	return false
}

// leave hands the turn on.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for class := range q.waiting {
		if len(q.waiting[class]) > 0 {
			turn := q.waiting[class][0]
			q.waiting[class] = q.waiting[class][1:]
			close(turn)
			return
		}
	}
	q.busy = false
}
