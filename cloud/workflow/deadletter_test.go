package workflow

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestEngine_UnknownLot(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.measured("L1", 1, "45", event.Pass)), Waiting, problem.EventWaiting)
	b.want(b.send("2", b.safety("L1")), Accepted, "")
	if f := b.facts("L1"); !f.Lot.Stub || len(f.Open) != 1 {
		t.Fatalf("a hold on an unknown lot made %+v", f)
	}
	b.want(b.send("3", b.created("L1", "kg")), Accepted, "")
	if f := b.facts("L1"); f.Lot.Stub || f.Lot.Material != "M" || len(f.Open) != 1 {
		t.Errorf("after its creation the lot is %+v", f)
	}
	b.view(func(tx *store.Tx) error {
		rows, err := tx.InboxOfLot(lotKey("L1"))
		if len(rows) != 3 {
			t.Errorf("%d events applied, want all three", len(rows))
		}
		return err
	})
	t.Run("AfterADayItIsAnException", func(t *testing.T) {
		b.want(b.send("4", b.measured("L9", 1, "45", event.Pass)), Waiting, problem.EventWaiting)
		b.pass(24*time.Hour + time.Second)
		b.view(func(tx *store.Tx) error {
			rows, err := tx.DeadlettersOf(lotKey("L9"))
			if len(rows) != 1 || rows[0].State != store.Dead {
				t.Errorf("dead letters are %+v", rows)
			}
			return err
		})
	})
}

func TestEngine_PoisonParksItsLot(t *testing.T) {
	b := newBench(t)
	poison := b.send("1", b.created("L1", "m"))
	b.want(poison, Parked, problem.EventPoison)
	b.want(b.send("2", b.measured("L1", 1, "45", event.Pass)), Parked, problem.EventParked)
	b.want(b.send("3", b.created("L2", "kg")), Accepted, "")
	b.want(b.send("4", b.safety("L1")), Accepted, "")
	if f := b.facts("L1"); len(f.Open) != 1 || !f.Evidence.Parked {
		t.Fatalf("a hold did not pass the parked lot: %+v", f)
	}
	again, err := b.Redrive(t.Context(), poison.Deadletter, "alice", "try")
	if err != nil || len(again) != 1 || again[0].Outcome != Parked {
		t.Fatalf("redrive of the poison itself gave %+v, %v", again, err)
	}
	value := []byte(`{"lot":"lot::M:L1","material":"M","q":{"value":"500","unit":"kg"},"origin":"work_order:mes1:1","provenance":{"source":"x"}}`)
	fixed, err := b.Fix(t.Context(), poison.Deadletter, value, "alice", "unit was wrong")
	if err != nil {
		t.Fatal(err)
	}
	results, err := b.Redrive(t.Context(), fixed, "alice", "unit was wrong")
	if err != nil || len(results) != 2 {
		t.Fatalf("redrive gave %+v, %v", results, err)
	}
	for _, r := range results {
		b.want(r, Accepted, "")
	}
	b.view(func(tx *store.Tx) error {
		rows, err := tx.InboxOfLot(lotKey("L1"))
		if len(rows) != 3 || rows[1].Event.Data.Type() != event.TypeLotCreated || rows[2].Event.Data.Type() != event.TypeCharacteristicRecorded {
			t.Errorf("the order of the lot is %v", rows)
		}
		entries, err2 := tx.EntriesOf(lotKey("L1"))
		found := false
		for _, e := range entries {
			found = found || e.Principal == "alice" && e.Reason == "unit was wrong"
		}
		if !found {
			t.Error("the redrive has no ledger entry")
		}
		return errors.Join(err, err2)
	})
	if f := b.facts("L1"); f.Evidence.Parked {
		t.Error("the lot is still parked")
	}
	b.want(b.send("5", b.measured("L1", 2, "46", event.Pass)), Accepted, "")
}

func TestEngine_LateEventParksItsLot(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	early := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.want(b.send("3", b.measured("L1", 2, "46", event.Pass)), Accepted, "")
	b.want(b.apply(early)[0], Parked, problem.EventLate)
	t.Run("UrgentIsNeverLate", func(t *testing.T) {
		b := newBench(t)
		urgent := b.input(b.event("1", b.safety("L1")))
		created := b.input(b.event("2", b.created("L1", "kg")))
		b.want(b.apply(created)[0], Accepted, "")
		b.want(b.apply(urgent)[0], Accepted, "")
	})
	t.Run("UrgentMakesNothingLate", func(t *testing.T) {
		b := newBench(t)
		created := b.input(b.event("1", b.created("L1", "kg")))
		urgent := b.input(b.event("2", b.safety("L1")))
		b.want(b.apply(urgent)[0], Accepted, "")
		b.want(b.apply(created)[0], Accepted, "")
		b.want(b.apply(urgent)[0], Duplicate, "")
	})
}

// A hold that was lifted while an event of its lot was parked left its restriction in the ERP. With the last of them applied
// the ERP is looked at again.
func TestEngine_RestrictionLeftByAParkedEvent(t *testing.T) {
	b := newBench(t)
	created := b.created("L1", "kg").(*event.LotCreated)
	created.Material = "MI"
	b.want(b.send("1", created), Accepted, "")
	early := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.want(b.send("3", b.measured("L1", 2, "46", event.Pass)), Accepted, "")
	late := b.apply(early)[0]
	b.want(late, Parked, problem.EventLate)
	usage := func() store.EffectRow {
		for _, r := range b.effects("L1") {
			if r.Kind == quality.LotUsageSet {
				return r
			}
		}
		t.Fatal("nothing is asked for")
		return store.EffectRow{}
	}
	settle := func(u, own event.UsageStatus) {
		t.Helper()
		var rows []store.EffectRow
		if err := b.store.Update(t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.ClaimEffects("a", []string{"s4"}, 1, b.clock, time.Minute)
			return err
		}); err != nil || len(rows) != 1 {
			t.Fatalf("claimed %d, %v", len(rows), err)
		}
		if err := b.Settle(t.Context(), &rows[0], Settlement{Outcome: event.Applied, Wanted: string(u), Usage: u, Own: own, Wrote: true}); err != nil {
			t.Fatal(err)
		}
	}
	settle(event.Restricted, event.InInspection) // our hold's flag, which the parked event keeps there
	if got := usage(); got.State != store.EffectSettled {
		t.Fatalf("it is %s", got.State)
	}
	if results, err := b.Redrive(t.Context(), late.Deadletter, "alice", "the order does not matter"); err != nil || results[0].Outcome != Accepted {
		t.Fatalf("redrive gave %+v, %v", results, err)
	}
	if got := usage(); got.State != store.EffectDue {
		t.Errorf("the ERP is not looked at again: the effect is %s", got.State)
	}
	settle(event.InInspection, event.InInspection)
	if got := usage(); got.State != store.EffectSettled {
		t.Errorf("it is %s although the ERP shows what is asked for", got.State)
	}
}

func TestEngine_NotUnderstood(t *testing.T) {
	break1 := func(m *event.Message, header, value string) {
		m.Headers = append([]event.Header(nil), m.Headers...)
		for i := range m.Headers {
			if m.Headers[i].Key == header {
				m.Headers[i].Value = []byte(value)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*Input)
		data  func(*bench) event.Data
		code  problem.Code
		held  bool
	}{
		"ForeignPlant":         {func(in *Input) { break1(&in.Message, event.HeaderPlant, "p2") }, func(b *bench) event.Data { return b.created("L1", "kg") }, problem.EventForeign, false},
		"ForeignPlantUrgent":   {func(in *Input) { break1(&in.Message, event.HeaderPlant, "p2") }, func(b *bench) event.Data { return b.safety("L1") }, problem.EventForeign, true},
		"FutureVersionUrgent":  {func(in *Input) { break1(&in.Message, event.HeaderType, "quality.safety.failed.v2") }, func(b *bench) event.Data { return b.safety("L1") }, problem.EventUnknown, true},
		"FutureVersion":        {func(in *Input) { break1(&in.Message, event.HeaderType, "inventory.lot.created.v2") }, func(b *bench) event.Data { return b.created("L1", "kg") }, problem.EventUnknown, false},
		"BrokenValue":          {func(in *Input) { in.Message.Value = []byte(`{"lot":`) }, func(b *bench) event.Data { return b.created("L1", "kg") }, problem.EventInvalid, false},
		"BrokenValueUrgent":    {func(in *Input) { in.Message.Value = nil }, func(b *bench) event.Data { return b.safety("L1") }, problem.EventInvalid, true},
		"WithoutHeaders":       {func(in *Input) { in.Message.Headers = nil }, func(b *bench) event.Data { return b.created("L1", "kg") }, problem.EventInvalid, false},
		"CloudTypeFromAPlant":  {nil, func(*bench) event.Data { return &event.TimerFired{Timer: "x", Object: "y", Traced: provenance("d")} }, problem.EventInvalid, false},
		"WithoutOrigin":        {func(in *Input) { break1(&in.Message, event.HeaderEpoch, "x") }, func(b *bench) event.Data { return b.created("L1", "kg") }, problem.EventInvalid, false},
		"ScopeKeyOfBadUrgent":  {func(in *Input) { in.Message.Value = []byte("x"); in.Message.Key = []byte("scope:supplier:ACME") }, func(b *bench) event.Data { return b.safety("L1") }, problem.EventInvalid, false},
		"KeyThatNamesNoObject": {func(in *Input) { in.Message.Value = []byte("x"); in.Message.Key = []byte("press4") }, func(b *bench) event.Data { return b.safety("L1") }, problem.EventInvalid, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := b.event("1", c.data(b))
			if timer, ok := e.Data.(*event.TimerFired); ok {
				timer.Due = event.At(b.clock)
			}
			in := b.input(e)
			if e.Origin.Lane == "" {
				break1(&in.Message, event.HeaderLane, "quality")
			}
			if c.spoil != nil {
				c.spoil(&in)
			}
			r := b.apply(in)[0]
			b.want(r, Quarantined, c.code)
			b.view(func(tx *store.Tx) error {
				row, err := tx.Deadletter(r.Deadletter)
				if string(row.Message.Value) != string(in.Message.Value) || row.Cause == "" {
					t.Errorf("raw bytes or reason are not kept: %+v", row)
				}
				return err
			})
			if id := in.Message.Header(event.HeaderID); id != "" && len(in.Message.Value) > 0 {
				if again := b.apply(in)[0]; again.Outcome != Duplicate {
					t.Errorf("the second copy is %s, want duplicate", again.Outcome)
				}
			}
			if f := b.facts("L1"); (len(f.Open) > 0) != c.held {
				t.Errorf("the lot has %d open holds, want held = %t", len(f.Open), c.held)
			}
			if name == "ScopeKeyOfBadUrgent" {
				b.send("9", b.created("L7", "kg"))
				if f := b.facts("L7"); len(f.Open) != 1 || f.Open[0].Kind != event.HoldSystem {
					t.Errorf("a lot of the scope is not held: %+v", f.Open)
				}
			}
		})
	}
}
