package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Unread(t *testing.T) {
	f := newFixture(t)
	f.seed()
	hash := event.Hash(strings.Repeat("ab", 32))
	d := &event.RecordQuarantined{
		MayLot: event.MayLot{Lot: lotB}, Source: "press-4", Item: "halle/press-4/result", Reason: "torque: is a text: want a number", Code: "E-6301", Equipment: "press-4", RawSHA256: hash,
	}
	d.Provenance = event.Provenance{Raw: `{"lot":"L-88214","torque":"high"}`, Errors: []string{"torque: is a text: want a number", "unit: is missing"}, ArrivedAt: event.At(f.now)}
	f.mustApply("unread-1", "p1", d)
	cut := &event.RecordQuarantined{Source: "press-4", Item: "halle/press-4/blob", Reason: "value is not JSON: byte 1: invalid", RawSHA256: hash}
	cut.Provenance = event.Provenance{RawBase64: "AP8B", RawLength: 70000}
	f.mustApply("unread-2", "p1", cut)
	var list api.UnreadList
	f.get("operator", "/unread").into(t, &list)
	if len(list.Messages) != 2 || list.More {
		t.Fatalf("messages are %+v", list)
	}
	if !list.Messages[0].Since.After(list.Messages[1].Since) || list.Messages[1].Lot != lotB || list.Messages[1].Plant != "p1" || list.Messages[1].Equipment != "press-4" {
		t.Errorf("messages are %+v", list.Messages)
	}
	var u api.Unread
	f.get("operator", "/unread/"+string(list.Messages[1].ID)).into(t, &u)
	if u.Text != d.Provenance.Raw || len(u.Errors) != 2 || len(u.Faults) != 1 || u.Faults[0].Path != "torque" || !u.Open || u.Agent != "a1" || u.Length != int64(len(u.Text)) || u.Item != d.Item {
		t.Errorf("message is %+v", u)
	}
	var blob api.Unread
	f.get("operator", "/unread/"+string(list.Messages[0].ID)).into(t, &blob)
	if string(blob.Raw) != "\x00\xff\x01" || blob.Text != "" || blob.Length != 70000 || len(blob.Faults) != 1 || blob.Faults[0].Byte != 1 {
		t.Errorf("bytes are %+v", blob)
	}
	f.get("operator", "/unread?plant=p2").into(t, &list)
	if len(list.Messages) != 0 {
		t.Errorf("of another plant: %+v", list)
	}
	for _, path := range []string{"/unread", "/unread?plant=p1"} {
		if f.get("alice-p2", path).into(t, &list); len(list.Messages) != 0 {
			t.Errorf("another plant sees %+v", list)
		}
	}
	f.get("alice-p2", "/unread/"+string(u.ID)).refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("operator", "/unread/n-0").refused(t, http.StatusNotFound, problem.ObjectHidden)

	t.Run("its correction closes it", func(t *testing.T) {
		c := measured(lotB, "41", "", "50")
		c.Evaluation = event.Pass
		e := f.event("corrected", "p1", c)
		e.Causation = u.ID
		if r := f.put(e); r.Outcome != workflow.Accepted {
			t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
		}
		if f.get("operator", "/unread?plant=p1").into(t, &list); len(list.Messages) != 1 {
			t.Errorf("messages are %+v", list)
		}
		if f.get("operator", "/unread/"+string(u.ID)).into(t, &u); u.Open {
			t.Error("it is still open")
		}
	})
}
