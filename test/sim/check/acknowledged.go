package check

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Acknowledged is I1: what a source was told is kept, is in the inbox, in an agent's queue, in quarantine or among the
// dead letters. A message without a natural id is found by the hash of its payload. Telemetry is found in its topic, but
// for what the agent declares as shed.
func Acknowledged(r *Run) Finding {
	f := &finder{invariant: "I1"}
	ids, raws := map[event.ID]bool{}, map[event.Hash]bool{}
	keep := func(x *history.Fact) { ids[x.Event], raws[x.Raw] = true, true }
	for _, x := range r.History.Of(history.Inbox, history.Quarantined, history.Parked) {
		keep(x)
	}
	acked := map[history.Origin]int64{} // by epoch and lane
	for _, x := range r.History.Of(history.Acked) {
		at := history.Origin{Epoch: x.Origin.Epoch, Lane: x.Origin.Lane}
		acked[at] = max(acked[at], x.Origin.Seq)
	}
	for _, x := range r.History.Of(history.Put) {
		queued := x.Place.Topic == "" && x.Origin.Seq > acked[history.Origin{Epoch: x.Origin.Epoch, Lane: x.Origin.Lane}]
		if queued || x.Origin.Lane == event.LaneTelemetry && x.Place.Topic != "" {
			keep(x)
		}
	}
	shed, gone := map[string]int64{}, map[string][]*history.Fact{}
	for _, x := range r.History.Of(history.Gap) {
		if x.Origin.Lane == event.LaneTelemetry {
			shed[x.Plant] += x.Count
		}
	}
	for _, x := range r.History.Of(history.Acknowledged) {
		f.judge()
		if x.Event != "" && ids[x.Event] || x.Event == "" && x.Raw != "" && raws[x.Raw] {
			continue
		}
		if x.Origin.Lane == event.LaneTelemetry {
			gone[x.Plant] = append(gone[x.Plant], x)
			continue
		}
		f.wrong(x, "it was acknowledged and is lost")
	}
	for plant, all := range gone {
		for _, x := range all[min(int64(len(all)), shed[plant]):] {
			f.wrong(x, "telemetry was acknowledged and is lost: %d of plant %s are missing, %d are declared as shed", len(all), plant, shed[plant])
		}
	}
	return f.found
}
