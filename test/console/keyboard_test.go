package console

import (
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// byKeyboard goes through pages by the tab key alone, and acts by it.
func (h *house) byKeyboard(b *tab, s *scene) {
	h.t.Helper()
	b.looks("light", 1280)
	b.visit("/account")
	b.logOut()
	b.reaches("the log-in")
	b.tabTo("#name")
	b.press(maria.name + kb.Tab + maria.password)
	b.enter()
	b.shows(maria.printed)
	for _, path := range []string{"/lots", "/lots/list?stage=held", lotPath(s.seen), "/account"} {
		b.visit(path)
		b.reaches(path)
	}
	b.visit("/lots")
	b.press("j")
	if on := eval[string](b, `document.activeElement.className`); on != "title" {
		h.t.Errorf("j goes to %q, want the first card", on)
	}
	b.strike("/")
	b.press(s.inspected.number)
	b.enter()
	if b.path() != lotPath(s.inspected) {
		h.t.Fatalf("the search leads to %s", b.path())
	}
	b.tabTo(`form[action$="/hold"] ^ summary`)
	b.press(kb.Enter)
	b.tabTo(`#hold-reason`)
	b.press("a drop of water on the shelf")
	b.tabTo(`form[action$="/hold"] button`)
	b.enter()
	b.shows("a drop of water on the shelf", maria.printed)
	h.stands(s.inspected, api.BoardHeld)
	h.eventually(stepLimit, "the ERP blocks it", func() bool { return h.blocked(s.inspected) })
}

func (b *tab) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// strike strikes a key that a page may take for itself: what it types comes only if the page lets it.
func (b *tab) strike(key string) {
	b.t.Helper()
	down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key}
	up := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key}
	b.do(call(input.DispatchKeyEvent, down), call(input.DispatchKeyEvent, up))
}

// enter presses Enter on what leads to another page.
func (b *tab) enter() {
	b.t.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		b.t.Fatalf("%v\n%s", err, b.where())
	}
}

// tabStops numbers what can be reached on the page, in the order in which it is read.
const tabStops = `window.stops = Array.from(document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]"))
	.filter(e => e.tabIndex >= 0 && !e.disabled && e.type !== "hidden" && e.checkVisibility({visibilityProperty: true}) &&
		!(e.closest("details:not([open])") && e.tagName !== "SUMMARY"));
	window.stops.length`

// focused tells which stop has the focus, -1 for none, and what is wrong with how it is shown.
const focused = `(() => {
	const e = document.activeElement, at = window.stops.indexOf(e);
	if (at < 0) return {at: at, name: e.outerHTML.slice(0, 120)};
	const name = e.tagName.toLowerCase() + " " + (e.id || e.getAttribute("href") || e.textContent.trim().slice(0, 40));
	const r = e.getBoundingClientRect();
	const ring = s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1;
	let wrong = "";
	if (!ring(getComputedStyle(e)) && !ring(getComputedStyle(e, "::after"))) wrong = "does not show that it has the focus";
	else if (r.bottom < 0 || r.top > innerHeight || r.right < 0 || r.left > innerWidth) wrong = "is outside of the window";
	else {
		const x = Math.min(Math.max(r.left + r.width / 2, 1), innerWidth - 1), y = Math.min(Math.max(r.top + Math.min(r.height / 2, 20), 1), innerHeight - 1);
		const over = document.elementFromPoint(x, y);
		if (over && !e.contains(over) && !over.contains(e) && !(e.labels && Array.from(e.labels).some(l => l.contains(over)))) wrong = "is covered by " + over.outerHTML.slice(0, 80);
	}
	return {at: at, name: name, wrong: wrong};
})()`

// stop is what has the focus.
type stop struct {
	At    int    `json:"at"`
	Name  string `json:"name"`
	Wrong string `json:"wrong"`
}

// reaches goes once through a page by the tab key: everything in the order in which it is read, and seen.
func (b *tab) reaches(page string) {
	b.t.Helper()
	n := eval[int](b, tabStops)
	if n == 0 {
		b.t.Fatalf("%s: nothing can be reached", page)
	}
	eval[chromedp.Void](b, `document.activeElement.blur(); window.scrollTo(0, 0)`)
	for want := range n {
		b.press(kb.Tab)
		got := eval[stop](b, focused)
		if got.At != want {
			b.t.Fatalf("%s: the %d. press of tab leads to stop %d, %s", page, want+1, got.At, got.Name)
		}
		if got.Wrong != "" {
			b.t.Errorf("%s: %s %s", page, got.Name, got.Wrong)
		}
	}
}

// tabTo presses tab until a selector has the focus; "a ^ b" is the b of the details in which a stands.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	target := "document.querySelector(" + quote(selector) + ")"
	if inner, outer, ok := strings.Cut(selector, " ^ "); ok {
		target = "document.querySelector(" + quote(inner) + ").closest('details').querySelector(" + quote(outer) + ")"
	}
	n := eval[int](b, tabStops)
	for range n + 1 {
		if eval[bool](b, target+" === document.activeElement") {
			return
		}
		b.press(kb.Tab)
	}
	b.t.Fatalf("%s is not reached by tab\n%s", selector, b.where())
}

// quote writes a text of ours as one of a script.
func quote(s string) string { return "`" + s + "`" }
