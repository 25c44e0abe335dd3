package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// NonconformanceState is how far a nonconformance has come.
type NonconformanceState string

// Nonconformance states. This version reaches contained; the QMS, which is the system of record, decides the rest.
const (
	NCOpened        NonconformanceState = "opened"
	NCContained     NonconformanceState = "contained"
	NCInvestigating NonconformanceState = "investigating"
	NCDisposition   NonconformanceState = "disposition"
	NCClosed        NonconformanceState = "closed"
	NCVoided        NonconformanceState = "voided"
)

// Nonconformance is a departure from a requirement, found on one lot or several.
type Nonconformance struct {
	ID          event.ObjectID      `json:"id"`
	Version     int64               `json:"version"`
	State       NonconformanceState `json:"state"`
	Severity    event.Severity      `json:"severity"`
	Source      string              `json:"source"`
	Description string              `json:"description"`
	Lots        []event.LotKey      `json:"lots"` // sorted
	Plant       event.PlantID       `json:"plant,omitempty"`
	OpenedAt    time.Time           `json:"opened_at"`
	ContainedAt time.Time           `json:"contained_at,omitzero"` // zero = not yet
	Escalation  int64               `json:"escalation,omitempty"`  // 0 none, 1 owner, 2 manager, 3 site
	// Awaits is the event that must have arrived before the QMS record is made; empty = none. An urgent event goes ahead
	// of the measurement that caused it.
	Awaits      event.ID  `json:"awaits,omitempty"`
	ExternalRef event.Ref `json:"external_ref,omitzero"` // the QMS record; zero = none yet
	UpdatedAt   time.Time `json:"updated_at"`
	Cause       event.ID  `json:"cause"`
}

// Record returns what the QMS should hold.
func (n *Nonconformance) Record() *Record {
	return &Record{
		Title: n.title(), Description: n.Description, Severity: n.Severity, State: n.State, Lots: n.Lots, Source: n.Source,
	}
}

func (n *Nonconformance) title() string {
	if len(n.Lots) == 0 {
		return n.Source
	}
	_, material, lot, err := n.Lots[0].Parts()
	if err != nil {
		return n.Source
	}
	return "Lot " + lot + " of " + material + ": " + n.Source
}

func worse(a, b event.Severity) event.Severity {
	for _, s := range []event.Severity{event.Critical, event.Major} {
		if a == s || b == s {
			return s
		}
	}
	return event.Minor
}
