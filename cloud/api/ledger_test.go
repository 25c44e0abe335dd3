package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestAPI_LedgerVerifies proves that what the API hands out verifies, and that a change of it does not.
func TestAPI_LedgerVerifies(t *testing.T) {
	f := newFixture(t)
	f.seed()
	dir := t.TempDir()
	anchors := filepath.Join(dir, "anchors.jsonl")
	sealer, err := ledger.New(ledger.Config{KeyFile: config.Path(filepath.Join(dir, "key")), AnchorFile: config.Path(anchors)}, "test", f.store,
		func() time.Time { return f.now }, zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sealer.Run(ended); err != nil { // seals and anchors once, at its end
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	api.Register(mux, api.Config{
		Callers:   []api.Caller{{Principal: "auditor", Roles: []string{"auditor"}, Token: config.NewSecret(tokenOf("auditor"))}},
		LedgerKey: sealer.PublicKey(), AnchorFile: anchors, Now: func() time.Time { return f.now },
	}, f.store, f.engine, zerolog.Nop())
	f.server.Close()
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)

	var export bytes.Buffer
	encode := json.NewEncoder(&export)
	for after := int64(0); ; {
		var page api.LedgerPage
		f.get("auditor", "/ledger?limit=5&after="+strconv.FormatInt(after, 10)).into(t, &page)
		for _, e := range page.Entries {
			if err := encode.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	var key api.LedgerKey
	f.get("auditor", "/ledger/key").into(t, &key)
	public, err := ledger.ParseKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	a := f.get("auditor", "/anchors")
	report, err := ledger.Verify(bytes.NewReader(export.Bytes()), bytes.NewReader(a.body), public)
	if err != nil || report.Anchors != 1 || report.Entries < 10 || report.Unanchored != 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	forged := bytes.Replace(export.Bytes(), []byte("61.2"), []byte("49.2"), 1)
	if _, err := ledger.Verify(bytes.NewReader(forged), bytes.NewReader(a.body), public); err == nil {
		t.Error("a changed export verifies")
	}
	t.Run("OfLot", func(t *testing.T) {
		var page api.LedgerPage
		f.get("auditor", "/ledger?lot="+url.QueryEscape(string(lotB))).into(t, &page)
		if len(page.Entries) == 0 {
			t.Error("no entries")
		}
		for _, e := range page.Entries {
			if event.LotKey(e.Lot) != lotB {
				t.Errorf("entry of %s", e.Lot)
			}
		}
	})
}
