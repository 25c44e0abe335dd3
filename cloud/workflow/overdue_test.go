package workflow

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// alert returns the alert of a code, nil if it is not raised.
func (m *mesh) alert(code event.Name) (found *event.Alert) {
	m.t.Helper()
	m.view(func(tx *store.Tx) error {
		all, err := tx.Alerts()
		for i := range all {
			if all[i].Code == code {
				found = &all[i]
			}
		}
		return err
	})
	return found
}

func TestAlert_Gate(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.releasedLot()
	m.allocate("1", "5", m.clock.Add(48*time.Hour))
	m.work()
	m.down["wms1"] = true
	m.want(g.send("hold", held(lotA, "1")), Accepted)
	m.work()
	m.pass(50 * time.Second)
	if a := m.alert(AlertGate); a != nil {
		t.Fatalf("raised before its time: %+v", a)
	}
	m.pass(11 * time.Second)
	a := m.alert(AlertGate)
	if a == nil || a.About != lotA+"@wms1" || a.Owner != "warehouse" || !strings.Contains(a.Detail, "every task of the lot may have begun") ||
		!strings.Contains(a.Detail, "order lines that count on the lot: 4711/1") {
		t.Fatalf("the alert is %+v", a)
	}
	m.tasks[lotA] = []event.Movement{{Document: "T-1", Kind: "pick", To: "4711/1", UnderWay: true, Warehouse: true}}
	m.down["wms1"] = false
	m.work()
	if a := m.alert(AlertGate); a != nil || m.gates[lotA] != quality.GateHeld {
		t.Errorf("the warehouse shows %s, and the alert is %+v", m.gates[lotA], a)
	}
	if words := m.lot(lotA).Lot.Takeback.Words(); !strings.Contains(words, "task T-1 (pick) for 4711/1 begun, not done, wms1") {
		t.Errorf("moved is %q", words)
	}

	// The warehouse is down once more: what it said last is the list.
	m.down["wms1"] = true
	m.want(g.send("another", held(lotA, "2")), Accepted)
	m.pass(61 * time.Second)
	if a := m.alert(AlertGate); a == nil || !strings.Contains(a.Detail, "task T-1 (pick)") {
		t.Errorf("the alert is %+v", a)
	}
}

func TestAlert_Submit(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.down["qms1"] = true
	m.inspectedLot()
	m.pass(59 * time.Minute)
	if a := m.alert(AlertSubmit); a != nil {
		t.Fatalf("raised before its time: %+v", a)
	}
	m.pass(2 * time.Minute)
	if a := m.alert(AlertSubmit); a == nil || a.About != "inspection:mes:1@"+lotA || a.NextStep == "" {
		t.Fatalf("the alert is %+v", a)
	}
	// A person decides without it, and the release does not wait.
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.work()
	m.state(lotA, quality.Released)
	m.down["qms1"] = false
	m.work()
	if a := m.alert(AlertSubmit); a != nil || m.lot(lotA).Inspections[0].ExternalRef.System != "qms1" {
		t.Errorf("the alert is %+v, the inspection %+v", a, m.lot(lotA).Inspections[0])
	}
}

func TestTakeback_InTheRecord(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.releasedLot()
	m.moved[lotA] = []event.Movement{{Document: "4900000119/2026/1", Kind: "601", To: "80001234", Q: event.Quantity{Value: "120", Unit: "kg"}}}
	m.pass(time.Minute)
	m.want(g.send("late", completed(lotA, "2", event.VerdictFail)), Accepted)
	m.work()
	m.state(lotA, quality.Held)
	m.view(func(tx *store.Tx) error {
		n, err := tx.Nonconformance("nonconformance:mes:2")
		if err == nil && !strings.Contains(n.Record().Description, "120 kg document 4900000119/2026/1 (601) for 80001234, s4") {
			t.Errorf("the record says %q", n.Record().Description)
		}
		return err
	})
}
