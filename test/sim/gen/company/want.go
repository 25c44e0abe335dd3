package company

import "github.com/holdfast-mesh/holdfast/pkg/event"

// Want is what must come of a lot in the end.
type Want struct {
	Usage    event.UsageStatus // what the ERP enforces; at the least, where somebody restricted the lot there by hand
	Decision event.Decision    // the disposition that counts; empty = none
	Open     int               // holds open
	Placed   int               // holds ever placed
	// Cases are the inspections with a failure, as the system and the number under which it knows the inspection. Each
	// asks for exactly one record of a nonconformance in the QMS.
	Cases       []string
	Inspections int    // completed, superseded ones included
	Quarantined int    // messages of the lot that nobody can make an event of, or that contradict another
	Gaps        int    // times in which a machine was not seen while it worked on the lot
	Waits       []Wait // what its release waits for
	// Maybe tells that a message that broke off may have come in while the lot was on its machine: then it waits for that
	// instead of being free.
	Maybe   bool
	Gate    Gate
	Opened  Bounds // how often the warehouse's tasks of the lot are freed
	Notices []Notice
	Why     []string // the facts behind it, in words
}

// Free tells whether the ERP lets the lot be used.
func (w *Want) Free() bool { return w.Usage == event.Unrestricted }

// Wait is what a release waits for.
type Wait string

// Waits.
const (
	WaitsHold       Wait = "hold"
	WaitsGap        Wait = "gap"
	WaitsQuarantine Wait = "quarantine"
	WaitsForeign    Wait = "foreign restriction"
)

// Gate is whether the warehouse may work on a lot.
type Gate string

// Gates.
const (
	Closed Gate = "held"
	Opened Gate = "open"
)

// Bounds are how often something takes place: once is {1, 1}.
type Bounds struct{ Least, Most int }

// Allow tells whether n times is right.
func (b Bounds) Allow(n int) bool { return b.Least <= n && n <= b.Most }

func exactly(n int) Bounds { return Bounds{n, n} }

// Notice is what customer service is told about an order that counts on the lot.
type Notice struct {
	Order, Line string
	AtRisk      Bounds // the date may be missed, though nothing is held
	Held        Bounds
	Clear       Bounds // it may move again
}
