package check

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// offbeat is how much later than planned a loaded machine may make its parts.
const offbeat = 2 * time.Second

// Observed is that nothing is passed over in silence: what equipment had to show is in the inbox, or lies in a gap of it
// that was declared; and every gap says what it is about and why.
func Observed(r *Run) Finding {
	f := &finder{invariant: "gap"}
	type place struct{ plant, equipment string }
	gaps := map[place][]*history.Fact{}
	for _, g := range r.History.Of(history.Gap) {
		if g.State != history.Open {
			continue
		}
		f.judge()
		if g.Reason == "" || g.Plant == "" {
			f.wrong(g, "gap %s does not say where, or why", g.Gap)
		}
		at := place{g.Plant, g.Equipment}
		gaps[at] = append(gaps[at], g)
	}
	came := byEvent(r.History, history.Inbox, history.Quarantined, history.Parked)
	for _, x := range r.History.Of(history.Offered) {
		if x.Equipment == "" {
			continue
		}
		f.judge()
		if len(came[x.Event]) == 0 && !declared(gaps[place{x.Plant, x.Equipment}], x.At) {
			f.wrong(x, "%s showed it at %s, it never came, and no gap is declared", x.Equipment, x.At.UTC().Format(time.RFC3339Nano))
		}
	}
	return f.found
}

// declared tells whether a gap takes in a time at which something should have been shown.
func declared(gaps []*history.Fact, at time.Time) bool {
	for _, g := range gaps {
		if g.Type == event.TypeGapRecorded && !g.From.After(at.Add(offbeat)) && (g.To.IsZero() || !g.To.Before(at)) {
			return true
		}
	}
	return false
}
