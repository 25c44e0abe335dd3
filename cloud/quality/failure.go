package quality

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// characteristicRecorded takes one reading. A pass changes nothing, also where it corrects a reading that failed.
func characteristicRecorded(e *event.Event, d *event.CharacteristicRecorded, o Objects) (c Change, err error) {
	failed := d.Evaluation == event.Fail || d.Evaluation == event.Indeterminate
	if !failed && (o.Lot == nil || o.Lot.Stub) {
		return c, &Wait{Object: string(d.Lot)}
	}
	if failed {
		f := failure{
			lot: d.Lot, kind: event.HoldQuality, severity: event.Major, source: "inspection " + nativeOf(d.InspectionID),
			reason: measured(string(d.Characteristic), string(d.Value), d.Unit, d.LSL, d.USL, d.Evaluation, d.Equipment),
		}
		c = f.decide(e, o)
	}
	if d.Corrects != "" {
		c.correct(e, d, o)
	}
	return c, nil
}

func safetyFailed(e *event.Event, d *event.SafetyFailed, o Objects) (Change, error) {
	f := failure{
		lot: d.Lot, kind: event.HoldSafety, severity: event.Critical, source: "safety characteristic " + string(d.Characteristic),
		reason: measured(string(d.Characteristic), string(d.Value), d.Unit, d.LSL, d.USL, d.Evaluation, d.Equipment),
	}
	return f.decide(e, o), nil
}

func defectDetected(e *event.Event, d *event.DefectDetected, o Objects) (Change, error) {
	reason := fmt.Sprintf("defect %s/%s (%s) on %s %s", d.CodeGroup, d.Code, d.Severity, d.Q.Value, d.Q.Unit)
	if d.Location != "" {
		reason += " at " + string(d.Location)
	}
	f := failure{lot: d.Lot, kind: event.HoldQuality, severity: d.Severity, source: "defect " + string(d.Code), reason: reason}
	return f.decide(e, o), nil
}

// measured says in words what was wrong with a value.
func measured(name, value string, unit event.Unit, lsl, usl event.Decimal, ev event.Evaluation, equipment event.EquipmentID) string {
	text := name + " " + value
	if unit != "" {
		text += " " + string(unit)
	}
	if ev == event.Indeterminate {
		text += " could not be decided"
	}
	switch {
	case lsl != "" && usl != "":
		text += fmt.Sprintf(" outside %s to %s", lsl, usl)
	case usl != "":
		text += fmt.Sprintf(" above %s", usl)
	case lsl != "":
		text += fmt.Sprintf(" below %s", lsl)
	}
	if ev == event.Indeterminate {
		text = strings.Replace(text, " outside ", ", limits ", 1)
	}
	if equipment != "" {
		text += ", " + string(equipment)
	}
	return text
}

func nativeOf(id event.ObjectID) string {
	return string(id[strings.LastIndexByte(string(id), ':')+1:])
}

// failure is what makes a hold and a nonconformance: first the hold, then the record.
type failure struct {
	lot      event.LotKey
	kind     event.HoldKind
	severity event.Severity
	source   string
	reason   string
}

// incident names what a failure makes: the hold and the nonconformance of its case, and what their ids are made of once
// these are over.
type incident struct {
	hold, nonconformance event.ObjectID
	fresh                event.ID
}

// decide files the failure under the case that its event names.
func (f failure) decide(e *event.Event, o Objects) (c Change) {
	n := Names(e)
	f.file(&c, e, o, incident{n.Hold, n.Nonconformance, e.ID})
	return c
}

func (f failure) file(c *Change, e *event.Event, o Objects, in incident) {
	placed := f.hold(c, e, o, in)
	f.nonconformance(c, e, o, in, placed)
}

// hold places the case's hold, or raises its kind, and returns its id. A failure after the lift is a new fact: a hold of
// its own.
func (f failure) hold(c *Change, e *event.Event, o Objects, in incident) event.ObjectID {
	h := Hold{
		ID: in.hold, Lot: f.lot, Kind: f.kind, Reason: f.reason, PlacedBy: "rule", PlacedAt: e.Time,
		Authority: event.AuthorityQuality, Plant: e.Plant, Cause: e.ID,
	}
	switch {
	case o.Hold == nil:
	case !o.Hold.Open():
		h.ID = event.ObjectOf("hold", in.fresh)
	default:
		c.again(o.Hold, &h, e, o)
		return h.ID
	}
	c.place(&h, e, o)
	return h.ID
}

// nonconformance opens the case's nonconformance, or adds to it, and asks for its QMS record. One that is over stays so:
// what is found later is another.
func (f failure) nonconformance(c *Change, e *event.Event, o Objects, in incident, placed event.ObjectID) {
	old, id := o.Nonconformance, in.nonconformance
	if old != nil && old.Over() {
		old, id = nil, event.ObjectOf("nonconformance", in.fresh)
	}
	if old == nil {
		f.open(c, e, o, id, placed)
		return
	}
	n := *old
	n.Severity = worse(n.Severity, f.severity)
	n.Lots, n.Holds = with(n.Lots, f.lot), with(n.Holds, placed)
	if n.Awaits == e.ID {
		n.Awaits = ""
		c.Cancel = append(c.Cancel, Timer{Name: TimerCause, Object: string(id)})
	}
	if n.Severity == old.Severity && len(n.Lots) == len(old.Lots) && len(n.Holds) == len(old.Holds) && n.Awaits == old.Awaits {
		return
	}
	n.UpdatedAt, n.Cause = o.Now, e.ID
	c.Nonconformances = append(c.Nonconformances, n)
	c.wantRecord(&n, o)
}

func (f failure) open(c *Change, e *event.Event, o Objects, id, placed event.ObjectID) {
	n := Nonconformance{
		ID: id, State: NCOpened, Severity: f.severity, Source: f.source, Description: f.reason, Lots: []event.LotKey{f.lot},
		Holds: []event.ObjectID{placed}, Plant: e.Plant, OpenedAt: o.Now, UpdatedAt: o.Now, Cause: e.ID,
	}
	if spec, _ := event.Lookup(e.Data.Type()); spec.Urgent && e.Causation != "" && !o.CauseSeen {
		n.Awaits = e.Causation
		c.Timers = append(c.Timers, Timer{TimerCause, string(id), f.lot, o.Now.Add(causeLimit)})
	}
	limit := containment
	if n.Severity == event.Critical {
		limit = containUrgently
	}
	c.Timers = append(c.Timers, Timer{TimerContainment, string(id), f.lot, o.Now.Add(limit)})
	c.Nonconformances = append(c.Nonconformances, n)
	c.Known = append(c.Known, string(id))
	c.wantRecord(&n, o)
}

// with returns a sorted list with one element more, unless it has it.
func with[T ~string](list []T, x T) []T {
	if slices.Contains(list, x) {
		return list
	}
	return slices.Sorted(slices.Values(append(slices.Clone(list), x)))
}
