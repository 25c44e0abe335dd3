package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A form of another host, without a token, or with that of another session changes nothing.
func TestConsole_Form(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	f.user("eve", false, nil, "quality")
	b, eve := f.browser(), f.browser()
	b.logIn("maria").leads("/lots")
	eve.logIn("eve").leads("/lots")
	on := b.get(lotPath(lotB))
	send := func(token, site string) *page {
		form := url.Values{"token": {token}, "kind": {"quality"}, "reason": {"x"}}
		r := b.request(http.MethodPost, lotPath(lotB, "hold"), strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		return b.do(r)
	}
	for name, p := range map[string]*page{
		"no token":          send("", "same-origin"),
		"other session":     send(eve.get("/lots").token(), "same-origin"),
		"cut":               send(on.token()[:20], "same-origin"),
		"other host":        send(on.token(), "cross-site"),
		"no base64":         send("@@@", "same-origin"),
		"token of nobody":   send(f.browser().get("/login").token(), "same-origin"),
		"zero mask":         send(strings.Repeat("A", 86), "same-origin"),
		"twice as long":     send(on.token()+on.token(), "same-origin"),
		"same site sibling": send(on.token(), "same-site"),
	} {
		if p.status != http.StatusForbidden || !strings.Contains(p.text, "E-8020") {
			t.Errorf("%s: status %d:\n%s", name, p.status, p.text)
		}
	}
	if n := len(f.facts(lotB).Open); n != 0 {
		t.Fatalf("%d holds were placed", n)
	}
	if a, b := on.token(), b.get("/lots").token(); a == b || unmask(t, a) != unmask(t, b) {
		t.Error("the token of a session is not the same under another mask")
	}
	send(on.token(), "same-origin").leads(lotPath(lotB) + "?did=hold")
}

func TestConsole_Headers(t *testing.T) {
	f := newFixture(t, "")
	b := f.browser()
	for _, path := range []string{"/login", "/lots", "/nothing", "/static/x"} {
		p := b.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
			"Cache-Control":           "no-store",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	cookie := b.do(b.request(http.MethodGet, "/login", nil)).header.Get("Set-Cookie")
	if cookie != "" {
		t.Errorf("a second visit sets %q", cookie)
	}
	fresh := f.browser().get("/login").header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(fresh, part) {
			t.Errorf("cookie %q has no %s", fresh, part)
		}
	}
	r := f.browser().request(http.MethodGet, "/login", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	if c := f.browser().do(r).header.Get("Set-Cookie"); !strings.Contains(c, "Secure") {
		t.Errorf("behind TLS the cookie is %q", c)
	}
}
