package rest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

func inspectionEffect(n int) quality.Effect {
	inspection := fmt.Sprintf("inspection:mes1:I-%d", n)
	id := quality.CommandID("w1", inspection, "inspection_submit", 1)
	return quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: quality.InspectionSubmit, System: "qms1", Object: inspection, Lot: "lot::MAT-100:L-1", Generation: 1,
		Inspection: &quality.InspectionRecord{
			ID: event.ObjectID(inspection), Lot: "lot::MAT-100:L-1", Plant: "p1", Type: event.InspectionFinal, Verdict: event.VerdictFail, SpecRev: "C",
			CompletedAt: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), ResultCount: 12, Supersedes: []event.ObjectID{"inspection:mes1:I-0"},
		},
	}
}

// exactInspections are inspections with texts and numbers that careless code changes.
func exactInspections(sim *qms.Simulator) (all []connectortest.Exact) {
	for i, lot := range []event.LotKey{"lot::MAT-100:0007", "lot:p1:000000000000012345:L%2F1%20%22x%22"} {
		e := inspectionEffect(100 + i)
		e.Lot, e.Inspection.Lot, e.Inspection.ResultCount = lot, lot, 9007199254740993
		all = append(all, connectortest.Exact{Name: "inspection " + fmt.Sprint(i), Effect: e, Same: func(connector.View) error {
			got := sim.Inspections(string(lot))
			if len(got) != 1 || got[0].ExternalID != e.Object || got[0].Verdict != qms.Failed || fmt.Sprint(got[0].Supersedes) != "[inspection:mes1:I-0]" {
				return fmt.Errorf("the system has %+v", got)
			}
			return nil
		}})
	}
	return all
}

func TestClient_Write_Inspection(t *testing.T) {
	sim, err := qms.New(qms.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	c := dialSim(t, "testdata/qms.rest.yaml", sim.Service)
	e := inspectionEffect(1)
	if refs, err := c.Find(t.Context(), e); err != nil || len(refs) != 0 {
		t.Fatalf("found %v, %v before it is there", refs, err)
	}
	if r := c.Write(t.Context(), e, nil); r.Outcome != "" || r.Ref.ID != "INS-00001" || r.Ref.Kind != "inspection" {
		t.Fatalf("written: %v, %+v", r, r.Ref)
	}
	refs, err := c.Find(t.Context(), e)
	if err != nil || len(refs) != 1 {
		t.Fatalf("found %v, %v", refs, err)
	}
	v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectInspection, ID: refs[0].ID})
	if err != nil || !v.Shows(&e) {
		t.Errorf("read %+v, %v", v, err)
	}
	for verdict, want := range map[event.Verdict]string{event.VerdictPass: qms.Passed, event.VerdictIndeterminate: qms.Inconclusive} {
		e := inspectionEffect(2)
		e.Lot, e.Inspection.Lot, e.Inspection.Verdict = event.LotKey("lot::M:"+string(verdict)), event.LotKey("lot::M:"+string(verdict)), verdict
		if r := c.Write(t.Context(), e, nil); r.Outcome != "" {
			t.Fatalf("%s: %v", verdict, r)
		}
		if got := sim.Inspections(string(e.Lot)); len(got) != 1 || got[0].Verdict != want {
			t.Errorf("%s: %+v", verdict, got)
		}
	}
	e.Inspection.Verdict = event.VerdictNone
	if r := c.Write(t.Context(), e, nil); r.Outcome != event.Rejected || !strings.Contains(r.Message, "no word for the verdict none") {
		t.Errorf("a verdict without a word: %v", r)
	}
	e.Inspection = nil
	if r := c.Write(t.Context(), e, nil); r.Outcome != event.Rejected {
		t.Errorf("an effect without its inspection: %v", r)
	}
	if v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectInspection, ID: "INS-09999"}); err != nil || v.Exists {
		t.Errorf("one that is not there: %+v, %v", v, err)
	}
}
