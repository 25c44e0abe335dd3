package check

import (
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Invented is I2: every event in the inbox was offered with the same content, made by an agent about itself, fired as a
// timer, or is what became of an effect. A feed or a person at the cloud's door offers a type about a lot, as often as it
// is in the inbox at most.
func Invented(r *Run) Finding {
	f := &finder{invariant: "I2"}
	offered := map[event.ID][]event.Hash{} // a source may say two things under one id
	type about struct {
		lot event.LotKey
		typ event.Type
	}
	left := map[about]int{}
	for _, x := range r.History.Of(history.Offered) {
		if x.Event != "" {
			offered[x.Event] = append(offered[x.Event], x.Hash)
		} else {
			left[about{x.Lot, x.Type}]++
		}
	}
	wanted, seen := map[string]bool{}, map[event.LotKey]bool{}
	for _, x := range r.History.Of(history.Intent) {
		wanted[x.Object] = true
	}
	for _, x := range r.History.Of(history.EffectSeen) {
		seen[x.Lot] = true
	}
	for _, x := range applied(r.History) {
		f.judge()
		contents, known := offered[x.Event]
		own := strings.HasPrefix(string(x.Type), "agent.") || strings.HasPrefix(string(x.Type), "observation.")
		switch {
		case known && !slices.Contains(contents, x.Hash) && !slices.Contains(contents, ""):
			f.wrong(x, "it was applied with the content %.12s, and offered with %.12s", x.Hash, contents[0])
		case known:
		case x.Door == "P" && own:
			if x.Origin.Epoch == "" {
				f.wrong(x, "%s names no agent that could have made it", x.Type)
			}
		case x.Door == "P":
			f.wrong(x, "%s was applied and never offered", x.Type)
		case x.Type == event.TypeTimerFired:
		case x.Type == event.TypeEffectSettled:
			if !wanted[x.Object] {
				f.wrong(x, "an effect on %s was settled that nobody wanted", x.Object)
			}
		case x.Type == event.TypeLotStatusChanged && seen[x.Lot]:
		case left[about{x.Lot, x.Type}] > 0:
			left[about{x.Lot, x.Type}]--
		default:
			f.wrong(x, "%s came through the cloud's door by %q, and no feed or person offered it", x.Type, x.Principal)
		}
	}
	return f.found
}
