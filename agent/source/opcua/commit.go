package opcua

import (
	"context"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// gather takes what waits, up to a batch.
func (l *life) gather(first delivery) []delivery {
	all, size := []delivery{first}, first.size
	for len(all) < maxBatch && size < maxBatchBytes {
		select {
		case d := <-l.in:
			all = append(all, d)
			size += d.size
		default:
			return all
		}
	}
	return all
}

// commit turns notifications into signals and stores them.
func (l *life) commit(ctx context.Context, emit source.Emit, all []delivery) error {
	var b source.Batch
	for i := range all {
		d := &all[i]
		d.watch.heard = time.Now()
		switch d.watch.role {
		case roleEvents:
			l.event(ctx, d, &b)
		case roleCounter:
			l.triggered(ctx, d, &b)
		default:
			l.changed(d.watch, d.value, nil, d.arrived, &b)
		}
	}
	if err := failpoint.Hit("opcua.before_emit"); err != nil {
		return err
	}
	var err error
	if len(b.Signals)+len(b.Gaps)+len(b.Closed) > 0 {
		err = l.super.Emit(ctx, emit, b)
	}
	for i := range all {
		l.held.Add(-all[i].size)
	}
	select {
	case l.freed <- struct{}{}:
	default:
	}
	return err
}

// drain stores what is in hand when the life is over.
func (l *life) drain(ctx context.Context, emit source.Emit) error {
	for {
		select {
		case d := <-l.in:
			if err := l.commit(ctx, emit, l.gather(d)); err != nil {
				return err
			}
		default:
			for some := range slices.Chunk(l.rest, maxBatch) {
				if err := l.commit(ctx, emit, some); err != nil {
					return err
				}
			}
			return nil
		}
	}
}

// changed takes a value in, with what it says about those before it.
func (l *life) changed(w *watch, dv *ua.DataValue, members []*ua.DataValue, arrived time.Time, b *source.Batch, flags ...string) {
	switch {
	case gone(dv.Status) && w.trouble == nil:
		l.vanished(w, dv.Status, b)
		return
	case gone(dv.Status):
		return
	case w.trouble != nil:
		l.returned(w)
	}
	t := w.track
	before := t.last
	r := l.values.value(w, dv, members, arrived, flags...)
	v := verdict{repeated: true}
	if !t.waited(&r, arrived) {
		v = t.observe(&r)
	}
	if v.repeated {
		l.repeated()
		l.explainBy(t, &r, v, b)
		return
	}
	if overflowed(dv.Status) {
		v.gap = l.overflow(t, before, &r, v.gap)
	}
	l.explainBy(t, &r, v, b)
	if slices.Contains(flags, source.FlagTorn) {
		b.Gaps = append(b.Gaps, l.itemGap(t.gap(source.GapTorn, r.at)))
	}
	l.take(t, r, b)
}

// vanished says that an item is not read any more; all others go on.
func (l *life) vanished(w *watch, status ua.StatusCode, b *source.Batch) {
	w.trouble = problem.New(problem.NodeMissing, "%s", statusName(status))
	w.retry = time.Now().Add(l.pace.missing)
	l.logItem(w, w.trouble, "opcua item is not read")
	l.missingItem(w.track, b)
	l.troubled(l.watches)
}

// overflow is the gap that a value with the overflow bit proves, since the value before it.
func (l *life) overflow(t *track, before time.Time, r *reading, gap *source.Gap) *source.Gap {
	l.deps.Metrics.overflow.WithLabelValues(l.deps.ID).Inc()
	if gap == nil {
		now := t.last
		t.last = before
		gap = t.gap(source.GapQueueOverflow, r.at)
		t.last = now
	}
	gap.Reason = source.GapQueueOverflow
	if l.super.WasFull(sessionTimeout) {
		gap.Reason = source.GapBackpressure
	}
	return gap
}

// explainBy takes in what the first value after an outage says about it. A gap that comes without one stands alone,
// and its history is asked for.
func (l *life) explainBy(t *track, r *reading, v verdict, b *source.Batch) {
	o := l.judgeOf(t)
	switch {
	case t.filling != nil:
		t.filling.meets(r.at)
		return
	case o == nil && v.gap == nil:
		return
	case o == nil:
		g := l.itemGap(v.gap)
		b.Gaps = append(b.Gaps, g)
		l.repair(t, g)
		return
	case v.gap != nil:
		o.unexplained(t, v.gap)
		if o.settled { // its rest is recorded already
			b.Gaps = append(b.Gaps, l.itemGap(v.gap))
		}
	case v.repeated, v.continues, v.near && r.seq == nil && !r.at.IsZero() && !r.at.After(o.contact):
		o.explained(t, 0)
	default:
		o.unexplained(t, nil)
	}
	l.finish(o, b, false)
}

// repair asks history for what a gap of one item left out.
func (l *life) repair(t *track, g source.Gap) {
	if l.cfg.History == nil || l.server.noHistory || g.Reason == source.GapSequenceReset {
		return
	}
	for _, w := range l.watches {
		if w.track == t && w.role == roleValue {
			p := l.past(w, g.From, g.To)
			p.repair = &g
			l.later = append(l.later, p)
		}
	}
}

// take adds a reading of an item to a batch.
func (l *life) take(t *track, r reading, b *source.Batch) {
	b.Signals = append(b.Signals, r.signal)
	if !r.ahead && r.at.After(l.at.Contact) {
		l.at.Contact = r.at
	}
	m := l.deps.Metrics
	if !r.usable {
		m.unusable.WithLabelValues(l.deps.ID).Inc()
	}
	if r.signal.Quality != source.Good {
		m.bad.WithLabelValues(l.deps.ID).Inc()
	}
	l.super.Update(func(st *source.Status) { st.Received++; st.LastSignal = r.signal.Arrived })
	l.mark(t)
}

func (l *life) repeated() { l.super.Update(func(st *source.Status) { st.Duplicates++ }) }

// mark writes an item's place into the cursor.
func (l *life) mark(t *track) {
	switch sample := t.item != nil && t.item.Pattern == PatternSample; {
	case !sample || len(l.tracks) <= maxMarks:
		l.at.Items[t.name] = mark{Time: t.last, Seq: t.seq, Print: t.print}
	case t.last.After(l.at.Samples):
		l.at.Samples = t.last
	}
}

// sign returns a signal with what all of this source have in common.
func (l *life) sign() source.Signal {
	return source.Signal{
		Source: l.deps.ID, System: l.deps.System, Equipment: l.deps.Equipment, Transport: "opcua", Clock: l.deps.Clock(),
	}
}

// triggered reads the members of a counter that moved. The counter is read with them: where it moved meanwhile they
// may be of two parts, and are read again, twice. Where they cannot be read the life is over: the next one finds by the
// counter what is missing.
func (l *life) triggered(ctx context.Context, d *delivery, b *source.Batch) {
	w, value := d.watch, d.value
	if quality(value.Status) == source.Bad {
		l.changed(w, value, nil, d.arrived, b)
		return
	}
	nodes := append(slices.Clone(w.members), w.node)
	var read []*ua.DataValue
	torn := true
	for try := 0; try < 3 && torn; try++ {
		if !l.alive() {
			return
		}
		all, err := l.readAll(ctx, nodes)
		if err != nil {
			l.end(problem.New(problem.SourceDown, "read members of %s: %w", w.track.name, err))
			return
		}
		read = all[:len(all)-1]
		now := all[len(all)-1]
		torn = !same(now, value)
		value = now
	}
	var flags []string
	if torn {
		flags = append(flags, source.FlagTorn)
		l.deps.Metrics.torn.WithLabelValues(l.deps.ID).Inc()
	}
	l.changed(w, value, read, d.arrived, b, flags...)
}

// same tells whether two readings of a counter are one.
func same(a, b *ua.DataValue) bool {
	if a.Value == nil || b.Value == nil {
		return false
	}
	x, okX := number(a.Value.Value())
	y, okY := number(b.Value.Value())
	return okX && okY && x == y
}

// logItem logs what is wrong with one item.
func (l *life) logItem(w *watch, err error, message string) {
	l.deps.Log.Warn().AnErr(telemetry.KeyError, err).Str(telemetry.KeyErrorCode, string(problem.CodeOf(err))).Str("item", w.track.name).Msg(message)
}
