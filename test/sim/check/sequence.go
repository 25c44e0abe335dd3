package check

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Sequence is I4: the events of a lot from one agent and lane apply in the order of its epochs and seqs, those of one
// partition in the order of their offsets. Urgent ones go ahead. One that waited or was redriven by a person comes when
// its time has come. An urgent one that failed has left a hold of kind system on its lot.
func Sequence(r *Run) Finding {
	f := &finder{invariant: "I4"}
	ord, waited := chained(r.History), byEvent(r.History, history.Parked)
	type stream struct {
		lot   event.LotKey
		agent string
		lane  event.Lane
	}
	type partition struct {
		lot   event.LotKey
		topic string
		part  int32
	}
	seqs, offsets := map[stream]*history.Fact{}, map[partition]*history.Fact{}
	for _, x := range applied(r.History) {
		if x.Door != "P" || x.Lot == "" || x.Urgent || len(waited[x.Event]) > 0 {
			continue
		}
		f.judge()
		s := stream{x.Lot, x.AgentID(), x.Origin.Lane}
		if b := seqs[s]; b != nil && later(ord, b, x) {
			f.wrong(x, "seq %d of epoch %.8s was applied after seq %d of epoch %.8s", x.Origin.Seq, x.Origin.Epoch, b.Origin.Seq, b.Origin.Epoch)
		}
		seqs[s] = x
		if x.Place.Topic == "" {
			continue
		}
		p := partition{x.Lot, x.Place.Topic, x.Place.Partition}
		if b := offsets[p]; b != nil && b.Place.Offset > x.Place.Offset {
			f.wrong(x, "offset %d was applied after offset %d", x.Place.Offset, b.Place.Offset)
		}
		offsets[p] = x
	}
	r.urgent(f)
	return f.found
}

// later tells whether a comes after b in their agent's order.
func later(ord map[event.Epoch]int, a, b *history.Fact) bool {
	if a.Origin.Epoch == b.Origin.Epoch {
		return a.Origin.Seq > b.Origin.Seq
	}
	return ord[a.Origin.Epoch] > ord[b.Origin.Epoch]
}

// urgent looks at the urgent events that were not applied: each of them has left a hold on its lot.
func (r *Run) urgent(f *finder) {
	held := map[event.LotKey]bool{}
	for _, x := range r.History.Of(history.Hold) {
		if x.HoldKind == string(event.HoldSystem) && x.State == history.Placed {
			held[x.Lot] = true
		}
	}
	done := byEvent(r.History, history.Inbox)
	for _, x := range r.History.Of(history.Parked, history.Quarantined) {
		if !x.Urgent || x.Lot == "" || len(done[x.Event]) > 0 || waits(x) {
			continue
		}
		f.judge()
		if !held[x.Lot] {
			f.wrong(x, "an urgent event failed (%s), and no hold of kind system is on its lot", x.Reason)
		}
	}
}
