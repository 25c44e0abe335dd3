package quality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Objects is all that [Decide] sees besides the event: the objects that [Names] asked for, as they are stored.
type Objects struct {
	Now             time.Time        // when the event was accepted
	Lot             *Lot             // nil = not known
	Open            []Hold           // the lot's open holds, its own and those by scope, sorted by name
	Hold            *Hold            // the one that the event names or would place; nil = not known
	Nonconformance  *Nonconformance  // the one that the event names or would open; nil = not known
	Nonconformances []Nonconformance // those of the lot that are not closed, sorted by id
	CauseSeen       bool             // the event's direct cause has been applied
	Plant           Plant
	Material        Material
}

// Plant is what the configuration says about the plant of the event, or of its lot for an event of the cloud.
type Plant struct {
	ID  event.PlantID
	ERP string // id of the system; empty = none
	QMS string
}

// Material is what the master knows about a lot's material.
type Material struct {
	BaseUnit           event.Unit // empty = the master does not know the material
	InspectionRequired bool       // also for a material that the master does not know
}

// Change is what an event does. Objects in it have their new content; the engine raises their version.
type Change struct {
	Lot             *Lot
	Holds           []Hold
	Nonconformances []Nonconformance
	Intents         []Intent
	Timers          []Timer
	Cancel          []Timer // by name and object
	// Touch asks for the lots that a hold's scope matches to be looked at again.
	Touch *event.Scope
	// Known lists objects that events may have waited for.
	Known []string
}

// Intent is an effect that is wanted. The row of a state effect exists once per system, kind and object.
type Intent struct {
	Kind      Kind
	System    string
	Object    string
	Lot       event.LotKey
	CommandID string // of a document effect
	Urgent    bool   // restricts: goes first
}

// Timer asks for workflow.timer.fired at Due.
type Timer struct {
	Name   string
	Object string
	Lot    event.LotKey
	Due    time.Time
}

// Timers and their limits.
const (
	TimerUnenforced  = "hold.unenforced" // object: a hold's name
	TimerCause       = "nc.cause"        // object: a nonconformance's id
	TimerContainment = "nc.containment"

	enforceLimit      = 5 * time.Minute
	causeLimit        = 60 * time.Second
	containment       = time.Hour
	containUrgently   = 15 * time.Minute // severity critical
	lastEscalation    = 3
	escalationPending = 4 * time.Hour // between levels after the first
)

// Wait is returned for an event that names an object not known yet: it waits for it, its lot is not parked.
type Wait struct{ Object string }

func (w *Wait) Error() string { return "waits for " + w.Object }

// Refusal is returned for an event that a rule forbids. The state stays as it is.
type Refusal struct {
	Rule   string // name of the rule
	Reason string
}

func (r *Refusal) Error() string { return r.Rule + ": " + r.Reason }

// Needed says which objects [Decide] wants to see for an event.
type Needed struct {
	Lot            event.LotKey
	Hold           event.ObjectID
	Nonconformance event.ObjectID
	// ByCase tells that hold and nonconformance are those of the event's case, which it may have to open.
	ByCase bool
}

// Names returns the objects that an event names.
func Names(e *event.Event) Needed {
	n := Needed{Lot: e.Data.Concerns()}
	switch d := e.Data.(type) {
	case *event.CharacteristicRecorded, *event.SafetyFailed, *event.DefectDetected:
		n.Hold, n.Nonconformance, n.ByCase = caseOf(e, "hold"), caseOf(e, "nonconformance"), true
	case *event.NonconformanceOpened:
		n.Nonconformance = d.NonconformanceID
		n.Hold = holdOf(d.NonconformanceID)
	case *event.HoldPlaced:
		n.Hold = d.HoldID
	case *event.HoldLifted:
		n.Hold = d.HoldID
	case *event.TimerFired:
		n.timer(d)
	case *event.EffectSettled:
		if Kind(d.Kind) == NonconformanceEnsure || Kind(d.Kind) == NonconformanceAdvance {
			n.Nonconformance = event.ObjectID(d.Object)
		}
	}
	return n
}

func (n *Needed) timer(d *event.TimerFired) {
	switch string(d.Timer) {
	case TimerUnenforced:
		id, _, _ := strings.Cut(d.Object, "@")
		n.Hold = event.ObjectID(id)
	case TimerCause, TimerContainment:
		n.Nonconformance = event.ObjectID(d.Object)
	}
}

// caseOf returns the id of the hold or nonconformance that a failure belongs to: one for all failures of an
// inspection, else one per measurement. The urgent event of a measurement and the measurement itself meet in one.
func caseOf(e *event.Event, kind string) event.ObjectID {
	if c := e.Data.Case(); c != "" {
		_, rest, _ := strings.Cut(string(c), ":")
		return event.ObjectID(kind + ":" + rest)
	}
	if e.Causation != "" {
		return event.ObjectOf(kind, e.Causation)
	}
	return event.ObjectOf(kind, e.ID)
}

func holdOf(nc event.ObjectID) event.ObjectID {
	_, rest, _ := strings.Cut(string(nc), ":")
	return event.ObjectID("hold:" + rest)
}

// Decide says what an event does to the objects that it names. It returns a [*Wait] or a [*Refusal] where the event
// does nothing now. Any other error means that the event itself is wrong: its key waits for a person.
func Decide(e *event.Event, o Objects) (Change, error) {
	switch d := e.Data.(type) {
	case *event.LotCreated:
		return lotCreated(e, d, o)
	case *event.CharacteristicRecorded:
		return characteristicRecorded(e, d, o)
	case *event.SafetyFailed:
		return safetyFailed(e, d, o)
	case *event.DefectDetected:
		return defectDetected(e, d, o)
	case *event.NonconformanceOpened:
		return nonconformanceOpened(e, d, o)
	case *event.HoldPlaced:
		return holdPlaced(e, d, o)
	case *event.HoldLifted:
		return holdLifted(e, d, o)
	case *event.TimerFired:
		return timerFired(e, d, o)
	case *event.EffectSettled:
		return effectSettled(e, d, o)
	}
	return Change{}, nil // a fact that changes no lot: kept in inbox and ledger
}

func lotCreated(e *event.Event, d *event.LotCreated, o Objects) (Change, error) {
	if o.Lot != nil && !o.Lot.Stub {
		return Change{}, nil
	}
	if o.Material.BaseUnit != "" && d.Q.Unit != o.Material.BaseUnit {
		return Change{}, fmt.Errorf("quantity is in %s, the base unit of material %s is %s", d.Q.Unit, d.Material, o.Material.BaseUnit)
	}
	lot := Lot{Key: d.Lot, Plant: e.Plant}
	if o.Lot != nil {
		lot = *o.Lot
	}
	lot.Stub = false
	lot.Material, lot.Q, lot.Origin = string(d.Material), d.Q, d.Origin
	lot.MadeAt, lot.Supplier, lot.Sublot, lot.Equipment = d.MadeAt.Time, string(d.Supplier), string(d.Sublot), d.Equipment
	lot.InspectionRequired = o.Material.InspectionRequired
	c := Change{Known: []string{string(d.Lot)}}
	c.setLot(&lot, e, o)
	c.wantUsage(o, d.Lot, len(o.Open) > 0)
	return c, nil
}

func characteristicRecorded(e *event.Event, d *event.CharacteristicRecorded, o Objects) (Change, error) {
	failed := d.Evaluation == event.Fail || d.Evaluation == event.Indeterminate
	switch {
	case !failed && o.Lot == nil, !failed && o.Lot.Stub:
		return Change{}, &Wait{Object: string(d.Lot)}
	case !failed:
		return Change{}, nil
	}
	f := failure{
		lot: d.Lot, kind: event.HoldQuality, severity: event.Major, source: "inspection " + nativeOf(d.InspectionID),
		reason: measured(string(d.Characteristic), string(d.Value), d.Unit, d.LSL, d.USL, d.Evaluation, d.Equipment),
	}
	return f.decide(e, o)
}

func safetyFailed(e *event.Event, d *event.SafetyFailed, o Objects) (Change, error) {
	f := failure{
		lot: d.Lot, kind: event.HoldSafety, severity: event.Critical, source: "safety characteristic " + string(d.Characteristic),
		reason: measured(string(d.Characteristic), string(d.Value), d.Unit, d.LSL, d.USL, d.Evaluation, d.Equipment),
	}
	return f.decide(e, o)
}

func defectDetected(e *event.Event, d *event.DefectDetected, o Objects) (Change, error) {
	reason := fmt.Sprintf("defect %s/%s (%s) on %s %s", d.CodeGroup, d.Code, d.Severity, d.Q.Value, d.Q.Unit)
	if d.Location != "" {
		reason += " at " + string(d.Location)
	}
	f := failure{lot: d.Lot, kind: event.HoldQuality, severity: d.Severity, source: "defect " + string(d.Code), reason: reason}
	return f.decide(e, o)
}

func nonconformanceOpened(e *event.Event, d *event.NonconformanceOpened, o Objects) (Change, error) {
	f := failure{lot: d.Lot, kind: event.HoldQuality, severity: d.Severity, source: string(d.Source), reason: d.Description}
	return f.decide(e, o)
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

func (f failure) decide(e *event.Event, o Objects) (Change, error) {
	n := Names(e)
	var c Change
	f.hold(&c, e, o, n.Hold)
	f.nonconformance(&c, e, o, n.Nonconformance)
	return c, nil
}

// hold places the case's hold, or raises its kind. A failure after the lift is a new fact: a hold of its own.
func (f failure) hold(c *Change, e *event.Event, o Objects, id event.ObjectID) {
	h := Hold{
		ID: id, Lot: f.lot, Kind: f.kind, Reason: f.reason, PlacedBy: "rule", PlacedAt: e.Time,
		Authority: event.AuthorityQuality, Plant: e.Plant, Cause: e.ID,
	}
	switch {
	case o.Hold == nil:
	case !o.Hold.Open():
		h.ID = event.ObjectOf("hold", e.ID)
	case holdRank(f.kind) > holdRank(o.Hold.Kind):
		raised := *o.Hold
		raised.Kind, raised.Reason, raised.Cause, raised.EnforcedAt = f.kind, f.reason, e.ID, time.Time{}
		h = raised
	default:
		return // the hold stands
	}
	c.place(&h, e, o)
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

// nonconformance opens the case's nonconformance, or adds to it, and asks for its QMS record.
func (f failure) nonconformance(c *Change, e *event.Event, o Objects, id event.ObjectID) {
	old := o.Nonconformance
	if old == nil {
		n := Nonconformance{
			ID: id, State: NCOpened, Severity: f.severity, Source: f.source, Description: f.reason,
			Lots: []event.LotKey{f.lot}, Plant: e.Plant, OpenedAt: o.Now, UpdatedAt: o.Now, Cause: e.ID,
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
		return
	}
	n := *old
	n.Severity = worse(n.Severity, f.severity)
	if !slices.Contains(n.Lots, f.lot) {
		n.Lots = slices.Sorted(slices.Values(append(slices.Clone(n.Lots), f.lot)))
	}
	if n.Awaits == e.ID {
		n.Awaits = ""
		c.Cancel = append(c.Cancel, Timer{Name: TimerCause, Object: string(id)})
	}
	if n.Severity == old.Severity && len(n.Lots) == len(old.Lots) && n.Awaits == old.Awaits {
		return
	}
	n.UpdatedAt, n.Cause = o.Now, e.ID
	c.Nonconformances = append(c.Nonconformances, n)
	c.wantRecord(&n, o)
}

func holdPlaced(e *event.Event, d *event.HoldPlaced, o Objects) (Change, error) {
	if o.Hold != nil {
		return Change{}, nil // a hold is placed once; lifting it is final
	}
	var c Change
	c.place(&Hold{
		ID: d.HoldID, Lot: d.Lot, Scope: d.Scope, Kind: d.HoldKind, Reason: d.Reason, PlacedBy: string(d.PlacedBy),
		PlacedAt: d.PlacedAt.Time, Authority: d.Authority, Plant: e.Plant, Cause: e.ID,
	}, e, o)
	return c, nil
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
	lifted := *h
	lifted.LiftedBy, lifted.LiftedAt, lifted.LiftReason = string(d.LiftedBy), d.LiftedAt.Time, d.Reason
	c := Change{Holds: []Hold{lifted}, Cancel: []Timer{{Name: TimerUnenforced, Object: h.Name()}}}
	if h.Scope != nil {
		c.Touch = h.Scope
		return c, nil
	}
	lot := *o.Lot
	lot.Unenforced = lot.Unenforced && slices.ContainsFunc(o.Open, func(x Hold) bool {
		return x.Name() != h.Name() && x.EnforcedAt.IsZero()
	})
	c.setLot(&lot, e, o)
	c.wantUsage(o, h.Lot, false)
	return c, nil
}

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
	}
	return Change{}, nil
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

func effectSettled(e *event.Event, d *event.EffectSettled, o Objects) (Change, error) {
	done := d.Outcome == event.Applied || d.Outcome == event.AlreadyApplied
	switch {
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
	last, seenBefore := lot.UsageIn(string(d.System))
	own := last.Own
	if d.Wrote || !seenBefore || !MoreRestrictive(d.Usage, last.Own) {
		own = d.Own
	}
	lot.setUsage(Usage{System: string(d.System), Usage: d.Usage, Raw: d.UsageRaw, VerifiedAt: o.Now, Own: own, Foreign: d.Foreign})
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
	c.setLot(&lot, e, o)
	return c, nil
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

// Touched is what a lot does when a hold by scope that matches it was placed or lifted.
func Touched(e *event.Event, o Objects) Change {
	lot := *o.Lot
	var c Change
	c.setLot(&lot, e, o)
	c.wantUsage(o, lot.Key, len(o.Open) > 0)
	return c
}

func (c *Change) setLot(lot *Lot, e *event.Event, o Objects) {
	lot.UpdatedAt, lot.Cause = o.Now, e.ID
	c.Lot = lot
}

func (c *Change) wantUsage(o Objects, lot event.LotKey, urgent bool) {
	if o.Plant.ERP == "" {
		return
	}
	c.Intents = append(c.Intents, Intent{Kind: LotUsageSet, System: o.Plant.ERP, Object: string(lot), Lot: lot, Urgent: urgent})
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
	c.Intents = append(c.Intents, i)
}
