package rest_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

func newWarehouse(t *testing.T, open bool) *wms.Simulator {
	t.Helper()
	sim, err := wms.New(wms.Config{Config: service.Config{Token: token}, OpenByDefault: open})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// gateEffect holds a lot that has a task in each state.
func gateEffect(t *testing.T, sim *wms.Simulator, n int) quality.Effect {
	t.Helper()
	lot := fmt.Sprintf("lot:p1:MAT%%20%d:L%%2F1", n)
	pick, ship := sim.AddTask(lot, "pick", "SO-1"), sim.AddTask(lot, "putaway", "")
	for range 3 {
		sim.AddTask(lot, "ship", "SO-2")
	}
	for _, err := range []error{sim.Start(pick), sim.Start(ship), sim.Finish(ship)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	id := quality.CommandID("w10", lot, "gate", 1)
	return quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: quality.TasksGate, System: "wms1", Object: lot, Lot: event.LotKey(lot), Generation: 1,
		Gate: quality.GateHeld,
	}
}

func TestSuite_Warehouse(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) *connectortest.Rig {
		sim := newWarehouse(t, true)
		rig := serviceRig(t, "testdata/wms.rest.yaml", sim.Service)
		rig.Effect = func(t *testing.T, _ quality.Kind, n int) quality.Effect { return gateEffect(t, sim, n) }
		rig.Count = func(e quality.Effect) int { return sim.Holds(e.Object) }
		rig.Touch = func(_ *testing.T, e quality.Effect) { sim.AddTask(e.Object, "pick", "SO-3") }
		rig.UnknownWord = "on_fire"
		rig.Unknown = func(*testing.T) connector.Object {
			sim.SetState(sim.AddTask("lot::M:ODD", "pick", ""), wms.State(rig.UnknownWord))
			return connector.Object{Kind: connector.ObjectTasks, Lot: "lot::M:ODD"}
		}
		rig.Snapshot, rig.Restore = sim.Snapshot, sim.Restore
		return rig
	}, &connectortest.Bare{})
}

func dialSim(t *testing.T, mapping string, sim *service.Service) *rest.Client {
	t.Helper()
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	return dial(t, mapping, server.URL, token, zerolog.Nop())
}

func TestClient_Read_Tasks(t *testing.T) {
	sim := newWarehouse(t, true)
	c := dialSim(t, "testdata/wms.rest.yaml", sim.Service)
	e := gateEffect(t, sim, 1)
	v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectTasks, Lot: e.Lot})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range v.Tasks {
		got = append(got, task.Kind+" "+string(task.State)+" "+task.Order)
	}
	want := []string{"pick started SO-1", "putaway done ", "ship open SO-2", "ship open SO-2", "ship open SO-2"}
	if !slices.Equal(got, want) || v.Gate != quality.GateOpen || !v.Exists || v.Shows(&e) {
		t.Errorf("gate %s, tasks %q; want open and %q", v.Gate, got, want)
	}
	if _, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectTasks, Lot: "no key"}); err == nil {
		t.Error("tasks of what is no lot were read")
	}
}

func TestClient_Write_Gate(t *testing.T) {
	sim := newWarehouse(t, true)
	c := dialSim(t, "testdata/wms.rest.yaml", sim.Service)
	e := gateEffect(t, sim, 1)
	write := func(gate quality.Gate) {
		t.Helper()
		e.Gate = gate
		_, version, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectTasks, Lot: e.Lot})
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Write(t.Context(), e, version); r.Outcome != "" {
			t.Fatalf("gate %s: %v", gate, r)
		}
		v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectTasks, Lot: e.Lot})
		if err != nil || !v.Shows(&e) {
			t.Fatalf("gate %s: the warehouse shows %+v, %v", gate, v, err)
		}
	}
	states := func() (out string) {
		for _, task := range sim.Tasks(e.Object) {
			out += string(task.State[0])
		}
		return out
	}
	write(quality.GateHeld)
	sim.AddTask(e.Object, "pick", "SO-9") // planned while the lot is held
	if got := states(); got != "acbbbb" {
		t.Errorf("held: tasks are %s, want those that had not started, and the new one, blocked", got)
	}
	write(quality.GateOpen)
	if got := states(); got != "acrrrr" || sim.Releases(e.Object) != 1 || sim.Holds(e.Object) != 1 {
		t.Errorf("freed: tasks are %s, want none blocked, after one hold and one release", got)
	}
	if r := c.Write(t.Context(), e, nil); r.Outcome != event.Conflict {
		t.Errorf("a write without a read: %v, want conflict", r)
	}
	entries := sim.Of(e.Object)
	if !slices.ContainsFunc(entries, func(b bookEntry) bool {
		return b.Kind == wms.TasksHeld && b.Reference == string(e.Ref) && strings.Contains(b.Detail, "T-")
	}) {
		t.Errorf("the book %+v has no hold under the reference", entries)
	}
}

func TestClient_Write_GateOneByOne(t *testing.T) {
	text := `
auth: bearer
lock: exact
tasks:
  list: { path: "/lots/{{.Lot | path}}/tasks", items: tasks }
  hold: { path: "/tasks/{{.ID | path}}/hold" }
  release: { path: "/tasks/{{.ID | path}}/release" }
  each: true
  etag: version
  id: id
  kind: type
  state: status
  states: { held: blocked, open: ready, started: active, done: confirmed }
error: { code: error.code, message: error.message }
`
	file := filepath.Join(t.TempDir(), "each.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sim := newWarehouse(t, true)
	c := dialSim(t, file, sim.Service)
	e := gateEffect(t, sim, 1)
	read := func() (connector.View, connector.Version) {
		t.Helper()
		v, version, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectTasks, Lot: e.Lot})
		if err != nil {
			t.Fatal(err)
		}
		return v, version
	}
	_, version := read()
	sim.Faults.Add(fault.Fault{Kind: fault.Conflict, Every: 2, Times: 1}) // someone changes the second task
	if r := c.Write(t.Context(), e, version); r.Outcome != event.Conflict {
		t.Fatalf("a task that was changed meanwhile: %v, want conflict", r)
	}
	v, version := read()
	if v.Shows(&e) || len(sim.Of(e.Object)) == 0 {
		t.Errorf("half-way the warehouse shows %+v", v.Tasks)
	}
	if r := c.Write(t.Context(), e, version); r.Outcome != "" {
		t.Fatalf("the rest: %v", r)
	}
	if v, version = read(); !v.Shows(&e) {
		t.Errorf("held, and the warehouse shows %+v", v.Tasks)
	}
	e.Gate = quality.GateOpen
	if r := c.Write(t.Context(), e, version); r.Outcome != "" {
		t.Fatalf("freed: %v", r)
	}
	if v, version = read(); !v.Shows(&e) {
		t.Errorf("freed, and the warehouse shows %+v", v.Tasks)
	}
	if r := c.Write(t.Context(), e, version); r.Outcome != event.Rejected {
		t.Errorf("nothing is left to do: %v", r)
	}
	held, freed := 0, 0
	for _, b := range sim.Of(e.Object) {
		switch b.Kind {
		case wms.TaskHeld:
			held++
		case wms.TaskReleased:
			freed++
		}
	}
	if held != 3 || freed != 3 {
		t.Errorf("%d tasks were held, %d freed, want 3 of each", held, freed)
	}
}
