package quality

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func effectSettled(e *event.Event, d *event.EffectSettled, o Objects) (Change, error) {
	done := d.Outcome == event.Applied || d.Outcome == event.AlreadyApplied
	switch {
	case Kind(d.Kind) == NoticeSend:
		return noticeSettled(d, o), nil
	case Kind(d.Kind) == TasksGate && o.Lot != nil:
		return gateSettled(e, d, done, o), nil
	case Kind(d.Kind) == InspectionSubmit && done:
		return submitted(e, d, o), nil
	case Kind(d.Kind) == LotUsageSet && done && o.Lot != nil:
		return usageVerified(e, d, o)
	case Kind(d.Kind) == NonconformanceEnsure && done && o.Nonconformance != nil:
		n := *o.Nonconformance
		n.ExternalRef = event.Ref{System: string(d.System), Kind: "nonconformance", ID: d.ExternalRef}
		n.UpdatedAt, n.Cause = o.Now, e.ID
		c := Change{Nonconformances: []Nonconformance{n}}
		c.wantRecord(&n, o)
		return c, nil
	}
	return Change{}, nil
}

// usageVerified stores what an ERP was read to enforce, marks the holds that are enforced by it, and with the last of
// them the nonconformance as contained.
func usageVerified(e *event.Event, d *event.EffectSettled, o Objects) (Change, error) {
	lot := *o.Lot
	shown := Usage{System: string(d.System), Usage: d.Usage, Raw: d.UsageRaw, VerifiedAt: o.Now, Own: ownAfter(&lot, d), Foreign: d.Foreign}
	lot.setUsage(shown)
	moved := lot.noteMoved(d, o.Now)
	var c Change
	enforced := true
	for _, h := range o.Open {
		switch {
		case !h.EnforcedAt.IsZero():
		case MoreRestrictive(h.Usage(), d.Usage):
			enforced = false
		case h.Scope == nil: // a hold by scope is enforced lot by lot
			h.EnforcedAt = o.Now
			c.Holds = append(c.Holds, h)
			c.Cancel = append(c.Cancel, Timer{Name: TimerUnenforced, Object: h.Name()})
		}
	}
	if enforced {
		lot.Unenforced = false
		c.contain(e, o)
	}
	if lot.Release.State == Releasing && len(o.Open) == 0 && string(d.System) == o.home().ERP && d.Usage == OwnUsage(&lot, nil) {
		lot.Release.State, lot.Release.Since, lot.Release.Late = Released, o.Now, false
	}
	if lot.Release.State == Released && len(o.Open) == 0 && shown.kept(&lot) {
		lot.Release.enter(Asking, o.Now)
	}
	c.setLot(&lot, e, o)
	if moved {
		c.tellMoved(&lot, e, o)
	}
	return c, nil
}

// kept tells whether a system keeps what our own rules set there although they ask for less by now: something came between
// the release and that system's turn to show it. The agents are asked anew, also for what is new, or the stock there would
// stay as it is for ever.
func (u *Usage) kept(lot *Lot) bool {
	return u.Foreign == "" && MoreRestrictive(u.Usage, OwnUsage(lot, nil)) && !MoreRestrictive(u.Usage, u.Own)
}

// contain marks the lot's nonconformances of one lot as contained: nothing of it can move any more.
func (c *Change) contain(e *event.Event, o Objects) {
	for _, n := range o.Nonconformances {
		if n.State != NCOpened || len(n.Lots) != 1 || len(o.Open) == 0 {
			continue
		}
		n.State, n.ContainedAt, n.UpdatedAt, n.Cause = NCContained, o.Now, o.Now, e.ID
		c.Nonconformances = append(c.Nonconformances, n)
		c.Cancel = append(c.Cancel, Timer{Name: TimerContainment, Object: string(n.ID)})
		c.wantRecord(&n, o)
	}
}

// ownAfter returns what of the usage that was read is our own doing. A restriction of ours that stays, because nothing
// grants yet that it be taken back, is still ours: it must not look like someone else's when the grant comes. The same
// holds for the stock that the system itself put the lot into before we ever looked there.
func ownAfter(lot *Lot, d *event.EffectSettled) event.UsageStatus {
	last, seenBefore := lot.UsageIn(string(d.System))
	kept := MoreRestrictive(d.Usage, d.Own) && d.Foreign == ""
	switch {
	case kept && (d.Wrote || !seenBefore && !MoreRestrictive(d.Usage, firstOwn(lot))):
		return d.Usage
	case d.Wrote, !seenBefore:
		return d.Own
	case kept, MoreRestrictive(d.Usage, last.Own):
		return last.Own
	}
	return d.Own
}
