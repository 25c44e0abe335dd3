package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestAPI_Golden(t *testing.T) {
	f := newFixture(t)
	f.seed()
	golden(t, "lot-held", f.get("viewer", lotPath(lotA)))
	golden(t, "lot-inspection", f.get("viewer", lotPath(lotC)))
	golden(t, "lot-free", f.get("viewer", lotPath(lotB)))
	golden(t, "lots", f.get("viewer", "/lots"))
	golden(t, "trace-lot", f.get("viewer", "/trace/L-88213"))
	id := event.NaturalID("p1", "press-4", []string{"measure-a"}, event.TypeCharacteristicRecorded, 0)
	golden(t, "trace-event", f.get("viewer", "/trace/"+string(id)))
	golden(t, "trace-case", f.get("viewer", "/trace/inspection:mes:900"))
	golden(t, "overview", f.get("viewer", "/overview"))
	golden(t, "ledger", f.get("auditor", "/ledger"))
	if strings.Contains(f.log.String(), canary) {
		t.Error("the log shows a token")
	}
}

func TestAPI_GoldenWaiting(t *testing.T) {
	f := newFixture(t)
	f.seed()
	key := http.Header{"Idempotency-Key": {"golden"}}
	golden(t, "hold", f.post("quality", lotPath(lotB)+"/holds", key, map[string]string{"reason": "customer complaint 118"}))
	if err := f.store.Update(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.ClaimEffects("test", []string{"s4"}, 10, f.now, time.Minute)
		for i := range rows {
			err = errors.Join(err, tx.DeferEffect(&rows[i], f.now.Add(30*time.Second), event.RetryLater, "503", "Service Unavailable"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "lot-waiting", f.get("viewer", lotPath(lotB)))
	golden(t, "trace-waiting", f.get("viewer", "/trace/L-88214"))
}

func TestAPI_OpenAPI(t *testing.T) {
	f := newFixture(t)
	a := f.get("", "/openapi.json")
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	a.into(t, &doc)
	if len(doc.Paths) < 15 || doc.Paths["/api/v1/lots/{key}/holds"]["post"] == nil {
		t.Errorf("%d paths: %s", len(doc.Paths), a.body)
	}
	for _, path := range []string{"/docs", "/schemas/Lot", "/openapi.yaml"} {
		if a := f.get("viewer", path); a.status != http.StatusNotFound {
			t.Errorf("%s answers %d, want nothing there", path, a.status)
		}
	}
}
