package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// endless is the end of a gap that goes on. The contract has no gap without an end, and whoever compares with this one
// finds that the gap touches all that comes.
var endless = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// openCursor is the name under which the gap of a source that goes on stands among the cursors.
const openCursor = "gap:"

// openGap is a gap that goes on, as it is kept until it is closed. By the lane it can be closed as it was recorded when its
// source is no longer configured.
type openGap struct {
	source.Gap
	Lane event.Lane `json:"lane,omitempty"` // as in [event.GapRecorded]
}

// gaps adds what a source did not observe, and what explains a gap. The gap that goes on is kept with the source's
// position, by which the next start knows it.
func (p *pipeline) gaps(out *batch, b *source.Batch) error {
	for i := range b.Gaps {
		g := &b.Gaps[i]
		open := openGap{*g, p.gapLane(b.Source)}
		if err := p.gap(out, b.Source, &open); err != nil {
			return err
		}
		if g.To.IsZero() {
			text, err := json.Marshal(open)
			if err != nil {
				return fmt.Errorf("keep gap of source %s: %w", b.Source, err)
			}
			out.cursors[openCursor+b.Source] = text
		}
	}
	for i := range b.Closed {
		c := &b.Closed[i]
		if err := p.closing(out, b.Source, c); err != nil {
			return err
		}
		if c.Gap.To.IsZero() {
			out.cursors[openCursor+b.Source] = nil
		}
	}
	return nil
}

// gapLane returns the lane of what a source yields, empty for quality.
func (p *pipeline) gapLane(sourceID string) event.Lane {
	if lane := p.mapper.Lane(sourceID); lane != event.LaneQuality {
		return lane
	}
	return ""
}

func (p *pipeline) gap(out *batch, sourceID string, g *openGap) error {
	id, err := p.gapID(sourceID, &g.Gap)
	if err != nil {
		return err
	}
	data := &event.GapRecorded{
		GapID: id, Source: event.Name(sourceID), Equipment: event.EquipmentID(g.Equipment), From: event.At(g.From), To: event.At(end(&g.Gap)),
		Reason: event.GapReason(g.Reason), FromSeq: g.FromSeq, ToSeq: g.ToSeq, Missing: g.Missing, Items: g.Items, Lane: g.Lane,
	}
	return p.add(out, nil, p.fact(data, gapKey(sourceID, &g.Gap)...))
}

func (p *pipeline) closing(out *batch, sourceID string, c *source.Closing) error {
	id, err := p.gapID(sourceID, &c.Gap)
	if err != nil {
		return err
	}
	data := &event.GapClosed{
		GapID: id, Source: event.Name(sourceID), Equipment: event.EquipmentID(c.Gap.Equipment), From: event.At(c.Gap.From), To: event.At(end(&c.Gap)),
		Reason: c.Reason, Filled: c.Filled,
	}
	return p.add(out, nil, p.fact(data, gapKey(sourceID, &c.Gap)...))
}

func end(g *source.Gap) time.Time {
	if g.To.IsZero() {
		return endless
	}
	return g.To
}

// gapKey is what makes a gap one. One that goes on and the one that takes its place begin at the same instant; two that go
// on may, where nothing came between them.
func gapKey(sourceID string, g *source.Gap) []string {
	key := []string{sourceID, g.Item, event.At(g.From).String()}
	if g.To.IsZero() {
		key = append(key, event.At(g.Found).String())
	}
	return key
}

func (p *pipeline) gapID(sourceID string, g *source.Gap) (event.ObjectID, error) {
	native := sourceID + " " + g.Item + " " + event.At(g.From).String()
	if g.To.IsZero() {
		native += " " + event.At(g.Found).String()
	}
	return event.NewObjectID("gap", p.agent, native)
}

// openGaps returns the gaps that went on when the agent's run before ended, by source.
func openGaps(cursors map[string][]byte) (map[string]*openGap, error) {
	all := map[string]*openGap{}
	for name, value := range cursors {
		id, ok := cutPrefix(name, openCursor)
		if !ok || len(value) == 0 {
			continue
		}
		g := &openGap{}
		if err := json.Unmarshal(value, g); err != nil {
			return nil, fmt.Errorf("read open gap of source %s: %w", id, err)
		}
		all[id] = g
	}
	return all, nil
}

// removed is why the gap of a source that is no longer configured ends.
const removed = "the source is no longer read: another gap says up to when it was not observed"

// endRemoved gives the gaps of sources that are no longer configured an end: nobody will close them, and what the plant
// makes from now on was never to be seen by those sources.
func (p *pipeline) endRemoved(ctx context.Context, open map[string]*openGap, configured []source.Source) error {
	for id, g := range open {
		if slices.ContainsFunc(configured, func(s source.Source) bool { return s.ID() == id }) {
			continue
		}
		over := *g
		over.To = p.now()
		over.Found = time.Time{}
		if over.To.Before(over.From) {
			over.To = over.From // the clock was set back
		}
		out := batch{cursors: map[string][]byte{openCursor + id: nil}, own: true}
		if err := p.gap(&out, id, &over); err != nil {
			return err
		}
		if err := p.closing(&out, id, &source.Closing{Gap: g.Gap, Reason: removed}); err != nil {
			return err
		}
		if err := p.put(ctx, &out); err != nil {
			return fmt.Errorf("end gap of source %s: %w", id, err)
		}
	}
	return nil
}
