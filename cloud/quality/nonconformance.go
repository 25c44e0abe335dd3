package quality

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// NonconformanceState is how far a nonconformance has come.
type NonconformanceState string

// Nonconformance states. The QMS, which is the system of record, decides what comes after contained.
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
	Lots        []event.LotKey      `json:"lots"`            // sorted
	Holds       []event.ObjectID    `json:"holds,omitempty"` // that it placed, sorted: what voids it lifts these and no other
	Plant       event.PlantID       `json:"plant,omitempty"`
	OpenedAt    time.Time           `json:"opened_at"`
	ContainedAt time.Time           `json:"contained_at,omitzero"` // zero = not yet
	Escalation  int64               `json:"escalation,omitempty"`  // 0 none, 1 owner, 2 manager, 3 site
	// Awaits is the event that must have arrived before the QMS record is made; empty = none. An urgent event goes ahead
	// of the measurement that caused it.
	Awaits event.ID `json:"awaits,omitempty"`
	// Moved says what of each lot had moved before its release was taken back, by lot; a lot without an entry has none.
	Moved       map[event.LotKey]string `json:"moved,omitempty"`
	ExternalRef event.Ref               `json:"external_ref,omitzero"` // the QMS record; zero = none yet
	UpdatedAt   time.Time               `json:"updated_at"`
	Cause       event.ID                `json:"cause"`
}

// Over tells whether nothing more is to be done about it.
func (n *Nonconformance) Over() bool { return n.State == NCClosed || n.State == NCVoided }

// placed tells whether a hold is the nonconformance's own. One that was opened before it kept a list has the hold of its
// name.
func (n *Nonconformance) placed(hold event.ObjectID) bool {
	return slices.Contains(n.Holds, hold) || len(n.Holds) == 0 && hold == holdOf(n.ID)
}

// Record returns what the QMS should hold.
func (n *Nonconformance) Record() *Record {
	description := n.Description
	for _, lot := range n.Lots {
		if words := n.Moved[lot]; words != "" {
			description += fmt.Sprintf("\nLot %s: %s", lot, words)
		}
	}
	return &Record{
		Title: n.title(), Description: description, Severity: n.Severity, State: n.State, Lots: n.Lots, Source: n.Source,
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

func nonconformanceOpened(e *event.Event, d *event.NonconformanceOpened, o Objects) (Change, error) {
	f := failure{lot: d.Lot, kind: event.HoldQuality, severity: d.Severity, source: string(d.Source), reason: d.Description}
	return f.decide(e, o), nil
}

// nonconformanceStep moves a nonconformance on. Only containment may come more than once; what is over stays as it is,
// but for the other lots of one that was voided, whose holds are lifted by their own events.
//
// An open nonconformance does not block a release by itself: its hold does, by name. Where a person with authority lifted
// that hold, this decided the deviation for the lot, although the record may stay open for its other lots or for a
// corrective action.
func nonconformanceStep(e *event.Event, d *event.NonconformanceStep, to NonconformanceState, o Objects) (Change, error) {
	old := o.Nonconformance
	switch {
	case old == nil:
		return Change{}, &Wait{Object: string(d.NonconformanceID)}
	case e.Plant != "" && e.Plant != old.Plant:
		return Change{}, &Refusal{"a plant moves its own nonconformances only",
			fmt.Sprintf("nonconformance %s came from %q, the step from plant %s", old.ID, old.Plant, e.Plant)}
	case old.Over() && old.State != to && to != NCContained:
		return Change{}, &Refusal{"what is over stays as it is",
			fmt.Sprintf("nonconformance %s is %s since %s and can't become %s", old.ID, old.State, event.At(old.UpdatedAt), to)}
	}
	var c Change
	if !old.Over() && (to != NCContained || old.State == NCOpened) {
		n := *old
		n.State, n.UpdatedAt, n.Cause = to, o.Now, e.ID
		if n.ContainedAt.IsZero() && to == NCContained {
			n.ContainedAt = o.Now
		}
		c.Nonconformances = append(c.Nonconformances, n)
		c.Cancel = append(c.Cancel, Timer{Name: TimerContainment, Object: string(n.ID)}, Timer{Name: TimerCause, Object: string(n.ID)})
		c.wantRecord(&n, o)
	}
	if to == NCVoided && o.Lot != nil {
		if err := c.void(e, d, old, o); err != nil {
			return Change{}, err
		}
	}
	return c, nil
}

// void lifts what the nonconformance placed on the lot. The step names no authority: a plant that has a QMS does not lift
// by it what was placed in the name of the quality department.
func (c *Change) void(e *event.Event, d *event.NonconformanceStep, n *Nonconformance, o Objects) error {
	for i := range o.Open {
		h := &o.Open[i]
		if h.Scope != nil || !n.placed(h.ID) {
			continue
		}
		if e.Origin.Agent != "" && o.Plant.QMS != "" && !o.Judged && !mayLift(event.AuthorityOperator, h.Authority) {
			return &Refusal{"lift needs the placing authority or a higher one",
				fmt.Sprintf("to void nonconformance %s would lift hold %s, which was placed by authority %s; the QMS %s voids it", n.ID, h.ID, h.Authority, o.Plant.QMS)}
		}
		c.lift(h, string(d.By), "nonconformance "+string(n.ID)+" was voided: "+d.Reason, d.At.Time)
	}
	if len(c.Holds) > 0 {
		c.lifted(d.Lot, e, o)
	}
	return nil
}

// wantRecord asks for the QMS record, or for its change once it exists.
func (c *Change) wantRecord(n *Nonconformance, o Objects) {
	if o.Plant.QMS == "" || n.Awaits != "" {
		return
	}
	i := Intent{Kind: NonconformanceAdvance, System: o.Plant.QMS, Object: string(n.ID), Lot: n.Lots[0]}
	if n.ExternalRef.ID == "" {
		i.Kind = NonconformanceEnsure
		i.CommandID = CommandID("w3", string(n.ID), "ensure", 1)
	} else if n.State == NCOpened {
		return
	}
	c.intend(i)
}
