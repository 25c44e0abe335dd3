package quality

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Hold forbids the use of a lot, or of each lot that its scope matches, until it is lifted.
type Hold struct {
	ID        event.ObjectID  `json:"id"`
	Lot       event.LotKey    `json:"lot,omitempty"` // empty for a hold by scope
	Version   int64           `json:"version"`
	Scope     *event.Scope    `json:"scope,omitempty"`
	Kind      event.HoldKind  `json:"kind"`
	Reason    string          `json:"reason"`
	PlacedBy  string          `json:"placed_by"`
	PlacedAt  time.Time       `json:"placed_at"`
	Authority event.Authority `json:"authority"`
	Plant     event.PlantID   `json:"plant,omitempty"` // through whose door it came; empty = the cloud's

	LiftedBy   string    `json:"lifted_by,omitempty"` // empty = open
	LiftedAt   time.Time `json:"lifted_at,omitzero"`
	LiftReason string    `json:"lift_reason,omitempty"`

	// EnforcedAt is when the ERP was first verified to enforce it; zero = not yet.
	EnforcedAt time.Time `json:"enforced_at,omitzero"`
	Cause      event.ID  `json:"cause"`
}

// Name names one hold of one lot in ledger and timers: a fact about several lots is one hold id with a hold each.
func (h *Hold) Name() string {
	if h.Lot == "" {
		return string(h.ID)
	}
	return string(h.ID) + "@" + string(h.Lot)
}

// Open tells whether the hold is not lifted.
func (h *Hold) Open() bool { return h.LiftedBy == "" }

// Usage returns what the hold asks an ERP to enforce.
func (h *Hold) Usage() event.UsageStatus {
	if h.Kind == event.HoldRecall || h.Kind == event.HoldSafety {
		return event.Blocked
	}
	return event.Restricted
}

// holdRank orders hold kinds: recall > safety > quality > doc > system.
func holdRank(k event.HoldKind) int {
	switch k {
	case event.HoldRecall:
		return 5
	case event.HoldSafety:
		return 4
	case event.HoldQuality:
		return 3
	case event.HoldDoc:
		return 2
	}
	return 1
}

// Matches tells whether a lot's facts lie in the scope. The plant of a scope by material or equipment is the lot's.
func Matches(s *event.Scope, lot *Lot) bool {
	value := string(s.Value)
	switch s.Kind {
	case event.ScopeSublot:
		return lot.Sublot != "" && lot.Sublot == value
	case event.ScopeSupplier:
		return lot.Supplier != "" && lot.Supplier == value
	case event.ScopeMaterial:
		return lot.Material == value && lot.Plant == s.Plant
	case event.ScopeEquipment:
		if string(lot.Equipment) != value || lot.Plant != s.Plant {
			return false
		}
		// A lot whose time is not known may have been made in the interval.
		return lot.MadeAt.IsZero() || (s.From.IsZero() || !lot.MadeAt.Before(s.From.Time)) && (s.To.IsZero() || !lot.MadeAt.After(s.To.Time))
	}
	return false
}

// OpenOf returns a lot's open holds, sorted by name: its own, and of all those by scope the ones that match it.
func OpenOf(lot *Lot, own, scoped []Hold) []Hold {
	open := slices.Clone(own)
	for i := range scoped {
		if Matches(scoped[i].Scope, lot) {
			open = append(open, scoped[i])
		}
	}
	slices.SortFunc(open, func(a, b Hold) int { return cmpText(a.Name(), b.Name()) })
	return open
}

// mayLift tells whether by may lift a hold placed in the name of placed: the same authority or a higher one.
func mayLift(by, placed event.Authority) bool {
	return by == event.AuthorityQuality || placed == event.AuthorityOperator
}

func holdPlaced(e *event.Event, d *event.HoldPlaced, o Objects) (Change, error) {
	h := Hold{
		ID: d.HoldID, Lot: d.Lot, Scope: d.Scope, Kind: d.HoldKind, Reason: d.Reason, PlacedBy: string(d.PlacedBy),
		PlacedAt: d.PlacedAt.Time, Authority: d.Authority, Plant: e.Plant, Cause: e.ID,
	}
	var c Change
	if o.Hold == nil {
		c.place(&h, e, o)
	} else {
		c.again(o.Hold, &h, e, o)
	}
	return c, nil
}

// again takes another fact that names a hold which stands. A hold is placed once, and lifting it is final; whichever of two
// that name it alike comes first, the higher kind with all that it says and the higher authority stand, and what the cloud
// placed stays the cloud's to lift.
func (c *Change) again(old, h *Hold, e *event.Event, o Objects) {
	stronger := holdRank(h.Kind) > holdRank(old.Kind)
	if !old.Open() || !stronger && mayLift(old.Authority, h.Authority) {
		return
	}
	raised := *old
	raised.Cause = h.Cause
	if !mayLift(old.Authority, h.Authority) {
		raised.Authority = h.Authority
	}
	if !stronger {
		c.Holds = append(c.Holds, raised)
		return
	}
	raised.Kind, raised.Reason, raised.PlacedBy, raised.EnforcedAt = h.Kind, h.Reason, h.PlacedBy, time.Time{}
	if old.Plant != "" {
		raised.Plant = h.Plant
	}
	c.place(&raised, e, o)
}

func holdLifted(e *event.Event, d *event.HoldLifted, o Objects) (Change, error) {
	h := o.Hold
	switch {
	case h == nil:
		return Change{}, &Wait{Object: string(d.HoldID)}
	case !h.Open():
		return Change{}, nil
	case !mayLift(d.Authority, h.Authority):
		return Change{}, &Refusal{"lift needs the placing authority or a higher one",
			fmt.Sprintf("hold %s was placed by authority %s, %s has authority %s", h.ID, h.Authority, d.LiftedBy, d.Authority)}
	case e.Plant != "" && e.Plant != h.Plant:
		return Change{}, &Refusal{"a plant lifts its own holds only",
			fmt.Sprintf("hold %s came from %q, the lift from plant %s", h.ID, h.Plant, e.Plant)}
	}
	var c Change
	c.lift(h, string(d.LiftedBy), d.Reason, d.LiftedAt.Time)
	if h.Scope != nil {
		c.Touch = h.Scope
		return c, nil
	}
	c.lifted(h.Lot, e, o)
	return c, nil
}

func (c *Change) lift(h *Hold, by, reason string, at time.Time) {
	lifted := *h
	lifted.LiftedBy, lifted.LiftedAt, lifted.LiftReason = by, at, reason
	c.Holds = append(c.Holds, lifted)
	c.Cancel = append(c.Cancel, Timer{Name: TimerUnenforced, Object: h.Name()})
}

// lifted works out what the lot is without the holds that the change lifts.
func (c *Change) lifted(key event.LotKey, e *event.Event, o Objects) {
	lot := *o.Lot
	open := o.openAfter(c)
	lot.Unenforced = lot.Unenforced && slices.ContainsFunc(open, func(x Hold) bool { return x.EnforcedAt.IsZero() })
	c.setLot(&lot, e, o)
	c.wantUsage(o, key, false)
}

// place stores a hold and all that follows from it.
func (c *Change) place(h *Hold, e *event.Event, o Objects) {
	c.Holds = append(c.Holds, *h)
	c.Known = append(c.Known, string(h.ID))
	if h.Scope != nil {
		c.Touch = h.Scope
		return
	}
	lot := Lot{Key: h.Lot, Plant: e.Plant, Stub: true}
	if o.Lot != nil {
		lot = *o.Lot
	}
	c.setLot(&lot, e, o)
	c.wantUsage(o, h.Lot, true)
	c.Timers = append(c.Timers, Timer{TimerUnenforced, h.Name(), h.Lot, o.Now.Add(enforceLimit)})
}
