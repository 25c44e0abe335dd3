package check

import (
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// ours tells whether a reference is one of Holdfast's.
func ours(reference string) bool { return strings.HasPrefix(reference, "HF") && len(reference) == 16 }

// Effects is I3, counted at the targets: one reference stands for one record; nobody writes what was not asked for, where
// all that was asked for is known; a change of state does not take place twice in a row; a nonconformance has one record; a message is delivered once. At
// the end each ERP enforces what the lot's events ask for.
func Effects(r *Run) Finding {
	f := &finder{invariant: "I3"}
	asked, whole := map[string]bool{}, false
	for _, x := range r.History.Of(history.Intent) {
		asked[x.System+" "+x.Reference] = true
		whole = whole || x.By == history.Announced
	}
	type mark struct{ system, reference, effect string }
	type object struct{ system, key string }
	records, last, made := map[mark]string{}, map[object]*history.Fact{}, map[object]int{}
	for _, x := range r.History.Of(history.EffectSeen) {
		f.judge()
		of := object{x.System, x.Key}
		if ours(x.Reference) {
			m := mark{x.System, x.Reference, x.Effect}
			if before, twice := records[m]; twice && (before == "" || before != x.Record) {
				f.wrong(x, "the effect with the reference %s took place twice: in records %q and %q", x.Reference, before, x.Record)
			}
			records[m] = x.Record
			if whole && !asked[x.System+" "+x.Reference] {
				f.wrong(x, "nobody asked for the effect with the reference %s", x.Reference)
			}
		} else if before := last[of]; before != nil && before.Effect == x.Effect && stateChange(x.Effect) {
			f.wrong(x, "%s took place twice in a row", x.Effect)
		}
		if x.Effect == "record_created" {
			if made[of]++; made[of] > 1 {
				f.wrong(x, "it has %d records", made[of])
			}
		}
		if x.Effect == "notice_duplicate" {
			f.wrong(x, "a message was delivered twice")
		}
		last[of] = x
	}
	r.enforced(f)
	return f.found
}

// stateChange tells whether an effect is one that a system makes once until it is undone.
func stateChange(effect string) bool {
	return effect == "flag_set" || effect == "flag_cleared" || effect == "tasks_held" || effect == "tasks_released"
}

// enforced compares what each ERP shows of a lot at the end with the fold of the lot's events: held is not free, and a
// granted release that nothing followed is, unless a person restricted the lot in the ERP itself.
func (r *Run) enforced(f *finder) {
	free, hand := map[event.LotKey]*history.Fact{}, map[event.LotKey]bool{}
	for _, x := range r.History.Of(history.EffectSeen) {
		if r.isERP(x.System) && x.Lot != "" {
			free[x.Lot] = x
			hand[x.Lot] = hand[x.Lot] && !x.Free || byHand(x) && !x.Free
		}
	}
	holds, grants := r.holds(), r.grants()
	after := map[event.LotKey]int64{} // where the newest hold or decision stands
	for _, x := range r.History.Of(history.Hold, history.Inbox) {
		if x.Kind == history.Hold || decides(x) {
			after[x.Lot] = max(after[x.Lot], x.Pos)
		}
	}
	for lot, x := range free {
		f.judge()
		open, granted := holds.open(lot, last), newest(grants[lot])
		switch {
		case x.Free && len(open) > 0:
			f.wrong(x, "at the end the lot is free at %s, under hold %s", x.System, open[0].Hold)
		case !x.Free && granted != nil && len(open) == 0 && after[lot] < granted.Pos && !hand[lot]:
			f.wrong(x, "at the end the lot is not free at %s, although its release was granted", x.System)
		}
	}
}

func (r *Run) isERP(system string) bool {
	for _, s := range r.ERPs {
		if s == system {
			return true
		}
	}
	return false
}

// grants returns the releases that were granted, by lot, in order.
func (r *Run) grants() map[event.LotKey][]*history.Fact { return byLot(r.History, history.Release) }

// newest returns the last of a list, nil if it is empty.
func newest(facts []*history.Fact) *history.Fact {
	if len(facts) == 0 {
		return nil
	}
	return facts[len(facts)-1]
}
