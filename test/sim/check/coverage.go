package check

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Coverage is I7: what the cloud has of an epoch and what is declared as gone, with a cause, make up all seqs: up to its
// closing, or up to the newest head of one that is still open.
func Coverage(r *Run) Finding {
	f := &finder{invariant: "I7"}
	stated, lost := map[history.Origin]int64{}, map[history.Origin][][2]int64{}
	for _, head := range r.History.Of(history.Head) {
		for _, s := range head.Heads {
			for lane, seq := range map[event.Lane]int64{event.LaneQuality: s.Quality, event.LaneTelemetry: s.Telemetry} {
				at := history.Origin{Epoch: s.Epoch, Lane: lane}
				stated[at] = max(stated[at], seq)
			}
		}
	}
	for _, g := range r.History.Of(history.Gap) {
		if g.Origin.Seq > 0 && g.Reason != "" {
			at := history.Origin{Epoch: g.Origin.Epoch, Lane: g.Origin.Lane}
			lost[at] = append(lost[at], [2]int64{g.Origin.Seq, g.ToSeq})
		}
	}
	for _, e := range r.History.Of(history.Epoch) {
		for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
			f.judge()
			at := history.Origin{Epoch: e.Origin.Epoch, Lane: lane}
			have := e.Covered[string(lane)]
			end := max(stated[at], have.Last())
			if e.State != history.Open {
				end = e.Closing[string(lane)]
			}
			if missing := have.And(lost[at]...).Missing(end); len(missing) > 0 {
				f.wrong(e, "seqs %s of lane %s are missing of %d and not declared", missing, lane, end)
			}
		}
	}
	return f.found
}
