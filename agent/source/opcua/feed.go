package opcua

import (
	"context"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// read takes what the library has. It starts before the first subscription and waits only where we may not hold more:
// as long as it waits, the library asks the server for nothing, which is the back-pressure.
func (l *life) read(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-l.notifs:
			l.receive(ctx, n)
		}
	}
}

func (l *life) receive(ctx context.Context, n *opcua.PublishNotificationData) {
	if n.Error != nil {
		l.end(problem.New(problem.SourceDown, "server %s sent what cannot be understood: %w", l.cfg.Endpoint, n.Error))
		return
	}
	now := l.deps.Now()
	switch v := n.Value.(type) {
	case *ua.StatusChangeNotification:
		l.end(problem.New(problem.SourceDown, "%w: %s", errStatusChange, statusName(v.Status)))
	case *ua.DataChangeNotification:
		for _, item := range v.MonitoredItems {
			if item == nil || item.Value == nil || int(item.ClientHandle) >= len(l.watches) {
				continue // of no item of ours
			}
			w := l.watches[item.ClientHandle]
			l.hear(w)
			if w.role == roleValue || w.role == roleCounter {
				l.pass(ctx, delivery{watch: w, value: item.Value, arrived: now, size: sizeOf(item.Value.Value)})
			}
		}
	case *ua.EventNotificationList:
		for _, e := range v.Events {
			if e == nil || int(e.ClientHandle) >= len(l.watches) {
				continue
			}
			w := l.watches[e.ClientHandle]
			l.hear(w)
			if w.role == roleEvents {
				l.pass(ctx, delivery{watch: w, fields: e.EventFields, arrived: now, size: int64(100 * len(e.EventFields))})
			}
		}
	}
}

// sizeOf says roughly how much memory a value takes, in bytes.
func sizeOf(v *ua.Variant) int64 {
	if v == nil {
		return 64
	}
	n := 64 + 16*int64(max(v.ArrayLength(), 0))
	switch x := v.Value().(type) {
	case string:
		n += int64(len(x))
	case []byte:
		n += int64(len(x))
	case *ua.ExtensionObject:
		if r, ok := x.Value.(*raw); ok {
			n += int64(len(r.body))
		}
	}
	return n
}

// pass hands a notification to the committer. While it waits, the silence of subscriptions says nothing. What there is
// no room for at the end is left for drain: for the server it has arrived.
func (l *life) pass(ctx context.Context, d delivery) {
	for l.held.Load() >= maxInHandBytes && ctx.Err() == nil {
		l.block(true)
		select {
		case <-l.freed:
		case <-ctx.Done():
		}
	}
	l.held.Add(d.size)
	if len(l.rest) > 0 {
		l.rest = append(l.rest, d) // behind those before it
		return
	}
	select {
	case l.in <- d:
	default:
		l.block(true)
		select {
		case l.in <- d:
		case <-ctx.Done():
			l.rest = append(l.rest, d)
			return
		}
	}
	l.block(false)
}

func (l *life) block(yes bool) {
	for _, s := range l.subs {
		if s.blocked.Swap(yes) && !yes {
			s.hear()
		}
	}
}

func (l *life) hear(w *watch) {
	if w.sub < len(l.subs) {
		l.subs[w.sub].hear()
	}
}

func (s *subscription) hear() { s.heard.Store(int64(time.Since(s.since))) }

func (s *subscription) silent() time.Duration {
	return time.Since(s.since) - time.Duration(s.heard.Load())
}

// keep reads the server's state now and then: while we take nothing, no request of the library keeps the session.
func (l *life) keep(ctx context.Context) {
	tick := time.NewTicker(l.pace.keep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Whether the link is whole, the watchdog judges.
			_, _ = l.client.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: numeric(0, 2259)}}})
		}
	}
}
