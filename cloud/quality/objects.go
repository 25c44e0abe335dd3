package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Objects is all that [Decide] sees besides the event: the objects that [Names] asked for, as they are stored, and what
// belongs to the event's lot.
type Objects struct {
	Now time.Time // when the event was accepted
	// Judged tells that the event was accepted before, under the policies of that time: who may do what, and what fits the
	// master's data, is not asked again.
	Judged          bool
	Lot             *Lot             // nil = not known
	Open            []Hold           // the lot's open holds, its own and those by scope, sorted by name
	Scoped          []Hold           // all open holds by scope, whether they match the lot or not
	Hold            *Hold            // the one that the event names or would place; nil = not known
	CaseHold        *Hold            // see [Needed.CaseHold]; nil = not known
	Nonconformance  *Nonconformance  // the one that the event names or would open; nil = not known
	Nonconformances []Nonconformance // those of the lot, sorted by id
	Inspections     []Inspection     // those of the lot, sorted by id
	Dispositions    []Disposition    // those of the lot, in the order in which they were decided
	Run             *Run             // the one that the event names; nil = not known
	Gap             *Gap             // the one that the event names, or that its direct cause made; nil = none
	Allocations     []Allocation     // order lines that count on the lot, sorted by order and line
	Notices         []Notice         // those of the lot, sorted by id
	CauseSeen       bool             // the event's direct cause has been applied
	Submitted       event.LotKey     // for which lot [Needed.Submission] was asked; empty = for none yet
	Plant           Plant            // of the event, else of its lot
	Home            Plant            // of the lot; zero = the same as Plant
	Others          []Plant          // further plants that have an event of the lot
	Material        Material
}

// home returns the plant whose systems speak for the lot.
func (o *Objects) home() Plant {
	if o.Home == (Plant{}) {
		return o.Plant
	}
	return o.Home
}

// systems returns the systems of all plants of the lot that pick names, each once, that of the event's plant first.
func (o *Objects) systems(pick func(*Plant) string) []string {
	var all []string
	seen := map[string]bool{"": true}
	for _, p := range append([]Plant{o.Plant, o.home()}, o.Others...) {
		if id := pick(&p); !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	return all
}

// Plant is what the configuration says about a plant.
type Plant struct {
	ID  event.PlantID
	ERP string // id of the system; empty = none
	QMS string // decides about lots; empty = none, and the plant may decide by its own events
	WMS string // whose tasks wait for a release; empty = none
	// Notify is the system that customer service is told by; empty = none.
	Notify string
	// OneSigner lets one person alone accept what was not observed; else it takes two.
	OneSigner bool
}

// Material is what the master knows about a lot's material.
type Material struct {
	BaseUnit           event.Unit // empty = the master does not know the material
	InspectionRequired bool       // also for a material that the master does not know
	// Inspections are the types that have to be complete before a lot is decided about; none = any one inspection.
	Inspections []event.InspectionType
}

// Change is what an event does. Objects in it have their new content; the engine raises their version.
type Change struct {
	Lot             *Lot
	Holds           []Hold
	Nonconformances []Nonconformance
	Inspections     []Inspection
	Dispositions    []Disposition
	Runs            []Run
	Gaps            []Gap
	Certificates    []Certificate
	Acceptances     []Acceptance
	Allocations     []Allocation
	Notices         []Notice
	Intents         []Intent
	Timers          []Timer
	Cancel          []Timer // by name and object
	// Plants have stock of the lot, as an ERP says: they are asked before a release, too.
	Plants []event.PlantID
	// Touch asks for the lots that a hold's scope matches to be looked at again.
	Touch *event.Scope
	// Known lists objects that events may have waited for.
	Known []string

	decided bool // what was decided about the lot is another thing now
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

// Command returns the command of a generation. A document effect has one for ever.
func (i *Intent) Command(generation int64) string {
	switch i.Kind {
	case TasksGate:
		return CommandID("w10", i.Object, "gate", generation)
	case NonconformanceAdvance:
		return CommandID("w3", i.Object, "advance", generation)
	case LotUsageSet:
		return CommandID("w2", i.Object, "usage", generation)
	}
	return i.CommandID
}

// Timer asks for workflow.timer.fired at Due.
type Timer struct {
	Name   string
	Object string
	Lot    event.LotKey
	Due    time.Time
}

// Wait is returned for an event that names an object not known yet: it waits for it, its lot is not parked.
type Wait struct{ Object string }

func (w *Wait) Error() string { return "waits for " + w.Object }

// Refusal is returned for an event that a rule forbids. The state stays as it is.
type Refusal struct {
	Rule   string // name of the rule
	Reason string
}

func (r *Refusal) Error() string { return r.Rule + ": " + r.Reason }
