package agent

import (
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// gap adds what a source did not observe.
func (p *pipeline) gap(out *batch, sourceID string, g *source.Gap) error {
	id, err := p.gapID(sourceID, g)
	if err != nil {
		return err
	}
	data := &event.GapRecorded{
		GapID: id, Source: event.Name(sourceID), Equipment: event.EquipmentID(g.Equipment), From: event.At(g.From), To: event.At(g.To),
		Reason: event.GapReason(g.Reason), FromSeq: g.FromSeq, ToSeq: g.ToSeq, Missing: g.Missing, Items: g.Items,
	}
	if lane := p.mapper.Lane(sourceID); lane != event.LaneQuality {
		data.Lane = lane
	}
	return p.add(out, nil, p.fact(data, gapKey(sourceID, g)...))
}

// closing adds what explains a gap.
func (p *pipeline) closing(out *batch, sourceID string, c *source.Closing) error {
	id, err := p.gapID(sourceID, &c.Gap)
	if err != nil {
		return err
	}
	data := &event.GapClosed{
		GapID: id, Source: event.Name(sourceID), Equipment: event.EquipmentID(c.Gap.Equipment), From: event.At(c.Gap.From), To: event.At(c.Gap.To),
		Reason: c.Reason, Filled: c.Filled,
	}
	return p.add(out, nil, p.fact(data, gapKey(sourceID, &c.Gap)...))
}

// gapKey is what makes a gap one.
func gapKey(sourceID string, g *source.Gap) []string {
	return []string{sourceID, g.Item, event.At(g.From).String()}
}

func (p *pipeline) gapID(sourceID string, g *source.Gap) (event.ObjectID, error) {
	return event.NewObjectID("gap", p.agent, sourceID+" "+g.Item+" "+event.At(g.From).String())
}
