package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// shotsVariable names the folder of the pictures; empty = bin/shots in the long form, none in the short one.
const shotsVariable = "HOLDFAST_SHOTS"

// pictures tells whether each page is looked at through all windows, and a picture of it kept.
func pictures() bool { return long() || os.Getenv(shotsVariable) != "" }

// look is a page in one state.
type look struct {
	name string
	path string
	as   *person    // nil = nobody is logged in
	ill  bool       // the page is a refusal
	then func(*tab) // what is done there before one looks; nil = nothing
}

// pattern is the page that a look is one of: what it was registered by.
func (l *look) pattern(patterns []string) (string, error) {
	mux := http.NewServeMux()
	for _, p := range patterns {
		mux.Handle("GET "+p, http.NotFoundHandler())
	}
	r, err := http.NewRequest(http.MethodGet, l.path, nil)
	if err != nil {
		return "", err
	}
	_, found := mux.Handler(r)
	return strings.TrimPrefix(found, "GET "), nil
}

// gate is what one sees of a house that nobody has moved in.
func (h *house) gate() []look {
	u, err := url.Parse(h.first)
	if err != nil {
		h.t.Fatal(err)
	}
	return []look{
		{name: "first", path: u.RequestURI()}, {name: "first-used", path: "/first?token=used", ill: true}, {name: "login", path: "/login"},
	}
}

// still is what one sees of a house in which nothing was made yet.
func still() []look {
	return []look{
		{name: "empty-board", path: "/lots", as: &maria}, {name: "empty-list", path: "/lots/list", as: &maria},
		{name: "fleet-calm", path: "/fleet", as: &maria}, {name: "plant-calm", path: "/plants/p1", as: &maria},
		{name: "exceptions-none", path: "/exceptions", as: &maria}, {name: "exception-missing", path: "/exceptions/99", as: &maria, ill: true},
		{name: "cause-gone", path: "/exceptions/cause/none", as: &maria}, {name: "systems-calm", path: "/systems", as: &maria},
		{name: "system-missing", path: "/systems/none", as: &maria, ill: true}, {name: "audit-early", path: "/audit", as: &maria},
		{name: "plant-missing", path: "/plants/p9", as: &maria, ill: true}, {name: "search-none", path: "/search?q=L-88213", as: &maria}, {name: "page-missing", path: "/lot", as: &maria, ill: true},
		{name: "lot-missing", path: "/lots/lot::MAT-100:L-88213", as: &maria, ill: true}, {name: "users-refused", path: "/users", as: &vera, ill: true},
	}
}

// busy is what one sees of a scene.
func (h *house) busy(s *scene) []look {
	all := []look{
		{name: "board", path: "/lots", as: &maria}, {name: "board-plant", path: "/lots?plant=p1", as: &maria}, {name: "board-viewer", path: "/lots", as: &vera},
		{name: "search-many", path: "/search?q=" + s.unsafe.number, as: &maria},
		{name: "fleet", path: "/fleet", as: &maria}, {name: "plant", path: "/plants/p1", as: &maria}, {name: "plant-silent", path: "/plants/p2", as: &maria},
		{name: "exceptions", path: "/exceptions", as: &maria}, {name: "exceptions-plant", path: "/exceptions?plant=p1", as: &maria},
		{name: "systems", path: "/systems", as: &maria}, {name: "systems-admin", path: "/systems", as: &rita},
		{name: "system", path: "/systems/s4", as: &rita}, {name: "system-operator", path: "/systems/qms1", as: &otto},
		{name: "audit", path: "/audit", as: &maria}, {name: "audit-lot", path: "/audit?lot=" + url.QueryEscape(string(s.seen.key)), as: &maria},
		{name: "account", path: "/account", as: &maria}, {name: "users", path: "/users", as: &rita},
	}
	var letters api.DeadletterPage
	h.ask("/deadletters", &letters)
	for i := range letters.Deadletters {
		l := &letters.Deadletters[i]
		all = append(all, look{name: fmt.Sprintf("exception-%s-%d", l.State, i), path: fmt.Sprint("/exceptions/", l.ID), as: &maria})
	}
	c := h.client()
	c.logIn(maria)
	for i, path := range h.below(c, "/exceptions") {
		if strings.HasPrefix(path, "/exceptions/unread/") {
			all = append(all, look{name: fmt.Sprintf("exception-unread-%d", i), path: path, as: &maria})
		}
	}
	var groups api.DeadletterGroups
	h.ask("/deadletters/groups", &groups)
	for i := range groups.Groups {
		all = append(all, look{name: fmt.Sprintf("cause-%d", i), path: "/exceptions/cause/" + groups.Groups[i].ID, as: &maria})
	}
	for _, stage := range api.BoardStages() {
		all = append(all, look{name: "list-" + string(stage), path: "/lots/list?stage=" + string(stage), as: &maria})
	}
	for name, b := range map[string]*batch{
		"unsafe": s.unsafe, "oily": s.oily, "inspected": s.inspected, "undecided": s.undecided, "released": s.released, "rejected": s.rejected,
		"misread": s.misread, "unanswered": s.unanswered, "seen": s.seen,
	} {
		all = append(all, look{name: "lot-" + name, path: lotPath(b), as: &maria})
	}
	return all
}

// refused is what one sees of acts that wait for a second look, or were refused.
func (h *house) refused(s *scene) []look {
	var letters api.DeadletterPage
	h.ask("/deadletters?lot="+url.QueryEscape(string(s.mistyped.key)), &letters)
	if len(letters.Deadletters) == 0 {
		h.t.Fatal("no record of the mistyped lot is kept")
	}
	letter := fmt.Sprint("/exceptions/", letters.Deadletters[0].ID)
	check := func(value string) func(*tab) {
		return func(b *tab) {
			b.click(open("/check"))
			if value == "" {
				value = strings.Replace(eval[string](b, `document.querySelector("#fix-value").value`), `"mm"`, `"kg"`, 1)
			}
			b.fill("#fix-value", value)
			b.fill("#fix-reason", "millimetres were typed for kilograms")
			b.follow(send("/check"))
		}
	}
	return []look{
		{name: "login-refused", path: "/login", ill: true, then: func(b *tab) {
			b.fill("#name", vera.name)
			b.fill("#password", "not my password")
			b.follow(send("/login"))
		}},
		{name: "exception-difference", path: letter, as: &maria, then: check("")},
		{name: "exception-no-json", path: letter, as: &maria, ill: true, then: check(`{"q": 500 kg}`)},
		{name: "exception-wrong", path: letter, as: &maria, ill: true, then: check(`{"q": "500"}`)},
		{name: "accept-refused", path: lotPath(s.unanswered), as: &maria, ill: true, then: func(b *tab) {
			b.click(open("/accept"))
			b.fill(`//form[contains(@action, "/accept")]//textarea`, "the gateway burned down")
			for i, p := range []person{maria, anna} {
				b.fill(fmt.Sprintf(`(//form[contains(@action, "/accept")]//input[@name="user"])[%d]`, i+1), p.name)
				b.fill(fmt.Sprintf(`(//form[contains(@action, "/accept")]//input[@name="password"])[%d]`, i+1), "not my password")
			}
			b.follow(send("/accept"))
		}},
		{name: "password-refused", path: "/account", as: &maria, ill: true, then: func(b *tab) {
			b.fill("#old", "not my password")
			b.fill("#new", "one new password")
			b.fill("#again", "another new password")
			b.follow(send("/account/password"))
		}},
		{name: "user-refused", path: "/users", as: &rita, ill: true, then: func(b *tab) {
			for field, text := range map[string]string{"#name": maria.name, "#printed": maria.printed, "#person": maria.id, "#password": "given to maria again"} {
				b.fill(field, text)
			}
			b.follow(`//main//section//form[.//input[@id="printed"]]//button`)
		}},
	}
}

// TestF69_EveryPage looks at every page of the console, light and dark, on a desk and on a phone: no violation of WCAG 2.2 AA that
// axe-core finds, nothing wider than the window, nothing asked of another host, no complaint. It keeps a picture of each.
func TestF69_EveryPage(t *testing.T) {
	t.Parallel()
	findChromium(t)
	h := build(t, nil)
	b := h.browse()
	b.provesGuard()
	e := newEye(t, b)
	e.see(h.gate())
	h.inhabit()
	e.see(still())
	s := h.play()
	e.see(h.busy(s))
	e.see(h.refused(s))
	e.sawAll()
	h.byKeyboard(b, s)
	h.scriptOff(b, s)
}

// eye looks at pages.
type eye struct {
	t       *testing.T
	b       *tab
	axe     string
	shots   string
	as      *person
	seen    map[string]bool // by pattern
	pattern []string
}

func newEye(t *testing.T, b *tab) *eye {
	t.Helper()
	e := &eye{t: t, b: b, axe: axe(t), shots: os.Getenv(shotsVariable), seen: map[string]bool{}, pattern: patterns(t)}
	if e.shots == "" {
		e.shots = filepath.Join("..", "..", "bin", "shots")
	}
	if err := os.MkdirAll(e.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	return e
}

// axe returns the source of axe-core, the copy that its checksum names.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "axe", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join("testdata", "axe", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if want := hex.EncodeToString(sum[:]) + "  axe.min.js"; !strings.Contains(string(sums), want) {
		t.Fatalf("axe.min.js is not the one that SHA256SUMS names, want %s", want)
	}
	return string(text)
}

// patterns returns all pages that the console registers, but for files and streams.
func patterns(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "cloud", "console", "console.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\b(?:open|page)\("GET (/[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		if p := m[1]; p != "/live" && p != "/{$}" && !strings.Contains(p, ".") && !strings.Contains(p+"/", "/raw/") {
			all = append(all, p)
		}
	}
	if len(all) < 5 {
		t.Fatalf("the console registers %q", all)
	}
	return all
}

// see looks at pages, each as the one who is to see it.
func (e *eye) see(looks []look) {
	e.t.Helper()
	for i := range looks {
		l := &looks[i]
		e.become(l.as)
		p, err := l.pattern(e.pattern)
		if err != nil {
			e.t.Fatal(err)
		}
		e.seen[p] = true
		e.b.expectRefusal(l.ill)
		e.b.visit(l.path)
		if l.then != nil {
			l.then(e.b)
		}
		e.inspect(l)
		e.b.expectRefusal(false)
	}
}

// become logs in as somebody else.
func (e *eye) become(p *person) {
	e.t.Helper()
	if p == e.as {
		return
	}
	if e.as != nil {
		e.b.visit("/account")
		e.b.logOut()
	}
	if e.as = p; p != nil {
		e.b.logIn(*p)
	}
}

// sawAll fails where the console has a page that was not looked at.
func (e *eye) sawAll() {
	e.t.Helper()
	for _, p := range e.pattern {
		if !e.seen[p] {
			e.t.Errorf("page %s was not looked at: add it to busy, with its empty state to still", p)
		}
	}
}

// inspect looks at the page that is there.
func (e *eye) inspect(l *look) {
	e.t.Helper()
	eval[chromedp.Void](e.b, e.axe)
	eval[chromedp.Void](e.b, `if (window.htmx) window.htmx.trigger = () => {}`) // what is looked at stays
	if refused := eval[bool](e.b, `document.querySelector("main .code") !== null && document.querySelector("main > section.narrow h1, [role=alert]") !== null`); refused != l.ill {
		e.t.Errorf("%s: the page is a refusal: %t\n%s", l.name, refused, e.b.where())
	}
	for _, w := range windows() {
		at := fmt.Sprintf("%s-%s-%d", l.name, w.scheme, w.width)
		e.b.looks(w.scheme, w.width)
		e.shoot(at)
		e.narrow(at)
		eval[chromedp.Void](e.b, `document.querySelectorAll("details:not([open])").forEach(d => { d.open = true; d.dataset.opened = "" })`)
		e.narrow(at + ", all opened")
		for _, v := range e.violations() {
			e.t.Errorf("%s: %s", at, v)
		}
		eval[chromedp.Void](e.b, `document.querySelectorAll("details[data-opened]").forEach(d => { d.open = false; delete d.dataset.opened })`)
	}
}

// window is how somebody looks at a page.
type window struct {
	scheme string
	width  int64 // CSS pixels
}

// windows returns all that a page is looked at through. The short form has each colour scheme and each width once.
func windows() []window {
	desk, phone := window{"light", 1280}, window{"dark", 360}
	if !pictures() {
		return []window{desk, phone}
	}
	return []window{desk, phone, {"dark", 1280}, {"light", 360}}
}

// narrow fails where the page is wider than its window.
func (e *eye) narrow(at string) {
	e.t.Helper()
	if over := eval[int](e.b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		e.t.Errorf("%s: the page is %d px wider than its window", at, over)
	}
}

func (e *eye) shoot(name string) {
	e.t.Helper()
	if !pictures() {
		return
	}
	ctx, cancel := e.b.step()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(e.shots, name+".png"), png, 0o644)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// violations returns what axe-core finds, each with the first elements that it concerns.
func (e *eye) violations() []string {
	e.t.Helper()
	const run = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]})
		.then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + ": " +
			v.nodes.slice(0, 3).map(n => n.target.join(" ") + " (" + (n.failureSummary || "").replace(/\s+/g, " ") + ")").join("; "))))`
	var found []string
	if err := json.Unmarshal([]byte(eval[string](e.b, run, chromedp.EvalAwaitPromise)), &found); err != nil {
		e.t.Fatal(err)
	}
	return found
}
