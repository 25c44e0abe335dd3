package workflow

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
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
	s := storetest.Open(t)
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

// dump returns all aggregates.
func (b *bench) dump() string {
	b.t.Helper()
	var out strings.Builder
	b.view(func(tx *store.Tx) error { return tx.Dump(&out) })
	return out.String()
}
