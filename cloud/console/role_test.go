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
	hold := f.facts(lotA).Open[0].ID
	for _, c := range []struct {
		name    string
		on      string   // the page that offers it
		offers  string   // text of the offer; empty for a page
		act     string   // path of the act; empty for a page
		fields  []string // of the act
		done    string   // where the act leads
		allowed string   // a letter for each role: y allowed, n refused
	}{
		{name: "board", on: "/lots", allowed: "yyyyy"},
		{name: "list", on: "/lots/list?stage=held", allowed: "yyyyy"},
		{name: "csv", on: "/lots/list.csv?stage=held", allowed: "yyyyy"},
		{name: "lot", on: lotPath(lotA), allowed: "yyyyy"},
		{name: "account", on: "/account", allowed: "yyyyy"},
		{name: "search", on: "/search?q=nothing", allowed: "yyyyy"},
		{name: "users", on: "/users", allowed: "nnnyy"},
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
				switch done := got.status == http.StatusSeeOther && got.header.Get("Location") == c.done; {
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
