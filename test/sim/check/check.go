// Package check judges a run: pure functions over what took place and what is left of it. Effects are counted at the
// target by business key, never in our own log.
//
// [All] judges the history of a whole run by the invariants I1 to I15, each in a function of its own; [Ends] compares
// what became of every lot with what its facts ask for; [Summarise] counts how long releases waited, and for what. The
// functions of this file judge the parts of a run that a crash rig has at hand.
package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// Lost is I1: every acknowledged fact is in the inbox, or kept for a person.
func Lost(acknowledged []event.ID, inbox []store.InboxRow, kept []store.DeadletterRow) []string {
	have := map[event.ID]bool{}
	for i := range inbox {
		have[inbox[i].Event.ID] = true
	}
	for i := range kept {
		have[kept[i].EventID] = true
	}
	var wrong []string
	for _, id := range acknowledged {
		if !have[id] {
			wrong = append(wrong, fmt.Sprintf("event %s was acknowledged and is lost", id))
		}
	}
	return wrong
}

// Phantoms is I2: every event of a plant that was applied was offered by a source, or made by the agent itself.
func Phantoms(offered []event.ID, inbox []store.InboxRow) []string {
	known := map[event.ID]bool{}
	for _, id := range offered {
		known[id] = true
	}
	var wrong []string
	for i := range inbox {
		e := inbox[i].Event
		if inbox[i].Door == "P" && e.Data.Concerns() != "" && !known[e.ID] {
			wrong = append(wrong, fmt.Sprintf("event %s (%s) was applied and never offered", e.ID, e.Data.Type()))
		}
	}
	return wrong
}

// Doubled is I3: no effect of one kind on one business key took place more often than its fact asks for. Limit says how
// often that is.
func Doubled(entries []book.Entry, limit func(book.Entry) int) []string {
	type effect struct{ key, kind string }
	count, allowed := map[effect]int{}, map[effect]int{}
	for _, e := range entries {
		x := effect{e.Key, e.Kind}
		count[x]++
		allowed[x] = limit(e)
	}
	var wrong []string
	for x, n := range count {
		if n > allowed[x] {
			wrong = append(wrong, fmt.Sprintf("effect %s on %s took place %d times, %d at most are asked for", x.kind, x.key, n, allowed[x]))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// Order numbers epochs along their chain: each one more than the epoch before it.
func Order(epochs []store.EpochRow) map[event.Epoch]int64 {
	prev := map[event.Epoch]event.Epoch{}
	for i := range epochs {
		before, _, _ := epochs[i].Prev.Parts()
		prev[epochs[i].Epoch] = before
	}
	ord := map[event.Epoch]int64{}
	for e := range prev {
		for p := prev[e]; p != ""; p = prev[p] {
			ord[e]++
		}
	}
	return ord
}

// Disorder is I4: the events of a lot from one agent were applied in the order of its queue. Urgent ones go ahead. On a
// lot that is not created yet only failures apply; all else waits for the creation, and comes right behind it.
func Disorder(inbox []store.InboxRow, ord map[event.Epoch]int64) []string {
	type from struct {
		lot   event.LotKey
		plant event.PlantID
		agent string
	}
	last := map[from]event.Origin{}
	exists := map[event.LotKey]bool{}
	var wrong []string
	for i := range inbox {
		e := inbox[i].Event
		spec, _ := event.Lookup(e.Data.Type())
		if e.Origin.Agent == "" || spec.Urgent || e.Data.Concerns() == "" {
			continue
		}
		k := from{e.Data.Concerns(), e.Plant, e.Origin.Agent}
		l, seen := last[k]
		d, measured := e.Data.(*event.CharacteristicRecorded)
		switch {
		case e.Data.Type() == event.TypeLotCreated:
			exists[k.lot] = true
			delete(last, k)
			continue
		case measured && d.Evaluation == event.Pass && !exists[k.lot]:
			wrong = append(wrong, fmt.Sprintf("lot %s: seq %d of %.8s was applied before the lot's creation", k.lot, e.Origin.Seq, e.Origin.Epoch))
		}
		if seen && (ord[e.Origin.Epoch] < ord[l.Epoch] || e.Origin.Epoch == l.Epoch && e.Origin.Seq < l.Seq) {
			wrong = append(wrong, fmt.Sprintf("lot %s: seq %d of %.8s was applied after seq %d of %.8s", k.lot, e.Origin.Seq, e.Origin.Epoch, l.Seq, l.Epoch))
		}
		last[k] = e.Origin
	}
	return wrong
}

// Holes is I7: the seqs of each closed epoch are all covered, or declared lost.
func Holes(epochs []store.EpochRow, covered func(*store.EpochRow, event.Lane) store.Ranges, losses []event.LossRecorded) []string {
	var wrong []string
	for i := range epochs {
		for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
			e := &epochs[i]
			r := covered(e, lane)
			last := r.Max()
			if e.Closed {
				last = e.Closing(lane)
			}
			for _, l := range losses {
				if l.Epoch == e.Epoch && l.Lane == lane {
					r = r.Add(l.FromSeq, l.ToSeq)
				}
			}
			if missing := r.Missing(last); len(missing) > 0 {
				wrong = append(wrong, fmt.Sprintf("epoch %.8s of %s/%s: seqs %s of lane %s are missing and not declared", e.Epoch, e.Plant, e.Agent, missing, lane))
			}
		}
	}
	return wrong
}

// Audit is I12: each version of each object has exactly one ledger entry, from 1 without a hole.
func Audit(entries []store.Sealed) []string {
	versions := map[string][]int64{}
	var wrong []string
	for i := range entries {
		e := &entries[i]
		if e.Principal == "" {
			wrong = append(wrong, fmt.Sprintf("ledger entry %d names nobody", e.ID))
		}
		versions[e.Object] = append(versions[e.Object], e.Version)
	}
	for _, object := range slices.Sorted(maps.Keys(versions)) {
		v := slices.Sorted(slices.Values(versions[object]))
		for i := 1; i < len(v); i++ {
			if v[i] != v[i-1]+1 {
				wrong = append(wrong, fmt.Sprintf("ledger of %s jumps from version %d to %d", object, v[i-1], v[i]))
			}
		}
	}
	return wrong
}

// EndState compares what the ERP's book says of each lot at the end with what the plant's facts ask for.
func EndState(blocked map[string]bool, free func(lot string) bool) []string {
	var wrong []string
	for _, lot := range slices.Sorted(maps.Keys(blocked)) {
		switch {
		case blocked[lot] && free(lot):
			wrong = append(wrong, fmt.Sprintf("lot %s is free and should be blocked", lot))
		case !blocked[lot] && !free(lot):
			wrong = append(wrong, fmt.Sprintf("lot %s is blocked and should be free", lot))
		}
	}
	return wrong
}
