package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
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

func TestAPI_Body(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	good := `{"reason":"scratch"}`
	send := func(contentType string, body *strings.Reader, chunked bool) *answer {
		h := http.Header{}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		if chunked {
			return f.call("quality", http.MethodPost, path, h, struct{ *onlyReader }{&onlyReader{body}})
		}
		return f.call("quality", http.MethodPost, path, h, body)
	}
	big := `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`
	tests := []struct {
		name, contentType, body string
		chunked                 bool
		status                  int
	}{
		{"ErrTooLarge", "application/json", big, false, http.StatusRequestEntityTooLarge},
		{"ErrTooLargeInChunks", "application/json", big, true, http.StatusRequestEntityTooLarge},
		{"ErrNoContentType", "", good, false, http.StatusUnsupportedMediaType},
		{"ErrForm", "application/x-www-form-urlencoded", "reason=scratch", false, http.StatusUnsupportedMediaType},
		{"ErrText", "text/plain", good, false, http.StatusUnsupportedMediaType},
		{"ErrLatin1", "application/json; charset=iso-8859-1", good, false, http.StatusUnsupportedMediaType},
		{"ErrDataBehind", "application/json", good + `{"reason":"other"}`, false, http.StatusBadRequest},
		{"ErrNotJSON", "application/json", `{"reason":`, false, http.StatusBadRequest},
		{"ErrNoBody", "application/json", "", false, http.StatusBadRequest},
		{"ErrUnknownMember", "application/json", `{"reason":"x","until":"tomorrow"}`, false, http.StatusUnprocessableEntity},
		{"ErrKind", "application/json", `{"reason":"x","kind":"forever"}`, false, http.StatusUnprocessableEntity},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			send(test.contentType, strings.NewReader(test.body), test.chunked).refused(t, test.status, problem.Usage)
		})
	}
	t.Run("ErrNoReason", func(t *testing.T) {
		f.post("quality", path, nil, map[string]string{"reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
	})
	t.Run("OKCharset", func(t *testing.T) {
		if a := send("application/json; charset=utf-8", strings.NewReader(good), false); a.status != http.StatusOK {
			t.Errorf("answer %d: %s", a.status, a.body)
		}
	})
	var lot api.Lot
	f.get("quality", lotPath(lotB)).into(t, &lot)
	if len(lot.OpenHolds) != 1 {
		t.Errorf("%d holds, want the one of the good request", len(lot.OpenHolds))
	}
}

// TestAPI_SlowBody sends a body that never ends. It takes as long as the API waits for one.
func TestAPI_SlowBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.seed()
	body, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	go func() { _, _ = write.Write([]byte(`{"reason":`)) }() // ends when the request reads it
	a := f.call("quality", http.MethodPost, lotPath(lotB)+"/holds", http.Header{"Content-Type": {"application/json"}}, body)
	a.refused(t, http.StatusRequestTimeout, problem.Usage)
}

func TestAPI_UnknownPath(t *testing.T) {
	f := newFixture(t)
	f.get("viewer", "/nothing").refused(t, http.StatusNotFound, problem.Usage)
	f.call("viewer", http.MethodDelete, "/lots", nil, nil).refused(t, http.StatusNotFound, problem.Usage)
}

// onlyReader hides the length, so that the body goes in chunks.
type onlyReader struct{ r *strings.Reader }

func (o *onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

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

func TestAPI_IdempotencyKey(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	key := func() http.Header { return http.Header{"Idempotency-Key": {"k1"}} }
	first := f.post("quality", path, key(), map[string]string{"reason": "scratch"})
	var h api.Hold
	first.into(t, &h)
	f.now = f.now.Add(60e9)
	t.Run("OKAgain", func(t *testing.T) {
		again := f.post("quality", path, key(), map[string]string{"reason": "scratch"})
		if again.status != http.StatusOK || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("again %d %s, first %s", again.status, again.body, first.body)
		}
	})
	t.Run("ErrOtherAct", func(t *testing.T) {
		f.post("quality", path, key(), map[string]string{"reason": "dent"}).refused(t, http.StatusConflict, problem.EventConflict)
	})
	t.Run("OtherCallerSameKey", func(t *testing.T) {
		var other api.Hold
		f.post("operator", path, key(), map[string]string{"reason": "dent"}).into(t, &other)
		if other.ID == h.ID || other.Authority != event.AuthorityOperator || other.PlacedBy != "operator" {
			t.Errorf("hold %+v", other)
		}
	})
	t.Run("LiftAgain", func(t *testing.T) {
		lift := path + "/" + url.PathEscape(string(h.ID)) + "/lift"
		a := f.post("quality", lift, key(), map[string]string{"reason": "sorted"})
		b := f.post("quality", lift, key(), map[string]string{"reason": "sorted"})
		if a.status != http.StatusOK || !bytes.Equal(a.body, b.body) {
			t.Errorf("first %d %s, again %d %s", a.status, a.body, b.status, b.body)
		}
		f.post("quality", lift, nil, map[string]string{"reason": "sorted"}).refused(t, http.StatusConflict, problem.RuleRefused)
	})
}

func TestAPI_IfMatch(t *testing.T) {
	f := newFixture(t)
	f.seed()
	a := f.get("quality", lotPath(lotB))
	tag := a.header.Get("ETag")
	if tag == "" {
		t.Fatal("a lot has no ETag")
	}
	path := lotPath(lotB) + "/holds"
	var h api.Hold
	f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": "scratch"}).into(t, &h)
	lift := path + "/" + url.PathEscape(string(h.ID)) + "/lift"
	f.post("quality", lift, http.Header{"If-Match": {tag}}, map[string]string{"reason": "sorted"}).
		refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": "dent"}).
		refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	tag = f.get("quality", lotPath(lotB)).header.Get("ETag")
	f.post("quality", lift, http.Header{"If-Match": {tag}}, map[string]string{"reason": "sorted"}).into(t, &h)
	if h.LiftedBy != "quality" || h.LiftReason != "sorted" {
		t.Errorf("hold %+v", h)
	}
}

func TestAPI_IfMatchInTransaction(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	tag := f.get("quality", lotPath(lotB)).header.Get("ETag")
	t.Run("of many at once with one ETag, one is done", func(t *testing.T) {
		const callers = 8
		statuses := make(chan int, callers)
		for n := range callers {
			go func() {
				a := f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": fmt.Sprint("scratch ", n)})
				statuses <- a.status
			}()
		}
		count := map[int]int{}
		for range callers {
			count[<-statuses]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusPreconditionFailed] != callers-1 {
			t.Errorf("answers by status: %v", count)
		}
	})
	tag = f.get("quality", lotPath(lotB)).header.Get("ETag")
	header := func() http.Header { return http.Header{"If-Match": {tag}, "Idempotency-Key": {"again"}} }
	t.Run("the same act again is no stale one", func(t *testing.T) {
		var first, second api.Hold
		f.post("quality", path, header(), map[string]string{"reason": "dent"}).into(t, &first)
		a := f.post("quality", path, header(), map[string]string{"reason": "dent"})
		a.into(t, &second)
		if a.header.Get("Idempotent-Replayed") != "true" || first.ID != second.ID {
			t.Errorf("the second answer is %+v, replayed %q", second, a.header.Get("Idempotent-Replayed"))
		}
	})
	for name, value := range map[string]string{
		"ErrBare": "3", "ErrText": `"abc"`, "ErrZero": `"0"`, "ErrList": `"1", "2"`, "ErrSigned": `"+3"`, "ErrPast": `"1"`,
	} {
		t.Run(name, func(t *testing.T) {
			f.post("quality", path, http.Header{"If-Match": {value}}, map[string]string{"reason": "x"}).
				refused(t, http.StatusPreconditionFailed, problem.StateMoved)
		})
	}
	t.Run("any", func(t *testing.T) {
		var h api.Hold
		f.post("quality", path, http.Header{"If-Match": {"*"}}, map[string]string{"reason": "any"}).into(t, &h)
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

func TestAPI_ScopeHold(t *testing.T) {
	f := newFixture(t)
	f.seed()
	var h api.Hold
	f.post("quality", "/holds", nil, map[string]any{
		"reason": "supplier recall", "kind": "recall", "scope": map[string]string{"kind": "material", "value": "MAT-100", "plant": "p1"},
	}).into(t, &h)
	var lot api.Lot
	f.get("viewer", lotPath(lotB)).into(t, &lot)
	if lot.MayMove || len(lot.OpenHolds) != 1 || lot.OpenHolds[0].Scope == nil {
		t.Errorf("lot of the scope: %+v", lot)
	}
	f.get("viewer", lotPath(lotC)).into(t, &lot)
	if len(lot.OpenHolds) != 0 {
		t.Errorf("lot outside of the scope: %+v", lot.OpenHolds)
	}
	var o api.Overview
	f.get("viewer", "/overview").into(t, &o)
	if o.Plants[0].Held != 2 || o.Plants[1].Held != 0 {
		t.Errorf("overview counts %+v", o.Plants)
	}
	var page api.LotPage
	f.get("viewer", "/lots?state=held").into(t, &page)
	if len(page.Lots) != 2 {
		t.Errorf("%d lots held, want 2", len(page.Lots))
	}
	var list api.HoldList
	f.get("viewer", "/holds").into(t, &list)
	if len(list.Holds) != 1 || list.Holds[0].ID != h.ID {
		t.Errorf("holds %+v", list.Holds)
	}
	reason := map[string]string{"reason": "cleared"}
	f.post("quality", lotPath(lotB)+"/holds/"+url.PathEscape(string(h.ID))+"/lift", nil, reason).
		refused(t, http.StatusConflict, problem.RuleRefused)
	f.post("quality", "/holds/"+url.PathEscape(string(h.ID))+"/lift", nil, reason).into(t, &h)
	if h.LiftedBy != "quality" {
		t.Errorf("hold %+v", h)
	}
	f.post("quality", "/holds", nil, map[string]any{"reason": "x", "scope": map[string]string{"kind": "material", "value": "MAT-100"}}).
		refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
}

func TestAPI_Lots(t *testing.T) {
	f := newFixture(t)
	f.seed()
	list := func(query string) string {
		var page api.LotPage
		f.get("viewer", "/lots?"+query).into(t, &page)
		var numbers []string
		for _, l := range page.Lots {
			numbers = append(numbers, l.Number)
		}
		return strings.Join(numbers, " ")
	}
	tests := map[string]string{
		"":                    "L-88213 L-88214 L-9",
		"state=held":          "L-88213",
		"state=in_inspection": "L-9",
		"state=waiting":       "",
		"plant=p2":            "L-9",
		"number=L-88214":      "L-88214",
		"number=88214":        "",
		"number=L%25":         "",
		"state=held&plant=p2": "",
		"limit=2":             "L-88213 L-88214",
		"limit=2&cursor=" + url.QueryEscape(string(lotA)): "L-88214 L-9",
	}
	for query, want := range tests {
		t.Run(query, func(t *testing.T) {
			if got := list(query); got != want {
				t.Errorf("lots %q, want %q", got, want)
			}
		})
	}
	t.Run("ErrState", func(t *testing.T) {
		f.get("viewer", "/lots?state=sold").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	})
	t.Run("ErrUnknownParameter", func(t *testing.T) {
		f.get("viewer", "/lots?sort=key").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	})
	t.Run("Pages", func(t *testing.T) {
		cursor, seen := "", 0
		for {
			var page api.LotPage
			f.get("viewer", "/lots?limit=1&cursor="+url.QueryEscape(cursor)).into(t, &page)
			seen += len(page.Lots)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if seen != 3 {
			t.Errorf("%d lots in pages of one, want 3", seen)
		}
	})
}

func TestAPI_Deadletters(t *testing.T) {
	f := newFixture(t)
	f.seed()
	// A quantity in another unit than the material's makes the handler fail: the key parks.
	lot := event.LotKey("lot:1000:MAT-100:L-13")
	bad := created(lot)
	bad.Q.Unit = "lb"
	if r := f.apply("bad", "p1", bad); r.Outcome != workflow.Parked {
		t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
	}
	golden(t, "deadletters", f.get("quality", "/deadletters"))
	golden(t, "deadletter", f.get("quality", "/deadletters/1"))
	t.Run("LotThatOnlyWaits", func(t *testing.T) {
		a := f.get("viewer", lotPath(lot))
		a.refused(t, http.StatusNotFound, problem.ObjectHidden)
		if !strings.Contains(string(a.body), "see dead letter 1") {
			t.Errorf("answer %s does not name the dead letter", a.body)
		}
		var trace api.Trace
		f.get("viewer", "/trace/"+url.PathEscape(string(lot))).into(t, &trace)
		if len(trace.Hops) != 1 || trace.Hops[0].Stage != api.StageKept {
			t.Errorf("trace %+v", trace)
		}
	})
	reason := map[string]string{"reason": "again"}
	var r api.Redriven
	f.post("quality", "/deadletters/1/redrive", nil, reason).into(t, &r)
	if r.Applied != 0 || r.Left != 1 || r.Results[0].Code != problem.EventPoison {
		t.Errorf("redriven %+v", r)
	}
	value := func(change func(map[string]any)) map[string]any {
		var d api.Deadletter
		f.get("quality", "/deadletters/1").into(t, &d)
		var v map[string]any
		if err := json.Unmarshal(d.Raw, &v); err != nil {
			t.Fatal(err)
		}
		change(v)
		return v
	}
	t.Run("ErrFixOtherLot", func(t *testing.T) {
		f.post("quality", "/deadletters/1/fix", nil, map[string]any{
			"reason": "unit", "value": value(func(v map[string]any) { v["lot"] = string(lotA) }),
		}).refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
	})
	var fixed api.Fixed
	f.post("quality", "/deadletters/1/fix", nil, map[string]any{
		"reason": "the scale was set to pounds", "value": value(func(v map[string]any) { v["q"] = map[string]string{"value": "54.4", "unit": "kg"} }),
	}).into(t, &fixed)
	f.post("operator", fmt.Sprintf("/deadletters/%d/redrive", fixed.ID), nil, reason).into(t, &r)
	if r.Applied != 1 || r.Left != 0 {
		t.Errorf("redriven %+v", r)
	}
	var l api.Lot
	f.get("viewer", lotPath(lot)).into(t, &l)
	if l.Quantity.Value != "54.4" {
		t.Errorf("quantity %+v", l.Quantity)
	}
	t.Run("ErrClosed", func(t *testing.T) {
		f.post("quality", "/deadletters/1/redrive", nil, reason).refused(t, http.StatusConflict, problem.RuleRefused)
	})
	t.Run("ErrUnknown", func(t *testing.T) {
		f.get("quality", "/deadletters/99").refused(t, http.StatusNotFound, problem.ObjectHidden)
	})
	var page api.DeadletterPage
	f.get("quality", "/deadletters?closed=true").into(t, &page)
	if len(page.Deadletters) != 2 {
		t.Errorf("%d records with the closed ones, want 2", len(page.Deadletters))
	}
}

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

func TestAPI_SameKeyAtOnce(t *testing.T) {
	f := newFixture(t)
	f.seed()
	const calls = 8
	answers := make(chan *answer, calls)
	for range calls {
		go func() {
			answers <- f.post("quality", lotPath(lotB)+"/holds", http.Header{"Idempotency-Key": {"k"}}, map[string]string{"reason": "scratch"})
		}()
	}
	for range calls {
		if a := <-answers; a.status != http.StatusOK && a.status != http.StatusConflict {
			t.Errorf("answer %d: %s", a.status, a.body)
		}
	}
	var lot api.Lot
	f.get("viewer", lotPath(lotB)).into(t, &lot)
	if len(lot.OpenHolds) != 1 || len(lot.Deadletters) != 0 {
		t.Errorf("holds %+v, dead letters %+v: want one hold", lot.OpenHolds, lot.Deadletters)
	}
}
