package console

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

// scene is a house in the middle of a day: a lot in every state that the console has a picture for.
type scene struct {
	unsafe     *batch // a part failed for safety: held, blocked in the ERP
	oily       *batch // held by an operator
	inspected  *batch // in inspection
	undecided  *batch // waits for its disposition
	released   *batch
	rejected   *batch
	mistyped   *batch // cannot be applied; parked, with a part behind it
	misread    *batch // a part of it was measured in a unit that nobody knows
	unanswered *batch // decided; its gateway is silent
	seen       *batch // many results, one outside of its limits, held and lifted
}

// play makes the scene, and returns when the console shows it.
func (h *house) play() *scene {
	h.t.Helper()
	s := &scene{
		unsafe: h.lot(0), oily: h.lot(0), inspected: h.lot(0), undecided: h.lot(0), released: h.lot(0), rejected: h.lot(0), mistyped: h.lot(0), misread: h.lot(0),
		unanswered: h.lot(1), seen: h.lot(0),
	}
	for _, b := range []*batch{s.unsafe, s.oily, s.inspected, s.undecided, s.released, s.rejected, s.unanswered, s.seen} {
		h.say(b, h.made(b), h.measured(b, 1, "45.10", false), h.measured(b, 2, "46.30", false))
	}
	h.say(s.unsafe, h.measured(s.unsafe, 3, "61.20", true))
	h.say(s.oily, dialect.Held{Of: h.of(s.oily), Hold: "H-1", Reason: "oil on the part", By: "operator 7"})
	for i := range 24 {
		h.say(s.seen, h.measured(s.seen, 3+i, fmt.Sprintf("%d.%02d", 42+i%6, 7*i%100), false))
	}
	h.say(s.seen, dialect.Held{Of: h.of(s.seen), Hold: "H-2", Reason: "scratches, to be looked at", By: "operator 9"})
	h.publish(0, h.mistyped(s.mistyped))
	h.say(s.mistyped, h.measured(s.mistyped, 1, "45.10", false))
	h.say(s.misread, h.made(s.misread))
	furlongs := h.measured(s.misread, 1, "44.00", false)
	furlongs.WrongUnit = true
	h.say(s.misread, furlongs)
	for _, b := range []*batch{s.undecided, s.released, s.rejected, s.unanswered} {
		h.say(b, h.inspected(b))
		h.stands(b, api.BoardDisposition)
	}
	h.stands(s.seen, api.BoardHeld)
	h.say(s.seen, dialect.Lifted{Of: h.of(s.seen), Hold: "H-2", Reason: "polished and seen", By: "operator 9"})
	h.decide(s.released, qms.Accepted, "all inspections passed")
	h.decide(s.rejected, qms.Rejected, "wrong steel, see the certificate")
	h.Plants[1].Agent.Kill()
	h.decide(s.unanswered, qms.Accepted, "all inspections passed")
	h.stands(s.unsafe, api.BoardHeld)
	h.stands(s.oily, api.BoardHeld)
	h.stands(s.seen, api.BoardInspection)
	h.stands(s.released, api.BoardReleased)
	h.stands(s.rejected, api.BoardRejected)
	h.stands(s.unanswered, api.BoardReleasing)
	h.rests(s)
	return s
}

// rests waits until the ERP enforces what was decided, and the records that were not applied are kept.
func (h *house) rests(s *scene) {
	h.t.Helper()
	h.eventually(30*time.Second, "the ERP blocks what is held and has freed what is released", func() bool {
		return h.blocked(s.unsafe) && h.blocked(s.oily) && h.free(s.released)
	})
	h.eventually(30*time.Second, "two records that were not applied are kept", func() bool {
		var dead api.DeadletterPage
		h.ask("/deadletters", &dead)
		return len(dead.Deadletters) == 2
	})
}
