package workflow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	epoch1 = "11111111111111111111111111111111"
	epoch2 = "22222222222222222222222222222222"
	epoch3 = "33333333333333333333333333333333"
)

// bench is an engine on a store of its own, with a clock that tests move, and a plant that sends records.
type bench struct {
	*Engine
	t     *testing.T
	clock time.Time
	epoch event.Epoch
	prev  event.Prev
	seq   uint64
	off   int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "holdfast.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, clock: time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC), epoch: epoch1, prev: event.NoPrev}
	cfg := Config{
		Plants:    map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "s4", QMS: "qms1"}},
		Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}, "MI": {BaseUnit: "kg", InspectionRequired: true}},
	}
	b.Engine = New(s, cfg, func() time.Time { return b.clock }, zerolog.Nop(), nil)
	return b
}

func lotKey(name string) event.LotKey { return event.LotKey("lot::M:" + name) }

func provenance(raw string) event.Traced {
	return event.Traced{Provenance: event.Provenance{Source: "mes", RawSHA256: event.Hash(strings.Repeat(raw, 64)[:64])}}
}

func (b *bench) created(lot, unit string) event.Data {
	return &event.LotCreated{
		OfLot: event.OfLot{Lot: lotKey(lot)}, Material: "M", Q: event.Quantity{Value: "500", Unit: event.Unit(unit)},
		Origin: "work_order:mes1:1", Supplier: "ACME", Traced: provenance("a"),
	}
}

func (b *bench) measured(lot string, n int64, value string, ev event.Evaluation) event.Data {
	return &event.CharacteristicRecorded{
		OfLot: event.OfLot{Lot: lotKey(lot)}, InspectionID: event.ObjectID("inspection:mes1:" + lot), Characteristic: "torque", SampleNo: n,
		Kind: event.Variable, Value: event.Name(value), Unit: "N.m", LSL: "40", USL: "50", Evaluation: ev, MeasuredAt: event.At(b.clock),
		Traced: provenance("b"),
	}
}

func (b *bench) safety(lot string) event.Data {
	return &event.SafetyFailed{
		OfLot: event.OfLot{Lot: lotKey(lot)}, InspectionID: event.ObjectID("inspection:mes1:" + lot), Characteristic: "torque",
		Evaluation: event.Fail, Value: "61.2", Unit: "N.m", USL: "50", Equipment: "press4", MeasuredAt: event.At(b.clock), Traced: provenance("c"),
	}
}

// event returns an event of plant p1 under a key, not sent yet.
func (b *bench) event(key string, data event.Data) *event.Event {
	return &event.Event{
		ID:     event.NaturalID("p1", "mes1", []string{key}, data.Type(), 0),
		Source: "/p1/mes1", Time: b.clock, Recorded: b.clock, Plant: "p1", Data: data,
	}
}

// input puts an event at the next place of the agent's lane and of the topic.
func (b *bench) input(e *event.Event) Input {
	b.t.Helper()
	b.seq++
	lane := event.LaneQuality
	if spec, ok := event.Lookup(e.Data.Type()); ok {
		lane = spec.Lane
	}
	e.Origin = event.Origin{Agent: "gw1", Epoch: b.epoch, Prev: b.prev, Lane: lane, Seq: b.seq}
	if err := e.Seal("gw1"); err != nil {
		b.t.Fatal(err)
	}
	b.off++
	return Input{Message: e.Message(), Plant: "p1", Place: store.Place{Topic: "holdfast.p1.quality.v1", Offset: b.off}}
}

func (b *bench) apply(in ...Input) []Result {
	b.t.Helper()
	results, err := b.Apply(b.t.Context(), in, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

func (b *bench) send(key string, data event.Data) Result {
	b.t.Helper()
	return b.apply(b.input(b.event(key, data)))[0]
}

func (b *bench) want(r Result, o Outcome, code problem.Code) {
	b.t.Helper()
	if r.Outcome != o || r.Cause != nil && problem.CodeOf(r.Cause) != code || r.Cause == nil && code != "" {
		b.t.Fatalf("result is %s, %v, want %s with code %q", r.Outcome, r.Cause, o, code)
	}
}

func (b *bench) view(f func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) facts(lot string) (f quality.Facts) {
	b.t.Helper()
	b.view(func(tx *store.Tx) (err error) {
		f, err = tx.Facts(lotKey(lot))
		return err
	})
	return f
}

func (b *bench) effects(lot string) (all []store.EffectRow) {
	b.t.Helper()
	b.view(func(tx *store.Tx) (err error) {
		all, err = tx.EffectsOf(lotKey(lot))
		return err
	})
	return all
}

// pass moves the clock and fires what is due.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	b.clock = b.clock.Add(d)
	if _, err := b.fire(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

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

func TestEngine_Duplicates(t *testing.T) {
	b := newBench(t)
	e := b.event("1", b.created("L1", "kg"))
	in := b.input(e)
	b.want(b.apply(in)[0], Accepted, "")
	before := b.dump()
	t.Run("SameRecord", func(t *testing.T) {
		b.want(b.apply(in)[0], Duplicate, "")
		b.want(b.apply(in, in, in)[2], Duplicate, "")
		if after := b.dump(); after != before {
			t.Errorf("duplicates changed the state:\n%s\n%s", before, after)
		}
	})
	t.Run("SameRawUnderANewerMapping", func(t *testing.T) {
		data := b.created("L1", "kg").(*event.LotCreated)
		data.Supplier = "other"
		b.want(b.send("1", data), Duplicate, "")
	})
	t.Run("SameIDOtherContent", func(t *testing.T) {
		data := b.created("L1", "kg").(*event.LotCreated)
		data.Q.Value, data.Traced = "501", provenance("f")
		b.want(b.send("1", data), Quarantined, problem.EventConflict)
		if f := b.facts("L1"); f.Lot.Q.Value != "500" || !f.Evidence.Quarantined {
			t.Errorf("the first reading does not stand: %+v", f)
		}
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

func TestEngine_Fence(t *testing.T) {
	b := newBench(t)
	in := b.input(b.event("1", b.created("L1", "kg")))
	if _, err := b.Apply(t.Context(), []Input{in}, []Offset{{Topic: "t", From: 5, To: 6}}); !errors.Is(err, ErrFence) {
		t.Fatalf("Apply = %v, want ErrFence", err)
	}
	if f := b.facts("L1"); f.Lot.Key != "" {
		t.Error("a fenced transaction changed the state")
	}
	for _, o := range []Offset{{Topic: "t", From: 0, To: 6}, {Topic: "t", From: 6, To: 7}} {
		if _, err := b.Apply(t.Context(), []Input{in}, []Offset{o}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Apply(t.Context(), []Input{in}, []Offset{{Topic: "t", From: 6, To: 7}}); !errors.Is(err, ErrFence) {
		t.Errorf("Apply = %v, want ErrFence", err)
	}
}

func TestEngine_Epochs(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	b.want(b.send("2", b.created("L2", "kg")), Accepted, "")
	unsent := b.input(b.event("3", b.created("L3", "kg"))) // seq 3 of epoch 1
	beyond := b.input(b.event("4", b.created("L4", "kg"))) // seq 4: the next epoch does not know it
	beyondUrgent := b.input(b.event("5", b.safety("L5")))
	b.epoch, b.prev, b.seq = epoch2, event.NewPrev(epoch1, 3, 0), 0
	b.want(b.send("6", b.created("L6", "kg")), Accepted, "")
	t.Run("TailOfAClosedEpochStillCounts", func(t *testing.T) { b.want(b.apply(unsent)[0], Accepted, "") })
	t.Run("BeyondItsClosing", func(t *testing.T) { b.want(b.apply(beyond)[0], Quarantined, problem.EpochFork) })
	t.Run("UrgentBeyondItsClosingApplies", func(t *testing.T) { b.want(b.apply(beyondUrgent)[0], Accepted, "") })
	t.Run("SecondSuccessorWins", func(t *testing.T) {
		loser := b.input(b.event("7", b.created("L7", "kg")))
		b.epoch, b.seq = epoch3, 0
		b.want(b.send("8", b.created("L8", "kg")), Accepted, "")
		b.want(b.apply(loser)[0], Quarantined, problem.EpochFork)
	})
	t.Run("WithoutMemoryWaitsForAPerson", func(t *testing.T) {
		b.epoch, b.prev, b.seq = "44444444444444444444444444444444", event.NoPrev, 0
		b.want(b.send("9", b.created("L9", "kg")), Quarantined, problem.EpochFork)
		b.want(b.send("10", b.safety("L9")), Accepted, "")
	})
	b.view(func(tx *store.Tx) error {
		covered, err := tx.Coverage("p1", "gw1", epoch1, event.LaneQuality)
		if covered.String() != "1-5" {
			t.Errorf("coverage of epoch 1 is %s, want 1-5", covered)
		}
		return err
	})
}

func TestEngine_SuccessorArrivesFirst(t *testing.T) {
	b := newBench(t)
	first := b.input(b.event("1", b.created("L1", "kg")))
	second := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.epoch, b.prev, b.seq = epoch2, event.NewPrev(epoch1, 2, 0), 0
	urgent := b.input(b.event("3", b.safety("L1")))
	later := b.input(b.event("4", b.measured("L1", 2, "46", event.Pass)))
	b.want(b.apply(urgent)[0], Accepted, "")
	for _, in := range []Input{first, second, later} {
		b.want(b.apply(in)[0], Accepted, "")
	}
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

func TestEngine_Timers(t *testing.T) {
	b := newBench(t)
	b.send("1", b.safety("L1"))
	b.pass(5*time.Minute + time.Second)
	if f := b.facts("L1"); !f.Lot.Unenforced {
		t.Error("no alarm after five minutes without enforcement")
	}
	b.view(func(tx *store.Tx) error {
		rows, err := tx.NonconformancesOf(lotKey("L1"))
		if len(rows) != 1 || rows[0].Escalation != 0 {
			t.Errorf("nonconformances are %+v", rows)
		}
		return err
	})
	b.pass(15 * time.Minute)
	b.view(func(tx *store.Tx) error {
		rows, err := tx.NonconformancesOf(lotKey("L1"))
		if len(rows) != 1 || rows[0].Escalation != 2 {
			t.Errorf("a critical nonconformance not contained in 15 minutes has level %d, want 2", rows[0].Escalation)
		}
		return err
	})
}

// dump returns the state without what a rebuild may give anew.
func (b *bench) dump() string {
	b.t.Helper()
	var out strings.Builder
	b.view(func(tx *store.Tx) error {
		lots, err := tx.LotsAfter("", 1000)
		for _, l := range lots {
			l.Version, l.UpdatedAt, l.Cause = 0, time.Time{}, ""
			fmt.Fprintf(&out, "%+v\n", l)
			holds, err := tx.HoldsOf(l.Key)
			if err != nil {
				return err
			}
			for _, h := range holds {
				h.Version = 0
				fmt.Fprintf(&out, "  %+v\n", h)
			}
			ncs, err := tx.NonconformancesOf(l.Key)
			if err != nil {
				return err
			}
			for _, n := range ncs {
				n.Version, n.UpdatedAt = 0, time.Time{}
				fmt.Fprintf(&out, "  %+v\n", n)
			}
		}
		return err
	})
	return out.String()
}

func TestEngine_StateIsAFoldOfTheInbox(t *testing.T) {
	b := newBench(t)
	b.send("0", b.created("L0", "m"))
	b.send("1", b.measured("L1", 1, "45", event.Pass))
	b.send("2", b.created("L1", "kg"))
	b.send("3", b.measured("L1", 2, "61", event.Fail))
	b.send("4", b.safety("L2"))
	b.send("5", b.created("L2", "kg"))
	b.pass(6 * time.Minute)
	fresh := newBench(t)
	var rows []store.InboxRow
	b.view(func(tx *store.Tx) (err error) {
		rows, err = tx.InboxAfter(0, 1000)
		return err
	})
	for i := range rows {
		fresh.clock = rows[i].Accepted
		turn := &turn{}
		if err := fresh.commit(t.Context(), turn, func() error {
			r, err := turn.apply(&Input{Principal: rows[i].Principal, Place: rows[i].Place}, rows[i].Event)
			fresh.want(r, Accepted, "")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := fresh.dump(), b.dump(); got != want {
		t.Errorf("the inbox applied in its order gives\n%s\nthe state was\n%s", got, want)
	}
}

func TestEngine_RunStops(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}
