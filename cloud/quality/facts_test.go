package quality

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestFacts_Waits(t *testing.T) {
	asking := Lot{Key: "lot::M:1", Plant: "p1", Decision: Release, Release: LotRelease{State: Asking, Round: 2, Since: noon}}
	free := []Usage{{System: "s4", Usage: event.Unrestricted, Own: event.Unrestricted}}
	lot := func(change func(*Lot)) Lot { l := asking; change(&l); return l }
	for _, c := range []struct {
		name    string
		f       Facts
		want    string // kinds, with plant and agent where they are named
		reasons []event.MoveReason
	}{
		{"it is not known", Facts{}, "", nil},
		{"it is known by its hold alone", Facts{Lot: Lot{Key: "lot::M:1", Stub: true, Release: LotRelease{State: Held}}, Open: []Hold{{ID: "hold:mes:1", Plant: "p2"}}},
			"hold p2, inspection", nil},
		{"its inspection is open", Facts{Lot: Lot{Key: "lot::M:1", InspectionRequired: true, Release: LotRelease{State: AwaitingInspection}},
			Inspections: []Inspection{{ID: "inspection:mes:1", Plant: "p1", State: InspectionPlanned}}}, "inspection p1", nil},
		{"no inspection was made", Facts{Lot: Lot{Key: "lot::M:1", Plant: "p1", InspectionRequired: true, Release: LotRelease{State: AwaitingInspection}}}, "inspection p1", nil},
		{"a part is not decided about", Facts{Lot: lot(func(l *Lot) { l.Remainder, l.Release.State = true, AwaitingDisposition })}, "disposition", nil},
		{"it is to be reworked", Facts{Lot: lot(func(l *Lot) { l.Decision, l.Release.State = ReworkLot, AwaitingDisposition })}, "disposition", nil},
		{"two agents, one has answered", Facts{Lot: asking, Ask: Ask{Barrier: 7, Round: 2}, Answers: []Answer{
			{Plant: "p1", Agent: "gw1", Answered: 7}, {Plant: "p2", Agent: "gw1", Answered: 6}}}, "answer p2 gw1",
			[]event.MoveReason{event.ReasonBarrier, event.ReasonUsageNotVerified}},
		{"a signature stands for the other", Facts{Lot: asking, Ask: Ask{Barrier: 7, Round: 2}, Answers: []Answer{{Plant: "p2", Agent: "gw1", Accepted: true}}}, "", nil},
		{"an earlier round was answered", Facts{Lot: asking, Ask: Ask{Barrier: 7, Round: 1}, Answers: []Answer{{Plant: "p1", Agent: "gw1", Answered: 9}}}, "answer p1 gw1", nil},
		{"a gap keeps it from asking", Facts{Lot: asking, Evidence: Evidence{Gap: true}, Gaps: []Gap{{ID: "gap:mes:1", Kind: GapObservation, Plant: "p2"}},
			Answers: []Answer{{Plant: "p1", Agent: "gw1"}}}, "gap p2", []event.MoveReason{event.ReasonBarrier, event.ReasonGap, event.ReasonUsageNotVerified}},
		{"a record of no lot", Facts{Lot: asking, Evidence: Evidence{Gap: true}, Gaps: []Gap{{ID: "gap:mes:1", Kind: GapQuarantine, Plant: "p2"}}}, "quarantine p2", nil},
		{"an event of it failed", Facts{Lot: asking, Evidence: Evidence{Parked: true}}, "parked p1", nil},
		{"the ERP has to show it", Facts{Lot: lot(func(l *Lot) { l.Release = granted })}, "usage p1", []event.MoveReason{event.ReasonUsageNotVerified}},
		{"someone restricted it in the ERP", Facts{Lot: lot(func(l *Lot) {
			l.Release, l.Usage = granted, []Usage{{System: "s4", Usage: event.Blocked, Own: event.Unrestricted, Foreign: event.Blocked}}
		})}, "foreign p1", nil},
		{"it is released", Facts{Lot: lot(func(l *Lot) { l.Release.State, l.Usage = Released, free })}, "", []event.MoveReason{}},
		{"it is released, and held by scope", Facts{Lot: lot(func(l *Lot) { l.Release.State, l.Usage = Released, free }), Open: []Hold{{ID: "hold:api:1"}}}, "hold",
			[]event.MoveReason{event.ReasonOpenHold}},
		{"it is rejected", Facts{Lot: lot(func(l *Lot) { l.Release.State, l.Decision = Rejected, Reject })}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, w := range c.f.Waits("s4") {
				got = append(got, strings.TrimSpace(fmt.Sprint(w.Kind, " ", w.Plant, " ", w.Agent)))
				if w.Words == "" {
					t.Errorf("%s says nothing", w.Kind)
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("it waits for %q, want %q", got, c.want)
			}
			if c.reasons == nil {
				return
			}
			if r := c.f.Reasons("s4"); !slices.Equal(r, c.reasons) {
				t.Errorf("reasons are %v, want %v", r, c.reasons)
			}
			if gate := WantedGate(&c.f, "s4"); (gate == GateOpen) != (len(c.reasons) == 0) {
				t.Errorf("the gate is %s with reasons %v", gate, c.reasons)
			}
		})
	}
}

// A decision that forbids counts from the moment that it is made, also while the ERP still shows the release before it.
func TestFacts_Reasons_RejectedAfterRelease(t *testing.T) {
	free := []Usage{{System: "s4", Usage: event.Unrestricted, Own: event.Unrestricted}}
	for _, erp := range []string{"s4", ""} {
		f := Facts{Lot: Lot{Key: decidedLot, Decision: Release, Usage: free, Release: LotRelease{State: Released}}}
		if gate := WantedGate(&f, erp); gate != GateOpen {
			t.Errorf("with ERP %q the gate of a released lot is %s: %v", erp, gate, f.Reasons(erp))
		}
		for _, d := range []Decision{Reject, Scrap, ReturnToSupplier, ReworkLot} {
			f.Lot.Decision = d
			if gate := WantedGate(&f, erp); gate != GateHeld || f.Status(erp).MayMove {
				t.Errorf("with ERP %q and decision %s the gate is %s: %v", erp, d, gate, f.Reasons(erp))
			}
		}
	}
}
