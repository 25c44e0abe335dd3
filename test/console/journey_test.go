package console

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

// TestF62_JourneyByClicks goes the whole way of a bad lot with the mouse, from the log-in to the ERP's book: a part fails while the
// message that made its lot cannot be applied; who is held, and why; the message is corrected and applied, with what waited behind
// it; the hold is lifted, the decision signed, and the lot is free.
func TestF62_JourneyByClicks(t *testing.T) {
	t.Parallel()
	findChromium(t)
	h := build(t, nil)
	h.inhabit()
	lot := h.lot(0)
	h.publish(0, h.mistyped(lot))
	h.eventually(stepLimit, "the message is kept, not applied", func() bool { return h.kept() == 1 })
	h.say(lot, h.measured(lot, 1, "45.10", false), h.measured(lot, 2, "61.20", true), h.inspected(lot))
	h.stands(lot, api.BoardHeld)
	h.eventually(stepLimit, "what is behind it waits", func() bool { return h.kept() >= 4 })
	h.eventually(stepLimit, "the ERP blocks the lot though the message was not applied", func() bool { return h.blocked(lot) })

	b := h.browse()
	b.looks("light", 1280)
	b.visit("/")
	b.fill("#name", maria.name)
	b.fill("#password", maria.password)
	b.follow(`//main//form//button`)
	b.follow(`//nav//a[normalize-space() = "Lots"]`)
	b.shows("Held", lot.number)
	b.follow(fmt.Sprintf(`//main//a[normalize-space() = %q]`, lot.number))
	b.shows("This lot may not move", "Safety: torque 61.2", "outside 40", "by a rule", "blocked", "base unit")
	h.mend(b, lot)

	b.follow(`//nav//a[normalize-space() = "Lots"]`)
	b.follow(fmt.Sprintf(`//main//a[normalize-space() = %q]`, lot.number))
	b.click(`//article[contains(., "Safety")]//summary`)
	b.fill(`//article[contains(., "Safety")]//textarea`, "part scrapped, the others measured again")
	b.follow(`//article[contains(., "Safety")]//form//button`)
	b.shows("Not held", maria.printed)
	h.stands(lot, api.BoardDisposition)
	h.decide(lot, qms.Accepted, "all others passed")
	b.shows("Released", "This lot may move") // the page sees to it by itself
	h.eventually(stepLimit, "the ERP's book has the lot free", func() bool { return h.free(lot) })
	if n := h.kept(); n != 0 {
		t.Errorf("%d records still wait", n)
	}
	h.remembers(lot)
}

// mend corrects the message that made a lot, and has it applied with what waits behind it.
func (h *house) mend(b *tab, lot *batch) {
	h.t.Helper()
	b.follow(`//nav//a[contains(@href, "/exceptions")]`)
	b.shows("base unit", lot.number)
	b.follow(`//main//h2//a[contains(., "base unit")]`)
	b.follow(`//main//tbody//th//a`)
	b.shows("base unit")
	if marked := eval[string](b, `Array.from(document.querySelectorAll("pre.payload mark")).map(m => m.textContent).join(" ")`); !strings.Contains(marked, "mm") {
		h.t.Errorf("marked in the payload is %q, want the unit", marked)
	}
	b.click(open("/check"))
	value := eval[string](b, `document.querySelector("#fix-value").value`)
	corrected := strings.Replace(value, `"mm"`, `"kg"`, 1)
	if corrected == value {
		h.t.Fatalf("the data to correct names no millimetres: %s", value)
	}
	b.fill("#fix-value", corrected)
	b.fill("#fix-reason", "millimetres were typed for kilograms")
	b.follow(send("/check"))
	if was, now := eval[string](b, `document.querySelector("del").textContent`), eval[string](b, `document.querySelector("ins").textContent`); was != `"mm"` || now != `"kg"` {
		h.t.Errorf("the difference shows %s and %s", was, now)
	}
	b.follow(send("/fix"))
	b.click(open("/redrive"))
	b.fill("#redrive-reason", "corrected, to be applied")
	b.follow(send("/redrive"))
	h.eventually(stepLimit, "the records are applied", func() bool { return h.kept() == 0 })
	b.follow(`//nav//a[contains(@href, "/exceptions")]`)
	if eval[int](b, `document.querySelectorAll("main section").length`) != 0 {
		h.t.Errorf("there are exceptions left:\n%s", b.where())
	}
}

// open selects what opens the form that leads to a path's end, send its button.
func open(path string) string {
	return fmt.Sprintf(`//details[.//form[contains(@action, %q)]]/summary`, path)
}

func send(path string) string {
	return fmt.Sprintf(`//main//form[contains(@action, %q)]//button`, path)
}

// kept counts the records that were not applied.
func (h *house) kept() int {
	h.t.Helper()
	var page api.DeadletterPage
	h.ask("/deadletters", &page)
	return len(page.Deadletters)
}

// remembers looks into the ledger: who did what to the lot by the console, and why.
func (h *house) remembers(lot *batch) {
	h.t.Helper()
	var page api.LedgerPage
	h.ask("/ledger?limit=1000&lot="+url.QueryEscape(string(lot.key)), &page)
	for _, reason := range []string{"millimetres were typed for kilograms", "corrected, to be applied", "part scrapped, the others measured again"} {
		if !slices.ContainsFunc(page.Entries, func(l ledger.Line) bool { return l.Principal == maria.name && l.Reason == reason }) {
			h.t.Errorf("the ledger has no entry of %s with the reason %q", maria.name, reason)
		}
	}
}
