package console_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
)

func TestConsole_FirstAdministrator(t *testing.T) {
	f := newFixture(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.console.Run(ctx) }()
	link := <-f.first
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	b := f.browser()
	b.get("/first?token="+strings.Repeat("A", 26)).shows(http.StatusNotFound, "E-8022")
	form := b.get(link)
	form.shows(http.StatusOK, "First administrator")
	fields := func(name string) []string {
		return []string{"link", u.Query().Get("token"), "name", name, "printed_name", "Rita Oberle", "person", "1", "password", password}
	}
	b.post(form, "/first", fields("Not A Name")...).shows(http.StatusUnprocessableEntity, "User name", "Rita Oberle")
	b.post(form, "/first", fields("rita")...).leads("/login?did=first")
	b.logIn("rita").leads("/lots")
	b.get("/users").shows(http.StatusOK, "Rita Oberle", "administrator")
	// The link is used, and another one is not made.
	b.get(link).shows(http.StatusNotFound, "E-8022")
	b.post(form, "/first", fields("eve")...).shows(http.StatusForbidden, "E-8020")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := f.entries("first-administrator-link"); len(got) != 1 || !strings.HasPrefix(got[0], "user.add user:rita") {
		t.Errorf("entries are %v", got)
	}
	if strings.Contains(f.log.String(), u.Query().Get("token")) {
		t.Error("the console itself logs the link")
	}
}

func TestConsole_FirstLinkEnds(t *testing.T) {
	f := newFixture(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.console.Run(ctx) }()
	link := <-f.first
	f.now = f.now.Add(25 * time.Hour)
	f.browser().get(link).shows(http.StatusNotFound, "E-8022")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestConsole_LogIn(t *testing.T) {
	f := newFixture(t, "")
	f.user("maria", false, nil, "quality")
	f.user("gerd", true, nil, "viewer")
	t.Run("AskedFor", func(t *testing.T) {
		b := f.browser()
		b.get("/lots?plant=p1").leads("/login?back=%2Flots%3Fplant%3Dp1")
		asked := b.get("/login?back=%2Flots%3Fplant%3Dp1")
		b.post(asked, "/login", "name", "maria", "password", password, "back", asked.field("back")).leads("/lots?plant=p1")
		b.get("/lots").shows(http.StatusOK, "Maria Lindner")
	})
	t.Run("NoForeignPage", func(t *testing.T) {
		for _, back := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "/a\r\nb", "evil"} {
			b := f.browser()
			b.post(b.get("/login"), "/login", "name", "maria", "password", password, "back", back).leads("/lots")
		}
	})
	t.Run("Wrong", func(t *testing.T) {
		b := f.browser()
		for _, name := range []string{"maria", "nobody"} {
			b.post(b.get("/login"), "/login", "name", name, "password", "wrong-"+password).shows(http.StatusUnauthorized, "User name or password is wrong", "E-8006")
		}
		b.get("/lots").leads("/login?back=%2Flots")
	})
	t.Run("NewToken", func(t *testing.T) {
		b := f.browser()
		b.get("/login")
		before := b.cookie()
		b.logIn("maria").leads("/lots")
		if after := b.cookie(); after == before || len(after) != 52 {
			t.Errorf("the token is %q before and %q after the log-in", before, after)
		}
	})
	t.Run("GivenPassword", func(t *testing.T) {
		b := f.browser()
		b.logIn("gerd").leads("/account?did=given")
		b.get("/account?did=given").shows(http.StatusOK, "An administrator chose your password")
	})
	t.Run("LogOut", func(t *testing.T) {
		b := f.browser()
		b.logIn("maria")
		stolen := b.cookie()
		b.post(b.get("/lots"), "/logout").leads("/login?did=logout")
		b.get("/lots").leads("/login?back=%2Flots")
		r := b.request(http.MethodGet, "/lots", nil)
		r.AddCookie(&http.Cookie{Name: "holdfast", Value: stolen})
		f.browser().do(r).leads("/login?back=%2Flots")
	})
	t.Run("Recorded", func(t *testing.T) {
		got := f.entries("maria")
		for _, act := range []string{"session.begin", "session.end"} {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, act) }) && !f.recorded(act, "maria") {
				t.Errorf("no entry %s: %v", act, got)
			}
		}
	})
}

func (b *browser) cookie() string {
	u, err := url.Parse(b.f.server.URL + b.f.base + "/")
	if err != nil {
		b.f.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "holdfast" {
			return c.Value
		}
	}
	return ""
}

// recorded tells whether an act of a principal stands in the ledger.
func (f *fixture) recorded(act, principal string) (found bool) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Entries(0, 1000)
		for i := range rows {
			found = found || rows[i].Principal == principal && strings.Contains(rows[i].Now, `"act":"`+act+`"`)
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return found
}

func TestConsole_LogIn_Throttle(t *testing.T) {
	f := newFixture(t, "")
	b := f.browser()
	login := b.get("/login")
	for i := range 20 {
		p := b.post(login, "/login", "name", "nobody-"+string(rune('a'+i)), "password", "x")
		p.shows(http.StatusUnauthorized)
	}
	b.post(login, "/login", "name", "nobody-z", "password", "x").shows(http.StatusTooManyRequests, "E-8021")
	f.now = f.now.Add(4 * time.Second)
	b.post(login, "/login", "name", "nobody-z", "password", "x").shows(http.StatusUnauthorized)
}

func TestConsole_Session(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(f *fixture, b *browser)
		ends  bool
	}{
		{"GoesOn", func(f *fixture, b *browser) { f.now = f.now.Add(59 * time.Minute) }, false},
		{"Used", func(f *fixture, b *browser) {
			for range 3 {
				f.now = f.now.Add(50 * time.Minute)
				b.get("/account").shows(http.StatusOK)
			}
		}, false},
		{"Idle", func(f *fixture, b *browser) { f.now = f.now.Add(61 * time.Minute) }, true},
		{"LeftOpen", func(f *fixture, b *browser) { // a page that refreshes itself is no use of it
			for range 3 {
				f.now = f.now.Add(25 * time.Minute)
				r := b.request(http.MethodGet, "/lots", nil)
				r.Header.Set("HX-Trigger", "live")
				b.do(r).shows(http.StatusOK)
			}
		}, true},
		{"Longest", func(f *fixture, b *browser) {
			for range 13 {
				f.now = f.now.Add(55*time.Minute + 30*time.Second)
				b.get("/account")
			}
		}, true},
		{"Disabled", func(f *fixture, b *browser) {
			admin := f.browser()
			admin.logIn("root")
			admin.post(admin.get("/users"), "/users/maria/disable", "reason", "left").leads("/users?did=user_disabled")
		}, true},
		{"PasswordChanged", func(f *fixture, b *browser) {
			f.now = f.now.Add(time.Minute)
			other := f.browser()
			other.logIn("maria")
			other.post(other.get("/account"), "/account/password", "old", password, "new", password+"2", "again", password+"2").leads("/account?did=password")
			other.get("/account").shows(http.StatusOK)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, "")
			f.user("maria", false, nil, "quality")
			f.user("root", false, nil, "admin")
			f.now = f.now.Add(time.Second)
			b := f.browser()
			b.logIn("maria").leads("/lots")
			c.after(f, b)
			p := b.get("/account")
			if ended := p.status == http.StatusSeeOther; ended != c.ends {
				t.Errorf("status %d: the session ended is %t, want %t", p.status, ended, c.ends)
			}
		})
	}
}
