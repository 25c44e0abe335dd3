package sap_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

const (
	user     = "HOLDFAST"
	password = "canary+pass/word-7f3c"
	material = "MAT-100"
	batch    = "L-88213"
)

// rig is a client and the simulated system that it talks to.
type rig struct {
	*sap.Client
	sim *simulator.Simulator
	url string
}

func newRig(t *testing.T, cfg simulator.Config) *rig {
	t.Helper()
	cfg.User, cfg.Password = user, password
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	return &rig{Client: dial(t, server.URL, password), sim: sim, url: server.URL}
}

func dial(t *testing.T, url, secret string, change ...func(*sap.Config)) *sap.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := sap.DefaultConfig()
	c.URL, c.User, c.PasswordFile, c.UsageDecisions = url, user, config.SecretFile(file), codes()
	for _, f := range change {
		f(&c)
	}
	client, err := sap.New(c, sap.Deps{System: "s4", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// codes are those of the simulated system.
func codes() map[quality.Decision]sap.UsageDecision {
	return map[quality.Decision]sap.UsageDecision{
		quality.Release:            {Code: "A", CodeGroup: "01", SelectedSet: "01"},
		quality.ConditionalRelease: {Code: "AC", CodeGroup: "01", SelectedSet: "01"},
		quality.Reject:             {Code: "R", CodeGroup: "01", SelectedSet: "01", Plant: "1010"},
		quality.Scrap:              {Code: "R", CodeGroup: "01", SelectedSet: "01"},
	}
}

func lotKey(t *testing.T, material, batch string) event.LotKey {
	t.Helper()
	key, err := event.NewLotKey("", material, batch)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wants(t *testing.T, usage event.UsageStatus, generation int64) quality.Effect {
	t.Helper()
	lot := lotKey(t, material, batch)
	id := quality.CommandID("hold", string(lot), "usage", generation)
	return quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: quality.LotUsageSet, System: "s4", Object: string(lot), Lot: lot,
		Generation: generation, Usage: usage,
	}
}

func (r *rig) read(t *testing.T, lot event.LotKey) (connector.View, connector.Version) {
	t.Helper()
	v, version, err := r.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: lot})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return v, version
}

// reach reads and writes until the lot shows what is wanted, and returns how many writes that took.
func (r *rig) reach(t *testing.T, e quality.Effect) int {
	t.Helper()
	for writes := range 6 {
		v, version := r.read(t, e.Lot)
		if v.Is(e.Usage) {
			return writes
		}
		if got := r.Write(t.Context(), e, version); got.Outcome != "" {
			t.Fatalf("write %d towards %s from %s: %v", writes+1, e.Usage, v.UsageRaw, got)
		}
	}
	t.Fatalf("%s was not reached", e.Usage)
	return 0
}

func (r *rig) kinds() []string {
	var out []string
	for _, e := range r.sim.Batch(material, batch) {
		out = append(out, e.Kind)
	}
	return out
}

func resultOf(t *testing.T, err error) connector.Result {
	t.Helper()
	var r connector.Result
	if !errors.As(err, &r) {
		t.Fatalf("error %v holds no result", err)
	}
	return r
}

func TestClient_Write_Usage(t *testing.T) {
	type stock struct{ quantity, kind string }
	for _, c := range []struct {
		name   string
		stock  []stock
		wanted []event.UsageStatus
		book   []string
		ends   [4]string // in 01, 02, 07, 08
	}{
		{"a restricted lot has its flag set", []stock{{"100", "01"}}, []event.UsageStatus{event.Restricted},
			[]string{"flag_set"}, [4]string{"0", "0", "0", "100"}},
		{"a blocked lot has its flag set first, then its stock moved", []stock{{"100", "01"}}, []event.UsageStatus{event.Blocked},
			[]string{"flag_set", "transfer_344"}, [4]string{"0", "0", "100", "0"}},
		{"a lot without stock is blocked by its flag", nil, []event.UsageStatus{event.Blocked},
			[]string{"flag_set"}, [4]string{"0", "0", "0", "0"}},
		{"stock in inspection stays there and is held by the flag", []stock{{"40", "02"}, {"60", "01"}}, []event.UsageStatus{event.Blocked},
			[]string{"flag_set", "transfer_344"}, [4]string{"0", "40", "60", "0"}},
		{"inspection wants nothing where the stock is in inspection", []stock{{"40", "02"}}, []event.UsageStatus{event.InInspection},
			nil, [4]string{"0", "40", "0", "0"}},
		{"inspection sets the flag where stock is free", []stock{{"40", "01"}}, []event.UsageStatus{event.InInspection},
			[]string{"flag_set"}, [4]string{"0", "0", "0", "40"}},
		{"under a lifted hold the flag goes from what waits in inspection by itself", []stock{{"40", "02"}},
			[]event.UsageStatus{event.Restricted, event.InInspection}, []string{"flag_set", "flag_cleared"}, [4]string{"0", "40", "0", "0"}},
		{"what others blocked keeps no flag on what waits in inspection", []stock{{"40", "02"}, {"25", "07"}},
			[]event.UsageStatus{event.Blocked, event.InInspection}, []string{"flag_set", "flag_cleared"}, [4]string{"0", "40", "25", "0"}},
		{"the flag stays where it alone keeps a part from being free", []stock{{"40", "02"}, {"60", "01"}},
			[]event.UsageStatus{event.Blocked, event.InInspection}, []string{"flag_set", "transfer_344", "transfer_343"}, [4]string{"0", "40", "0", "60"}},
		{"a hold that falls from blocked to restricted takes the stock back", []stock{{"100", "01"}},
			[]event.UsageStatus{event.Blocked, event.Restricted},
			[]string{"flag_set", "transfer_344", "transfer_343"}, [4]string{"0", "0", "0", "100"}},
		{"a lifted hold frees the lot again", []stock{{"100", "01"}}, []event.UsageStatus{event.Blocked, event.Unrestricted},
			[]string{"flag_set", "transfer_344", "transfer_343", "flag_cleared"}, [4]string{"100", "0", "0", "0"}},
		{"what others blocked stays blocked", []stock{{"100", "01"}, {"25", "07"}}, []event.UsageStatus{event.Blocked, event.Unrestricted},
			[]string{"flag_set", "transfer_344", "transfer_343", "flag_cleared"}, [4]string{"100", "0", "25", "0"}},
		{"a second round takes back its own quantity only", []stock{{"10.125", "01"}},
			[]event.UsageStatus{event.Blocked, event.Unrestricted, event.Blocked, event.Unrestricted},
			[]string{"flag_set", "transfer_344", "transfer_343", "flag_cleared", "flag_set", "transfer_344", "transfer_343", "flag_cleared"},
			[4]string{"10.125", "0", "0", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			r.sim.AddBatch(material, batch, "1010", "", "")
			for _, s := range c.stock {
				r.sim.AddBatch(material, batch, "1010", s.quantity, s.kind)
			}
			for i, usage := range c.wanted {
				r.reach(t, wants(t, usage, int64(i+1)))
			}
			if got := r.kinds(); !equal(got, c.book) {
				t.Errorf("effects %v, want %v", got, c.book)
			}
			for i, kind := range []string{"01", "02", "07", "08"} {
				if got := r.sim.Stock(material, batch, kind); got != c.ends[i] {
					t.Errorf("stock type %s holds %s, want %s", kind, got, c.ends[i])
				}
			}
			if book := r.sim.Batch(material, batch); len(book) > 0 && book[0].FreeAfter {
				t.Error("after the first effect something of the batch is still free")
			}
		})
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestClient_Write_CarriesTheReference(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.AddBatch(material, batch, "1010", "100", "01")
	e := wants(t, event.Blocked, 1)
	r.reach(t, e)
	refs, err := r.Find(context.Background(), e)
	if err != nil || len(refs) != 1 || refs[0].Kind != "material_document" {
		t.Fatalf("found %v, %v; want one material document", refs, err)
	}
	v, _, err := r.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: refs[0].ID})
	if err != nil || !v.Exists || v.State != "posted" || v.Fields[connector.FieldReference] != string(e.Ref) {
		t.Errorf("document %+v, %v; want posted, with reference %s", v, err, e.Ref)
	}
}

func TestClient_Write_Refuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    simulator.Config
		stock  string // type of 100 KG
		effect func(*quality.Effect)
		code   string
	}{
		{"a usage that cannot be set", simulator.Config{}, "07", func(e *quality.Effect) { e.Usage = event.OtherUsage }, "usage"},
		{"no usage at all", simulator.Config{}, "07", func(e *quality.Effect) { e.Usage = "" }, "usage"},
		{"a kind of another system", simulator.Config{}, "01", func(e *quality.Effect) { e.Kind = quality.NonconformanceEnsure }, "kind"},
		{"freeing past quality management", simulator.Config{QM: []string{material}}, "02", func(e *quality.Effect) { e.Usage = event.Unrestricted }, "QV/226"},
		{"deciding where nothing is to be decided", simulator.Config{}, "01", func(e *quality.Effect) { e.Kind = quality.UsageDecisionPost }, "no_step"},
		{"freeing what others blocked", simulator.Config{}, "07", func(e *quality.Effect) { e.Usage = event.Unrestricted }, "no_step"},
		{"a part that is not there", simulator.Config{}, "01", part("100.001", "kg"), "stock"},
		{"a part in another unit", simulator.Config{}, "01", part("1", "{each}"), "unit"},
		{"a part of nothing", simulator.Config{}, "01", part("0", "kg"), "quantity"},
		{"a part of four places", simulator.Config{}, "01", part("0.0001", "kg"), "quantity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			r.sim.AddBatch(material, batch, "1010", "100", c.stock)
			e := wants(t, event.Blocked, 1)
			c.effect(&e)
			_, version := r.read(t, e.Lot)
			if got := r.Write(t.Context(), e, version); got.Outcome != event.Rejected || got.Code != c.code {
				t.Errorf("%s %v, want rejected %s", got.Outcome, got, c.code)
			}
			if book := r.sim.Book(); len(book) != 0 {
				t.Errorf("effects all the same: %+v", book)
			}
		})
	}
}

func part(value event.Decimal, unit event.Unit) func(*quality.Effect) {
	return func(e *quality.Effect) {
		e.Kind, e.Q = quality.StockTransfer, event.Quantity{Value: value, Unit: unit}
	}
}

func TestClient_Write_FlagThatMovesNothing(t *testing.T) {
	r := newRig(t, simulator.Config{NoBatchStatus: true})
	r.sim.AddBatch(material, batch, "1010", "100", "01")
	e := wants(t, event.Restricted, 1)
	_, version := r.read(t, e.Lot)
	if got := r.Write(t.Context(), e, version); got.Outcome != "" {
		t.Fatalf("flag: %v", got)
	}
	v, version := r.read(t, e.Lot)
	if v.Usage != event.Unrestricted || v.Is(event.Restricted) {
		t.Errorf("stock that is still free counts as %s", v.Usage)
	}
	if got := r.Write(t.Context(), e, version); got.Outcome != event.Rejected || got.Code != "not_enforced" {
		t.Errorf("second write: %v, want a task for a person", got)
	}
}

func TestClient_Write_NothingRead(t *testing.T) {
	r := newRig(t, simulator.Config{})
	if got := r.Write(t.Context(), wants(t, event.Blocked, 1), nil); got.Outcome != event.Conflict {
		t.Errorf("write without a version: %v", got)
	}
	e := wants(t, event.Blocked, 1)
	v, version := r.read(t, e.Lot)
	if v.Exists || v.Usage != "" {
		t.Errorf("a batch that is not there: %+v", v)
	}
	if got := r.Write(t.Context(), e, version); got.Outcome != event.Rejected || got.Code != "batch_missing" {
		t.Errorf("write to it: %v", got)
	}
}

func TestClient_Write_StockThatMovedMeanwhile(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.AddBatch(material, batch, "1010", "100", "08")
	r.sim.SetFlag(material, batch, true)
	e := wants(t, event.Blocked, 1)
	_, version := r.read(t, e.Lot)
	r.sim.AddBatch(material, batch, "1010", "-40", "08")
	if got := r.Write(t.Context(), e, version); got.Outcome != event.Conflict {
		t.Errorf("344 of more than there is: %v; want conflict", got)
	}
	r.reach(t, e)
	if got := r.sim.Stock(material, batch, "07"); got != "60" {
		t.Errorf("blocked %s, want 60", got)
	}
}

func TestClient_Write_TokenRefusedAgain(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.AddBatch(material, batch, "1010", "100", "01")
	r.sim.Faults.Add(fault.Fault{Kind: fault.TokenNeeded})
	e := wants(t, event.Restricted, 1)
	_, version := r.read(t, e.Lot)
	if got := r.Write(t.Context(), e, version); got.Outcome != event.RetryLater || got.Refused {
		t.Errorf("a pool without affinity: %v, refused %t; want it tried later", got, got.Refused)
	}
	if n := r.sim.TokensFetched(); n != 2 {
		t.Errorf("%d tokens were fetched, want 2", n)
	}
	r.sim.Faults.Clear()
	r.reach(t, e)
}

func TestClient_Read_ManyPlacesInPages(t *testing.T) {
	r := newRig(t, simulator.Config{PageSize: 2})
	for _, plant := range []string{"1010", "1020", "1030", "1040", "1050"} {
		r.sim.AddBatch(material, batch, plant, "10", "01")
	}
	e := wants(t, event.Blocked, 1)
	if v, _ := r.read(t, e.Lot); len(v.Stock) != 5 {
		t.Fatalf("%d places, want 5: %+v", len(v.Stock), v.Stock)
	}
	r.reach(t, e)
	e = wants(t, event.Unrestricted, 2)
	r.reach(t, e)
	if got := r.sim.Stock(material, batch, "01"); got != "50" {
		t.Errorf("free %s after the way back, want 50", got)
	}
}

func TestClient_Read_WhatWasNotAskedFor(t *testing.T) {
	sim, err := simulator.New(simulator.Config{User: user, Password: password, QM: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Receive(material, batch, "", "5"); err != nil {
		t.Fatal(err)
	}
	read := func(under string) (connector.View, error) {
		v, _, err := altered(t, sim, under, `"Material":"`+material, `"Material":"OTHER`).Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: lotKey(t, material, batch)})
		return v, err
	}
	if _, err := read("API_MATERIAL_STOCK_SRV"); resultOf(t, err).Code != "not_asked_for" || resultOf(t, err).Outcome != event.RetryLater {
		t.Errorf("stock of another batch: %v", err)
	}
	if v, err := read("A_InspectionLot"); err != nil || len(v.Inspections) != 1 || v.Inspections[0].ID != "unknown" {
		t.Errorf("an inspection lot of another batch: %+v, %v; want that none could be read", v.Inspections, err)
	}
}

func TestClient_Read_LotScope(t *testing.T) {
	r := newRig(t, simulator.Config{})
	_, _, err := r.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: "lot:p2:M:B"})
	if got := resultOf(t, err); got.Outcome != event.Rejected || got.Code != "lot_key" {
		t.Errorf("a lot of a scope that does not exist here: %v", got)
	}
}

func TestClient_Check(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.AddBatch(material, batch, "1010", "1", "01")
	prove(t, r.sim)
	if found, err := r.Check(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("a system in order: %+v, %v", found, err)
	}
	r.sim.Faults.Add(fault.Fault{Kind: fault.Status, Status: 403, On: "read", Path: "MATERIAL_STOCK"})
	if found, err := r.Check(t.Context()); err != nil || len(found) != 1 || !found[0].Fatal {
		t.Errorf("a user without rights to a service: %+v, %v", found, err)
	}
	r.sim.Faults.Clear()
	r.sim.Faults.Add(fault.Fault{Kind: fault.Down})
	if _, err := r.Check(t.Context()); resultOf(t, err).Outcome != event.RetryLater {
		t.Errorf("a system that is down: %v", err)
	}
}

// prove makes a usage decision by hand with each code.
func prove(t *testing.T, sim *simulator.Simulator) {
	t.Helper()
	for _, code := range []string{"A", "AC", "R"} {
		sim.AddBatch(material, "PROOF-"+code, "1010", "1", "02")
		sim.PutUnderInspectionLot(material, "PROOF-"+code)
		if err := sim.DecideByHand(material, "PROOF-"+code, code); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClient_Check_ClockAndMaterialForm(t *testing.T) {
	sim, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	defer server.Close()
	sim.AddBatch("000000000000012345", "1", "1010", "1", "01")
	c := sap.DefaultConfig()
	c.URL, c.MaterialForm = server.URL, "stripped"
	client, err := sap.New(c, sap.Deps{System: "s4", Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	found, err := client.Check(t.Context())
	if err != nil || len(found) != 2 || !found[0].Fatal || found[1].Fatal {
		t.Errorf("found %+v, %v; want the material's form, fatal, and the clock", found, err)
	}
}

func TestNew_Err(t *testing.T) {
	for name, change := range map[string]func(*sap.Config){
		"no address":       func(c *sap.Config) { c.URL = "" },
		"an unknown scope": func(c *sap.Config) { c.LotScope = "world" },
		"an unknown form":  func(c *sap.Config) { c.MaterialForm = "roman" },
		"an unknown decision": func(c *sap.Config) {
			c.UsageDecisions = map[quality.Decision]sap.UsageDecision{"free": {"A", "01", "01", ""}}
		},
		"half a code": func(c *sap.Config) {
			c.UsageDecisions = map[quality.Decision]sap.UsageDecision{quality.Release: {Code: "A"}}
		},
		"one code for release and reject": func(c *sap.Config) {
			c.UsageDecisions = map[quality.Decision]sap.UsageDecision{quality.Release: {"A", "01", "01", ""}, quality.Reject: {"A", "01", "02", ""}}
		},
		"a user, no secret":  func(c *sap.Config) { c.User = "u" },
		"a secret not there": func(c *sap.Config) { c.PasswordFile = "nowhere" },
		"a certificate gone": func(c *sap.Config) { c.TLS.CA = "nowhere" },
	} {
		c := sap.DefaultConfig()
		c.URL = "https://s4:44300"
		change(&c)
		if _, err := sap.New(c, sap.Deps{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
