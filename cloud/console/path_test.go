package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/console"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Under a base path every link, form and file of every page stands below it.
func TestConsole_BasePath(t *testing.T) {
	f := newFixture(t, "/quality/holdfast")
	f.seed()
	f.gap()
	f.pounds(lotD)
	f.user("maria", false, nil, "quality", "admin")
	b := f.browser()
	login := b.get("/login")
	p := b.logIn("maria")
	p.leads("/quality/holdfast/lots")
	for _, path := range []string{"/lots", "/lots/list?stage=held", lotPath(lotA), lotPath(lotC), "/fleet", "/plants/p2", "/exceptions", "/exceptions/1", "/exceptions/cause/" + f.cause(1), "/exceptions/unread/" + f.unread(), "/systems", "/systems/s4", "/audit", "/account", "/users", "/search?q=none", "/nothing"} {
		login.text += b.get(path).text
	}
	links := regexp.MustCompile(`(?:href|action|src)="([^"#][^"]*)"`).FindAllStringSubmatch(login.text, -1)
	if len(links) < 50 {
		t.Fatalf("%d links", len(links))
	}
	for _, m := range links {
		if !strings.HasPrefix(m[1], "/quality/holdfast/") {
			t.Errorf("a page leads to %s", m[1])
		}
	}
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/lots", nil).URL) {
		if c.Name != "holdfast" {
			t.Errorf("cookie %s", c)
		}
	}
	if res, err := f.server.Client().Get(f.server.URL + "/lots"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("outside of the base path: %v, %v", res, err)
	} else if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfig_Check(t *testing.T) {
	for _, c := range []struct {
		base          string
		idle, longest time.Duration
		ok            bool
	}{
		{"", time.Hour, time.Hour, true}, {"/holdfast", time.Hour, 2 * time.Hour, true}, {"/a/b", time.Minute, time.Hour, true},
		{"holdfast", time.Hour, time.Hour, false}, {"/holdfast/", time.Hour, time.Hour, false}, {"/a b", time.Hour, time.Hour, false}, {"/{x}", time.Hour, time.Hour, false},
		{"/api/v1", time.Hour, time.Hour, false}, {"/api/v1/x", time.Hour, time.Hour, false}, {"", 0, time.Hour, false}, {"", 2 * time.Hour, time.Hour, false},
	} {
		if err := (console.Config{BasePath: c.base, Idle: c.idle, Longest: c.longest}).Check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestLink_Check(t *testing.T) {
	for _, c := range []struct {
		text, url string
		ok        bool
	}{
		{"Dashboards", "https://grafana.example/d/fleet", true}, {"Demo", "http://127.0.0.1:1234/abc/", true},
		{"", "https://grafana.example", false}, {strings.Repeat("x", 61), "https://grafana.example", false}, {"a", "", false}, {"a", "javascript:alert(1)", false},
		{"a", "//grafana.example", false}, {"a", "https:///d", false}, {"a", "https://user:secret@grafana.example", false}, {"a", "https://%zz", false},
	} {
		cfg := console.DefaultConfig
		cfg.Links = []console.Link{{Text: c.text, URL: c.url}}
		if err := cfg.Check(); (err == nil) != c.ok {
			t.Errorf("%q, %q: %v", c.text, c.url, err)
		}
	}
}

// The configured links stand on the pages of users, and on no other.
func TestConsole_Links(t *testing.T) {
	f := newFixture(t, "", console.Link{Text: "Dashboards", URL: "https://grafana.example/d/fleet"})
	f.user("maria", false, nil, "viewer")
	b := f.browser()
	if p := b.get("/login"); strings.Contains(p.text, "grafana") {
		t.Errorf("a stranger is shown a link:\n%s", p.text)
	}
	b.logIn("maria")
	b.get("/lots").shows(http.StatusOK, `<a href="https://grafana.example/d/fleet" rel="noreferrer">Dashboards</a>`)
}

// The first page of a visit, with all that it loads, has to come over a slow line.
func TestConsole_FirstLoad(t *testing.T) {
	const limit = 120_000 // bytes, compressed
	f := newFixture(t, "")
	for i := range 120 {
		f.apply(fmt.Sprint("lot-", i), "p2", created(event.LotKey(fmt.Sprintf("lot:2000:MAT-200:L-%d", i))))
	}
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	sum := 0
	load := func(path string) *page {
		r := b.request(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		p := b.do(r)
		if p.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed", path)
		}
		sum += len(p.text)
		return p
	}
	load("/lots")
	files := regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(b.get("/lots").text, -1)
	if len(files) != 4 {
		t.Fatalf("files are %v", files)
	}
	for _, m := range files {
		if p := load(m[1]); p.status != http.StatusOK || !strings.Contains(p.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %s", m[1], p.status, p.header.Get("Cache-Control"))
		}
	}
	if sum > limit {
		t.Errorf("the first load has %d bytes, want %d at the most", sum, limit)
	}
	t.Logf("first load: %d bytes compressed", sum)
}

func TestConsole_Display(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	p := b.get(lotPath(lotA))
	b.post(p, "/display", "theme", "dark", "utc", "1", "back", p.field("back")).leads("/lots/lot:1000:MAT-100:L-88213")
	b.get(lotPath(lotA)).shows(http.StatusOK, `data-theme="dark"`, `24 Nov 09:14:02 <span class="zone">UTC`)
	b.post(p, "/display", "theme", `"><script>`, "back", "/lots").leads("/lots")
	if again := b.get("/lots"); strings.Contains(again.text, "data-theme") {
		t.Errorf("a look that does not exist is kept:\n%s", again.text)
	}
}
