package check

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// takeBack is how soon a hold that comes after a release takes it back, while the ERP can be reached.
const takeBack = 60 * time.Second

// Releases is I5. A grant, in the cloud's own order, has no open hold behind it, nothing of the lot parked or in
// quarantine, no gap that touches it, and the answer of every agent in question, all of whose stated events came before
// it. An effective release at an ERP has a grant behind it and takes nothing back that somebody else restricted; a hold
// after it restricts the lot again in time. A signature may accept a gap or a missing answer, nothing else.
func Releases(r *Run) Finding {
	f := &finder{invariant: "I5"}
	j := &judgement{
		finder: f, run: r, holds: r.holds(), events: map[event.LotKey][]*history.Fact{}, applied: map[string][]*history.Fact{},
		gaps: r.History.Of(history.Gap), grants: r.grants(), heads: map[string][]*history.Fact{}, open: byLot(r.History, history.Parked, history.Quarantined), waited: byEvent(r.History, history.Parked, history.Quarantined),
	}
	for _, x := range applied(r.History) {
		if x.Lot != "" {
			j.events[x.Lot] = append(j.events[x.Lot], x)
		}
		if x.Origin.Lane == event.LaneQuality {
			j.applied[x.AgentID()] = append(j.applied[x.AgentID()], x)
		}
	}
	for _, x := range r.History.Of(history.Head) {
		j.heads[x.AgentID()] = append(j.heads[x.AgentID()], x)
	}
	for _, x := range r.History.Of(history.Hold) {
		if x.HoldKind == foreign {
			j.others = append(j.others, x)
		}
	}
	for i := range r.History {
		j.end = maxTime(j.end, r.History[i].At)
	}
	for _, grant := range r.History.Of(history.Release) {
		f.judge()
		j.held(grant)
		j.unread(grant)
		j.answered(grant)
		j.unseen(grant)
	}
	j.effective()
	return f.found
}

// judgement is the look at all releases of a run.
type judgement struct {
	*finder
	run     *Run
	holds   *holdSet
	events  map[event.LotKey][]*history.Fact // inbox of each lot, in order
	applied map[string][]*history.Fact       // lane quality of each agent, in order
	gaps    []*history.Fact
	grants  map[event.LotKey][]*history.Fact
	heads   map[string][]*history.Fact       // of each agent
	others  []*history.Fact                  // holds that somebody else set at a system
	open    map[event.LotKey][]*history.Fact // parked and quarantined
	waited  map[event.ID][]*history.Fact
	end     time.Time // of the run: when the last thing took place
}

func byLot(h history.History, kinds ...history.Kind) map[event.LotKey][]*history.Fact {
	all := map[event.LotKey][]*history.Fact{}
	for _, x := range h.Of(kinds...) {
		all[x.Lot] = append(all[x.Lot], x)
	}
	return all
}

func (j *judgement) held(grant *history.Fact) {
	for _, hold := range j.holds.open(grant.Lot, grant.Pos) {
		j.wrong(grant, "its release was granted under hold %s, which came at inbox %d", hold.Hold, hold.Pos)
	}
}

// unread looks for records of the lot that could not be applied when the release was granted.
func (j *judgement) unread(grant *history.Fact) {
	for _, x := range j.open[grant.Lot] {
		stood := !x.At.After(grant.At) && (x.Until.IsZero() || x.Until.After(grant.At))
		if stood && !waits(x) {
			j.wrong(grant, "its release was granted while record %s was %s", x.Event, x.Kind)
		}
	}
}

// plants are those whose agents are in question: that have an event of the lot.
func (j *judgement) plants(grant *history.Fact) (plants []string) {
	for _, x := range j.events[grant.Lot] {
		if x.Pos < grant.Pos && x.Plant != "" && !slices.Contains(plants, x.Plant) {
			plants = append(plants, x.Plant)
		}
	}
	return plants
}

// answered looks for a head of every agent in question at or above the barrier, and whether all that it stated came
// before the grant.
func (j *judgement) answered(grant *history.Fact) {
	plants := j.plants(grant)
	asked := map[string]bool{}
	for _, x := range j.run.History.Of(history.Epoch) {
		if slices.Contains(plants, x.Plant) && x.State != history.Superseded && (x.At.IsZero() || !x.At.After(grant.At)) {
			asked[x.AgentID()] = true
		}
	}
	for agent := range asked {
		if j.accepted(grant, func(g *history.Fact) bool { return slices.Contains(g.Agents, agent) }) {
			continue // its own answer may have come later
		}
		head := j.head(agent, grant.Barrier)
		if head == nil {
			j.wrong(grant, "its release was granted without an answer of agent %s to barrier %d", agent, grant.Barrier)
			continue
		}
		for _, x := range j.applied[agent] {
			if x.Lot == grant.Lot && x.Pos > grant.Pos && states(head, x) && len(j.waited[x.Event]) == 0 {
				j.wrong(grant, "its release was granted before event %s of seq %d, which agent %s had on disk when it answered", x.Event, x.Origin.Seq, agent)
			}
		}
	}
}

// head returns the first answer of an agent to a barrier.
func (j *judgement) head(agent string, barrier int64) *history.Fact {
	for _, x := range j.heads[agent] {
		if x.Barrier >= barrier {
			return x
		}
	}
	return nil
}

// states tells whether a head says that its agent has an event on disk.
func states(head, x *history.Fact) bool {
	return slices.ContainsFunc(head.Heads, func(s history.Stated) bool { return s.Epoch == x.Origin.Epoch && x.Origin.Seq <= s.Quality })
}

// accepted tells whether persons have signed for something, for this lot, before its release.
func (j *judgement) accepted(grant *history.Fact, is func(*history.Fact) bool) bool {
	return slices.ContainsFunc(j.gaps, func(g *history.Fact) bool {
		return g.State == history.Accepted && g.Lot == grant.Lot && g.Pos < grant.Pos && is(g)
	})
}

// unseen looks for open gaps that touch the lot.
func (j *judgement) unseen(grant *history.Fact) {
	for _, g := range j.gaps {
		if g.State != history.Open || g.Pos >= grant.Pos || !j.touches(g, grant) {
			continue
		}
		closed := slices.ContainsFunc(j.gaps, func(x *history.Fact) bool {
			return x.State == history.Closed && x.Gap == g.Gap && x.Pos < grant.Pos
		})
		if !closed && !j.accepted(grant, func(x *history.Fact) bool { return x.Gap == g.Gap }) {
			j.wrong(grant, "its release was granted although gap %s (%s) was open", g.Gap, g.Reason)
		}
	}
}

// touches tells whether a gap may hide something about the lot: lost records of lane quality all lots of the plant that
// were known before, what was not seen of a machine those that ran on it then, what names no machine all of the plant that
// were there before the gap ended.
func (j *judgement) touches(g, grant *history.Fact) bool {
	switch {
	case g.Origin.Lane == event.LaneTelemetry && g.ToSeq > 0:
		return false
	case g.Lot != "":
		return g.Lot == grant.Lot
	case !slices.Contains(j.plants(grant), g.Plant):
		return false
	case g.ToSeq > 0:
		return j.events[grant.Lot][0].Pos < g.Pos
	case g.Equipment == "":
		return !j.began(grant.Lot).After(g.To)
	}
	runs := j.runs(g, grant)
	var from time.Time
	began := false
	for _, x := range runs {
		switch x.Type {
		case event.TypeRunStarted:
			began, from = true, x.Time
		case event.TypeRunEnded:
			// A run whose beginning was not seen may have begun at any time before.
			if x.Time.Before(g.From) || began && from.After(g.To) {
				began = false
				continue
			}
			return true
		}
	}
	if began && !from.After(g.To) {
		return true // it still runs
	}
	return len(runs) == 0 && j.madeOn(grant.Lot, g)
}

// runs returns when the lot's runs on the machine of a gap began and ended, as far as that was known at a grant, in the
// order of its time: an end may come in before its beginning.
func (j *judgement) runs(g, grant *history.Fact) (runs []*history.Fact) {
	for _, x := range j.events[grant.Lot] {
		is := x.Type == event.TypeRunStarted || x.Type == event.TypeRunEnded
		if is && x.Pos < grant.Pos && x.Plant == g.Plant && x.Equipment == g.Equipment {
			runs = append(runs, x)
		}
	}
	slices.SortStableFunc(runs, func(a, b *history.Fact) int { return a.Time.Compare(b.Time) })
	return runs
}

// began returns the earliest time from which the lot is known to exist, by what the plants say.
func (j *judgement) began(lot event.LotKey) (at time.Time) {
	for _, x := range j.events[lot] {
		if x.Type != event.TypeLotCreated && x.Type != event.TypeRunStarted {
			continue
		}
		if at.IsZero() || x.Time.Before(at) {
			at = x.Time
		}
	}
	return at
}

// madeOn tells whether a lot whose runs at the plant are not known was made on the machine that was not seen, before the
// gap ended.
func (j *judgement) madeOn(lot event.LotKey, g *history.Fact) bool {
	for _, x := range j.events[lot] {
		if x.Plant == g.Plant && (x.Type == event.TypeRunStarted || x.Type == event.TypeRunEnded) {
			return false
		}
	}
	made := j.holds.made[lot]
	return made != nil && made.Plant == g.Plant && made.Equipment == g.Equipment && !j.began(lot).After(g.To)
}

// effective follows each lot through the ERPs' own books.
func (j *judgement) effective() {
	for _, system := range j.run.ERPs {
		shown := map[event.LotKey][]*history.Fact{}
		for _, x := range j.run.History.Of(history.EffectSeen) {
			if x.System == system && x.Lot != "" {
				shown[x.Lot] = append(shown[x.Lot], x)
			}
		}
		for lot, book := range shown {
			slices.SortStableFunc(book, func(a, b *history.Fact) int { return a.At.Compare(b.At) })
			j.follow(system, lot, book)
		}
	}
}

// follow looks at one lot in one ERP: each time it became free, and each hold.
func (j *judgement) follow(system string, lot event.LotKey, book []*history.Fact) {
	for i, x := range book {
		if i == 0 || !x.Free || book[i-1].Free || byHand(x) {
			continue
		}
		j.judge()
		grant := j.grantBefore(lot, x.At)
		if grant == nil {
			j.wrong(x, "it became free and no release was granted")
			continue
		}
		if j.foreignAt(lot, x.At) {
			j.wrong(x, "it became free although somebody else had restricted it there")
		}
	}
	for _, hold := range j.holds.own[lot] {
		if hold.State == history.Placed {
			j.takenBack(system, lot, hold, book)
		}
	}
}

// byHand tells whether a person did something in the system itself.
func byHand(x *history.Fact) bool {
	return x.Reference == "by hand" || strings.HasPrefix(x.Effect, "hand_")
}

func (j *judgement) grantBefore(lot event.LotKey, at time.Time) (grant *history.Fact) {
	for _, x := range j.grants[lot] {
		if !x.At.After(at) {
			grant = x
		}
	}
	return grant
}

func (j *judgement) foreignAt(lot event.LotKey, at time.Time) (is bool) {
	for _, x := range j.others {
		if x.Lot == lot && !x.At.After(at) {
			is = x.State == history.Placed
		}
	}
	return is
}

// takenBack looks whether the lot was free longer than it may be after a hold was applied. What the ERP could not be
// reached for does not count, and a hold that had not so much time before the run ended is judged by how the lot ended.
func (j *judgement) takenBack(system string, lot event.LotKey, hold *history.Fact, book []*history.Fact) {
	limit := hold.At.Add(takeBack + j.down(system, hold.At))
	if limit.After(j.end) {
		return
	}
	j.judge()
	free := false
	for _, x := range book {
		if x.At.After(limit) {
			break
		}
		free = x.Free
	}
	if !free || j.liftedBy(lot, hold, limit) {
		return
	}
	j.wrong(hold, "it was still free at %s %s after hold %s was applied", system, takeBack, hold.Hold)
}

// down is how long a system could not be reached from a time on.
func (j *judgement) down(system string, from time.Time) (sum time.Duration) {
	var began time.Time
	for _, x := range j.run.History.Of(history.Fault) {
		if x.Object != system {
			continue
		}
		switch x.State {
		case history.Begun:
			began = x.At
		case history.Ended:
			if !began.IsZero() && x.At.After(from) {
				sum += x.At.Sub(maxTime(began, from))
			}
			began = time.Time{}
		}
	}
	if !began.IsZero() {
		sum += 24 * time.Hour // it never came back
	}
	return sum
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// liftedBy tells whether a hold was lifted before a time.
func (j *judgement) liftedBy(lot event.LotKey, hold *history.Fact, at time.Time) bool {
	return slices.ContainsFunc(j.holds.own[lot], func(x *history.Fact) bool {
		return x.Hold == hold.Hold && x.State == history.Lifted && x.Pos > hold.Pos && !x.At.After(at)
	})
}
