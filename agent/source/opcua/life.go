package opcua

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	maxBatch      = 500     // signals
	maxBatchBytes = 1 << 20 // of their raw form

	// maxInHand bounds the notifications between the library and the committer. At it the library is read no further:
	// then values wait in the server's queue, whose overflow is a gap. Setting up takes seconds at the most.
	maxInHand = 10_000
	// maxInHandBytes bounds the same for large values, in bytes.
	maxInHandBytes = 64 << 20
)

// life is one connection from its beginning to its end. The library is never let repair anything: what its own
// reconnect leaves behind can be connected, and silent for ever.
type life struct {
	*Source
	client *opcua.Client
	limits limits
	values values

	watches []*watch // by client handle
	subs    []*subscription
	notifs  chan *opcua.PublishNotificationData // unbuffered: what it took counts as received at the server
	in      chan delivery
	rest    []delivery    // behind the channel above when the life is over; the reader's until it has ended
	held    atomic.Int64  // bytes in the channel above
	freed   chan struct{} // something of them was taken
	ended   chan error    // buffered: why the life is over
	over    atomic.Bool   // it was said
	later   []*past       // history that is read while live
	begun   time.Time     // when it became live; zero = it did not

	notes   []string        // what a person should know of data types
	refresh map[string]bool // conditions that came during a refresh; nil = none is running
}

// subscription is one of the server's, with a heartbeat of its own.
type subscription struct {
	*opcua.Subscription
	since   time.Time    // when it was made; wall clocks are set, but the time since then only runs on
	heard   atomic.Int64 // when something came, in ns since then
	blocked atomic.Bool  // we do not read it, so that its silence says nothing
}

// delivery is a notification on its way to the committer.
type delivery struct {
	watch   *watch
	value   *ua.DataValue
	fields  []*ua.Variant // of an event
	arrived time.Time
	size    int64
}

// errStatusChange says that the server ended a subscription.
var errStatusChange = errors.New("server ended the subscription")

// live runs one life until it ends or ctx does. It returns how long it was live, and why it ended; nil means that ctx
// ended.
func (s *Source) live(ctx context.Context, emit source.Emit) (time.Duration, error) {
	l := &life{
		Source: s, notifs: make(chan *opcua.PublishNotificationData), in: make(chan delivery, maxInHand), freed: make(chan struct{}, 1),
		ended: make(chan error, 1),
	}
	s.super.Set(source.Connecting, nil)
	var warn string
	err := l.super.Guard(func() (err error) {
		warn, err = l.step(ctx, l.connect)
		return err
	})
	if err == nil {
		err = l.run(ctx, emit, warn)
	} else {
		l.hangUp(ctx)
	}
	lived := time.Duration(0)
	if !l.begun.IsZero() {
		lived = time.Since(l.begun)
	}
	if ctx.Err() != nil {
		return lived, nil
	}
	if reason := reasonOf(err); reason == source.GapTrustRefused {
		s.blame(reason) // also for what was lost before for another
	}
	return lived, err
}

// step bounds one step of the beginning.
func (l *life) step(ctx context.Context, do func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.pace.setup)
	defer cancel()
	return do(ctx)
}

// hangUp drops the client whole.
func (l *life) hangUp(ctx context.Context) {
	l.over.Store(true)
	if l.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_ = l.client.Close(ctx) // a server that does not answer ends the session by itself
}

// run subscribes and stores what comes. At the end it stores what is in hand.
func (l *life) run(ctx context.Context, emit source.Emit, warn string) error {
	l.deps.Metrics.lives.WithLabelValues(l.deps.ID).Inc()
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { l.read(reading) })
	all.Go(func() { l.keep(reading) })
	err := l.super.Guard(func() error {
		if err := l.begin(ctx, emit, warn); err != nil {
			return err
		}
		return l.work(ctx, emit)
	})
	l.hangUp(ctx) // before reading ends: what comes until the server has closed is not lost
	stop()
	all.Wait()
	for _, p := range l.later {
		p.w.track.filling = nil
	}
	if !errors.Is(err, source.ErrPanicked) { // else the next life finds what was in hand missing, by its numbers
		if failed := l.super.Guard(func() error { return l.drain(ctx, emit) }); failed != nil {
			err = failed
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return l.inWords(err)
}

// inWords keeps what is said in words already.
func (l *life) inWords(err error) error {
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	return l.explain(err)
}

// reasonOf names the gap that an end leaves.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, errStatusChange):
		return source.GapStatusChange
	case problem.CodeOf(err) == problem.SourceStale:
		return source.GapWatchdog
	case problem.CodeOf(err) == problem.ServerTrust, problem.CodeOf(err) == problem.ClientTrust:
		return source.GapTrustRefused
	}
	return source.GapDisconnect
}

// begin does what comes between a session and live.
func (l *life) begin(ctx context.Context, emit source.Emit, warn string) error {
	for _, do := range []func(context.Context) error{l.survey, l.resolve, l.subscribe} {
		if _, err := l.step(ctx, func(ctx context.Context) (string, error) { return "", do(ctx) }); err != nil {
			return err
		}
	}
	l.startOutages()
	l.super.Set(source.Backfilling, nil)
	if err := l.recordMissing(ctx, emit); err != nil {
		return err
	}
	if err := l.backfill(ctx, emit); err != nil {
		return err
	}
	if err := l.refreshAll(ctx); err != nil {
		return err
	}
	l.begun = time.Now()
	l.super.Update(func(st *source.Status) {
		st.Facts = l.facts(warn)
		if st.LastSignal.IsZero() {
			return
		}
		st.Reconnects++
	})
	l.super.Live(nil)
	l.troubled(l.watches)
	return nil
}

// startOutages makes the items explain what was missed: all of them that of the source, a single one its own.
func (l *life) startOutages() {
	read := map[string]bool{}
	var tracks []*track
	for _, w := range l.watches {
		if w.track == nil || w.trouble != nil {
			continue
		}
		read[w.track.name] = true
		if l.outage(w.track.name) == nil {
			tracks = append(tracks, w.track)
		}
	}
	for i := range l.at.Outages {
		o := &l.at.Outages[i]
		switch {
		case o.Item == "":
			l.resume(o, tracks)
		case read[o.Item]:
			l.resume(o, l.tracksOf(o.Item))
		}
	}
}

func (l *life) tracksOf(name string) []*track {
	for _, t := range l.tracks {
		if t.name == name {
			return []*track{t}
		}
	}
	return nil
}

// recordMissing records the items that are not read, and ends an outage that nobody has to explain.
func (l *life) recordMissing(ctx context.Context, emit source.Emit) error {
	var b source.Batch
	for _, w := range l.watches {
		if w.trouble != nil && w.track != nil {
			l.missingItem(w.track, &b)
		}
	}
	for _, name := range l.openOutages() {
		if o := l.outage(name); o != nil {
			for t := range o.pending {
				if t.plainEvents() {
					o.unexplained(t, nil) // what happened meanwhile is gone at most servers
				}
			}
			l.finish(o, &b, false)
		}
	}
	l.troubled(l.watches)
	if len(b.Gaps)+len(b.Closed) == 0 {
		return nil
	}
	return l.super.Emit(ctx, emit, b)
}

func (s *Source) openOutages() []string {
	var names []string
	for _, o := range s.at.Outages {
		names = append(names, o.Item)
	}
	return names
}

// blame gives the part of an outage that is not recorded yet its own reason, in place of a weaker one.
func (s *Source) blame(reason string, weaker ...string) {
	if o := s.outage(""); o != nil && (len(weaker) == 0 || slices.Contains(weaker, o.Reason)) {
		o.Reason = reason
	}
}

// end says once why the life is over. It never waits.
func (l *life) end(err error) {
	l.over.Store(true)
	select {
	case l.ended <- err:
	default:
	}
}

// alive tells whether nothing has ended the life yet.
func (l *life) alive() bool { return !l.over.Load() }

// stateChanged is called by the library.
func (l *life) stateChanged(state opcua.ConnState) {
	if state == opcua.Disconnected || state == opcua.Closed {
		l.end(problem.New(problem.SourceDown, "connection to server %s was lost", l.cfg.Endpoint))
	}
}

// work stores what comes until the life or ctx ends.
func (l *life) work(ctx context.Context, emit source.Emit) error {
	tick := time.NewTicker(l.pace.tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-l.ended:
			return err
		case d := <-l.in:
			if err := l.commit(ctx, emit, l.gather(d)); err != nil {
				return err
			}
		case <-tick.C:
			if err := l.due(ctx, emit); err != nil {
				return err
			}
		}
	}
}

// due does what is to be done from time to time.
func (l *life) due(ctx context.Context, emit source.Emit) error {
	if err := l.watchdog(); err != nil {
		l.super.Set(source.Silent, err)
		return err
	}
	if err := l.settle(ctx, emit); err != nil {
		return err
	}
	if len(l.later) > 0 {
		p := l.later[0]
		if err := l.takePage(ctx, emit, p); err != nil {
			return err
		}
		if p.done {
			l.later = l.later[1:]
		}
	}
	return l.retryMissing(ctx, emit)
}

// watchdog finds a subscription from which nothing comes, heartbeats included.
func (l *life) watchdog() error {
	for _, s := range l.subs {
		limit := max(l.pace.silence, 3*s.RevisedPublishingInterval)
		if silent := s.silent(); !s.blocked.Load() && silent > limit {
			return problem.New(problem.SourceStale, "nothing came from server %s for %s, though it is connected", l.cfg.Endpoint, silent.Round(100*time.Millisecond))
		}
	}
	return nil
}

// settle records what is still missing some time after the connection.
func (l *life) settle(ctx context.Context, emit source.Emit) error {
	if time.Since(l.begun) < l.pace.settle {
		return nil
	}
	var b source.Batch
	for _, name := range l.openOutages() {
		if o := l.outage(name); o != nil && o.resuming && !o.settled {
			l.finish(o, &b, true)
		}
	}
	if len(b.Gaps)+len(b.Closed) == 0 {
		return nil
	}
	return l.super.Emit(ctx, emit, b)
}
