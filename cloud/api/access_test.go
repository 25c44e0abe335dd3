package api_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Roles(t *testing.T) {
	f := newFixture(t)
	f.seed()
	type request struct {
		name, method, path string
		body               any
		roles              []string
	}
	everyone := []string{"viewer", "operator", "quality", "auditor", "admin"}
	lot := lotPath(lotB)
	reason := map[string]string{"reason": "because"}
	scope := map[string]any{"reason": "because", "scope": map[string]string{"kind": "supplier", "value": "ACME"}}
	requests := []request{
		{"version", http.MethodGet, "/version", nil, everyone},
		{"overview", http.MethodGet, "/overview", nil, everyone},
		{"list lots", http.MethodGet, "/lots", nil, everyone},
		{"show lot", http.MethodGet, lot, nil, everyone},
		{"trace", http.MethodGet, "/trace/L-88213", nil, everyone},
		{"scope holds", http.MethodGet, "/holds", nil, everyone},
		{"hold", http.MethodPost, lot + "/holds", reason, []string{"operator", "quality"}},
		{"lift", http.MethodPost, lot + "/holds/hold:x:1/lift", reason, []string{"operator", "quality"}},
		{"hold by scope", http.MethodPost, "/holds", scope, []string{"quality"}},
		{"lift by scope", http.MethodPost, "/holds/hold:x:1/lift", reason, []string{"quality"}},
		{"list dead letters", http.MethodGet, "/deadletters", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"show dead letter", http.MethodGet, "/deadletters/77", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"fix", http.MethodPost, "/deadletters/77/fix", map[string]any{"reason": "because", "value": map[string]string{}}, []string{"quality"}},
		{"redrive", http.MethodPost, "/deadletters/77/redrive", reason, []string{"operator", "quality"}},
		{"groups of dead letters", http.MethodGet, "/deadletters/groups", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"dead letters of a group", http.MethodGet, "/deadletters/groups/77", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"redrive a group", http.MethodPost, "/deadletters/groups/77/redrive", reason, []string{"operator", "quality"}},
		{"difference of a fix", http.MethodPost, "/deadletters/77/difference", map[string]any{"value": map[string]string{}}, []string{"quality"}},
		{"list unread messages", http.MethodGet, "/unread", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"show unread message", http.MethodGet, "/unread/n-1", nil, []string{"operator", "quality", "auditor", "admin"}},
		{"coverage", http.MethodGet, "/coverage?plant=p1", nil, everyone},
		{"list agents", http.MethodGet, "/agents", nil, everyone},
		{"decide about an epoch", http.MethodPost, "/agents/p1/a1/epochs/none/decision", map[string]string{"decision": "accepted", "reason": "because"}, []string{"quality", "admin"}},
		{"accept evidence", http.MethodPost, lot + "/evidence", map[string]any{"reason": "because", "gap": "gap:x:1", "signers": []map[string]string{{"user": "x", "password": "x"}}}, []string{"quality"}},
		{"drop", http.MethodPost, "/deadletters/77/drop", map[string]any{"reason": "because", "signers": []map[string]string{{"user": "x", "password": "x"}, {"user": "y", "password": "y"}}}, []string{"quality"}},
		{"rest of an agent", http.MethodGet, "/agents/p1/a9/rest", nil, everyone},
		{"retire", http.MethodPost, "/agents/p1/a9/retirement", reason, []string{"quality", "admin"}},
		{"list systems", http.MethodGet, "/systems", nil, everyone},
		{"show system", http.MethodGet, "/systems/s9", nil, everyone},
		{"effects on a system", http.MethodGet, "/systems/s9/effects", nil, everyone},
		{"list alerts", http.MethodGet, "/alerts", nil, everyone},
		{"pause", http.MethodPost, "/systems/s9/pause", map[string]any{"seconds": 60, "reason": "because"}, []string{"operator", "admin"}},
		{"resume", http.MethodPost, "/systems/s9/resume", reason, []string{"operator", "admin"}},
		{"dispatch", http.MethodPost, "/dispatch", map[string]any{"on": false, "system": "s9", "reason": "because"}, []string{"admin"}},
		{"list users", http.MethodGet, "/users", nil, []string{"auditor", "admin"}},
		{"add user", http.MethodPost, "/users", map[string]any{"name": "x", "printed_name": "x", "person": "x", "roles": []string{"viewer"}, "password": "x"}, []string{"admin"}},
		{"disable user", http.MethodPost, "/users/x/disable", reason, []string{"admin"}},
		{"enable user", http.MethodPost, "/users/x/enable", reason, []string{"admin"}},
		{"set password", http.MethodPost, "/users/x/password", map[string]string{"new": "correct horse battery", "reason": "because"}, []string{"admin"}},
		{"ledger", http.MethodGet, "/ledger", nil, []string{"quality", "auditor", "admin"}},
		{"search the ledger", http.MethodGet, "/ledger/search", nil, []string{"quality", "auditor", "admin"}},
		{"state of the ledger", http.MethodGet, "/ledger/state", nil, []string{"quality", "auditor", "admin"}},
		{"ledger key", http.MethodGet, "/ledger/key", nil, []string{"quality", "auditor", "admin"}},
		{"anchors", http.MethodGet, "/anchors", nil, []string{"quality", "auditor", "admin"}},
	}
	for _, r := range requests {
		for _, role := range everyone {
			t.Run(r.name+" as "+role, func(t *testing.T) {
				var a *answer
				if r.method == http.MethodGet {
					a = f.get(role, r.path)
				} else {
					a = f.post(role, r.path, nil, r.body)
				}
				allowed := strings.Contains(" "+strings.Join(r.roles, " ")+" ", " "+role+" ")
				switch {
				case !allowed:
					a.refused(t, http.StatusForbidden, problem.RoleRefused)
				case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized && r.name != "accept evidence" || a.status >= 500:
					t.Errorf("answer %d: %s", a.status, a.body)
				}
			})
		}
	}
	if f.acts("access.refused") == 0 {
		t.Error("refused attempts are not in the ledger")
	}
}

func TestAPI_Token(t *testing.T) {
	f := newFixture(t)
	tests := map[string]string{
		"ErrMissing":      "",
		"ErrBasic":        "Basic " + tokenOf("quality"),
		"ErrUnknown":      "Bearer hf_" + strings.Repeat("A", 43),
		"ErrForm":         "Bearer " + strings.TrimPrefix(tokenOf("quality"), "hf_"),
		"ErrUnsignedJWT":  "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJxdWFsaXR5In0.",
		"ErrPrefixOfOne":  "Bearer " + tokenOf("quality")[:20],
		"ErrTrailingText": "Bearer " + tokenOf("quality") + "x",
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			if header != "" {
				h.Set("Authorization", header)
			}
			a := f.call("", http.MethodGet, "/lots", h, nil)
			a.refused(t, http.StatusUnauthorized, problem.TokenRefused)
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
}

func TestAPI_UnknownPath(t *testing.T) {
	f := newFixture(t)
	f.get("viewer", "/nothing").refused(t, http.StatusNotFound, problem.Usage)
	f.call("viewer", http.MethodDelete, "/lots", nil, nil).refused(t, http.StatusNotFound, problem.Usage)
}

func TestAPI_OtherPlant(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.mustApply("hold-c", "p2", &event.HoldPlaced{
		MayLot: event.MayLot{Lot: lotC}, HoldID: "hold:mes:1", HoldKind: event.HoldQuality, Reason: "scratch", PlacedBy: "bob",
		PlacedAt: event.At(f.now), Authority: event.AuthorityQuality,
	})
	held := string(event.NaturalID("p2", "press-4", []string{"hold-c"}, event.TypeHoldPlaced, 0))
	reason := map[string]string{"reason": "because"}
	requests := map[string]func() *answer{
		"show":          func() *answer { return f.get("alice-p1", lotPath(lotC)) },
		"hold":          func() *answer { return f.post("alice-p1", lotPath(lotC)+"/holds", nil, reason) },
		"lift":          func() *answer { return f.post("alice-p1", lotPath(lotC)+"/holds/hold:mes:1/lift", nil, reason) },
		"trace lot":     func() *answer { return f.get("alice-p1", "/trace/"+url.PathEscape(string(lotC))) },
		"trace event":   func() *answer { return f.get("alice-p1", "/trace/"+held) },
		"ledger of lot": func() *answer { return f.get("alice-p1", "/ledger?lot="+url.QueryEscape(string(lotC))) },
	}
	for name, do := range requests {
		t.Run(name, func(t *testing.T) { do().refused(t, http.StatusNotFound, problem.ObjectHidden) })
	}
	if n := f.acts("access.hidden"); n == 0 {
		t.Error("the attempts are not in the ledger")
	}
	t.Run("SameAsUnknown", func(t *testing.T) {
		unknown := lotPath("lot:2000:MAT-200:L-0")
		a, b := f.get("alice-p1", unknown), f.get("alice-p1", lotPath(lotC))
		if got := bytes.ReplaceAll(b.body, []byte("L-9"), []byte("L-0")); !bytes.Equal(got, a.body) {
			t.Errorf("a hidden lot answers\n%s, an unknown one\n%s", got, a.body)
		}
	})
	t.Run("LotsList", func(t *testing.T) {
		var page api.LotPage
		f.get("alice-p1", "/lots").into(t, &page)
		if len(page.Lots) != 2 || page.Lots[0].Key != lotA || page.Lots[1].Key != lotB {
			t.Errorf("sees %+v", page.Lots)
		}
	})
	t.Run("Overview", func(t *testing.T) {
		var o api.Overview
		f.get("alice-p1", "/overview").into(t, &o)
		if len(o.Plants) != 1 || o.Plants[0].Plant != "p1" || len(o.Effects) != 0 {
			t.Errorf("sees %+v", o)
		}
	})
	t.Run("ErrWholeLedger", func(t *testing.T) {
		f.get("alice-p1", "/ledger").refused(t, http.StatusForbidden, problem.RoleRefused)
	})
	t.Run("ErrScopeOverPlants", func(t *testing.T) {
		f.post("alice-p1", "/holds", nil, map[string]any{"reason": "x", "scope": map[string]string{"kind": "supplier", "value": "ACME"}}).
			refused(t, http.StatusNotFound, problem.ObjectHidden)
	})
}

func TestAPI_Authority(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	var byQuality, byOperator api.Hold
	f.post("quality", path, nil, map[string]string{"reason": "scratch"}).into(t, &byQuality)
	f.post("operator", path, nil, map[string]string{"reason": "dent"}).into(t, &byOperator)
	lift := func(as string, h *api.Hold) *answer {
		return f.post(as, path+"/"+url.PathEscape(string(h.ID))+"/lift", nil, map[string]string{"reason": "sorted"})
	}
	lift("operator", &byQuality).refused(t, http.StatusForbidden, problem.RoleRefused)
	lift("operator", &byOperator).into(t, &byOperator)
	lift("quality", &byQuality).into(t, &byQuality)
	var page api.DeadletterPage
	f.get("quality", "/deadletters").into(t, &page)
	if len(page.Deadletters) != 0 {
		t.Errorf("a refused lift left %+v", page.Deadletters)
	}
}
