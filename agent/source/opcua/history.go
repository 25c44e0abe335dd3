package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// historyPage is how many values one answer of history may hold: some 20 kB of numbers.
const historyPage = 500

// maxPages bounds one reading: at some servers a page tells nothing new for ever.
const maxPages = 10_000

// errNoHistory says that a server keeps none of a node.
var errNoHistory = errors.New("server keeps no history of it")

// past reads what one item missed, page by page.
type past struct {
	w     *watch
	from  time.Time // newest value known: history that does not reach back to it proves nothing
	start time.Time // of the next page
	end   time.Time
	point []byte // continuation point; nil = none

	repair *source.Gap // nil: it explains an outage

	met    bool // a newer value came live meanwhile
	covers bool // a value no newer than from has come
	done   bool
	pages  int
	filled int64
}

// past begins a reading of an item's history, in the server's clock: from its newest value, less what clocks and
// sampling may differ by.
func (l *life) past(w *watch, from, to time.Time) *past {
	skew := l.values.skew.Abs()
	start := from.Add(-time.Second - skew)
	if oldest := l.deps.Now().Add(l.values.skew - l.cfg.History.Max); start.Before(oldest) {
		start = oldest
	}
	return &past{w: w, from: from, start: start, end: to}
}

// until is the end of what was missed up to now, in the server's clock.
func (l *life) until() time.Time { return l.deps.Now().Add(l.values.skew + time.Minute) }

// page reads the next page. A page without a continuation point is no end: a server may cut at its own limit without a
// word, so that only an answer with nothing new is one.
func (p *past) page(ctx context.Context, l *life) ([]*ua.DataValue, error) {
	res, err := l.client.HistoryReadRawModified(ctx,
		[]*ua.HistoryReadValueID{{NodeID: p.w.node, DataEncoding: &ua.QualifiedName{}, ContinuationPoint: p.point}},
		&ua.ReadRawModifiedDetails{StartTime: p.start, EndTime: p.end, NumValuesPerNode: historyPage})
	if err != nil {
		return nil, err
	}
	if len(res.Results) != 1 || res.Results[0] == nil {
		return nil, fmt.Errorf("history of %s: server answered with %d results", p.w.track.name, len(res.Results))
	}
	r := res.Results[0]
	if !historyStatus(r.StatusCode) {
		return nil, errNoHistory
	}
	p.point = r.ContinuationPoint
	p.pages++
	var all []*ua.DataValue
	if r.HistoryData != nil {
		if data, ok := r.HistoryData.Value.(*ua.HistoryData); ok {
			all = data.DataValues
		}
	}
	return p.fresh(all), nil
}

// fresh drops what is known, and says whether the page was the last. While a continuation point is followed the range
// that was asked for stays as it is.
func (p *past) fresh(all []*ua.DataValue) []*ua.DataValue {
	newest := p.from
	var fresh []*ua.DataValue
	for _, dv := range all {
		if dv == nil || missing(dv.SourceTimestamp) {
			continue
		}
		if !dv.SourceTimestamp.After(p.from) {
			p.covers = true
			continue
		}
		if (p.repair != nil || p.met) && !dv.SourceTimestamp.Before(p.end) {
			p.done = true // what came live is known
			continue
		}
		fresh = append(fresh, dv)
		if dv.SourceTimestamp.After(newest) {
			newest = dv.SourceTimestamp
		}
	}
	progress := newest.After(p.from)
	p.from = newest // what was read now is known to the next page
	switch {
	case len(p.point) == 0 && !progress, p.pages >= maxPages:
		p.done = true
	case len(p.point) == 0:
		p.start = newest
	}
	return fresh
}

// meets ends the reading before the first value that came live.
func (p *past) meets(at time.Time) {
	if !p.met && !at.IsZero() {
		p.met = true
		if at.Before(p.end) {
			p.end = at.Add(-1)
		}
	}
}

// release gives a continuation point back that is not followed to its end.
func (p *past) release(ctx context.Context, l *life) {
	if len(p.point) == 0 {
		return
	}
	req := &ua.HistoryReadRequest{
		TimestampsToReturn: ua.TimestampsToReturnBoth, ReleaseContinuationPoints: true,
		NodesToRead:        []*ua.HistoryReadValueID{{NodeID: p.w.node, DataEncoding: &ua.QualifiedName{}, ContinuationPoint: p.point}},
		HistoryReadDetails: ua.NewExtensionObject(&ua.ReadRawModifiedDetails{}),
	}
	p.point = nil
	_ = l.client.Send(ctx, req, func(ua.Response) error { return nil }) // the server ends it by itself, later
}

// historyStatus tells whether a status of one node's history is an answer, be it that there is nothing in it.
func historyStatus(s ua.StatusCode) bool {
	switch ua.StatusCode(uint32(s) & factBits) {
	case ua.StatusBadNoData, ua.StatusBadNoDataAvailable, ua.StatusBadBoundNotFound, ua.StatusBadBoundNotSupported:
		return true
	}
	return quality(s) != source.Bad
}

// backfill reads what the items missed, before anything newer of them is taken. What is left after the budget goes on
// a page at a time while the source is live.
func (l *life) backfill(ctx context.Context, emit source.Emit) error {
	if l.cfg.History == nil || l.server.noHistory {
		return nil
	}
	deadline := time.Now().Add(l.pace.budget)
	for _, w := range l.watches {
		if w.role != roleValue || w.track.last.IsZero() || w.trouble != nil || l.judgeOf(w.track) == nil {
			continue
		}
		p := l.past(w, w.track.last, l.until())
		if err := l.fill(ctx, emit, p, deadline); err != nil {
			return err
		}
		w.track.filled = l.deps.Now()
	}
	return nil
}

// fill reads pages until there are no more, or the deadline leaves the rest for later.
func (l *life) fill(ctx context.Context, emit source.Emit, p *past, deadline time.Time) error {
	for !p.done {
		if time.Now().After(deadline) {
			p.w.track.filling = p
			l.later = append(l.later, p)
			return nil
		}
		if err := l.takePage(ctx, emit, p); err != nil {
			p.release(context.WithoutCancel(ctx), l)
			return err
		}
	}
	return nil
}

// takePage reads one page and stores it. A server without history ends the reading; a broken connection is an error.
func (l *life) takePage(ctx context.Context, emit source.Emit, p *past) error {
	values, err := p.page(ctx, l)
	switch {
	case errors.Is(err, errNoHistory):
		p.done = true
		l.noHistory(p.w, err)
		return nil
	case err != nil && refuses(err):
		l.server.noHistory = true
		l.noHistory(p.w, err)
		return err // the library has ended the connection by now
	case err != nil:
		return err
	}
	var b source.Batch
	for _, dv := range values {
		l.historic(p, dv, &b)
	}
	if p.done {
		l.filledBy(p, &b)
	}
	if len(b.Signals)+len(b.Gaps)+len(b.Closed) == 0 {
		return nil
	}
	return l.super.Emit(ctx, emit, b)
}

func (l *life) noHistory(w *watch, err error) {
	l.deps.Log.Info().Err(err).Str("item", w.track.name).Msg("history not read")
}

// historic takes one value of history in. Its sequence is judged only while nothing newer was read.
func (l *life) historic(p *past, dv *ua.DataValue, b *source.Batch) {
	t := p.w.track
	r := l.values.value(p.w, dv, nil, l.deps.Now(), source.FlagBackfilled)
	t.remember(&r)
	if !r.at.Before(t.last) {
		v := t.observe(&r)
		if v.repeated {
			l.repeated()
			return
		}
		p.covers = p.covers || v.continues
		if o := l.judgeOf(t); o != nil && v.gap != nil {
			o.unexplained(t, v.gap)
		} else if v.gap != nil {
			b.Gaps = append(b.Gaps, l.itemGap(v.gap))
		}
	}
	p.filled++
	l.deps.Metrics.backfilled.WithLabelValues(l.deps.ID).Inc()
	l.take(t, r, b)
}

// filledBy says what a whole reading of history explains.
func (l *life) filledBy(p *past, b *source.Batch) {
	t := p.w.track
	t.filling = nil
	if o := l.judgeOf(t); o != nil && p.repair == nil {
		switch {
		case p.covers:
			o.explained(t, p.filled)
		case p.filled > 0:
			o.unexplained(t, nil) // what history has begins later
		}
		l.finish(o, b, false)
		return
	}
	if p.repair != nil && p.covers {
		b.Closed = append(b.Closed, source.Closing{Gap: *p.repair, Reason: byHistory, Filled: p.filled})
	}
}
