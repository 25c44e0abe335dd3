package check

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// last is a position behind everything.
const last = int64(math.MaxInt64)

// holdSet is what holds the lots of a run, in the order in which the cloud applied it.
type holdSet struct {
	own    map[event.LotKey][]*history.Fact
	scoped []*history.Fact
	made   map[event.LotKey]*history.Fact // creation
}

// holds folds the holds of a run. A hold that somebody else set at a system is none of these.
func (r *Run) holds() *holdSet {
	s := &holdSet{own: map[event.LotKey][]*history.Fact{}, made: map[event.LotKey]*history.Fact{}}
	for _, x := range r.History.Of(history.Hold) {
		switch {
		case x.HoldKind == foreign:
		case x.Scope != "":
			s.scoped = append(s.scoped, x)
		default:
			s.own[x.Lot] = append(s.own[x.Lot], x)
		}
	}
	for _, x := range r.History.Of(history.Inbox) {
		if x.Type == event.TypeLotCreated {
			s.made[x.Lot] = x
		}
	}
	return s
}

// foreign is the kind of a hold that somebody else set at a system.
const foreign = "foreign"

// open returns the holds of a lot that are open in front of a position.
func (s *holdSet) open(lot event.LotKey, pos int64) []*history.Fact {
	open := map[string]*history.Fact{}
	all := slices.Concat(s.own[lot], s.scoped)
	slices.SortStableFunc(all, func(a, b *history.Fact) int { return cmp.Compare(a.Pos, b.Pos) })
	for _, x := range all {
		switch {
		case x.Pos >= pos || x.Scope != "" && !s.matches(x.Scope, lot):
		case x.State == history.Lifted:
			delete(open, x.Hold)
		default:
			open[x.Hold] = x
		}
	}
	var list []*history.Fact
	for _, x := range open {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *history.Fact) int { return strings.Compare(a.Hold, b.Hold) })
	return list
}

// matches tells whether a lot lies in a scope. One that nobody can read takes in every lot.
func (s *holdSet) matches(text string, lot event.LotKey) bool {
	var scope event.Scope
	if json.Unmarshal([]byte(text), &scope) != nil {
		return true
	}
	_, material, _, err := lot.Parts()
	if err != nil {
		return true
	}
	made := s.made[lot]
	switch scope.Kind {
	case event.ScopeMaterial:
		return material == string(scope.Value) && (made == nil || made.Plant == string(scope.Plant))
	case event.ScopeEquipment:
		return made != nil && made.Equipment == string(scope.Value) && made.Plant == string(scope.Plant)
	}
	return false // supplier and sublot are no facts of a history
}
