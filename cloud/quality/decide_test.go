package quality

import (
	"errors"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const decidedLot = event.LotKey("lot::M:1")

func lift(authority event.Authority, plant event.PlantID) *event.Event {
	return &event.Event{ID: "lift", Plant: plant, Time: noon, Data: &event.HoldLifted{
		MayLot: event.MayLot{Lot: decidedLot}, HoldID: "hold:qms1:1", Reason: "tested again", LiftedBy: "ann", LiftedAt: event.At(noon), Authority: authority,
	}}
}

func TestDecide_HoldLifted(t *testing.T) {
	for _, c := range []struct {
		name      string
		placed    event.Authority
		from      event.PlantID
		authority event.Authority
		plant     event.PlantID
		refused   bool
	}{
		{"quality lifts what quality placed", event.AuthorityQuality, "p1", event.AuthorityQuality, "p1", false},
		{"an operator lifts an operator's", event.AuthorityOperator, "p1", event.AuthorityOperator, "p1", false},
		{"quality lifts an operator's", event.AuthorityOperator, "p1", event.AuthorityQuality, "", false},
		{"an operator does not lift quality's", event.AuthorityQuality, "p1", event.AuthorityOperator, "p1", true},
		{"a plant does not lift another's", event.AuthorityQuality, "p1", event.AuthorityQuality, "p2", true},
		{"a plant does not lift the cloud's", event.AuthorityQuality, "", event.AuthorityQuality, "p1", true},
		{"the cloud lifts a plant's", event.AuthorityQuality, "p1", event.AuthorityQuality, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := holdOfKind(event.HoldQuality)
			h.Authority, h.Plant = c.placed, c.from
			got, err := Decide(lift(c.authority, c.plant), Objects{Now: noon, Lot: &Lot{Key: decidedLot}, Hold: &h, Open: []Hold{h}, Plant: Plant{ERP: "s4"}})
			var refusal *Refusal
			if errors.As(err, &refusal) != c.refused {
				t.Fatalf("got %v", err)
			}
			if c.refused {
				return
			}
			if len(got.Holds) != 1 || got.Holds[0].Open() || len(got.Intents) != 1 || got.Intents[0].Urgent {
				t.Errorf("change is %+v: want the hold lifted, and usage asked for without urgency", got)
			}
		})
	}
	t.Run("waits for a hold that is not known", func(t *testing.T) {
		var wait *Wait
		if _, err := Decide(lift(event.AuthorityQuality, ""), Objects{Now: noon}); !errors.As(err, &wait) || wait.Object != "hold:qms1:1" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a second lift changes nothing", func(t *testing.T) {
		h := holdOfKind(event.HoldQuality)
		h.LiftedBy = "bob"
		if got, err := Decide(lift(event.AuthorityQuality, ""), Objects{Now: noon, Hold: &h}); err != nil || len(got.Holds) != 0 || got.Lot != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func failed(id event.ID) *event.Event {
	return &event.Event{ID: id, Plant: "p1", Time: noon, Data: &event.SafetyFailed{
		OfLot: event.OfLot{Lot: decidedLot}, InspectionID: "inspection:mes1:7", Characteristic: "torque", Evaluation: event.Fail,
		Value: "61.2", Unit: "N.m", USL: "50", MeasuredAt: event.At(noon),
	}}
}

func TestDecide_SafetyFailed(t *testing.T) {
	plant := Plant{ID: "p1", ERP: "s4", QMS: "qms1"}
	t.Run("holds a lot that is not known yet", func(t *testing.T) {
		got, err := Decide(failed("f1"), Objects{Now: noon, Plant: plant})
		if err != nil || len(got.Holds) != 1 || got.Holds[0].Kind != event.HoldSafety || got.Lot == nil || !got.Lot.Stub {
			t.Fatalf("got %+v, %v", got, err)
		}
		if len(got.Intents) != 2 || got.Intents[0].Kind != LotUsageSet || !got.Intents[0].Urgent || got.Intents[1].Kind != NonconformanceEnsure {
			t.Errorf("intents are %+v", got.Intents)
		}
	})
	t.Run("raises the kind of a hold of the same case, which is then not enforced yet", func(t *testing.T) {
		h := holdOfKind(event.HoldQuality)
		h.EnforcedAt = noon
		got, err := Decide(failed("f1"), Objects{Now: noon, Plant: plant, Lot: &Lot{Key: decidedLot}, Hold: &h})
		if err != nil || len(got.Holds) != 1 || got.Holds[0].ID != h.ID || got.Holds[0].Kind != event.HoldSafety || !got.Holds[0].EnforcedAt.IsZero() {
			t.Errorf("got %+v, %v", got.Holds, err)
		}
	})
	t.Run("does not lower a recall", func(t *testing.T) {
		h := holdOfKind(event.HoldRecall)
		h.Authority = event.AuthorityQuality
		if got, err := Decide(failed("f1"), Objects{Now: noon, Plant: plant, Lot: &Lot{Key: decidedLot}, Hold: &h}); err != nil || len(got.Holds) != 0 {
			t.Errorf("got %+v, %v", got.Holds, err)
		}
	})
	t.Run("after the lift is a hold of its own", func(t *testing.T) {
		h := holdOfKind(event.HoldSafety)
		h.LiftedBy = "ann"
		got, err := Decide(failed("f2"), Objects{Now: noon, Plant: plant, Lot: &Lot{Key: decidedLot}, Hold: &h})
		if err != nil || len(got.Holds) != 1 || got.Holds[0].ID == h.ID || !got.Holds[0].Open() {
			t.Errorf("got %+v, %v", got.Holds, err)
		}
	})
}

// Whichever of two facts that name a hold alike comes first, the higher kind and the higher authority stand.
func TestDecide_HoldPlacedAgain(t *testing.T) {
	place := func(plant event.PlantID, kind event.HoldKind, by event.Authority) *event.Event {
		return &event.Event{ID: event.ID(kind), Plant: plant, Time: noon, Data: &event.HoldPlaced{
			MayLot: event.MayLot{Lot: decidedLot}, HoldID: "hold:mes:1", HoldKind: kind, Authority: by, PlacedBy: event.Name(kind), Reason: string(kind),
		}}
	}
	for _, c := range []struct {
		name   string
		first  *event.Event
		second *event.Event
		want   Hold // what both orders must leave
	}{
		{"an operator's, then the quality department's recall", place("p1", event.HoldDoc, event.AuthorityOperator), place("", event.HoldRecall, event.AuthorityQuality),
			Hold{Kind: event.HoldRecall, Authority: event.AuthorityQuality, PlacedBy: "recall"}},
		{"the higher kind in the name of the lower authority", place("p1", event.HoldDoc, event.AuthorityQuality), place("p1", event.HoldSafety, event.AuthorityOperator),
			Hold{Kind: event.HoldSafety, Authority: event.AuthorityQuality, PlacedBy: "safety", Plant: "p1"}},
	} {
		for order, events := range map[string][]*event.Event{"": {c.first, c.second}, ", the other way round": {c.second, c.first}} {
			t.Run(c.name+order, func(t *testing.T) {
				o := Objects{Now: noon, Lot: &Lot{Key: decidedLot}}
				for _, e := range events {
					got, err := Decide(e, o)
					if err != nil {
						t.Fatal(err)
					}
					if len(got.Holds) == 1 {
						o.Hold, o.Open = &got.Holds[0], got.Holds
					}
				}
				if h := o.Hold; h.Kind != c.want.Kind || h.Authority != c.want.Authority || h.PlacedBy != c.want.PlacedBy || h.Plant != c.want.Plant {
					t.Errorf("the hold is %+v, want %+v", *h, c.want)
				}
				lift := &event.HoldLifted{MayLot: event.MayLot{Lot: decidedLot}, HoldID: "hold:mes:1", Authority: event.AuthorityOperator, LiftedBy: "op"}
				if _, err := Decide(&event.Event{ID: "l", Plant: "p1", Data: lift}, o); err == nil {
					t.Error("an operator lifts it")
				}
			})
		}
	}
	t.Run("a rule raises an operator's hold in the name of the quality department", func(t *testing.T) {
		h := holdOfKind(event.HoldDoc)
		h.Authority, h.Plant, h.PlacedBy = event.AuthorityOperator, "p1", "op"
		got, err := Decide(failed("f3"), Objects{Now: noon, Plant: Plant{ID: "p1"}, Lot: &Lot{Key: decidedLot}, Hold: &h})
		if err != nil || len(got.Holds) != 1 || got.Holds[0].Authority != event.AuthorityQuality || got.Holds[0].Kind != event.HoldSafety || got.Holds[0].PlacedBy != "rule" {
			t.Errorf("got %+v, %v", got.Holds, err)
		}
	})
}

func TestDecide_UsageDecision_EachERP(t *testing.T) {
	lot := Lot{Key: decidedLot, Plant: "p1", Q: event.Quantity{Value: "500", Unit: "kg"}, InspectionRequired: true, Release: LotRelease{State: Asking, Round: 1}, Decision: Release}
	o := Objects{
		Now: noon, Lot: &lot, Plant: Plant{ID: "p1", ERP: "s4"}, Others: []Plant{{ID: "p1", ERP: "s4"}, {ID: "p2", ERP: "s4"}, {ID: "p4", ERP: "erp2"}},
		Dispositions: []Disposition{{ID: d1, Lot: decidedLot, Decision: Release}},
	}
	fired := &event.TimerFired{
		MayLot: event.MayLot{Lot: decidedLot}, Timer: TimerAnswered, Object: ReleaseTimer{Lot: decidedLot, Barrier: 5, Round: 1, Plants: []event.PlantID{"p4"}}.String(),
	}
	got, err := Decide(&event.Event{ID: "t", Data: fired}, o)
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	for _, i := range got.Intents {
		if i.Kind == UsageDecisionPost {
			commands[i.System] = i.CommandID
		}
	}
	if len(commands) != 2 || commands["s4"] != "cmd:w1:disposition:qms:1:usage_decision:1" || commands["erp2"] != "cmd:w1:disposition:qms:1@erp2:usage_decision:1" {
		t.Errorf("usage decisions are %v", commands)
	}
	if r := got.Lot.Release; len(r.Plants) != 1 || r.Plants[0] != "p4" || r.Barrier != 5 {
		t.Errorf("the release is %+v", r)
	}
}

func TestDecide_EffectSettled(t *testing.T) {
	settled := func(u event.UsageStatus, o event.Outcome) *event.Event {
		return &event.Event{ID: "s", Data: &event.EffectSettled{
			MayLot: event.MayLot{Lot: decidedLot}, Kind: event.Name(LotUsageSet), System: "s4", Object: string(decidedLot), Outcome: o, Usage: u, Own: u, Wrote: true,
		}}
	}
	h := holdOfKind(event.HoldSafety)
	nc := Nonconformance{ID: "nonconformance:mes1:7", State: NCOpened, Lots: []event.LotKey{decidedLot}}
	objects := func() Objects {
		return Objects{Now: noon, Lot: &Lot{Key: decidedLot, Unenforced: true, Release: LotRelease{State: Held}}, Open: []Hold{h}, Nonconformances: []Nonconformance{nc}}
	}
	t.Run("marks hold and nonconformance once the ERP blocks", func(t *testing.T) {
		got, err := Decide(settled(event.Blocked, event.Applied), objects())
		if err != nil || len(got.Holds) != 1 || got.Holds[0].EnforcedAt.IsZero() || got.Lot.Unenforced ||
			len(got.Nonconformances) != 1 || got.Nonconformances[0].State != NCContained {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a weaker usage enforces nothing", func(t *testing.T) {
		got, err := Decide(settled(event.Restricted, event.Applied), objects())
		if err != nil || len(got.Holds) != 0 || len(got.Nonconformances) != 0 || !got.Lot.Unenforced {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a rejected write verifies nothing", func(t *testing.T) {
		if got, err := Decide(settled(event.Blocked, event.Rejected), objects()); err != nil || got.Lot != nil || len(got.Holds) != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
