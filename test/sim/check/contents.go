package check

import (
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Contents is I9: of two contents under one id, or at one place in a queue, the one that was not applied is in
// quarantine. Only of two readings of the same payload the second may be counted and dropped.
func Contents(r *Run) Finding {
	f := &finder{invariant: "I9"}
	type version struct {
		id   event.ID
		hash event.Hash
	}
	kept, read := map[version]bool{}, map[event.ID]event.Hash{}
	for _, x := range r.History.Of(history.Inbox, history.Quarantined, history.Parked) {
		kept[version{x.Event, x.Hash}] = true
		if x.Kind == history.Inbox {
			read[x.Event] = x.Raw
		}
	}
	ids, places := map[event.ID][]*history.Fact{}, map[history.Origin][]*history.Fact{}
	for _, x := range r.History.Of(history.Put, history.Offered) {
		if x.Hash == "" || x.Origin.Lane == event.LaneTelemetry {
			continue
		}
		ids[x.Event] = append(ids[x.Event], x)
		if x.Kind == history.Put {
			places[x.Origin] = append(places[x.Origin], x)
		}
	}
	judge := func(all []*history.Fact, same string) {
		if !slices.ContainsFunc(all, func(x *history.Fact) bool { return x.Hash != all[0].Hash || x.Event != all[0].Event }) {
			return
		}
		f.judge()
		for _, x := range all {
			again := x.Raw != "" && x.Raw == read[x.Event]
			if !kept[version{x.Event, x.Hash}] && !again {
				f.wrong(x, "content %.12s stands beside another one under the same %s and was dropped", x.Hash, same)
			}
		}
	}
	for _, all := range ids {
		judge(all, "id")
	}
	for _, all := range places {
		judge(all, "place in its queue")
	}
	return f.found
}
