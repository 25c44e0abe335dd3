package check

import (
	"cmp"
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Kept is I15: a record that was not applied is kept byte for byte, with why; while records of a key are parked nothing
// else of the key is applied but urgent events; redriven ones come in their order; a corrected one names what it stands
// for.
func Kept(r *Run) Finding {
	f := &finder{invariant: "I15"}
	sent := map[event.ID]map[event.Hash]bool{}
	for _, x := range r.History.Of(history.Put) {
		if sent[x.Event] == nil {
			sent[x.Event] = map[event.Hash]bool{}
		}
		sent[x.Event][x.Bytes] = true
	}
	keys := map[string][]*history.Fact{}
	inbox := byEvent(r.History, history.Inbox)
	for _, x := range r.History.Of(history.Parked, history.Quarantined) {
		f.judge()
		if all := sent[x.Event]; x.Door != "C" && x.Event != "" && len(all) > 0 && !all[x.Bytes] {
			f.wrong(x, "its bytes are not those that its agent sent")
		}
		if x.Reason == "" {
			f.wrong(x, "it is kept without a reason")
		}
		if x.State == history.Replaced {
			r.replaced(f, x, inbox)
		}
		if x.Kind == history.Parked && !waits(x) && x.Key != "" {
			keys[x.Key] = append(keys[x.Key], x)
		}
	}
	byKey := map[string][]*history.Fact{}
	for _, x := range applied(r.History) {
		byKey[x.Key] = append(byKey[x.Key], x)
	}
	for key, parked := range keys {
		f.ordered(parked, byKey[key])
	}
	return f.found
}

// waits tells whether a record that was not applied waits for an object that is not known yet, or did: that parks nothing.
func waits(x *history.Fact) bool {
	return x.State == history.Waiting || x.Kind == history.Parked && x.Object != ""
}

// replaced looks for the event that stands in the place of a record.
func (r *Run) replaced(f *finder, x *history.Fact, inbox map[event.ID][]*history.Fact) {
	by := inbox[x.ReplacedBy]
	switch {
	case x.ReplacedBy == "":
		f.wrong(x, "it was replaced by nothing")
	case len(by) == 0:
		f.wrong(x, "it was replaced by event %s, which was not applied", x.ReplacedBy)
	case by[0].Cause != x.Event:
		f.wrong(x, "it was replaced by event %s, which names %q as what it stands for", x.ReplacedBy, by[0].Cause)
	}
}

// ordered looks at one key: what was applied while records of it were parked, and the order of those that were redriven.
func (f *finder) ordered(parked, applied []*history.Fact) {
	own := map[event.ID]bool{}
	for _, x := range parked {
		own[x.Event] = true
	}
	for _, x := range applied {
		if x.Urgent || own[x.Event] || x.Door != "P" {
			continue
		}
		for _, p := range parked {
			if p.State != history.Dropped && p.At.Before(x.At) && (p.Until.IsZero() || x.At.Before(p.Until)) && !p.Urgent {
				f.wrong(x, "it was applied while record %s of its key was parked", p.Event)
				break
			}
		}
	}
	position := map[event.ID]int64{}
	for _, x := range applied {
		position[x.Event] = x.Pos
	}
	redriven := slices.DeleteFunc(slices.Clone(parked), func(x *history.Fact) bool { return x.State != history.Redriven || position[x.Event] == 0 })
	slices.SortFunc(redriven, func(a, b *history.Fact) int { return cmp.Compare(a.Ord, b.Ord) })
	for i := 1; i < len(redriven); i++ {
		a, b := redriven[i-1], redriven[i]
		if position[a.Event] > position[b.Event] {
			f.wrong(b, "it was redriven before record %s, which stood in front of it", a.Event)
		}
	}
}
