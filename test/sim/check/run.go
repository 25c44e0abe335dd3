package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Run is all that a run has left behind: what took place, and the cloud's state at some moments.
type Run struct {
	History history.History

	End         *history.Dump // at the end
	Redelivered *history.Dump // after records were delivered again; nil = they were not
	Rebuilt     *history.Dump // of a database that the inbox was applied to anew; nil = it was not
	Shuffled    *history.Dump // of one that read the plants' topics in another interleaving; nil = none did
	Replayed    *history.Dump // after all topics were replayed into the full database; nil = they were not

	ERPs []string // systems whose effects say whether a lot may be used
	// OneSigner lists plants where one person alone may accept what was not observed.
	OneSigner []string
	// Undecided lists materials that need no disposition.
	Undecided []string
	// Records gives the hash that the signatures of a fact had to cover, worked out anew from the export; nil = only that
	// they agree is looked at.
	Records func(*history.Fact) event.Hash
}

// Violation is one thing that should not have taken place.
type Violation struct {
	Invariant string // I1 and on
	Lot       event.LotKey
	Event     event.ID
	Place     string // where: topic, queue, target, table
	What      string // one sentence
}

// String writes invariant, what, and what it is about.
func (v Violation) String() string {
	s := v.Invariant + ": " + v.What
	for _, x := range []struct{ name, value string }{{"lot", string(v.Lot)}, {"event", string(v.Event)}, {"at", v.Place}} {
		if x.value != "" {
			s += "; " + x.name + " " + x.value
		}
	}
	return s
}

// Finding is what a checker found. One that judged nothing proves nothing.
type Finding struct {
	Judged     int // facts that could have been wrong
	Violations []Violation
}

// finder collects a finding.
type finder struct {
	invariant string
	found     Finding
}

// wrong notes a violation about a fact.
func (f *finder) wrong(of *history.Fact, format string, args ...any) {
	f.found.Violations = append(f.found.Violations, Violation{
		Invariant: f.invariant, Lot: of.Lot, Event: of.Event, Place: place(of), What: fmt.Sprintf(format, args...),
	})
}

// judge counts a fact that could have been wrong.
func (f *finder) judge() { f.found.Judged++ }

// place says where a fact took place.
func place(f *history.Fact) string {
	var parts []string
	add := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(f.Agent != "", "agent %s", f.AgentID())
	add(f.Agent == "" && f.Plant != "", "plant %s", f.Plant)
	add(f.Origin.Epoch != "", "epoch %.8s lane %s seq %d", f.Origin.Epoch, f.Origin.Lane, f.Origin.Seq)
	add(f.Place.Topic != "", "%s[%d]@%d", f.Place.Topic, f.Place.Partition, f.Place.Offset)
	add(f.Place.Topic == "" && f.Place.Offset > 0, "ledger place %d", f.Place.Offset)
	add(f.Pos > 0, "inbox %d", f.Pos)
	add(f.System != "", "%s %s %s", f.System, f.Effect, f.Key)
	add(f.Record != "", "record %s", f.Record)
	add(f.Object != "" && f.System == "", "%s", f.Object)
	add(f.Event == "" && f.Raw != "", "payload %.12s", f.Raw)
	if len(parts) == 0 {
		return f.By
	}
	return strings.Join(parts, ", ")
}

// Invariant is one promise with its checker.
type Invariant struct {
	ID, Says string
	Check    func(*Run) Finding
}

// Invariants returns those that a run can be judged by from the outside, I1 to I15.
func Invariants() []Invariant {
	return []Invariant{
		{"I1", "no acknowledged event is lost", Acknowledged},
		{"I2", "no event is made up", Invented},
		{"I3", "no effect takes place twice", Effects},
		{"I4", "the events of a lot apply in their order", Sequence},
		{"I5", "no release passes a hold, a gap or what is not understood", Releases},
		{"I6", "no release without its signatures", Signatures},
		{"I7", "no seq is missing", Coverage},
		{"I8", "no epoch goes on beyond its end", Epochs},
		{"I9", "nothing of another content is taken for a duplicate", Contents},
		{"I10", "duplicates change nothing", Duplicates},
		{"I11", "queues keep to their quota", Quotas},
		{"I12", "the audit chain is complete", Chain},
		{"I13", "state is a fold of the inbox", Folds},
		{"I14", "a replay has no effect", Replays},
		{"I15", "what failed is kept whole and keeps its order", Kept},
	}
}

// All judges a run by every invariant and returns all violations, with how much each judged.
func All(r *Run) (violations []Violation, judged map[string]int) {
	judged = map[string]int{}
	for _, i := range Invariants() {
		f := i.Check(r)
		judged[i.ID] = f.Judged
		violations = append(violations, f.Violations...)
	}
	return violations, judged
}

// chained numbers the epochs of all agents along their chain: each one more than the epoch before it.
func chained(h history.History) map[event.Epoch]int {
	before := map[event.Epoch]event.Epoch{}
	for _, f := range h.Of(history.Epoch) {
		before[f.Origin.Epoch] = f.Prev
	}
	ord := map[event.Epoch]int{}
	for e := range before {
		steps := 0
		for p := before[e]; p != "" && steps < len(before); p = before[p] {
			steps++
		}
		ord[e] = steps
	}
	return ord
}

// byEvent groups facts of some kinds by the event that they are about.
func byEvent(h history.History, kinds ...history.Kind) map[event.ID][]*history.Fact {
	all := map[event.ID][]*history.Fact{}
	for _, f := range h.Of(kinds...) {
		all[f.Event] = append(all[f.Event], f)
	}
	return all
}

// applied returns the inbox in the order in which it was applied.
func applied(h history.History) []*history.Fact {
	all := h.Of(history.Inbox)
	slices.SortStableFunc(all, func(a, b *history.Fact) int { return cmp.Compare(a.Pos, b.Pos) })
	return all
}
