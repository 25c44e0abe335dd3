package api_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// sealed gives a fixture an anchor file that a sealer writes; seal seals and anchors once.
func sealed(t *testing.T) (f *fixture, anchors string, seal func()) {
	t.Helper()
	anchors = filepath.Join(t.TempDir(), "anchors.jsonl")
	f = newFixture(t, func(c *api.Config) { c.AnchorFile = anchors })
	cfg := ledger.Config{KeyFile: config.Path(filepath.Join(t.TempDir(), "key")), AnchorFile: config.Path(anchors)}
	seal = func() {
		t.Helper()
		sealer, err := ledger.New(cfg, "test", f.store, func() time.Time { return f.now }, zerolog.Nop(), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := sealer.Run(ended); err != nil { // seals and anchors once, at its end
			t.Fatal(err)
		}
	}
	return f, anchors, seal
}

func TestAPI_SearchLedger(t *testing.T) {
	f, _, seal := sealed(t)
	f.seed()
	f.post("operator", "/systems/s4/pause", nil, map[string]any{"seconds": 600, "reason": "maintenance of 100% of it"}).into(t, new(api.SystemList))
	f.now = f.now.Add(time.Hour)
	f.post("quality", lotPath(lotB)+"/holds", nil, map[string]string{"reason": "Scratch on the flange"}).into(t, new(api.Hold))
	seal()
	search := func(query string) (page api.AuditPage) {
		t.Helper()
		f.get("auditor", "/ledger/search?"+query).into(t, &page)
		return page
	}
	all := search("limit=1000")
	if len(all.Entries) < 10 || all.Next != 0 || all.Looked != int64(len(all.Entries)) {
		t.Fatalf("%d entries, next %d, looked at %d", len(all.Entries), all.Next, all.Looked)
	}
	for i := range all.Entries {
		e := &all.Entries[i]
		if !e.Fits || !e.Sealed || e.Zone == "" || e.Did == "" || i > 0 && e.ID >= all.Entries[i-1].ID {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	for query, want := range map[string]func(*api.AuditEntry) bool{
		"principal=operator":         func(e *api.AuditEntry) bool { return e.Principal == "operator" },
		"act=dispatch.off":           func(e *api.AuditEntry) bool { return e.Did == "dispatch.off" && e.About == "s4" },
		"act=quality.hold.placed.v1": func(e *api.AuditEntry) bool { return e.Did == "quality.hold.placed.v1" },
		"text=100%25+of":             func(e *api.AuditEntry) bool { return e.Did == "dispatch.off" },
		"text=SCRATCH":               func(e *api.AuditEntry) bool { return e.Reason == "Scratch on the flange" },
		"lot=" + url.QueryEscape(string(lotC)): func(e *api.AuditEntry) bool {
			return event.LotKey(e.Lot) == lotC && e.Plant == "p2" && e.Zone == "America/Chicago"
		},
		"since=" + f.now.Add(-30*time.Minute).Format(time.RFC3339Nano): func(e *api.AuditEntry) bool {
			return e.Principal == "quality" || e.Principal == "rule" || e.Principal == "holdfast"
		},
		"order=oldest&before=" + start().Add(time.Second).Format(time.RFC3339Nano): func(e *api.AuditEntry) bool { return e.At < "2026-11-24T09:14:04" },
	} {
		page := search(query + "&limit=1000")
		if len(page.Entries) == 0 || len(page.Entries) == len(all.Entries) {
			t.Errorf("%s finds %d entries", query, len(page.Entries))
		}
		for i := range page.Entries {
			if !want(&page.Entries[i]) {
				t.Errorf("%s finds %+v", query, page.Entries[i])
			}
		}
	}
	if page := search("text=nobody+wrote+this"); len(page.Entries) != 0 || page.Next != 0 || page.Looked != all.Looked {
		t.Errorf("what is not there: %+v", page)
	}
	for _, order := range []string{"newest", "oldest"} {
		seen, from := 0, int64(0)
		for last := int64(0); ; {
			page := search("limit=4&order=" + order + "&from=" + strconv.FormatInt(from, 10))
			for _, e := range page.Entries {
				if last != 0 && (order == "newest") != (e.ID < last) {
					t.Errorf("%s: %d behind %d", order, e.ID, last)
				}
				last = e.ID
				seen++
			}
			if from = page.Next; from == 0 {
				break
			}
		}
		if seen != len(all.Entries) {
			t.Errorf("%s: %d entries in pages, want %d", order, seen, len(all.Entries))
		}
	}
	t.Run("lot by lot for a plant's users", func(t *testing.T) {
		f.get("alice-p1", "/ledger/search").refused(t, http.StatusForbidden, problem.RoleRefused)
		f.get("alice-p1", "/ledger/search?lot="+url.QueryEscape(string(lotC))).refused(t, http.StatusNotFound, problem.ObjectHidden)
		var page api.AuditPage
		if f.get("alice-p1", "/ledger/search?lot="+url.QueryEscape(string(lotA))).into(t, &page); len(page.Entries) == 0 {
			t.Error("no entries of a lot of the own plant")
		}
	})
	t.Run("what was changed in the database does not fit", func(t *testing.T) {
		f.post("operator", "/systems/s4/resume", nil, map[string]string{"reason": "done"}).into(t, new(api.SystemList))
		id := search("limit=1").Entries[0].ID
		if err := f.store.Update(t.Context(), func(tx *store.Tx) error {
			return tx.PutSeal(all.Entries[0].Place+1, id, all.Entries[0].Hash, "00")
		}); err != nil {
			t.Fatal(err)
		}
		if page := search("limit=1"); page.Entries[0].Fits {
			t.Errorf("entry %+v fits", page.Entries[0])
		}
	})
}

func TestAPI_LedgerState(t *testing.T) {
	f, anchors, seal := sealed(t)
	state := func() (s api.LedgerState) {
		t.Helper()
		f.get("auditor", "/ledger/state").into(t, &s)
		return s
	}
	if s := state(); s.Entries != 0 || s.File != api.AnchorNone || s.Late || !s.TailSince.IsZero() {
		t.Errorf("an empty ledger is %+v", s)
	}
	f.seed()
	if s := state(); s.Unsealed == 0 || s.TailSince.IsZero() || s.Late || s.File != api.AnchorNone {
		t.Errorf("before the sealer ran: %+v", s)
	}
	seal()
	s := state()
	if s.Entries < 10 || s.Unsealed != 0 || s.Anchored != s.Entries || s.Unanchored != 0 || s.File != api.AnchorFits || s.Head == "" || s.AnchoredAt.IsZero() || s.KeyID == "" {
		t.Errorf("sealed and anchored: %+v", s)
	}
	f.post("quality", lotPath(lotB)+"/holds", nil, map[string]string{"reason": "scratch"}).into(t, new(api.Hold))
	f.now = f.now.Add(time.Hour)
	if s := state(); !s.Late || s.Unsealed == 0 {
		t.Errorf("nobody seals: %+v", s)
	}
	seal()
	whole, err := os.ReadFile(anchors)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		want    api.Anchoring
	}{
		"a line that is being written": {string(whole) + `{"count":`, api.AnchorFits},
		"more than the chain has":      {string(whole) + `{"count":9999,"head":"ab"}` + "\n", api.AnchorDiffers},
		"another head":                 {string(whole) + `{"count":3,"head":"ab"}` + "\n", api.AnchorDiffers},
		"no anchor":                    {string(whole) + "nonsense\n", api.AnchorUnread},
		"empty":                        {"", api.AnchorNone},
	} {
		if err := os.WriteFile(anchors, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := state(); s.File != c.want {
			t.Errorf("%s: %s, want %s", name, s.File, c.want)
		}
	}
}
