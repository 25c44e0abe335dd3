package quality

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func holdOfKind(k event.HoldKind) Hold {
	return Hold{ID: "hold:qms1:1", Lot: "lot::M:1", Kind: k, PlacedAt: noon}
}

func TestOwnUsage(t *testing.T) {
	for _, c := range []struct {
		name     string
		decision Decision
		required bool
		holds    []event.HoldKind
		want     event.UsageStatus
	}{
		{"nothing speaks against it", "", false, nil, event.Unrestricted},
		{"its inspection is to come", "", true, nil, event.InInspection},
		{"a release ends the inspection", Release, true, nil, event.Unrestricted},
		{"a release under condition restricts", ConditionalRelease, false, nil, event.Restricted},
		{"rework restricts", ReworkLot, false, nil, event.Restricted},
		{"regrading restricts", Regrade, true, nil, event.Restricted},
		{"a reject blocks", Reject, false, nil, event.Blocked},
		{"scrap blocks", Scrap, false, nil, event.Blocked},
		{"a return to the supplier blocks", ReturnToSupplier, false, nil, event.Blocked},
		{"a hold of quality restricts", Release, false, []event.HoldKind{event.HoldQuality}, event.Restricted},
		{"a hold of documents restricts", "", true, []event.HoldKind{event.HoldDoc}, event.Restricted},
		{"a hold of the system restricts", "", true, []event.HoldKind{event.HoldSystem}, event.Restricted},
		{"a hold of safety blocks", Release, false, []event.HoldKind{event.HoldSafety}, event.Blocked},
		{"a recall blocks", Release, false, []event.HoldKind{event.HoldRecall}, event.Blocked},
		{"the worst hold counts", Release, false, []event.HoldKind{event.HoldSafety, event.HoldDoc}, event.Blocked},
		{"a hold does not soften a reject", Reject, false, []event.HoldKind{event.HoldDoc}, event.Blocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			var open []Hold
			for _, k := range c.holds {
				open = append(open, holdOfKind(k))
			}
			if got := OwnUsage(&Lot{Decision: c.decision, InspectionRequired: c.required}, open); got != c.want {
				t.Errorf("want %s, got %s", c.want, got)
			}
		})
	}
}

// granted is a release that every agent in question has answered for.
var granted = LotRelease{State: Releasing, Barrier: 1, Round: 1, Since: noon}

func TestWantedUsage_Grant(t *testing.T) {
	blocked := []Usage{{System: "s4", Usage: event.Blocked, Own: event.Blocked}}
	for _, c := range []struct {
		name     string
		lot      Lot
		evidence Evidence
		seen     event.UsageStatus
		want     event.UsageStatus
	}{
		{"without a grant nothing is freed", Lot{Usage: blocked, Release: LotRelease{State: Asking}}, Evidence{}, event.Blocked, event.Blocked},
		{"with one it is", Lot{Usage: blocked, Release: granted}, Evidence{}, event.Blocked, event.Unrestricted},
		{"a released lot is freed again where our own write did not last", Lot{Usage: blocked, Release: LotRelease{State: Released}}, Evidence{},
			event.Blocked, event.Unrestricted},
		{"what is free already stays free without one", Lot{Release: LotRelease{State: Asking}}, Evidence{}, event.Unrestricted, event.Unrestricted},
		{"inspection stock is not freed without one", Lot{Decision: Release, InspectionRequired: true, Release: LotRelease{State: Asking}}, Evidence{},
			event.InInspection, event.InInspection},
		{"a gap comes between grant and write", Lot{Usage: blocked, Release: granted}, Evidence{Gap: true}, event.Blocked, event.Blocked},
		{"a parked event comes between", Lot{Usage: blocked, Release: granted}, Evidence{Parked: true}, event.Blocked, event.Blocked},
		{"a record that is not understood comes between", Lot{Usage: blocked, Release: granted}, Evidence{Quarantined: true}, event.Blocked, event.Blocked},
		{"stock turns up at a plant that was not asked", Lot{Usage: blocked, Release: granted}, Evidence{Unasked: true}, event.Blocked, event.Blocked},
		{"a conditional release needs no grant to leave the block", Lot{Usage: blocked, Decision: ConditionalRelease}, Evidence{}, event.Blocked,
			event.Restricted},
		{"a part that is not decided about keeps the lot in inspection", Lot{Decision: Release, Remainder: true, Release: granted}, Evidence{},
			event.Unrestricted, event.InInspection},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := WantedUsage(&c.lot, nil, c.evidence, Seen{System: "s4", Usage: c.seen, Ours: true}); got != c.want {
				t.Errorf("want %s, got %s", c.want, got)
			}
		})
	}
}

func TestFacts_Wanted_UnaskedPlant(t *testing.T) {
	f := Facts{Lot: Lot{Plant: "p1", Release: LotRelease{State: Releasing, Barrier: 5, Plants: []event.PlantID{"p3"}}}, Plants: []event.PlantID{"p1", "p3"}}
	seen := Seen{System: "s4", Usage: event.Blocked, Ours: true, Plants: []event.PlantID{"p1", "p3"}}
	if got := f.Wanted(seen); got != event.Unrestricted {
		t.Errorf("with stock at a plant that was asked the lot is %s", got)
	}
	seen.Plants = []event.PlantID{"p1", "p2"}
	if got := f.Wanted(seen); got != event.Blocked {
		t.Errorf("with stock at a plant that was not asked the lot is %s", got)
	}
}

func TestWantedUsage(t *testing.T) {
	verified := func(usage, own event.UsageStatus) []Usage { return []Usage{{System: "s4", Usage: usage, Own: own}} }
	safety, quality := []Hold{holdOfKind(event.HoldSafety)}, []Hold{holdOfKind(event.HoldQuality)}
	for _, c := range []struct {
		name     string
		lot      Lot
		open     []Hold
		evidence Evidence
		seen     event.UsageStatus
		ours     bool
		want     event.UsageStatus
	}{
		{"a hold restricts what is free", Lot{}, quality, Evidence{}, event.Unrestricted, false, event.Restricted},
		{"a hold raises what someone restricted", Lot{}, safety, Evidence{}, event.Restricted, false, event.Blocked},
		{"what is right stays", Lot{}, safety, Evidence{}, event.Blocked, false, event.Blocked},
		{"first contact: a restriction there is someone else's", Lot{}, nil, Evidence{}, event.Restricted, false, event.Restricted},
		{"first contact: a stronger one than our hold stays", Lot{}, quality, Evidence{}, event.Blocked, false, event.Blocked},
		{"first contact: a lot that had to be inspected lies in inspection stock", Lot{InspectionRequired: true, Decision: Release}, nil, Evidence{},
			event.InInspection, false, event.Unrestricted},
		{"first contact: one that had not is in inspection for someone else", Lot{Decision: Release}, nil, Evidence{}, event.InInspection, false,
			event.InInspection},
		{"our own block is taken back", Lot{Usage: verified(event.Blocked, event.Blocked)}, nil, Evidence{}, event.Blocked, false, event.Unrestricted},
		{"our own restriction is taken back to inspection", Lot{InspectionRequired: true, Usage: verified(event.Restricted, event.Restricted)}, nil,
			Evidence{}, event.Restricted, false, event.InInspection},
		{"someone restricted before our hold: it stays when ours is lifted", Lot{Usage: verified(event.Restricted, event.Unrestricted)}, nil,
			Evidence{}, event.Restricted, false, event.Restricted},
		{"someone blocked what we restricted: it stays when ours is lifted", Lot{Usage: verified(event.Restricted, event.Restricted)}, nil,
			Evidence{}, event.Blocked, false, event.Blocked},
		{"someone freed what is held: it is restricted again", Lot{Usage: verified(event.Restricted, event.Restricted)}, quality,
			Evidence{}, event.Unrestricted, false, event.Restricted},
		{"the other's restriction was removed there", Lot{Usage: verified(event.Restricted, event.Unrestricted)}, nil, Evidence{}, event.Unrestricted,
			false, event.Unrestricted},
		{"a write of ours that may have landed is ours", Lot{Usage: verified(event.Unrestricted, event.Unrestricted)}, nil, Evidence{}, event.Blocked,
			true, event.Unrestricted},
		{"another system's verification says nothing", Lot{Usage: []Usage{{System: "other", Usage: event.Blocked, Own: event.Blocked}}}, nil,
			Evidence{}, event.Blocked, false, event.Blocked},
		{"a parked event frees nothing", Lot{Usage: verified(event.Blocked, event.Blocked)}, nil, Evidence{Parked: true}, event.Blocked, false, event.Blocked},
		{"a quarantined record frees nothing, not even after our write", Lot{}, nil, Evidence{Quarantined: true}, event.Restricted, true, event.Restricted},
		{"a parked event keeps what is there, whatever is asked for", Lot{InspectionRequired: true, Usage: verified(event.Restricted, event.Restricted)},
			nil, Evidence{Parked: true}, event.Restricted, false, event.Restricted},
		{"a gap frees nothing", Lot{Usage: verified(event.Blocked, event.Blocked)}, nil, Evidence{Gap: true}, event.Blocked, false, event.Blocked},
		{"only a release waits for a gap: a lifted hold leaves the lot in inspection",
			Lot{InspectionRequired: true, Usage: verified(event.Restricted, event.Restricted)}, nil, Evidence{Gap: true}, event.Restricted, false,
			event.InInspection},
		{"a parked event does not stop a hold", Lot{}, safety, Evidence{Parked: true}, event.Unrestricted, false, event.Blocked},
		{"a lot known by a hold alone is not freed", Lot{Stub: true, Usage: verified(event.Blocked, event.Blocked)}, nil, Evidence{}, event.Blocked, false, event.Blocked},
		{"a code that is not known is kept as it is", Lot{}, nil, Evidence{}, event.OtherUsage, false, event.OtherUsage},
		{"a code that is not known is raised by a block", Lot{}, safety, Evidence{}, event.OtherUsage, false, event.Blocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.lot.Release = granted
			if got := WantedUsage(&c.lot, c.open, c.evidence, Seen{System: "s4", Usage: c.seen, Ours: c.ours}); got != c.want {
				t.Errorf("want %s, got %s", c.want, got)
			}
		})
	}
}

// erp is a lot in an ERP, changed by us only through what Wanted says and what Decide makes of the verification.
type erp struct {
	t     *testing.T
	facts Facts
	usage event.UsageStatus
}

// settle does what the dispatcher does for the lot, and feeds the outcome back.
func (r *erp) settle() {
	r.t.Helper()
	seen := Seen{System: "s4", Usage: r.usage}
	want, foreign := r.facts.Wanted(seen), ForeignUsage(&r.facts.Lot, seen)
	wrote := want != r.usage
	r.usage = want
	c, err := Decide(&event.Event{ID: "e1", Data: &event.EffectSettled{
		MayLot: event.MayLot{Lot: r.facts.Lot.Key}, Kind: event.Name(LotUsageSet), System: "s4", Object: string(r.facts.Lot.Key),
		Outcome: event.Applied, Usage: want, Own: OwnUsage(&r.facts.Lot, r.facts.Open), Foreign: foreign, Wrote: wrote,
	}}, Objects{Now: noon, Lot: &r.facts.Lot, Open: r.facts.Open})
	if err != nil {
		r.t.Fatal(err)
	}
	r.facts.Lot = *c.Lot
}

func TestWantedUsage_OverTime(t *testing.T) {
	start := func(t *testing.T, usage event.UsageStatus) *erp {
		r := &erp{t: t, facts: Facts{Lot: Lot{Key: "lot::M:1", Decision: Release, Release: granted}}, usage: usage}
		r.settle()
		return r
	}
	hold := func(r *erp, k event.HoldKind) { r.facts.Open = []Hold{holdOfKind(k)}; r.settle() }
	lift := func(r *erp) {
		r.facts.Open = nil
		r.facts.Lot.Release = granted // all agents have answered anew
		r.settle()
	}
	want := func(r *erp, u event.UsageStatus) {
		r.t.Helper()
		if r.usage != u {
			r.t.Errorf("the ERP enforces %s, want %s", r.usage, u)
		}
	}
	t.Run("held and lifted", func(t *testing.T) {
		r := start(t, event.Unrestricted)
		hold(r, event.HoldSafety)
		want(r, event.Blocked)
		lift(r)
		want(r, event.Unrestricted)
	})
	t.Run("someone restricted it at first contact, as much as our hold does", func(t *testing.T) {
		r := start(t, event.Restricted)
		hold(r, event.HoldQuality)
		lift(r)
		want(r, event.Restricted)
		r.usage = event.Unrestricted // the other takes it back
		r.settle()
		want(r, event.Unrestricted)
		hold(r, event.HoldQuality)
		lift(r)
		want(r, event.Unrestricted)
	})
	t.Run("someone restricted it between two looks, as much as our hold does", func(t *testing.T) {
		r := start(t, event.Unrestricted)
		r.usage = event.Restricted
		hold(r, event.HoldQuality)
		lift(r)
		want(r, event.Restricted)
	})
	t.Run("someone restricted it less than our hold does: it stays so when ours is lifted", func(t *testing.T) {
		r := start(t, event.Unrestricted)
		r.usage = event.Restricted
		hold(r, event.HoldSafety)
		want(r, event.Blocked)
		lift(r)
		want(r, event.Restricted)
		r.usage = event.Unrestricted // the other takes it back
		r.settle()
		want(r, event.Unrestricted)
	})
	t.Run("someone blocked it under our hold", func(t *testing.T) {
		r := start(t, event.Unrestricted)
		hold(r, event.HoldQuality)
		r.usage = event.Blocked
		r.settle()
		lift(r)
		want(r, event.Blocked)
	})
	t.Run("a kept restriction is named as a reason", func(t *testing.T) {
		r := start(t, event.Restricted)
		reasons := r.facts.Reasons("s4")
		if len(reasons) != 2 || reasons[0] != event.ReasonForeignRestriction || reasons[1] != event.ReasonUsageNotVerified {
			t.Errorf("reasons are %v", reasons)
		}
	})
}

// What an ERP shows at first contact, or after our own write, is ours where it is no more than our rules may have led to: it
// is freed when the release is granted.
func TestFacts_Wanted_FirstContact(t *testing.T) {
	for _, c := range []struct {
		name    string
		settled event.EffectSettled // while the lot asks or is not decided about
		want    event.UsageStatus   // after the grant
	}{
		{"inspection stock, seen after the decision", event.EffectSettled{Usage: event.InInspection, Own: event.Unrestricted}, event.Unrestricted},
		{"inspection stock, seen before it", event.EffectSettled{Usage: event.InInspection, Own: event.InInspection}, event.Unrestricted},
		{"an ERP that has no inspection stock: our own flag", event.EffectSettled{Usage: event.Restricted, Own: event.InInspection, Wrote: true}, event.Unrestricted},
		{"someone else's restriction", event.EffectSettled{Usage: event.Restricted, Own: event.Unrestricted, Foreign: event.Restricted}, event.Restricted},
	} {
		t.Run(c.name, func(t *testing.T) {
			lot := Lot{Key: decidedLot, Plant: "p1", InspectionRequired: true, Decision: Release, Release: LotRelease{State: Asking, Round: 1}}
			d := c.settled
			d.MayLot, d.Kind, d.System, d.Object, d.Outcome = event.MayLot{Lot: decidedLot}, event.Name(LotUsageSet), "s4", string(decidedLot), event.AlreadyApplied
			got, err := Decide(&event.Event{ID: "s", Data: &d}, Objects{Now: noon, Lot: &lot, Plant: Plant{ID: "p1", ERP: "s4"}})
			if err != nil {
				t.Fatal(err)
			}
			f := Facts{Lot: *got.Lot}
			f.Lot.Release = LotRelease{State: Releasing, Barrier: 5}
			if w := f.Wanted(Seen{System: "s4", Usage: d.Usage}); w != c.want {
				t.Errorf("after the grant %s is wanted, want %s; stored is %+v", w, c.want, f.Lot.Usage)
			}
		})
	}
}

func TestCommandID_Long(t *testing.T) {
	a, b := CommandID("w2", strings.Repeat("a", 1024), "usage", 1), CommandID("w2", strings.Repeat("a", 1023)+"b", "usage", 1)
	if len(a) > 256 || a == b {
		t.Errorf("commands are %q and %q", a, b)
	}
	if c := CommandID("w2", "lot::M:1", "usage", 7); c != "cmd:w2:lot::M:1:usage:7" {
		t.Errorf("command is %q", c)
	}
}

func TestMatches(t *testing.T) {
	made := Lot{Key: "lot::M:1", Plant: "p1", Material: "M", Supplier: "ACME", Sublot: "S1", Equipment: "press4", MadeAt: noon}
	at := func(d time.Duration) event.Time { return event.At(noon.Add(d)) }
	for _, c := range []struct {
		name  string
		scope event.Scope
		lot   func(*Lot)
		want  bool
	}{
		{"a supplier's lots, in any plant", event.Scope{Kind: event.ScopeSupplier, Value: "ACME"}, nil, true},
		{"not another supplier's", event.Scope{Kind: event.ScopeSupplier, Value: "OTHER"}, nil, false},
		{"no supplier is no supplier's", event.Scope{Kind: event.ScopeSupplier, Value: ""}, func(l *Lot) { l.Supplier = "" }, false},
		{"a sublot", event.Scope{Kind: event.ScopeSublot, Value: "S1"}, nil, true},
		{"no sublot is no sublot", event.Scope{Kind: event.ScopeSublot}, func(l *Lot) { l.Sublot = "" }, false},
		{"a material at its plant", event.Scope{Kind: event.ScopeMaterial, Value: "M", Plant: "p1"}, nil, true},
		{"not at another plant", event.Scope{Kind: event.ScopeMaterial, Value: "M", Plant: "p2"}, nil, false},
		{"an equipment, at any time", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p1"}, nil, true},
		{"an equipment in the interval, its ends included", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p1", From: at(0), To: at(0)}, nil, true},
		{"not before it", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p1", From: at(time.Second)}, nil, false},
		{"not after it", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p1", To: at(-time.Second)}, nil, false},
		{"a lot of unknown time may be in it", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p1", To: at(-time.Second)},
			func(l *Lot) { l.MadeAt = time.Time{} }, true},
		{"not another plant's equipment", event.Scope{Kind: event.ScopeEquipment, Value: "press4", Plant: "p2"}, nil, false},
		{"a kind that is not known matches nothing", event.Scope{Kind: "shift", Value: "M", Plant: "p1"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lot := made
			if c.lot != nil {
				c.lot(&lot)
			}
			if got := Matches(&c.scope, &lot); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestReference(t *testing.T) {
	seen := map[EffectRef]bool{}
	for g := range int64(1000) {
		ref := Reference(CommandID("w2", "lot::M:1", "usage", g))
		if len(ref) != ReferenceLength || ref[:2] != "HF" || seen[ref] {
			t.Fatalf("reference %q of generation %d", ref, g)
		}
		seen[ref] = true
	}
}
