package quality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// InspectionState is how far an inspection has come.
type InspectionState string

// Inspection states.
const (
	InspectionPlanned    InspectionState = "planned"
	InspectionOpen       InspectionState = "open" // it has a verdict that decides nothing yet
	InspectionCompleted  InspectionState = "completed"
	InspectionCancelled  InspectionState = "cancelled"
	InspectionSuperseded InspectionState = "superseded" // another counts instead of it
)

// Inspection is one inspection of a lot.
type Inspection struct {
	ID           event.ObjectID       `json:"id"`
	Lot          event.LotKey         `json:"lot"`
	Version      int64                `json:"version"`
	Plant        event.PlantID        `json:"plant,omitempty"` // through whose door it came first; empty = the cloud's
	Type         event.InspectionType `json:"inspection_type"`
	State        InspectionState      `json:"state"`
	Verdict      event.Verdict        `json:"verdict,omitempty"` // empty = none came
	SpecRev      string               `json:"spec_rev,omitempty"`
	Due          time.Time            `json:"due,omitzero"` // zero = it was not planned
	CompletedAt  time.Time            `json:"completed_at,omitzero"`
	Results      int64                `json:"result_count,omitempty"`
	SupersededBy event.ObjectID       `json:"superseded_by,omitempty"`
	Reason       string               `json:"reason,omitempty"` // of what ended it without a verdict
	// SubmittedAt is when the QMS was read to have a record of the verdict, or said to keep none; zero = not yet. ExternalRef
	// is that record.
	SubmittedAt time.Time `json:"submitted_at,omitzero"`
	ExternalRef event.Ref `json:"external_ref,omitzero"`
	Unsubmitted bool      `json:"unsubmitted,omitempty"` // it has none for longer than it should
	// Late tells that the verdict came when the lot had been decided about, or the inspection did not count any more: a
	// pass is attached and changes nothing.
	Late      bool      `json:"late,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
	Cause     event.ID  `json:"cause"`
}

// Name names one inspection of one lot in ledger and store.
func (i *Inspection) Name() string { return string(i.ID) + "@" + string(i.Lot) }

// over tells whether the inspection does not count.
func (i *Inspection) over() bool {
	return i.State == InspectionCancelled || i.State == InspectionSuperseded
}

// maxReinspections is how often an inspection may be made again before the lot is a case by itself.
const maxReinspections = 2

func (o *Objects) inspection(id event.ObjectID) *Inspection {
	for i := range o.Inspections {
		if o.Inspections[i].ID == id {
			x := o.Inspections[i]
			return &x
		}
	}
	return nil
}

func inspectionPlanned(e *event.Event, d *event.InspectionPlanned, o Objects) (Change, error) {
	if o.Lot == nil || o.Lot.Stub {
		return Change{}, &Wait{Object: string(d.Lot)}
	}
	i := o.inspection(d.InspectionID)
	if i == nil {
		i = &Inspection{ID: d.InspectionID, Lot: d.Lot, Plant: e.Plant, State: InspectionPlanned}
	}
	i.Type, i.SpecRev, i.Due = d.InspectionType, string(d.SpecRev), d.Due.Time
	var c Change
	c.setInspection(i, e, o)
	c.Known = append(c.Known, string(i.ID))
	return c, nil
}

// inspectionCompleted takes a verdict. Of two on one inspection the worse stands. A verdict that is not pass holds the
// lot first, also one that comes late.
func inspectionCompleted(e *event.Event, d *event.InspectionCompleted, o Objects) (Change, error) {
	failed := d.Verdict == event.VerdictFail || d.Verdict == event.VerdictIndeterminate
	if !failed && (o.Lot == nil || o.Lot.Stub) {
		return Change{}, &Wait{Object: string(d.Lot)}
	}
	var c Change
	if failed {
		c = verdictFailed(d).decide(e, o)
	}
	i := o.inspection(d.InspectionID)
	if i == nil {
		i = &Inspection{ID: d.InspectionID, Lot: d.Lot, Plant: e.Plant, Type: d.InspectionType, SpecRev: string(d.SpecRev)}
	}
	if first := !i.judged(); first && d.Verdict != event.VerdictNone {
		c.submit(i, o)
	}
	i.Verdict = worseVerdict(i.Verdict, d.Verdict)
	i.CompletedAt, i.Results = d.CompletedAt.Time, d.ResultCount
	i.Late = i.Late || i.over() || o.Lot != nil && o.Lot.Decision != ""
	switch {
	case i.over():
	case i.Verdict == event.VerdictNone:
		i.State = InspectionOpen
	default:
		i.State = InspectionCompleted
	}
	c.setInspection(i, e, o)
	c.Known = append(c.Known, string(i.ID))
	return c, nil
}

func verdictFailed(d *event.InspectionCompleted) failure {
	reason := "inspection " + nativeOf(d.InspectionID) + " (" + string(d.InspectionType) + ") failed"
	if d.Verdict == event.VerdictIndeterminate {
		reason = "inspection " + nativeOf(d.InspectionID) + " (" + string(d.InspectionType) + ") could not be decided"
	}
	return failure{
		lot: d.Lot, kind: event.HoldQuality, severity: event.Major, source: "inspection " + nativeOf(d.InspectionID), reason: reason,
	}
}

func inspectionCancelled(e *event.Event, d *event.InspectionCancelled, o Objects) (Change, error) {
	i := o.inspection(d.InspectionID)
	if i == nil {
		return Change{}, &Wait{Object: string(d.InspectionID)}
	}
	if i.over() {
		return Change{}, nil
	}
	i.State, i.Reason = InspectionCancelled, d.Reason
	var c Change
	c.setInspection(i, e, o)
	return c, nil
}

// inspectionSuperseded lets another inspection of the lot count. Only an explicit link does, never the time. What the
// first one's failure holds stays held until it is lifted.
func inspectionSuperseded(e *event.Event, d *event.InspectionSuperseded, o Objects) (Change, error) {
	i, next := o.inspection(d.InspectionID), o.inspection(d.SupersededBy)
	switch {
	case i == nil:
		return Change{}, &Wait{Object: string(d.InspectionID)}
	case next == nil:
		return Change{}, &Wait{Object: string(d.SupersededBy)}
	case i.SupersededBy == d.SupersededBy:
		return Change{}, nil
	case i.SupersededBy != "":
		return Change{}, &Refusal{"an inspection is superseded once",
			fmt.Sprintf("inspection %s was superseded by %s, not by %s", i.ID, i.SupersededBy, d.SupersededBy)}
	case leadsTo(o.Inspections, d.SupersededBy, i.ID):
		return Change{}, &Refusal{"an inspection does not supersede itself", fmt.Sprintf("inspection %s leads back to %s", d.SupersededBy, i.ID)}
	}
	i.State, i.SupersededBy, i.Reason = InspectionSuperseded, d.SupersededBy, d.Reason
	var c Change
	if n := before(o.Inspections, i.ID) + 1; n > maxReinspections {
		f := failure{
			lot: d.Lot, kind: event.HoldQuality, severity: event.Minor, source: "inspection " + nativeOf(i.ID),
			reason: fmt.Sprintf("inspected again %d times; more than %d is a case by itself", n, maxReinspections),
		}
		c = f.decide(e, o)
	}
	c.setInspection(i, e, o)
	return c, nil
}

// reinspectionCase names hold and nonconformance of a lot that is inspected again too often.
func reinspectionCase(id event.ObjectID) (hold, nc event.ObjectID) {
	_, rest, _ := strings.Cut(string(id), ":")
	return event.ObjectID("hold:" + rest + "-again"), event.ObjectID("nonconformance:" + rest + "-again")
}

// leadsTo tells whether the chain of links from one inspection reaches another.
func leadsTo(all []Inspection, from, to event.ObjectID) bool {
	for range all {
		if from == to {
			return true
		}
		i := slices.IndexFunc(all, func(x Inspection) bool { return x.ID == from })
		if i < 0 || all[i].SupersededBy == "" {
			return false
		}
		from = all[i].SupersededBy
	}
	return from == to
}

// before counts the inspections that this one took the place of.
func before(all []Inspection, id event.ObjectID) (n int) {
	for i := range all {
		if all[i].ID != id && all[i].SupersededBy != "" && leadsTo(all, all[i].ID, id) {
			n++
		}
	}
	return n
}

// inspected tells whether all that has to be inspected is, and whether any inspection is complete. A superseded one is
// complete when the one that took its place is.
func inspected(lot *Lot, all []Inspection) (complete, some bool) {
	done := map[event.InspectionType]bool{}
	open := false
	for i := range all {
		x := &all[i]
		switch x.State {
		case InspectionPlanned, InspectionOpen:
			open = true
		case InspectionCompleted:
			some, done[x.Type] = true, true
		case InspectionSuperseded:
			done[x.Type] = done[x.Type] || slices.ContainsFunc(all, func(y Inspection) bool {
				return y.State == InspectionCompleted && leadsTo(all, x.SupersededBy, y.ID)
			})
		}
	}
	complete = !open && (some || !lot.InspectionRequired)
	for _, t := range lot.InspectionTypes {
		complete = complete && done[t]
	}
	return complete, some
}

// InspectionRecord returns what the QMS should hold about an inspection of the lot, nil where it has no verdict yet.
func (f *Facts) InspectionRecord(id event.ObjectID) *InspectionRecord {
	i := slices.IndexFunc(f.Inspections, func(x Inspection) bool { return x.ID == id })
	if i < 0 || !f.Inspections[i].judged() {
		return nil
	}
	x := &f.Inspections[i]
	r := &InspectionRecord{
		ID: x.ID, Lot: x.Lot, Plant: x.Plant, Type: x.Type, Verdict: x.Verdict, SpecRev: x.SpecRev, CompletedAt: x.CompletedAt, ResultCount: x.Results,
	}
	for j := range f.Inspections {
		if f.Inspections[j].SupersededBy == x.ID {
			r.Supersedes = append(r.Supersedes, f.Inspections[j].ID)
		}
	}
	return r
}

// submit asks for the inspection's record in the QMS, once for each lot: what is found to be worse later is told there by a
// nonconformance. Nothing waits for the record. Whoever decides about the lot may want to see it first, so that a person
// is told where it does not come. The record of the first lot is named by the inspection alone, as all records are that exist,
// and only that of a further lot by both: a name that changed would make every record anew where a database is rebuilt.
func (c *Change) submit(i *Inspection, o Objects) {
	if o.Plant.QMS == "" {
		return
	}
	name := string(i.ID)
	if o.Submitted != "" && o.Submitted != i.Lot {
		name = i.Name()
	}
	c.Intents = append(c.Intents, Intent{Kind: InspectionSubmit, System: o.Plant.QMS, Object: string(i.ID), Lot: i.Lot, CommandID: submission(name)})
	c.Timers = append(c.Timers, Timer{TimerSubmit, i.Name(), i.Lot, o.Now.Add(submitLimit)})
}

// submission returns the command that makes the record of an inspection, or of one lot's part in it.
func submission(name string) string { return CommandID("w1", name, "inspection_submit", 1) }

// submitted notes that the QMS has the inspection's record, or keeps none.
func submitted(e *event.Event, d *event.EffectSettled, o Objects) Change {
	i := o.inspection(event.ObjectID(d.Object))
	if i == nil {
		return Change{}
	}
	i.SubmittedAt, i.Unsubmitted = o.Now, false
	if d.ExternalRef != "" {
		i.ExternalRef = event.Ref{System: string(d.System), Kind: "inspection", ID: d.ExternalRef}
	}
	c := Change{Cancel: []Timer{{Name: TimerSubmit, Object: i.Name()}}}
	c.setInspection(i, e, o)
	return c
}

// submitLate marks an inspection whose record is not in the QMS in time.
func submitLate(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	n := slices.IndexFunc(o.Inspections, func(x Inspection) bool { return x.Name() == d.Object })
	if n < 0 || !o.Inspections[n].SubmittedAt.IsZero() || o.Inspections[n].Unsubmitted {
		return Change{}, nil
	}
	i := o.Inspections[n]
	i.Unsubmitted = true
	var c Change
	c.setInspection(&i, e, o)
	return c, nil
}

// judged tells whether the inspection has a verdict, also where it came late or counts no more.
func (i *Inspection) judged() bool { return i.Verdict != "" && i.Verdict != event.VerdictNone }

func (c *Change) setInspection(i *Inspection, e *event.Event, o Objects) {
	i.UpdatedAt, i.Cause = o.Now, e.ID
	c.Inspections = append(c.Inspections, *i)
}

// worseVerdict orders verdicts: fail, indeterminate, none, pass.
func worseVerdict(a, b event.Verdict) event.Verdict {
	for _, v := range []event.Verdict{event.VerdictFail, event.VerdictIndeterminate, event.VerdictNone} {
		if a == v || b == v {
			return v
		}
	}
	return event.VerdictPass
}
