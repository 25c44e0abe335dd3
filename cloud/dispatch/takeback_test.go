package dispatch

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// released is a bench whose lot was released, and of which something moved since.
func released(t *testing.T) *bench {
	t.Helper()
	b := newDeskBench(t)
	b.decide("disposition:qms1:1", event.DecisionRelease, "")
	b.grant()
	b.work()
	if got := b.lot().Release.State; got != quality.Released {
		t.Fatalf("the lot is %s", got)
	}
	b.clock = b.clock.Add(time.Hour)
	b.system.moved = []event.Movement{{Document: "2026/4900000007/1", Kind: "601", To: "80001234", Q: event.Quantity{Value: "20.5", Unit: "kg"}, At: event.At(b.clock)}}
	b.desk.tasks = []connector.Task{
		{ID: "T-1", Kind: "pick", State: connector.TaskOpen}, {ID: "T-2", Kind: "pick", State: connector.TaskStarted, Order: "SO-1"},
		{ID: "T-3", Kind: "ship", State: connector.TaskDone, Order: "SO-2"}, {ID: "T-4", Kind: putaway, State: connector.TaskDone},
	}
	b.desk.version++
	return b
}

// said returns what a system is known to have said about a release that was taken back.
func (b *bench) said(system string) (moved []event.Movement, ok bool) {
	b.t.Helper()
	lot := b.lot()
	if lot.Takeback == nil {
		return nil, false
	}
	for _, r := range lot.Takeback.Read {
		if r.System == system {
			return r.Moved, true
		}
	}
	return nil, false
}

func TestDispatcher_Takeback(t *testing.T) {
	usageRow := string(quality.LotUsageSet) + "|s4|" + string(testLot)
	t.Run("lists what ERP and warehouse say to have moved since the release", func(t *testing.T) {
		b := released(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		if moved, ok := b.said("s4"); !ok || !slices.Equal(moved, b.system.moved) {
			t.Errorf("the ERP is said to have moved %+v, %t", moved, ok)
		}
		want := []event.Movement{
			{Document: "T-2", Kind: "pick", To: "SO-1", UnderWay: true, Warehouse: true}, {Document: "T-3", Kind: "ship", To: "SO-2", Warehouse: true},
		}
		if moved, ok := b.said("wms"); !ok || !slices.Equal(moved, want) {
			t.Errorf("the warehouse is said to have moved %+v, %t", moved, ok)
		}
		if b.system.now() != event.Blocked || b.desk.gate != quality.GateHeld {
			t.Errorf("the ERP says %s, the gate is %s", b.system.now(), b.desk.gate)
		}
	})
	t.Run("a list that can't be read keeps no hold waiting, and is asked for again", func(t *testing.T) {
		b := released(t)
		b.system.moves = errDown
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		r := b.row(usageRow)
		if moved, ok := b.said("s4"); ok || b.system.now() != event.Blocked || r.State != store.EffectDue || !r.Due.Equal(b.clock.Add(askMovesAgain)) {
			t.Fatalf("said %+v, %t; the ERP says %s, the effect is %s for %s", moved, ok, b.system.now(), r.State, r.Due.Sub(b.clock))
		}
		if h := b.holds(); len(h) != 1 || h[0].EnforcedAt.IsZero() {
			t.Errorf("the hold does not count as enforced: %+v", h)
		}
		events := b.inbox()
		b.wait(askMovesAgain, askMovesAgain)
		if got := b.inbox(); got != events {
			t.Errorf("%d events say that there is still no list", got-events)
		}
		b.system.moves = nil
		b.wait(askMovesAgain, askMovesAgain)
		if moved, ok := b.said("s4"); !ok || len(moved) != 1 || b.row(usageRow).State != store.EffectSettled {
			t.Errorf("said %+v, %t; the effect is %s", moved, ok, b.row(usageRow).State)
		}
	})
	t.Run("a system that can't say is not asked again", func(t *testing.T) {
		b := released(t)
		b.system.moves = connector.Result{Outcome: event.Rejected, Code: "object"}
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		if _, ok := b.said("s4"); ok || b.row(usageRow).State != store.EffectSettled || b.system.count("moves") != 1 {
			t.Errorf("said %t; the effect is %s after %d calls", ok, b.row(usageRow).State, b.system.count("moves"))
		}
	})
	t.Run("nobody is asked where no release was taken back", func(t *testing.T) {
		b := newDeskBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		if n := b.system.count("moves"); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
}

// holds returns the lot's open holds.
func (b *bench) holds() []quality.Hold {
	b.t.Helper()
	f, err := b.facts(b.t.Context(), testLot)
	if err != nil {
		b.t.Fatal(err)
	}
	return f.Open
}

func TestDispatcher_Inspection(t *testing.T) {
	inspected := func(b *bench, inspection event.ObjectID, verdict event.Verdict) string {
		b.t.Helper()
		b.send(&event.InspectionCompleted{
			OfInspection: event.OfInspection{OfLot: event.OfLot{Lot: testLot}, InspectionID: inspection}, InspectionType: event.InspectionFinal, Verdict: verdict, SpecRev: "C", ResultCount: 12,
			CompletedAt: event.At(b.clock), Traced: traced,
		})
		for _, r := range b.effects() {
			if r.Kind == quality.InspectionSubmit && r.Object == string(inspection) {
				return r.ID
			}
		}
		b.t.Fatalf("no record of %s is asked for: %+v", inspection, b.effects())
		return ""
	}
	t.Run("is recorded once, though its answer is lost", func(t *testing.T) {
		b := newBench(t)
		row := inspected(b, "inspection:mes1:I-1", event.VerdictPass)
		lost := false
		b.system.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
			r := land()
			if e.Kind == quality.InspectionSubmit && !lost {
				lost = true
				return connector.Result{Outcome: event.Unknown, Code: "timeout"}
			}
			return r
		}
		b.work()
		if r := b.row(row); r.State != store.EffectDue || r.Outcome != event.Unknown {
			t.Fatalf("the record is %s, %s", r.State, r.Outcome)
		}
		b.wait(b.cfg.Settle, b.cfg.Settle)
		if r := b.row(row); r.State != store.EffectSettled || r.Outcome != event.AlreadyApplied || len(b.system.sent) != 1 {
			t.Fatalf("the record is %s, %s %s; there are %d", r.State, r.Outcome, r.Message, len(b.system.sent))
		}
		want := quality.InspectionRecord{
			ID: "inspection:mes1:I-1", Lot: testLot, Plant: "p1", Type: event.InspectionFinal, Verdict: event.VerdictPass, SpecRev: "C", ResultCount: 12,
			CompletedAt: b.system.sent[0].CompletedAt,
		}
		if got := b.system.sent[0]; got.ID != want.ID || got.Lot != want.Lot || got.Verdict != want.Verdict || got.ResultCount != want.ResultCount || got.SpecRev != want.SpecRev {
			t.Errorf("recorded %+v, want %+v", got, want)
		}
	})
	t.Run("of two lots has a record for each", func(t *testing.T) {
		b := newBench(t)
		const second = event.LotKey("lot::M:2")
		b.send(&event.LotCreated{
			OfLot: event.OfLot{Lot: second}, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1", Traced: traced,
		})
		for _, lot := range []event.LotKey{testLot, second, testLot} {
			b.send(&event.InspectionCompleted{
				OfInspection: event.OfInspection{OfLot: event.OfLot{Lot: lot}, InspectionID: "inspection:mes1:I-1"}, InspectionType: event.InspectionFinal, Verdict: event.VerdictPass,
				SpecRev: "C", ResultCount: 12, CompletedAt: event.At(b.clock), Traced: traced,
			})
			b.work()
		}
		var lots []event.LotKey
		for _, r := range b.system.sent {
			lots = append(lots, r.Lot)
		}
		if !slices.Equal(lots, []event.LotKey{testLot, second}) {
			t.Fatalf("there are records for %v", lots)
		}
		for _, lot := range []event.LotKey{testLot, second} {
			f, err := b.facts(t.Context(), lot)
			if err != nil || f.Inspections[0].SubmittedAt.IsZero() {
				t.Errorf("the inspection of %s has no record: %+v, %v", lot, f.Inspections, err)
			}
		}
	})
	t.Run("waits for a system that is down, and keeps no hold waiting", func(t *testing.T) {
		b := newBench(t)
		b.system.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
			if e.Kind == quality.InspectionSubmit {
				return errDown
			}
			return land()
		}
		row := inspected(b, "inspection:mes1:I-1", event.VerdictFail)
		b.work()
		if r := b.row(row); r.State != store.EffectDue || b.system.now() == event.Unrestricted {
			t.Errorf("the record is %s, the ERP says %s", r.State, b.system.now())
		}
	})
	t.Run("a QMS that keeps none owes none", func(t *testing.T) {
		b := newBench(t)
		b.target("qms1").system = plain{b.system}
		row := inspected(b, "inspection:mes1:I-1", event.VerdictPass)
		b.work()
		if r := b.row(row); r.State != store.EffectSettled || r.Outcome != event.AlreadyApplied || r.Code != notKept || len(b.system.sent) != 0 {
			t.Errorf("the record is %s, %s %s", r.State, r.Outcome, r.Code)
		}
	})
}
