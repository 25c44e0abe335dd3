package rest_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

func newRig(t *testing.T) (*rest.Client, *qms.Simulator) {
	t.Helper()
	sim, err := qms.New(qms.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	return dial(t, "testdata/qms.rest.yaml", server.URL, token, zerolog.Nop()), sim
}

func TestClient_Find_DuplicatesLowestFirst(t *testing.T) {
	c, sim := newRig(t)
	e := suiteEffect(sim, quality.NonconformanceEnsure, 1)
	for range 12 { // as blind repetitions would
		if r := c.Write(t.Context(), e, nil); r.Outcome != "" {
			t.Fatalf("create: %v", r)
		}
	}
	refs, err := c.Find(t.Context(), e)
	if err != nil || len(refs) != 12 || refs[0].ID != "QE-00001" || refs[11].ID != "QE-00012" {
		t.Errorf("found %v, %v", refs, err)
	}
}

func TestClient_Write_IllegalTransition(t *testing.T) {
	c, sim := newRig(t)
	e := suiteEffect(sim, quality.NonconformanceAdvance, 1)
	refs, err := c.Find(t.Context(), e)
	if err != nil || len(refs) != 1 {
		t.Fatalf("found %v, %v", refs, err)
	}
	sim.SetState(refs[0].ID, "voided")
	v, version, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: refs[0].ID})
	if err != nil || v.Shows(&e) {
		t.Fatalf("read %+v, %v", v, err)
	}
	r := c.Write(t.Context(), e, version)
	if want := fmt.Sprintf("[%q]", "you can't change state from 'voided' to 'contained'"); r.Outcome != event.Rejected || r.Message != want {
		t.Errorf("%s, want rejected with the system's words", r)
	}
	e.Record.State = quality.NCInvestigating
	if r := c.Write(t.Context(), e, version); r.Outcome != event.Rejected || r.Code != "state" {
		t.Errorf("a state without a word: %v", r)
	}
}

func TestClient_Read_Missing(t *testing.T) {
	c, _ := newRig(t)
	v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: "QE-9/../x"})
	if err != nil || v.Exists {
		t.Errorf("a record that is not there: %+v, %v", v, err)
	}
	if _, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: "lot::M:B"}); err == nil {
		t.Error("a lot was read from a QMS")
	}
}

func TestClient_Check(t *testing.T) {
	c, _ := newRig(t)
	if found, err := c.Check(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("a system in order: %+v, %v", found, err)
	}
}

func TestNew_Err(t *testing.T) {
	cfg := rest.DefaultConfig()
	cfg.URL, cfg.Mapping = "https://qms", "testdata/qms.rest.yaml"
	if _, err := rest.New(cfg, rest.Deps{}); err == nil {
		t.Error("a mapping that wants a token, and none is configured")
	}
	cfg.Mapping = "nowhere.yaml"
	if _, err := rest.New(cfg, rest.Deps{}); err == nil {
		t.Error("a mapping that is not there")
	}
}
