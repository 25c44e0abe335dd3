package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestConsole_Roles asks every page and every act as every role: what the API's table allows is offered and done, what it
// does not is neither.
func TestConsole_Roles(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	gap := f.gap()
	roles := []string{"viewer", "operator", "quality", "auditor", "admin"}
	for _, r := range roles {
		f.user(r, false, nil, r)
	}
	f.user("signer", false, nil, "quality")
	f.user("second", false, nil, "quality")
	hold := f.facts(lotA).Open[0].ID
	letter := f.pounds(lotD)
	f.pounds(lotE)
	unread := "/exceptions/unread/" + f.unread()
	cause, fixed := "/exceptions/cause/"+f.cause(letter), f.kilograms(letter)
	for _, c := range []struct {
		name    string
		on      string   // the page that offers it
		offers  string   // text of the offer; empty for a page
		act     string   // path of the act; empty for a page
		fields  []string // of the act
		done    string   // where the act leads; empty for one that shows its page
		allowed string   // a letter for each role: y allowed, n refused
	}{
		{name: "board", on: "/lots", allowed: "yyyyy"},
		{name: "list", on: "/lots/list?stage=held", allowed: "yyyyy"},
		{name: "csv", on: "/lots/list.csv?stage=held", allowed: "yyyyy"},
		{name: "lot", on: lotPath(lotA), allowed: "yyyyy"},
		{name: "account", on: "/account", allowed: "yyyyy"},
		{name: "search", on: "/search?q=nothing", allowed: "yyyyy"},
		{name: "fleet", on: "/fleet", allowed: "yyyyy"},
		{name: "fleet as CSV", on: "/fleet.csv", allowed: "yyyyy"},
		{name: "plant", on: "/plants/p1", allowed: "yyyyy"},
		{name: "users", on: "/users", allowed: "nnnyy"},
		{name: "exceptions", on: "/exceptions", allowed: "nyyyy"},
		{name: "exceptions as CSV", on: "/exceptions.csv", allowed: "nyyyy"},
		{name: "cause", on: cause, allowed: "nyyyy"},
		{name: "exception", on: "/exceptions/1", allowed: "nyyyy"},
		{name: "raw exception", on: "/exceptions/raw/1", allowed: "nyyyy"},
		{name: "unread message", on: unread, allowed: "nyyyy"},
		{name: "raw unread message", on: unread + "/raw", allowed: "nyyyy"},
		{name: "systems", on: "/systems", allowed: "yyyyy"},
		{name: "system", on: "/systems/s4", allowed: "yyyyy"},
		{name: "audit", on: "/audit", allowed: "nnyyy"},
		{name: "audit as CSV", on: "/audit.csv", allowed: "nnyyy"},
		{name: "audit as JSONL", on: "/audit.jsonl", allowed: "nnyyy"},
		{name: "redrive a cause", on: cause, offers: "Apply all again", act: cause + "/redrive", fields: []string{"reason", "seen"}, done: cause + "?did=redrive_none", allowed: "nyynn"},
		{name: "check a correction", on: "/exceptions/1", offers: "Data of the event", act: "/exceptions/1/check", fields: []string{"value", fixed, "reason", "scale"}, allowed: "nnynn"},
		{name: "redrive", on: "/exceptions/1", offers: "Apply again", act: "/exceptions/1/redrive", fields: []string{"reason", "seen"}, done: "/exceptions/1?did=redrive_none", allowed: "nyynn"},
		{name: "fix", on: "/exceptions/1", offers: "Data of the event", act: "/exceptions/1/fix", fields: []string{"value", fixed, "reason", "scale"}, done: "/exceptions/3?did=fix", allowed: "nnynn"},
		{name: "drop", on: "/exceptions/2", offers: "Drop for good", act: "/exceptions/2/drop", fields: []string{"reason", "seen", "user", "signer", "password", password, "user", "second", "password", password, "key", "drop"}, done: "/exceptions/2?did=drop", allowed: "nnynn"},
		{name: "pause", on: "/systems/s4", offers: "Pause the system", act: "/systems/s4/pause", fields: []string{"minutes", "5", "reason", "seen"}, done: "/systems/s4?did=pause", allowed: "nynny"},
		{name: "dispatch off", on: "/systems", offers: "Turn dispatch off", act: "/systems/dispatch", fields: []string{"on", "false", "reason", "seen"}, done: "/systems?did=dispatch_off", allowed: "nnnny"},
		{name: "dispatch on", on: "/systems", offers: "Turn dispatch on", act: "/systems/dispatch", fields: []string{"on", "true", "reason", "seen"}, done: "/systems?did=dispatch_on", allowed: "nnnny"},
		{name: "dispatch of one off", on: "/systems/qms1", offers: "Turn dispatch off", act: "/systems/qms1/dispatch", fields: []string{"on", "false", "reason", "seen"}, done: "/systems/qms1?did=dispatch_off", allowed: "nnnny"},
		{name: "hold", on: lotPath(lotB), offers: "Hold this lot", act: lotPath(lotB, "hold"), fields: []string{"kind", "quality", "reason", "seen"}, done: lotPath(lotB) + "?did=hold", allowed: "nyynn"},
		{name: "accept", on: lotPath(lotC), offers: "Accept by signature", act: lotPath(lotC, "accept"), fields: []string{"gap", gap, "reason", "seen", "user", "signer", "password", password, "key", "one"}, done: lotPath(lotC) + "?did=accept", allowed: "nnynn"},
		{name: "lift", on: lotPath(lotA), offers: "Lift this hold", act: lotPath(lotA, "lift"), fields: []string{"hold", string(hold), "reason", "seen"}, done: lotPath(lotA) + "?did=lift", allowed: "nxynn"},
		{name: "add user", on: "/users", offers: "Add a user", act: "/users", fields: []string{"name", "newly", "printed_name", "Newly", "person", "9", "password", "first-password-of-it", "role", "viewer"}, done: "/users?did=user_added", allowed: "nnnny"},
		{name: "set password", on: "/users", offers: "Set a new password", act: "/users/newly/password", fields: []string{"password", "second-password-of-it", "reason", "lost"}, done: "/users?did=user_password", allowed: "nnnny"},
		{name: "disable", on: "/users", offers: "Disable", act: "/users/newly/disable", fields: []string{"reason", "left"}, done: "/users?did=user_disabled", allowed: "nnnny"},
		{name: "enable", on: "/users", offers: "Enable", act: "/users/newly/enable", fields: []string{"reason", "back"}, done: "/users?did=user_enabled", allowed: "nnnny"},
	} {
		for i, role := range roles {
			t.Run(c.name+"/"+role, func(t *testing.T) {
				b := f.browser()
				b.logIn(role)
				f.now = f.now.Add(10_000_000_000) // so that the address may try again
				p := b.get(c.on)
				if c.act == "" {
					if ok := p.status == http.StatusOK; ok != (c.allowed[i] == 'y') || !ok && p.status != http.StatusForbidden {
						t.Errorf("status %d, allowed %c", p.status, c.allowed[i])
					}
					return
				}
				// An operator is offered to lift, and refused where the hold has a higher authority.
				if offered := strings.Contains(p.text, c.offers); offered != (c.allowed[i] != 'n') {
					t.Errorf("offered is %t, allowed %c", offered, c.allowed[i])
				}
				got := b.post(b.get("/account"), c.act, c.fields...)
				done := got.status == http.StatusSeeOther && got.header.Get("Location") == c.done || c.done == "" && got.status == http.StatusOK
				switch {
				case done != (c.allowed[i] == 'y'):
					t.Errorf("done is %t, allowed %c: %d %s", done, c.allowed[i], got.status, got.text)
				case !done:
					got.shows(http.StatusForbidden, "E-8002")
				}
			})
		}
	}
}

// A user of one plant sees nothing of another: not on the board, not in a list, not by address.
func TestConsole_Plants(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, []event.PlantID{"p1"}, "quality")
	b := f.browser()
	b.logIn("maria")
	for _, path := range []string{"/lots", "/lots?plant=p2", "/lots/list?stage=inspection", "/lots/list?stage=inspection&plant=p2", "/lots/list.csv?stage=inspection", "/search?q=L-9"} {
		p := b.get(path)
		if p.status != http.StatusOK || strings.Contains(p.text, "MAT-200") || strings.Contains(p.text, "p2</a>") {
			t.Errorf("%s shows another plant: %d\n%s", path, p.status, p.text)
		}
	}
	b.get(lotPath(lotC)).shows(http.StatusNotFound, "E-8003")
	b.post(b.get("/account"), lotPath(lotC, "hold"), "kind", "quality", "reason", "x").shows(http.StatusNotFound, "E-8003")
	b.get("/lots").shows(http.StatusOK, "L-88213", "2 lots")
}
