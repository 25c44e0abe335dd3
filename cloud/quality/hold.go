package quality

import (
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

// mayLift tells whether by may lift a hold placed in the name of placed: the same authority or a higher one.
func mayLift(by, placed event.Authority) bool {
	return by == event.AuthorityQuality || placed == event.AuthorityOperator
}
