package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Timers and their limits.
const (
	TimerUnenforced  = "hold.unenforced" // object: a hold's name
	TimerCause       = "nc.cause"        // object: a nonconformance's id
	TimerContainment = "nc.containment"
	TimerAnswered    = "release.answered"  // object: see [ReleaseTimer]
	TimerWithdrawn   = "release.withdrawn" // object: see [ReleaseTimer]
	TimerLate        = "release.late"      // object: a lot
	TimerRisk        = "notice.risk"       // object: see [Allocation.Name]
	TimerGate        = "gate.unverified"   // object: lot@warehouse
	TimerSubmit      = "inspection.submit" // object: see [Inspection.Name]

	enforceLimit      = 5 * time.Minute
	gateLimit         = 60 * time.Second
	submitLimit       = time.Hour
	causeLimit        = 60 * time.Second
	containment       = time.Hour
	containUrgently   = 15 * time.Minute // severity critical
	lastEscalation    = 3
	escalationPending = 4 * time.Hour // between levels after the first
)

func timerFired(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	switch string(d.Timer) {
	case TimerUnenforced:
		if o.Hold == nil || !o.Hold.Open() || !o.Hold.EnforcedAt.IsZero() || o.Lot == nil || o.Lot.Unenforced {
			return Change{}, nil
		}
		lot := *o.Lot
		lot.Unenforced = true
		var c Change
		c.setLot(&lot, e, o)
		return c, nil
	case TimerCause:
		return causeTimer(e, o)
	case TimerContainment:
		return containmentTimer(e, d, o)
	case TimerAnswered:
		return answered(e, d, o)
	case TimerWithdrawn:
		return withdrawn(e, d, o)
	case TimerLate:
		return releaseLate(e, o)
	case TimerGate:
		return gateLate(e, d, o)
	case TimerSubmit:
		return submitLate(e, d, o)
	}
	return Change{}, nil // notice.risk: what follows is worked out for every event of the lot
}

func causeTimer(e *event.Event, o Objects) (Change, error) {
	if o.Nonconformance == nil || o.Nonconformance.Awaits == "" {
		return Change{}, nil
	}
	n := *o.Nonconformance
	n.Awaits, n.UpdatedAt, n.Cause = "", o.Now, e.ID
	c := Change{Nonconformances: []Nonconformance{n}}
	c.wantRecord(&n, o)
	return c, nil
}

func containmentTimer(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	if o.Nonconformance == nil || o.Nonconformance.State != NCOpened || o.Nonconformance.Escalation == lastEscalation {
		return Change{}, nil
	}
	n := *o.Nonconformance
	n.Escalation++
	if n.Severity == event.Critical && n.Escalation == 1 {
		n.Escalation = 2 // a critical one goes to the manager at once
	}
	n.UpdatedAt, n.Cause = o.Now, e.ID
	c := Change{Nonconformances: []Nonconformance{n}}
	if n.Escalation < lastEscalation {
		c.Timers = []Timer{{TimerContainment, d.Object, d.Lot, o.Now.Add(escalationPending)}}
	}
	return c, nil
}
