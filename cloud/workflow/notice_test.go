package workflow

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func (m *mesh) allocate(line event.Name, q event.Decimal, promised time.Time) {
	m.t.Helper()
	m.want(m.say(&event.AllocationChanged{
		OfLot: event.OfLot{Lot: lotA}, Order: "4711", Line: line, Customer: "ACME", Q: event.Quantity{Value: q, Unit: "kg"}, PromisedAt: event.At(promised),
	}), Accepted)
}

// messages returns what customer service was sent.
func (m *mesh) messages() (sent []string) {
	m.work()
	for _, p := range m.posted {
		if p[:4] != "deci" {
			sent = append(sent, p)
		}
	}
	return sent
}

func (m *mesh) sent(want ...string) {
	m.t.Helper()
	got := m.messages()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		m.t.Fatalf("sent %q, want %q", got, want)
	}
}

func TestNotice(t *testing.T) {
	t.Parallel()
	t.Run("a hold is told once for each order line, and cleared once", func(t *testing.T) {
		m := newMesh(t)
		g := m.releasedLot()
		m.allocate("10", "5", time.Time{})
		m.allocate("20", "5", time.Time{})
		m.sent()
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.want(g.send("run", &event.RunStarted{Run: event.Run{
			OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:1", Equipment: "mill2", WorkOrder: "work_order:mes:1", At: event.At(m.clock),
		}}), Accepted)
		m.sent("held 4711/10", "held 4711/20")
		m.want(m.say(freed(lotA, "1")), Accepted)
		m.sent("held 4711/10", "held 4711/20") // not before it is verified free
		m.answerAll()
		m.sent("held 4711/10", "held 4711/20", "clear 4711/10", "clear 4711/20")
		m.pass(24 * time.Hour)
		m.sent("held 4711/10", "held 4711/20", "clear 4711/10", "clear 4711/20")
		m.want(g.send("hold2", held(lotA, "2")), Accepted)
		m.sent("held 4711/10", "held 4711/20", "clear 4711/10", "clear 4711/20", "held 4711/10", "held 4711/20")
	})
	t.Run("a hold by scope is told, too, and closes the gate", func(t *testing.T) {
		m := newMesh(t)
		m.releasedLot()
		m.allocate("10", "5", time.Time{})
		scope := &event.Scope{Kind: event.ScopeMaterial, Value: "MI", Plant: "p1"}
		m.want(m.say(&event.HoldPlaced{
			HoldID: "hold:api:1", HoldKind: event.HoldRecall, Reason: "glass", PlacedBy: "eve", PlacedAt: event.At(m.clock), Authority: event.AuthorityQuality, Scope: scope,
		}), Accepted)
		m.fireNow()
		m.sent("held 4711/10")
		m.state(lotA, quality.Held)
		if m.gates[lotA] != quality.GateHeld || m.usage(lotA) != event.Blocked {
			t.Errorf("the gate is %s, the lot %s", m.gates[lotA], m.usage(lotA))
		}
		m.want(m.say(&event.HoldLifted{
			HoldID: "hold:api:1", Reason: "wrong batch", LiftedBy: "eve", LiftedAt: event.At(m.clock), Authority: event.AuthorityQuality, Scope: scope,
		}), Accepted)
		m.fireNow()
		m.answerAll()
		m.sent("held 4711/10", "clear 4711/10")
		m.state(lotA, quality.Released)
	})
	t.Run("an order whose lot is never held gets none", func(t *testing.T) {
		m := newMesh(t)
		m.inspectedLot()
		m.allocate("10", "5", m.clock.Add(48*time.Hour))
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		m.answerAll()
		m.work()
		m.pass(40 * time.Hour)
		m.pass(8 * time.Hour)
		m.sent()
	})
	t.Run("a hold lifted before it was told is not told", func(t *testing.T) {
		m := newMesh(t)
		g := m.releasedLot()
		m.allocate("10", "5", time.Time{})
		m.down["mail"] = true
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.work()
		m.want(m.say(freed(lotA, "1")), Accepted)
		m.answerAll()
		m.work()
		m.down["mail"] = false
		m.sent()
	})
	t.Run("a message that left all the same is followed by an all-clear", func(t *testing.T) {
		m := newMesh(t)
		g := m.releasedLot()
		m.allocate("10", "5", time.Time{})
		m.down["mail"] = true
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.work()
		var rows []store.EffectRow
		if err := m.store.Update(t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.ClaimEffects("test", []string{"mail"}, 1, m.clock, time.Minute)
			return err
		}); err != nil || len(rows) != 1 {
			t.Fatalf("%d messages, %v", len(rows), err)
		}
		m.want(m.say(freed(lotA, "1")), Accepted) // while the message is out
		m.answerAll()
		m.work()
		if err := m.Settle(t.Context(), &rows[0], Settlement{Outcome: event.Applied, Wanted: "notify.send", External: "1"}); err != nil {
			t.Fatal(err)
		}
		m.down["mail"] = false
		m.sent("clear 4711/10")
	})
	t.Run("a lot that is held already, and one that is no longer counted on", func(t *testing.T) {
		m := newMesh(t)
		g := m.releasedLot()
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.allocate("10", "5", time.Time{})
		m.sent("held 4711/10")
		m.allocate("10", "0", time.Time{})
		m.want(m.say(freed(lotA, "1")), Accepted)
		m.answerAll()
		m.sent("held 4711/10")
	})
	t.Run("a promised date that comes close is told once", func(t *testing.T) {
		m := newMesh(t)
		m.inspectedLot()
		m.down["s4"] = true
		promised := m.clock.Add(20 * time.Hour)
		m.allocate("10", "5", promised)
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		m.answerAll()
		m.pass(11 * time.Hour)
		m.sent()
		m.pass(2 * time.Hour)
		m.sent("at_risk 4711/10")
		var alerts []event.Alert
		m.view(func(tx *store.Tx) (err error) { alerts, err = tx.Alerts(); return err })
		if i := slices.IndexFunc(alerts, func(a event.Alert) bool { return a.Code == AlertRisk && a.About == "4711/10@"+lotA }); i < 0 {
			t.Errorf("alerts are %+v", alerts)
		}
		for range 3 {
			m.pass(5 * time.Minute)
		}
		m.sent("at_risk 4711/10")
		m.down["s4"] = false
		m.sent("at_risk 4711/10", "clear 4711/10")
		m.view(func(tx *store.Tx) (err error) { alerts, err = tx.Alerts(); return err })
		if slices.ContainsFunc(alerts, func(a event.Alert) bool { return a.Code == AlertRisk }) {
			t.Errorf("alerts are %+v", alerts)
		}
	})
}

func TestGate(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	gates := func() (n int) {
		m.view(func(tx *store.Tx) error {
			rows, err := tx.EffectsOf(lotA)
			for _, r := range rows {
				if r.Kind == quality.TasksGate {
					n++
				}
			}
			return err
		})
		return n
	}
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.down["s4"] = true
	m.work()
	if gates() != 0 {
		t.Error("the warehouse was asked before the ERP was verified")
	}
	m.down["s4"] = false
	m.work()
	if m.gates[lotA] != quality.GateOpen || gates() != 1 {
		t.Fatalf("released, the gate is %s", m.gates[lotA])
	}
	m.want(g.send("hold", held(lotA, "1")), Accepted)
	m.view(func(tx *store.Tx) error {
		rows, err := tx.EffectsOf(lotA)
		for _, r := range rows {
			if r.Kind == quality.TasksGate && r.Priority != 0 {
				t.Error("a gate that closes does not go first")
			}
		}
		return err
	})
	m.work()
	if m.gates[lotA] != quality.GateHeld {
		t.Errorf("held, the gate is %s", m.gates[lotA])
	}
	m.want(m.say(freed(lotA, "1")), Accepted)
	m.work()
	if m.gates[lotA] != quality.GateHeld {
		t.Errorf("lifted and not released, the gate is %s", m.gates[lotA])
	}
	m.answerAll()
	m.work()
	if m.gates[lotA] != quality.GateOpen {
		t.Errorf("released again, the gate is %s", m.gates[lotA])
	}
}

func TestGate_ClosesForARecordThatWasNotApplied(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.releasedLot()
	bad := g.put("bad", completed(lotA, "7", event.VerdictPass))
	bad.Message.Value = append(slices.Clone(bad.Message.Value), ' ', '{')
	m.want(m.apply(bad)[0], Quarantined)
	m.work()
	if m.gates[lotA] != quality.GateHeld {
		t.Errorf("with a record of the lot in quarantine the gate is %s", m.gates[lotA])
	}
	if got := m.usage(lotA); got != event.Unrestricted {
		t.Errorf("the ERP says %s: a record that is not understood restricts nothing that is free", got)
	}
}
