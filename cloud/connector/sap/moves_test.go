package sap_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// moves lists what left the lot's stock, each as document, movement type, quantity and where to.
func (r *rig) moves(t *testing.T, since time.Time) []string {
	t.Helper()
	v, _, err := r.Read(t.Context(), connector.Object{Kind: connector.ObjectMoves, Lot: lotKey(t, material, batch), Since: since})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range v.Moved {
		all = append(all, fmt.Sprintf("%s %s %s %s %s", m.Document, m.Kind, m.Q.Value, m.Q.Unit, m.To))
	}
	return all
}

func TestClient_Read_Moves(t *testing.T) {
	clock := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	must := func(t *testing.T, document string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return "2026/" + document + "/1"
	}
	t.Run("what was issued and delivered after a release is listed once a hold has come", func(t *testing.T) {
		r := inspected(t, simulator.Config{Now: now})
		r.decideByHand(t, "A")
		r.reach(t, wants(t, event.Unrestricted, 1))
		released := clock
		if got := r.moves(t, released); len(got) != 0 {
			t.Fatalf("the release itself moved %q", got)
		}
		clock = clock.Add(time.Hour)
		document, err := r.sim.Deliver(material, batch, "1010", "20.5", "80001234")
		delivered := must(t, document, err)
		document, err = r.sim.Issue(material, batch, "1010", "30", "1000042")
		issued := must(t, document, err)
		clock = clock.Add(time.Hour)
		r.reach(t, wants(t, event.Blocked, 2))
		want := []string{delivered + " 601 20.5 kg 80001234", issued + " 261 30 kg 1000042"}
		if got := r.moves(t, released); !slices.Equal(got, want) {
			t.Errorf("moved: %q, want %q", got, want)
		}
		if _, err := r.sim.Deliver(material, batch, "1010", "1", "80001235"); err == nil {
			t.Error("more was delivered after the hold")
		}
	})
	t.Run("what was cancelled has come back", func(t *testing.T) {
		r := newRig(t, simulator.Config{Now: now})
		r.sim.AddBatch(material, batch, "1010", "100", "01")
		document, err := r.sim.Deliver(material, batch, "1010", "20", "80001234")
		must(t, document, err)
		if err := r.sim.CancelByHand("2026", document); err != nil {
			t.Fatal(err)
		}
		if got := r.moves(t, clock.Add(-time.Hour)); len(got) != 0 {
			t.Errorf("moved: %q", got)
		}
	})
	t.Run("a document of the hours before may be of another time zone, an older one is not", func(t *testing.T) {
		r := newRig(t, simulator.Config{Now: now})
		r.sim.AddBatch(material, batch, "1010", "100", "01")
		released := clock
		clock = released.Add(-14*time.Hour - time.Minute)
		document, err := r.sim.Issue(material, batch, "1010", "1", "1")
		must(t, document, err)
		clock = released.Add(-13 * time.Hour)
		document, err = r.sim.Issue(material, batch, "1010", "2", "2")
		listed := must(t, document, err)
		if got, want := r.moves(t, released), []string{listed + " 261 2 kg 2"}; !slices.Equal(got, want) {
			t.Errorf("moved: %q, want %q", got, want)
		}
	})
	t.Run("all pages are read", func(t *testing.T) {
		r := newRig(t, simulator.Config{Now: now, PageSize: 2})
		r.sim.AddBatch(material, batch, "1010", "100", "01")
		for range 5 {
			document, err := r.sim.Issue(material, batch, "1010", "1", "1")
			must(t, document, err)
		}
		if got := r.moves(t, clock); len(got) != 5 {
			t.Errorf("moved: %q, want five", got)
		}
	})
}

// TestClient_Read_MovesOfOtherForms reads answers that the simulator does not give.
func TestClient_Read_MovesOfOtherForms(t *testing.T) {
	item := func(batch, more string) string {
		return `{"MaterialDocumentYear":"2026","MaterialDocument":"4900000001","MaterialDocumentItem":"1","Material":"` + material + `","Plant":"1010","Batch":"` + batch +
			`","QuantityInEntryUnit":"5.000","EntryUnit":"KG",` + more + `}`
	}
	for _, c := range []struct {
		name, items string
		want        string // as of the movement; empty = none
		bad         string // code of the error
	}{
		{"a transfer to another plant is named by it", item(batch, `"GoodsMovementType":"301","DebitCreditCode":"H","IssuingOrReceivingPlant":"2010","IssuingOrReceivingStorageLoc":"0001"`), "301 2010/0001", ""},
		{"its other side is no movement out", item(batch, `"GoodsMovementType":"301","DebitCreditCode":"S"`), "", ""},
		{"a document that does not say when is listed", item(batch, `"GoodsMovementType":"601","DebitCreditCode":"H","to_MaterialDocumentHeader":{"CreationDate":null,"CreationTime":null}`), "601 ", ""},
		{"one whose header was not expanded too", item(batch, `"GoodsMovementType":"601","DebitCreditCode":"H","to_MaterialDocumentHeader":{"__deferred":{"uri":"x"}}`), "601 ", ""},
		{"an item that does not say its direction is listed", item(batch, `"GoodsMovementType":"261"`), "261 ", ""},
		{"a change of the stock type is none", item(batch, `"GoodsMovementType":"344","DebitCreditCode":"H"`), "", ""},
		{"a counter-document is none", item(batch, `"GoodsMovementType":"602","DebitCreditCode":"H","ReversedMaterialDocument":"4900000000"`), "", ""},
		{"another batch's document is an answer to another question", item("OTHER", `"GoodsMovementType":"601","DebitCreditCode":"H"`), "", "not_asked_for"},
		{"a time that is none is no answer", item(batch, `"GoodsMovementType":"601","to_MaterialDocumentHeader":{"CreationTime":"noon"}`), "", "bad_data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"d":{"results":[` + c.items + `]}}`))
			}))
			defer server.Close()
			v, _, err := dial(t, server.URL, password).Read(t.Context(), connector.Object{Kind: connector.ObjectMoves, Lot: lotKey(t, material, batch), Since: time.Now()})
			if c.bad != "" {
				if got := resultOf(t, err); got.Code != c.bad {
					t.Errorf("got %v", got)
				}
				return
			}
			got := ""
			for _, m := range v.Moved {
				got += m.Kind + " " + m.To
			}
			if err != nil || strings.TrimSpace(got) != strings.TrimSpace(c.want) {
				t.Errorf("moved %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
