package workflow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestEngine_FailureHoldsTheLotFirst(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	b.want(b.send("2", b.measured("L1", 1, "61.2", event.Fail)), Accepted, "")
	f := b.facts("L1")
	if len(f.Open) != 1 || f.Open[0].Kind != event.HoldQuality || !strings.Contains(f.Open[0].Reason, "torque 61.2 N.m outside 40 to 50") {
		t.Fatalf("open holds are %+v", f.Open)
	}
	effects := b.effects("L1")
	if len(effects) != 2 {
		t.Fatalf("effects are %+v, want usage and nonconformance", effects)
	}
	for _, e := range effects {
		if e.Kind == quality.LotUsageSet && e.Priority != 0 {
			t.Error("the effect of a hold does not go first")
		}
	}
	t.Run("ASecondFailureOfTheInspectionIsTheSameCase", func(t *testing.T) {
		b.want(b.send("3", b.measured("L1", 2, "62.0", event.Fail)), Accepted, "")
		if f := b.facts("L1"); len(f.Open) != 1 {
			t.Errorf("%d open holds, want one", len(f.Open))
		}
	})
	t.Run("SafetyRaisesTheHold", func(t *testing.T) {
		b.want(b.send("4", b.safety("L1")), Accepted, "")
		if f := b.facts("L1"); len(f.Open) != 1 || f.Open[0].Kind != event.HoldSafety || quality.OwnUsage(&f.Lot, f.Open) != event.Blocked {
			t.Errorf("open holds are %+v, want one of kind safety", f.Open)
		}
	})
}

func TestEngine_ScopeHold(t *testing.T) {
	b := newBench(t)
	for i := range 3 {
		b.send(fmt.Sprint(i), b.created(fmt.Sprintf("L%d", i), "kg"))
	}
	place := &event.HoldPlaced{
		HoldID: "hold:qms1:S-1", Scope: &event.Scope{Kind: event.ScopeSupplier, Value: "ACME"}, HoldKind: event.HoldQuality, Reason: "recall of steel",
		PlacedBy: "alice", PlacedAt: event.At(b.clock), Authority: event.AuthorityQuality, Traced: provenance("e"),
	}
	b.want(b.send("s", place), Accepted, "")
	b.pass(0)
	for i := range 3 {
		if f := b.facts(fmt.Sprintf("L%d", i)); len(f.Open) != 1 || f.Lot.Version != 2 {
			t.Errorf("lot %d is not held by the scope: %+v", i, f)
		}
	}
	b.send("9", b.created("L9", "kg"))
	if f := b.facts("L9"); len(f.Open) != 1 {
		t.Error("a lot that appears later is not held")
	}
	lift := &event.HoldLifted{
		HoldID: "hold:qms1:S-1", Scope: place.Scope, LiftedBy: "alice", LiftedAt: event.At(b.clock), Authority: event.AuthorityQuality,
		Reason: "steel is good", Traced: provenance("e"),
	}
	b.want(b.send("l", lift), Accepted, "")
	b.pass(0)
	if f := b.facts("L0"); len(f.Open) != 0 || f.Lot.Version != 3 {
		t.Errorf("after the lift: %+v", f)
	}
}

func TestEngine_Lift(t *testing.T) {
	b := newBench(t)
	lift := func(hold string, by event.Authority) event.Data {
		return &event.HoldLifted{
			MayLot: event.MayLot{Lot: lotKey("L1")}, HoldID: event.ObjectID(hold), LiftedBy: "bob", LiftedAt: event.At(b.clock), Authority: by,
			Reason: "checked", Traced: provenance("e"),
		}
	}
	place := func(hold string) event.Data {
		return &event.HoldPlaced{
			MayLot: event.MayLot{Lot: lotKey("L1")}, HoldID: event.ObjectID(hold), HoldKind: event.HoldQuality, Reason: "oil",
			PlacedBy: "alice", PlacedAt: event.At(b.clock), Authority: event.AuthorityQuality, Traced: provenance("e"),
		}
	}
	b.send("1", b.created("L1", "kg"))
	b.want(b.send("2", lift("hold:mes1:1", event.AuthorityQuality)), Waiting, problem.EventWaiting)
	b.want(b.send("3", place("hold:mes1:1")), Accepted, "")
	if f := b.facts("L1"); len(f.Open) != 0 {
		t.Error("a lift that waited for its hold was not applied")
	}
	b.want(b.send("4", place("hold:mes1:2")), Accepted, "")
	b.want(b.send("5", place("hold:mes1:3")), Accepted, "")
	b.want(b.send("6", lift("hold:mes1:2", event.AuthorityOperator)), Refused, problem.RuleRefused)
	b.want(b.send("7", lift("hold:mes1:2", event.AuthorityQuality)), Accepted, "")
	if f := b.facts("L1"); len(f.Open) != 1 {
		t.Errorf("%d open holds, want one: of two holds the lot is free only after the second lift", len(f.Open))
	}
	b.want(b.send("8", lift("hold:mes1:3", event.AuthorityQuality)), Accepted, "")
	if f := b.facts("L1"); len(f.Open) != 0 {
		t.Error("the lot is still held")
	}
}
