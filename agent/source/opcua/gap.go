package opcua

import (
	"maps"
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

// unseen returns since when the source is not observed, and makes it something that its items have to explain. False says
// that nothing was ever read.
func (s *Source) unseen(reason string) (from time.Time, known bool) {
	if s.at.Contact.IsZero() && s.at.GapTo.IsZero() {
		return time.Time{}, false
	}
	if s.outage("") == nil {
		s.at.Outages = append(s.at.Outages, outage{})
	}
	o := s.outage("")
	o.Reason, o.resuming, o.settled = reason, false, false
	return s.contact(), true
}

// contact returns the time up to which the source was observed: that of the newest value, but not before the end of its
// newest gap. No two gaps begin at the same instant.
func (s *Source) contact() time.Time {
	at := s.at.Contact
	if !at.IsZero() {
		at = at.Add(-s.cfg.Publish) // in one answer values of different items come in no order of time
	}
	if s.at.GapTo.After(at) {
		return s.at.GapTo
	}
	return at
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
	return *g
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
		b.Closed = append(b.Closed, o.closings(s.deps.Equipment, how)...)
		if filled := o.Filled; o.Item == "" {
			if len(o.Gaps) > 0 {
				filled = 0 // the first of them has it
			}
			s.super.Explain(b, how, filled)
		}
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

// rest records what an outage leaves unexplained, up to the first values after it: of the whole source in place of the
// gap that went on until now, of an item the part that is not recorded yet.
func (s *Source) rest(o *outage, b *source.Batch) {
	to := s.deps.Now().Add(s.lastSkew)
	g := source.Gap{Item: o.Item, To: to, Reason: o.Reason, Items: o.unexplainedItems()}
	if len(o.ranges) > 0 {
		g.FromSeq, g.ToSeq = o.ranges[0].FromSeq, o.ranges[0].ToSeq
		if !o.unknown && len(o.ranges) == 1 {
			g.Missing = o.ranges[0].Missing
		}
	}
	if o.Item == "" {
		g.From = s.contact()
		s.super.Bound(b, g)
		s.at.GapTo = to.Add(time.Microsecond)
	} else {
		g.From = o.Gaps[len(o.Gaps)-1].To.Add(time.Microsecond)
		b.Gaps = append(b.Gaps, s.itemGap(&g))
	}
	g = b.Gaps[len(b.Gaps)-1]
	o.Gaps = append(o.Gaps, recorded{g.From, g.To, g.Reason})
	o.Gaps = o.Gaps[max(0, len(o.Gaps)-maxNamed):] // older ones stay open
	for _, more := range o.ranges[min(len(o.ranges), 1):] {
		b.Gaps = append(b.Gaps, s.itemGap(more)) // a gap has room for one range of numbers
	}
	o.ranges = nil
}

// unexplainedItems names the items that miss something, or from which nothing has come yet.
func (o *outage) unexplainedItems() []string {
	all := slices.Collect(maps.Keys(o.Unexplained))
	for t := range o.pending {
		all = append(all, t.name)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxNamed)]
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
