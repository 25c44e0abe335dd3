package uplink

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// track is one lane on its way: what was handed to the producer, and how far it is confirmed without a gap.
type track struct {
	lane     *queue.Lane
	topic    string
	name     event.Lane
	position queue.Position // newest record handed to the producer

	mu      sync.Mutex // guards pending
	pending []*pending // in order of the lane
}

// newTrack starts behind what is confirmed.
func newTrack(lane *queue.Lane, name event.Lane, topic string) *track {
	return &track{lane: lane, topic: topic, name: name, position: lane.Acked()}
}

type pending struct {
	position queue.Position
	done     bool
}

func (t *track) begin(position queue.Position) *pending {
	p := &pending{position: position}
	t.mu.Lock()
	t.pending = append(t.pending, p)
	t.mu.Unlock()
	return p
}

// done notes the broker's answer, and moves acked over all that is confirmed in front of the first that is not.
func (t *track) done(p *pending) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.done = true
	n := 0
	for n < len(t.pending) && t.pending[n].done {
		n++
	}
	if n == 0 {
		return nil
	}
	last := t.pending[n-1].position
	t.pending = t.pending[n:]
	return t.lane.Ack(last)
}

// handed says how far a lane was handed to its producer, for those that go only while nothing of it waits for that.
type handed struct {
	mu       sync.Mutex // guards what follows
	position queue.Position
	moved    chan struct{} // closed when position changes next
}

func newHanded() handed { return handed{moved: make(chan struct{})} }

func (h *handed) set(p queue.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p == h.position {
		return
	}
	h.position = p
	close(h.moved)
	h.moved = make(chan struct{})
}

// wait returns once all of the lane was handed over.
func (h *handed) wait(ctx context.Context, lane *queue.Lane) error {
	for {
		h.mu.Lock()
		position, moved := h.position, h.moved
		h.mu.Unlock()
		if more, _ := lane.More(position); !more {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// window bounds what is in flight to about a second of the measured rate.
type window struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	flying  int
	limit   int
	since   time.Time
	landed  int
	changed chan struct{}
}

func newWindow(now func() time.Time) *window {
	return &window{now: now, limit: leastInFlight, since: now(), changed: make(chan struct{}, 1)}
}

// add counts records that leave (1) or are answered (-1), and measures.
func (w *window) add(n int) {
	w.mu.Lock()
	w.flying += n
	if n < 0 {
		w.landed -= n
		if d := w.now().Sub(w.since); d >= time.Second {
			rate := int(float64(w.landed) / d.Seconds())
			w.limit = min(max(rate, leastInFlight), mostInFlight)
			w.since, w.landed = w.now(), 0
		}
	}
	w.mu.Unlock()
	if n < 0 {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// room waits until another page may leave.
func (w *window) room(ctx context.Context) error {
	for {
		w.mu.Lock()
		free := w.flying < w.limit
		w.mu.Unlock()
		if free {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.changed:
		}
	}
}

// metrics of the uplink:
//
//	holdfast_agent_uplink_up                    1 while the broker answers
//	holdfast_agent_uplink_urgent_events_total   urgent records that were sent ahead of their lane
//	holdfast_agent_uplink_head_age_seconds      time since the broker confirmed the newest head
type metrics struct {
	up     prometheus.Gauge
	urgent prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, headAge func() float64) *metrics {
	m := &metrics{
		up:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "holdfast_agent_uplink_up", Help: "1 while the broker answers."}),
		urgent: prometheus.NewCounter(prometheus.CounterOpts{Name: "holdfast_agent_uplink_urgent_events_total", Help: "Urgent records that were sent ahead of their lane."}),
	}
	if reg != nil {
		reg.MustRegister(m.up, m.urgent, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_agent_uplink_head_age_seconds", Help: "Time since the broker confirmed the newest head, since the start where there was none.",
		}, headAge))
	}
	return m
}
