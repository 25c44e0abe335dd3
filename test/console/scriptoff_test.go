package console

import (
	"net/url"

	"github.com/chromedp/cdproto/emulation"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// scriptOff reads and acts with scripts turned off: a log-in, the board, a hold and its lift.
func (h *house) scriptOff(b *tab, s *scene) {
	h.t.Helper()
	b.visit("/account")
	b.logOut()
	b.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	defer b.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{}))
	b.logIn(maria)
	b.visit("/lots")
	if on := eval[bool](b, `typeof window.htmx !== "undefined"`); on {
		h.t.Fatal("scripts run: the test proves nothing")
	}
	b.shows("Held", s.unsafe.number, s.undecided.number)
	b.fill(`#q`, s.undecided.number)
	b.enter()
	b.shows(s.undecided.number, "Results")
	b.click(`//summary[contains(., "Hold this lot")]`)
	b.fill(`#hold-reason`, "label torn off")
	b.follow(`//form[contains(@action, "/hold")]//button`)
	b.shows("label torn off", maria.printed)
	h.stands(s.undecided, api.BoardHeld)
	h.eventually(stepLimit, "the ERP enforces it", func() bool { return h.blocked(s.undecided) })
	h.eventually(stepLimit, "the cloud has read that it does", func() bool {
		var lot api.Lot
		h.ask("/lots/"+url.PathEscape(string(s.undecided.key)), &lot)
		return len(lot.OpenHolds) == 1 && !lot.OpenHolds[0].EnforcedAt.IsZero()
	})
	b.visit(lotPath(s.undecided)) // by hand: no script does it
	b.click(`//article[contains(., "label torn off")]//summary`)
	b.fill(`//article[contains(., "label torn off")]//textarea`, "new label, seen by two")
	b.follow(`//article[contains(., "label torn off")]//form//button`)
	h.stands(s.undecided, api.BoardDisposition)
}
