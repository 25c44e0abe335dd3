package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a dispatcher, its engine, one system that is ERP and QMS and one that is warehouse and notice service, with a
// clock that tests move.
type bench struct {
	*Dispatcher
	t      *testing.T
	system *system
	desk   *desk
	clock  time.Time
	events int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchAt(t, quality.Plant{ID: "p1", ERP: "s4", QMS: "qms1"})
}

// newDeskBench is a bench whose plant has a warehouse and a notice service.
func newDeskBench(t *testing.T) *bench {
	t.Helper()
	return newBenchAt(t, quality.Plant{ID: "p1", ERP: "s4", QMS: "qms1", WMS: "wms", Notify: "mail"})
}

func newBenchAt(t *testing.T, plant quality.Plant) *bench {
	t.Helper()
	s := storetest.Open(t)
	b := &bench{t: t, system: newSystem(), desk: &desk{gate: quality.GateHeld}, clock: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return b.clock }
	engine := workflow.New(s, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{"p1": plant}, Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, now, zerolog.Nop(), nil)
	cfg := DefaultConfig
	cfg.Owner, cfg.Now = "a", now
	cfg.ERP = func(event.PlantID) string { return "s4" }
	systems := map[string]connector.System{plant.ERP: b.system, plant.QMS: b.system}
	if plant.WMS != "" {
		systems[plant.WMS], systems[plant.Notify] = b.desk, b.desk
	}
	b.Dispatcher = New(cfg, s, engine, systems, zerolog.Nop(), nil)
	b.send(&event.LotCreated{
		OfLot: event.OfLot{Lot: testLot}, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1", Traced: traced,
	})
	return b
}

var traced = event.Traced{Provenance: event.Provenance{Source: "mes", RawSHA256: event.Hash(strings.Repeat("a", 64))}}

// send applies a fact of the plant.
func (b *bench) send(data event.Data) {
	b.t.Helper()
	b.events++
	e := &event.Event{
		ID:     event.NaturalID("p1", "mes1", []string{fmt.Sprint(b.events)}, data.Type(), 0),
		Source: "/p1/mes1", Time: b.clock, Recorded: b.clock, Plant: "p1", Data: data,
		Origin: event.Origin{Agent: "gw1", Epoch: event.Epoch(strings.Repeat("1", 32)), Prev: event.NoPrev, Lane: event.LaneQuality, Seq: uint64(b.events)},
	}
	if err := e.Seal("gw1"); err != nil {
		b.t.Fatal(err)
	}
	in := workflow.Input{Message: e.Message(), Plant: "p1", Place: store.Place{Topic: "holdfast.p1.quality.v1", Offset: int64(b.events)}}
	results, err := b.engine.Apply(context.Background(), []workflow.Input{in}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		b.t.Fatalf("%s: %+v, %v", data.Type(), results, err)
	}
}

func (b *bench) hold(id event.ObjectID, kind event.HoldKind) {
	b.t.Helper()
	b.send(&event.HoldPlaced{
		MayLot: event.MayLot{Lot: testLot}, HoldID: id, HoldKind: kind, Reason: "torque", PlacedBy: "ann", PlacedAt: event.At(b.clock),
		Authority: event.AuthorityQuality, Traced: traced,
	})
}

func (b *bench) lift(id event.ObjectID) {
	b.t.Helper()
	b.send(&event.HoldLifted{
		MayLot: event.MayLot{Lot: testLot}, HoldID: id, Reason: "tested", LiftedBy: "ann", LiftedAt: event.At(b.clock), Authority: event.AuthorityQuality,
		Traced: traced,
	})
}

// lot returns the lot as it is stored.
func (b *bench) lot() (lot quality.Lot) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		l, err := tx.Lot(testLot)
		if err == nil {
			lot = *l
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return lot
}

// apply lets a fact in by the cloud's door.
func (b *bench) apply(data event.Data) {
	b.t.Helper()
	b.events++
	data.ReadBy().Source = "test"
	e := &event.Event{
		ID: event.NaturalID("", "test", []string{fmt.Sprint(b.events)}, data.Type(), 0), Source: "/test", Time: b.clock, Recorded: b.clock, Data: data,
	}
	results, err := b.engine.Apply(b.t.Context(), []workflow.Input{{Event: e, Principal: "eve"}}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		b.t.Fatalf("%s: %+v, %v", data.Type(), results, err)
	}
}

// grant has all agents in question answer, and says so as the engine does.
func (b *bench) grant() {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), func(tx *store.Tx) error {
		agents, err := tx.LiveAgents()
		for i := range agents {
			agents[i].Answered = 1
			err = errors.Join(err, tx.PutAgent(&agents[i]))
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	b.apply(&event.TimerFired{
		MayLot: event.MayLot{Lot: testLot}, Timer: quality.TimerAnswered, Due: event.At(b.clock),
		Object: quality.ReleaseTimer{Lot: testLot, Barrier: 1, Round: b.lot().Release.Round}.String(),
	})
	if got := b.lot().Release; !got.Granted() {
		b.t.Fatalf("the release is not granted: %+v", got)
	}
}

// target returns a system as the dispatcher sees it.
func (b *bench) target(id string) *target {
	b.t.Helper()
	for _, t := range b.targets {
		if t.id == id {
			return t
		}
	}
	b.t.Fatalf("there is no system %s", id)
	return nil
}

// work carries out what is due now, and returns how many attempts that took.
func (b *bench) work() (n int) {
	b.t.Helper()
	for {
		rows, _, err := b.claim(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if len(rows) == 0 {
			return n
		}
		for _, c := range rows {
			b.attempt(b.t.Context(), c)
			n++
		}
	}
}

func (b *bench) effects() (rows []store.EffectRow) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) { rows, err = tx.EffectsOf(testLot); return err }); err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// want compares the newest state of the lot's first effect.
func (b *bench) want(state store.EffectState, outcome event.Outcome, usage event.UsageStatus) {
	b.t.Helper()
	r := b.effects()[0]
	if r.State != state || r.Outcome != outcome || b.system.now() != usage {
		b.t.Fatalf("effect is %s, %s (%s %s), the ERP says %s: want %s, %s and %s", r.State, r.Outcome, r.Code, r.Message, b.system.now(), state, outcome, usage)
	}
}

func TestDispatcher_Usage(t *testing.T) {
	t.Run("holds and frees a lot", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
		b.lift("hold:q:1")
		b.grant()
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Unrestricted)
	})
	t.Run("frees a lot only with the grant of its release", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		b.lift("hold:q:1")
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked) // what is there stays, until the plants have answered
		b.grant()
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Unrestricted)
		if got := b.lot().Release.State; got != quality.Released {
			t.Errorf("the lot is %s", got)
		}
	})
	t.Run("ten changes while the ERP is down become one write", func(t *testing.T) {
		b := newBench(t)
		b.system.answer = func(int, func() connector.Result) connector.Result { return errDown }
		for i := range 5 {
			id := event.ObjectID(fmt.Sprint("hold:q:", i))
			b.hold(id, event.HoldSafety)
			b.work()
			b.lift(id)
			b.clock = b.clock.Add(longestBackoff)
		}
		b.hold("hold:q:9", event.HoldSafety)
		b.system.answer, b.system.written = nil, 0
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
		if b.system.written != 1 {
			t.Errorf("%d writes", b.system.written)
		}
	})
	t.Run("a hold between read and write is written in the same attempt", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		b.lift("hold:q:1")
		b.grant()
		placed := false
		b.system.answer = func(_ int, land func() connector.Result) connector.Result {
			if !placed {
				placed = true
				b.hold("hold:q:2", event.HoldSafety)
			}
			return land()
		}
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked) // and looked at once more, as it was asked for meanwhile
	})
	t.Run("a restriction set between read and write is someone else's, and stays", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldQuality)
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Restricted)
		b.lift("hold:q:1")
		b.grant()
		once := false
		b.system.answer = func(_ int, land func() connector.Result) connector.Result {
			if !once {
				once = true
				b.system.set(event.Blocked)
			}
			return land()
		}
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked)
	})
	t.Run("five conflicts wait, and the write that comes later is whole", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.system.answer = func(n int, land func() connector.Result) connector.Result {
			if n <= conflictsInARow {
				return connector.Result{Outcome: event.Conflict, Code: "412"}
			}
			return land()
		}
		b.work()
		b.want(store.EffectDue, event.Conflict, event.Unrestricted)
		b.clock = b.clock.Add(longestBackoff)
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
	})
	t.Run("unknown waits its time and is looked up: what landed is not written again", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.system.answer = func(_ int, land func() connector.Result) connector.Result {
			_ = land()
			return connector.Result{Outcome: event.Unknown, Code: "timeout"}
		}
		b.work()
		b.want(store.EffectDue, event.Unknown, event.Blocked)
		if r := b.effects()[0]; !r.Wrote || !r.Due.Equal(b.clock.Add(b.cfg.Settle)) {
			t.Errorf("row is %+v", r)
		}
		b.clock = b.clock.Add(b.cfg.Settle)
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked)
		if b.system.written != 1 {
			t.Errorf("%d writes", b.system.written)
		}
		b.lift("hold:q:1") // the block was ours: it goes
		b.grant()
		b.system.answer = nil
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Unrestricted)
	})
	t.Run("a crash between write and record is found as done by the next owner", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		rows, _, err := b.claim(t.Context())
		if err != nil || len(rows) != 1 {
			t.Fatalf("claimed %v, %v", rows, err)
		}
		dead := &attempt{dispatcher: b.Dispatcher, row: &rows[0].row, target: rows[0].target}
		if err := dead.mark(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.system.set(event.Blocked) // our write
		b.clock = b.clock.Add(b.cfg.Lease)
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked)
		b.lift("hold:q:1")
		b.grant()
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Unrestricted)
	})
	t.Run("an attempt that outlived its lease writes no more, in the same process either", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		late, _, err := b.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.clock = b.clock.Add(b.cfg.Lease)
		next, _, err := b.claim(t.Context())
		if err != nil || len(next) != 1 {
			t.Fatalf("claimed %v, %v", next, err)
		}
		b.attempt(t.Context(), late[0])
		if b.system.count("write") != 0 {
			t.Fatal("the late attempt wrote")
		}
		b.attempt(t.Context(), next[0])
		b.want(store.EffectSettled, event.Applied, event.Blocked)
	})
	t.Run("a rejected write is an exception with the vendor's words", func(t *testing.T) {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldSafety)
		b.system.answer = func(int, func() connector.Result) connector.Result {
			return connector.Result{Outcome: event.Rejected, Code: "M7/021", Message: "period closed"}
		}
		b.work()
		b.want(store.EffectException, event.Rejected, event.Unrestricted)
		if r := b.effects()[0]; r.Code != "M7/021" || r.Message != "period closed" {
			t.Errorf("row is %+v", r)
		}
	})
}

func (b *bench) fail() {
	b.t.Helper()
	b.send(&event.NonconformanceOpened{
		OfLot: event.OfLot{Lot: testLot}, NonconformanceID: "nonconformance:mes1:1", Source: "inspection", Severity: event.Major,
		Description: "torque", Traced: traced,
	})
}

func (b *bench) record() store.EffectRow {
	b.t.Helper()
	for _, r := range b.effects() {
		if r.Kind == quality.NonconformanceEnsure {
			return r
		}
	}
	b.t.Fatal("no record is asked for")
	return store.EffectRow{}
}

func TestDispatcher_Document(t *testing.T) {
	t.Run("an outage before one unknown write sends nothing to a person", func(t *testing.T) {
		b := newBench(t)
		b.system.usage = event.Restricted // its hold needs no write
		b.fail()
		down := true
		b.system.answer = func(_ int, land func() connector.Result) connector.Result {
			if down {
				return errDown
			}
			_ = land()
			return connector.Result{Outcome: event.Unknown}
		}
		for range 2 * MostUnknown {
			b.work()
			b.clock = b.clock.Add(longestBackoff)
		}
		down = false
		b.work()
		b.clock = b.clock.Add(longestBackoff)
		b.work()
		if r := b.record(); r.State != store.EffectSettled || len(b.system.records) != 1 {
			t.Errorf("record is %s, %s %s; there are %d", r.State, r.Outcome, r.Message, len(b.system.records))
		}
	})
	t.Run("written often and never found, it waits for a person", func(t *testing.T) {
		b := newBench(t)
		b.system.usage = event.Restricted
		b.fail()
		b.system.answer = func(int, func() connector.Result) connector.Result {
			return connector.Result{Outcome: event.Unknown, Code: "timeout"}
		}
		for range 3 * MostUnknown {
			b.work()
			b.clock = b.clock.Add(longestBackoff)
		}
		r := b.record()
		if r.State != store.EffectException || r.Code != string(problem.EffectUnknown) || b.system.count("write") != MostUnknown {
			t.Errorf("record is %s, %s %s after %d writes", r.State, r.Code, r.Message, b.system.count("write"))
		}
	})
}

func TestDispatcher_Backoff_HoldsWaitLess(t *testing.T) {
	d := &Dispatcher{cfg: DefaultConfig}
	for range 100 {
		if got := d.backoff(&store.EffectRow{Tries: 50}, connector.Result{Outcome: event.RetryLater}); got > longestForHolds {
			t.Fatalf("a hold waits %s, want %s at the most", got, longestForHolds)
		}
	}
}

func TestDispatcher_Backoff(t *testing.T) {
	d := New(DefaultConfig, nil, nil, nil, zerolog.Nop(), nil)
	for _, c := range []struct {
		name     string
		tries    int64
		result   connector.Result
		min, max time.Duration
	}{
		{"first", 0, connector.Result{Outcome: event.RetryLater}, firstBackoff / 4, firstBackoff},
		{"fifth", 4, connector.Result{Outcome: event.RetryLater}, 4 * time.Second, 16 * time.Second},
		{"no longer than the longest", 1 << 40, connector.Result{Outcome: event.RetryLater}, longestBackoff / 4, longestBackoff},
		{"as the system asked", 3, connector.Result{Outcome: event.RetryLater, RetryAfter: time.Minute}, time.Minute, time.Minute},
		{"not as long as it asked", 3, connector.Result{Outcome: event.RetryLater, RetryAfter: 24 * time.Hour}, connector.MaxRetryAfter, connector.MaxRetryAfter},
		{"an unknown write gets its time to land", 9, connector.Result{Outcome: event.Unknown}, d.cfg.Settle, d.cfg.Settle},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 100 {
				if got := d.backoff(&store.EffectRow{Tries: c.tries, Priority: 1}, c.result); got < c.min || got > c.max {
					t.Fatalf("waits %v, want %v to %v", got, c.min, c.max)
				}
			}
		})
	}
}

func TestDispatcher_Run(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	b.system.answer = func(_ int, land func() connector.Result) connector.Result {
		cancel() // in the middle of an attempt: it is ended and recorded all the same
		close(written)
		return land()
	}
	b.hold("hold:q:1", event.HoldSafety)
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	<-written
	b.want(store.EffectSettled, event.Applied, event.Blocked)
}
