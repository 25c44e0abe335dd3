package opcua

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// maxNamed bounds the items that a gap names.
const maxNamed = 100

// What explains a gap.
const (
	byHistory    = "history"    // what was missed was read afterwards
	byContinuity = "continuity" // sequences and times show that nothing was missed
)

// outage returns the open outage of an item; "" = of the whole source. Nil = none is open.
func (s *Source) outage(item string) *outage {
	i := slices.IndexFunc(s.at.Outages, func(o outage) bool { return o.Item == item })
	if i < 0 {
		return nil
	}
	return &s.at.Outages[i]
}

// lost records that the source is not observed from its newest value on. It is recorded when it is found: what is in
// the dark now must not pass for known until the server is back. The rest is recorded when it is.
func (s *Source) lost(ctx context.Context, emit source.Emit, reason string) error {
	now := s.deps.Now().Add(s.lastSkew)
	o := s.outage("")
	restart := reason == source.GapAgentRestart
	switch {
	case o == nil && s.at.Contact.IsZero() && s.at.GapTo.IsZero():
		return nil // nothing was ever read
	case o == nil:
		s.at.Outages = append(s.at.Outages, outage{})
		o = s.outage("")
	case !o.settled && !restart && now.Sub(s.at.GapTo) < quietLoss:
		o.Reason, o.resuming = reason, false
		return nil // a server that comes and goes
	}
	g := s.next(reason, now, !o.settled && len(o.Gaps) > 0)
	o.Reason, o.resuming, o.settled = reason, false, false
	o.Gaps = append(o.Gaps, recorded{g.From, g.To, reason})
	o.Gaps = o.Gaps[max(0, len(o.Gaps)-maxNamed):] // older ones stay open
	return s.emit(ctx, emit, source.Batch{Gaps: []source.Gap{g}})
}

// quietLoss is the least time between two gaps of one outage.
const quietLoss = time.Minute

// next returns the next gap of the whole source, from the newest value on, or adjoining the gap before. No two begin at
// the same instant.
func (s *Source) next(reason string, to time.Time, adjoin bool) source.Gap {
	from := s.at.Contact
	if !from.IsZero() {
		from = from.Add(-s.cfg.Publish) // in one answer values of different items come in no order of time
	}
	if adjoin || s.at.GapTo.After(from) {
		from = s.at.GapTo
	}
	if from.IsZero() {
		from = to
	}
	if to.Before(from) {
		to = from
	}
	s.at.GapTo = to.Add(time.Microsecond)
	s.counted(reason)
	return source.Gap{Equipment: s.deps.Equipment, From: from, To: to, Reason: reason}
}

// itemGap completes a gap of one item.
func (s *Source) itemGap(g *source.Gap) source.Gap {
	g.Equipment = s.deps.Equipment
	if g.From.IsZero() {
		g.From = s.at.Contact
	}
	if g.From.IsZero() {
		g.From = s.deps.Now()
	}
	if g.To.Before(g.From) {
		g.To = g.From
	}
	s.counted(g.Reason)
	return *g
}

func (s *Source) counted(reason string) {
	s.deps.Metrics.gaps.WithLabelValues(s.deps.ID, reason).Inc()
	s.openGaps(1)
}

func (s *Source) openGaps(n int) {
	s.at.Open = max(0, s.at.Open+n)
	open := s.at.Open
	s.count(func(st *source.Status) { st.OpenGaps = open })
}

// resume says that an outage's items are read again: each now has to explain it.
func (s *Source) resume(o *outage, tracks []*track) {
	o.resuming, o.settled = true, false
	o.pending = map[*track]bool{}
	o.ranges, o.unknown, o.contact = nil, false, s.at.Contact
	for _, t := range tracks {
		if t.known() || t.events != nil {
			o.pending[t] = true
		}
	}
}

// judgeOf returns the outage that an item still has to explain; nil = none.
func (s *Source) judgeOf(t *track) *outage {
	for i := range s.at.Outages {
		if o := &s.at.Outages[i]; o.resuming && o.pending[t] {
			return o
		}
	}
	return nil
}

// explained says that an item shows nothing missing.
func (o *outage) explained(t *track, filled int64) {
	delete(o.pending, t)
	o.Filled += filled
}

// unexplained says that an item misses something, or cannot tell. Gap is what its sequence left out; nil = not known.
func (o *outage) unexplained(t *track, gap *source.Gap) {
	delete(o.pending, t)
	if o.Unexplained == nil {
		o.Unexplained = map[string]bool{}
	}
	o.Unexplained[t.name] = true
	if gap != nil && gap.Missing > 0 {
		o.ranges = append(o.ranges, gap)
	} else {
		o.unknown = true
	}
}

// finish ends an outage that all its items have explained, and records the rest of one that they have not. Force takes
// items that are still silent as unexplained for now: they may yet explain it.
func (s *Source) finish(o *outage, b *source.Batch, force bool) {
	if !o.resuming || len(o.pending) > 0 && !force {
		return
	}
	if len(o.pending) == 0 && len(o.Unexplained) == 0 {
		how := byContinuity
		if o.Filled > 0 {
			how = byHistory
		}
		closings := o.closings(s.deps.Equipment, how)
		b.Closed = append(b.Closed, closings...)
		s.deps.Metrics.closed.WithLabelValues(s.deps.ID).Add(float64(len(closings)))
		s.openGaps(-len(closings))
		s.drop(o.Item)
		return
	}
	if !o.settled {
		o.settled = true
		s.rest(o, b)
	}
	if len(o.pending) == 0 {
		s.drop(o.Item) // it stays open: data will not explain it any more
	}
}

func (s *Source) drop(item string) {
	s.at.Outages = slices.DeleteFunc(s.at.Outages, func(o outage) bool { return o.Item == item })
}

// rest records the part of an outage from its detection to the first values after it.
func (s *Source) rest(o *outage, b *source.Batch) {
	var g source.Gap
	to := s.deps.Now().Add(s.lastSkew)
	if o.Item == "" {
		g = s.next(o.Reason, to, true)
	} else {
		last := o.Gaps[len(o.Gaps)-1]
		g = s.itemGap(&source.Gap{Item: o.Item, From: last.To.Add(time.Microsecond), To: to, Reason: o.Reason})
	}
	if len(o.ranges) > 0 {
		g.FromSeq, g.ToSeq = o.ranges[0].FromSeq, o.ranges[0].ToSeq
		if !o.unknown && len(o.ranges) == 1 {
			g.Missing = o.ranges[0].Missing
		}
	}
	for t := range o.pending {
		g.Items = append(g.Items, t.name)
	}
	for name := range o.Unexplained {
		g.Items = append(g.Items, name)
	}
	slices.Sort(g.Items)
	g.Items = slices.Compact(g.Items)
	g.Items = g.Items[:min(len(g.Items), maxNamed)]
	o.Gaps = append(o.Gaps, recorded{g.From, g.To, g.Reason})
	b.Gaps = append(b.Gaps, g)
	for _, more := range o.ranges[min(len(o.ranges), 1):] {
		b.Gaps = append(b.Gaps, s.itemGap(more)) // a gap has room for one range of numbers
	}
	o.ranges = nil
}

// missingItem records that one item is not read, from its newest value on.
func (s *Source) missingItem(t *track, b *source.Batch) {
	if o := s.judgeOf(t); o != nil {
		o.explained(t, 0) // by a gap of its own
		s.finish(o, b, false)
	}
	if s.outage(t.name) != nil {
		return
	}
	g := s.itemGap(t.gap(source.GapItemMissing, s.deps.Now().Add(s.lastSkew)))
	s.at.Outages = append(s.at.Outages, outage{Item: t.name, Reason: source.GapItemMissing, Gaps: []recorded{{g.From, g.To, g.Reason}}})
	b.Gaps = append(b.Gaps, g)
}
