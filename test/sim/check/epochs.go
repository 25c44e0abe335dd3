package check

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Epochs is I8: an agent's epochs form one chain, but for those that were superseded, and no event beyond the closing of
// its epoch changes state. Urgent ones may: they only ever restrict.
func Epochs(r *Run) Finding {
	f := &finder{invariant: "I8"}
	type link struct {
		agent string
		prev  event.Epoch
	}
	next, epochs := map[link]*history.Fact{}, map[event.Epoch]*history.Fact{}
	for _, e := range r.History.Of(history.Epoch) {
		f.judge()
		epochs[e.Origin.Epoch] = e
		if e.State == history.Superseded {
			continue
		}
		at := link{e.AgentID(), e.Prev}
		if other := next[at]; other != nil {
			f.wrong(e, "epochs %.8s and %.8s of agent %s both follow %q", other.Origin.Epoch, e.Origin.Epoch, e.AgentID(), e.Prev)
		}
		next[at] = e
	}
	for _, x := range applied(r.History) {
		if x.Door != "P" || x.Urgent || x.Origin.Epoch == "" {
			continue
		}
		f.judge()
		e := epochs[x.Origin.Epoch]
		switch {
		case e == nil:
			f.wrong(x, "it was applied, and its epoch %.8s is not known", x.Origin.Epoch)
		case e.State != history.Open && x.Origin.Seq > e.Closing[string(x.Origin.Lane)]:
			f.wrong(x, "seq %d was applied, beyond the closing of its epoch at %d", x.Origin.Seq, e.Closing[string(x.Origin.Lane)])
		}
	}
	return f.found
}
