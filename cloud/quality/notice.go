package quality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Allocation is how much of a lot an order line counts on.
type Allocation struct {
	Order      string         `json:"order"`
	Line       string         `json:"line"`
	Lot        event.LotKey   `json:"lot"`
	Version    int64          `json:"version"`
	Customer   string         `json:"customer"`
	Q          event.Quantity `json:"q"` // 0 = no longer allocated
	PromisedAt time.Time      `json:"promised_at,omitzero"`
	UpdatedAt  time.Time      `json:"updated_at"`
	Cause      event.ID       `json:"cause"`
}

// Name names the allocation in ledger, store and timers.
func (a *Allocation) Name() string { return a.Order + "/" + a.Line + "@" + string(a.Lot) }

// Stands tells whether the line still counts on the lot.
func (a *Allocation) Stands() bool { return a.Q.Value.Rat().Sign() > 0 }

func allocationChanged(e *event.Event, d *event.AllocationChanged, o Objects) (Change, error) {
	a := Allocation{
		Order: string(d.Order), Line: string(d.Line), Lot: d.Lot, Customer: string(d.Customer), Q: d.Q, PromisedAt: d.PromisedAt.Time,
		UpdatedAt: o.Now, Cause: e.ID,
	}
	c := Change{Allocations: []Allocation{a}}
	timer := Timer{Name: TimerRisk, Object: a.Name(), Lot: a.Lot}
	if !a.Stands() || a.PromisedAt.IsZero() {
		c.Cancel = append(c.Cancel, timer)
		return c, nil
	}
	if timer.Due = a.PromisedAt.Add(-riskLead); timer.Due.Before(o.Now) {
		timer.Due = o.Now
	}
	c.Timers = append(c.Timers, timer)
	return c, nil
}

const (
	// riskLead is how long before its promised date an order line is looked at.
	riskLead = 8 * time.Hour
	// riskAgain is how often it is looked at from then on.
	riskAgain = 5 * time.Minute
)

// StepState is how far one message of a notice has come.
type StepState string

// Step states. The zero StepState means that the message is not wanted.
const (
	StepWanted    StepState = "wanted"
	StepSent      StepState = "sent"
	StepWithdrawn StepState = "withdrawn" // no longer true before it was sent
	StepFailed    StepState = "failed"    // refused: a person has to call
)

// Notice is what customer service is told about one order line, one lot and one hold. A notice without a hold is about a
// promised date that may be missed although nothing is held.
type Notice struct {
	ID         event.ObjectID `json:"id"`
	Version    int64          `json:"version"`
	Order      string         `json:"order"`
	Line       string         `json:"line"`
	Customer   string         `json:"customer"`
	Lot        event.LotKey   `json:"lot"`
	Hold       event.ObjectID `json:"hold,omitempty"`
	Reason     string         `json:"reason"`
	Moved      string         `json:"moved,omitempty"` // what had moved for the order when it was told, as far as it was known then
	PromisedAt time.Time      `json:"promised_at,omitzero"`
	AtRisk     StepState      `json:"at_risk,omitempty"`
	Held       StepState      `json:"held,omitempty"`
	Clear      StepState      `json:"clear,omitempty"`
	UpdatedAt  time.Time      `json:"updated_at"`
	Cause      event.ID       `json:"cause"`
}

// Message returns what a step tells, nil if it is no longer true and must not be sent.
func (n *Notice) Message(step NoticeStep) *NoticeMessage {
	reason := n.Reason
	switch state := *n.step(step); {
	case state != StepWanted && state != StepSent:
		return nil
	case step == NoticeClear:
		reason = "free to move again after: " + n.Reason
	case step == NoticeHeld && n.Moved != "":
		reason += "; " + n.Moved
	}
	return &NoticeMessage{
		Step: step, Order: n.Order, Line: n.Line, Customer: n.Customer, Lot: n.Lot, Reason: reason, PromisedAt: n.PromisedAt,
	}
}

func (n *Notice) step(s NoticeStep) *StepState {
	switch s {
	case NoticeAtRisk:
		return &n.AtRisk
	case NoticeHeld:
		return &n.Held
	}
	return &n.Clear
}

// told tells whether customer service knows of the trouble.
func (n *Notice) told() bool { return n.Held == StepSent || n.AtRisk == StepSent }

// NoticeObject is the object of a message's effect.
func NoticeObject(id event.ObjectID, step NoticeStep) string { return string(id) + "#" + string(step) }

// ParseNoticeObject returns what [NoticeObject] put together.
func ParseNoticeObject(object string) (id event.ObjectID, step NoticeStep) {
	notice, s, _ := strings.Cut(object, "#")
	return event.ObjectID(notice), NoticeStep(s)
}

func noticeID(a *Allocation, hold event.ObjectID) event.ObjectID {
	key := []string{a.Order, a.Line, string(a.Lot), string(hold)}
	return event.ObjectOf("notice", event.NaturalID("", "holdfast", key, event.TypeAllocationChanged, 0))
}

// tell works out what customer service has to be told: one notice for each order line and hold, one all-clear when the
// lot is verified free, one warning while a promised date comes close. Orders whose lot is never held get none.
func (c *Change) tell(lot *Lot, open []Hold, e *event.Event, o *Objects) {
	system := o.home().Notify
	if system == "" {
		return
	}
	now := free(lot, open, o.home().ERP)
	notices := merge(o.Notices, c.Notices, func(n *Notice) string { return string(n.ID) })
	for _, a := range merge(o.Allocations, c.Allocations, (*Allocation).Name) {
		if a.Stands() {
			notices = append(notices, newNotices(&a, open, notices)...)
			c.lookAgain(e, &a, now, o)
		}
	}
	for i := range notices {
		n := notices[i]
		a := allocationOf(&n, merge(o.Allocations, c.Allocations, (*Allocation).Name))
		c.step(&n, a, lot, open, now, o)
		if n.Version == 0 && n.AtRisk == "" && n.Held == "" || n.Version != 0 && n == notices[i] {
			continue
		}
		n.UpdatedAt, n.Cause = o.Now, e.ID
		c.putNotice(&n)
		for _, s := range []NoticeStep{NoticeAtRisk, NoticeHeld, NoticeClear} {
			if *n.step(s) == StepWanted && *notices[i].step(s) != StepWanted {
				c.Intents = append(c.Intents, Intent{
					Kind: NoticeSend, System: system, Object: NoticeObject(n.ID, s), Lot: n.Lot, CommandID: CommandID("w9", string(n.ID), string(s), 1),
				})
			}
		}
	}
}

// newNotices returns those of an order line that are not known yet: one for each open hold, and one for its date.
func newNotices(a *Allocation, open []Hold, known []Notice) (fresh []Notice) {
	reasons := map[event.ObjectID]string{"": ""}
	ids := []event.ObjectID{""}
	for i := range open {
		ids = append(ids, open[i].ID)
		reasons[open[i].ID] = fmt.Sprintf("hold of kind %s: %s", open[i].Kind, open[i].Reason)
	}
	for _, hold := range ids {
		id := noticeID(a, hold)
		if slices.ContainsFunc(known, func(n Notice) bool { return n.ID == id }) {
			continue
		}
		fresh = append(fresh, Notice{ID: id, Order: a.Order, Line: a.Line, Lot: a.Lot, Hold: hold, Reason: reasons[hold]})
	}
	return fresh
}

func allocationOf(n *Notice, all []Allocation) *Allocation {
	for i := range all {
		if all[i].Order == n.Order && all[i].Line == n.Line {
			return &all[i]
		}
	}
	return nil
}

// step moves a notice to what is true now.
func (c *Change) step(n *Notice, a *Allocation, lot *Lot, open []Hold, now bool, o *Objects) {
	stands := a != nil && a.Stands()
	if stands && n.Clear == "" {
		n.Customer, n.PromisedAt = a.Customer, a.PromisedAt
	}
	held := slices.ContainsFunc(open, func(h Hold) bool { return h.ID == n.Hold })
	switch {
	case n.Hold != "" && stands && held && n.Held == "":
		n.Held = StepWanted
	case n.Hold != "" && n.Held == StepWanted && (!stands || !held):
		n.Held = StepWithdrawn // if it left already, its settlement says so
	case n.Hold == "" && n.AtRisk == "" && stands && atRisk(a, open, now, o.Now):
		n.AtRisk, n.Reason = StepWanted, riskWords(lot, a)
	case n.Hold == "" && n.AtRisk == StepWanted && (!stands || now):
		n.AtRisk = StepWithdrawn
	}
	if n.Held == StepWanted {
		n.Moved = lot.Takeback.movedFor(n.Order, n.Line)
	}
	if n.Clear == "" && n.told() && stands && now {
		n.Clear = StepWanted // it stays true when another hold follows, which is told by a notice of its own
	}
}

// atRisk tells whether a date comes close while the lot is neither free nor held; of a hold the order is told anyway.
func atRisk(a *Allocation, open []Hold, free bool, now time.Time) bool {
	return !free && len(open) == 0 && !a.PromisedAt.IsZero() && a.PromisedAt.Sub(now) <= riskLead
}

func riskWords(lot *Lot, a *Allocation) string {
	waits := map[ReleaseState]string{
		AwaitingInspection: "waits for its inspection", Evaluating: "waits for the rest of its inspections",
		AwaitingDisposition: "waits for a decision", Asking: "waits until its plants have answered", Releasing: "waits for the ERP",
		Rejected: "was rejected",
	}[lot.Release.State]
	if waits == "" {
		waits = "is not free to move"
	}
	return fmt.Sprintf("promised for %s, and the lot %s", event.At(a.PromisedAt), waits)
}

// lookAgain keeps an eye on a line from its lead on, until its date has passed.
func (c *Change) lookAgain(e *event.Event, a *Allocation, free bool, o *Objects) {
	d, ok := e.Data.(*event.TimerFired)
	if !ok || string(d.Timer) != TimerRisk || d.Object != a.Name() || a.PromisedAt.IsZero() || o.Now.After(a.PromisedAt) || free {
		return
	}
	c.Timers = append(c.Timers, Timer{Name: TimerRisk, Object: a.Name(), Lot: a.Lot, Due: o.Now.Add(riskAgain)})
}

func (c *Change) putNotice(n *Notice) {
	for i := range c.Notices {
		if c.Notices[i].ID == n.ID {
			c.Notices[i] = *n
			return
		}
	}
	c.Notices = append(c.Notices, *n)
}

// noticeSettled notes what became of a message. One that was withdrawn and left all the same was sent.
func noticeSettled(d *event.EffectSettled, o Objects) Change {
	id, step := ParseNoticeObject(d.Object)
	i := slices.IndexFunc(o.Notices, func(n Notice) bool { return n.ID == id })
	if i < 0 {
		return Change{}
	}
	n := o.Notices[i]
	switch d.Outcome {
	case event.Applied, event.AlreadyApplied:
		*n.step(step) = StepSent
	case event.Cancelled:
		*n.step(step) = StepWithdrawn
	case event.Rejected:
		*n.step(step) = StepFailed
	}
	if n == o.Notices[i] {
		return Change{}
	}
	return Change{Notices: []Notice{n}}
}
