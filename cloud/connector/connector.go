// Package connector is the contract with business systems: five verbs, two descriptions, and one meaning for each
// answer. The write protocol (find, read, decide again, write conditionally, read back, record) stands in package
// dispatch, once; a connector does one step at a time and never retries a write.
//
// Package connectortest holds the suite that every connector passes.
package connector

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// System is one configured ERP, QMS or other business system. Its methods may be called from several goroutines. An
// error of a reading verb wraps a [Result] that says whether to try again.
type System interface {
	// Kinds returns the effect kinds that exist here. It makes no call.
	Kinds() []quality.Kind
	// Caps returns what the system can do. It makes no call.
	Caps() Caps
	// Check looks, before the first effect, whether the system is set up as the connector needs: reference field kept,
	// rights, clock skew, customizing. A finding that forbids writing is Fatal.
	Check(ctx context.Context) ([]Finding, error)
	// Find returns the records that carry the effect's reference. It is a list, because duplicates exist; the lowest id
	// comes first.
	Find(ctx context.Context, e quality.Effect) ([]event.Ref, error)
	// Read returns an object as it is now, with the version that a conditional write needs.
	Read(ctx context.Context, o Object) (View, Version, error)
	// Write makes one conditional change, the next step towards what e wants. Its answer is acknowledged (zero outcome),
	// rejected, conflict, retry_later or unknown; a time-out after the request may have left is unknown.
	Write(ctx context.Context, e quality.Effect, v Version) Result
	// Changes returns what changed there since the cursor, at most limit views, and the cursor behind them.
	Changes(ctx context.Context, since Cursor, limit int) ([]View, Cursor, error)
}

// Caps says what a system can do.
type Caps struct {
	LotScope        string // at which level its lot numbers are unique: material, plant
	Lock            Lock
	Uniqueness      Uniqueness
	PartialHold     bool // part of a lot can be held
	StockTypes      bool // usage is a property of quantities
	Reversal        bool // documents can be cancelled by a counter-document
	ReferenceLength int  // longest reference that it keeps, in characters
	Feed            bool // Changes lists what changed
	Blind           bool // what was sent there can't be looked up again: an acknowledgement is all the proof there is
}

// Lock says how well a conditional write sees a change by someone else.
type Lock string

// Locks.
const (
	LockNone   Lock = "none"
	LockSecond Lock = "second" // misses two changes in one second
	LockExact  Lock = "exact"
)

// Uniqueness says what keeps a document from being made twice.
type Uniqueness string

// Uniquenesses.
const (
	UniqueNone    Uniqueness = "none"        // only find-then-create, serialised by us
	UniqueNatural Uniqueness = "natural_key" // a second one is refused
	UniqueUpsert  Uniqueness = "upsert"      // a second one is the first
)

// Finding is something that Check found.
type Finding struct {
	Fatal bool   // no effect may be sent
	What  string // one sentence
	Fix   string // what a person does about it
}

// ObjectKind says what to read.
type ObjectKind string

// Object kinds.
const (
	ObjectLot        ObjectKind = "lot"
	ObjectRecord     ObjectKind = "record"     // a document or QMS record
	ObjectInspection ObjectKind = "inspection" // an inspection's record
	ObjectDecision   ObjectKind = "decision"   // a disposition in its system of record
	ObjectAllocation ObjectKind = "allocation" // what a customer's order line counts on
	ObjectTasks      ObjectKind = "tasks"      // a lot's warehouse tasks
	ObjectNotice     ObjectKind = "notice"     // a message that was sent
	ObjectMoves      ObjectKind = "moves"      // what left a lot's stock since a time
)

// ObjectOf returns the kind of object that an effect of a kind reads back, and whether it is found by the effect's
// reference: what is not belongs to the lot itself.
func ObjectOf(kind quality.Kind) (o ObjectKind, found bool) {
	switch kind {
	case quality.LotUsageSet, quality.UsageDecisionPost:
		return ObjectLot, false
	case quality.TasksGate:
		return ObjectTasks, false
	case quality.NoticeSend:
		return ObjectNotice, true
	case quality.InspectionSubmit:
		return ObjectInspection, true
	}
	return ObjectRecord, true
}

// Object names what to read: a lot, its tasks and what left it by the lot's key, all others by the system's own id.
type Object struct {
	Kind ObjectKind
	Lot  event.LotKey
	ID   string
	// Since is for [ObjectMoves]: from when on. Where the system's clock can't be compared with ours, or it keeps days, what
	// may have been later is shown as well.
	Since time.Time
}

// View is an object as the system shows it.
type View struct {
	Object
	Exists bool
	Ref    event.Ref

	// Usage of a lot: that of the least restricted quantity. UsageRaw is the system's own words for it.
	Usage    event.UsageStatus
	UsageRaw string
	// Also lists usages that what is there satisfies as well: a lot without stock, under a restriction, is blocked too.
	Also  []event.UsageStatus
	Stock []Stock
	// Moved is what left a lot's stock, oldest first. What was cancelled is not among it.
	Moved []event.Movement
	// Inspections are the inspection lots that an ERP keeps for a lot and that its disposition concerns, without those
	// that were cancelled.
	Inspections []Inspection

	// Gate says what a warehouse lets happen with a lot; empty = it has no such word, and its tasks tell.
	Gate  quality.Gate
	Tasks []Task // of a lot

	Disposition *Disposition // of a decision
	Allocation  *Allocation  // of an allocation

	State    string // of a record, in the system's words
	Decision string // of a record, if it has one
	// Reached is State in our words: how far a nonconformance's record has come. Empty: a state that is not known.
	Reached quality.NonconformanceState
	Fields  map[string]string // of a record: those that we own, and its reference

	ChangedAt time.Time // zero = the system does not say
}

// Is tells whether the object satisfies a wanted usage. A lot is unrestricted only when no part of it waits in
// inspection or under a restriction: Usage alone is that of the part that may move.
func (v *View) Is(want event.UsageStatus) bool {
	if want == event.Unrestricted && v.Withheld() != "" {
		return false
	}
	return v.Usage == want || slices.Contains(v.Also, want)
}

// Withheld returns the most restrictive usage of a part that a release would free, although another part is free
// already; empty = there is none.
func (v *View) Withheld() (usage event.UsageStatus) {
	if v.Usage != event.Unrestricted {
		return ""
	}
	for _, s := range v.Stock {
		if (s.Usage == event.InInspection || s.Usage == event.Restricted) && (usage == "" || quality.MoreRestrictive(s.Usage, usage)) {
			usage = s.Usage
		}
	}
	return usage
}

// Plants returns the plants, as the system names them, in which the lot has stock; sorted.
func (v *View) Plants() (plants []string) {
	for _, s := range v.Stock {
		if s.Plant != "" && !slices.Contains(plants, s.Plant) {
			plants = append(plants, s.Plant)
		}
	}
	slices.Sort(plants)
	return plants
}

// FieldReference is the key in the fields of a [View] under which every connector shows the effect's reference, so that
// one that the system dropped is seen.
const FieldReference = "reference"

// Stock is a quantity of a lot in one place with one usage.
type Stock struct {
	Plant    string
	Location string
	Usage    event.UsageStatus
	Raw      string // the system's own stock type
	Q        event.Quantity
}

// Inspection is an inspection lot of an ERP's own.
type Inspection struct {
	ID    string // the system's number
	Plant string // the system's own plant
	Raw   string // its usage decision in the system's own words; empty = none yet
	// Decisions are those that its usage decision stands for; none = not decided, or by a code that is not known.
	Decisions []quality.Decision
}

// Task is a warehouse task of a lot.
type Task struct {
	ID    string
	Kind  string // pick, putaway, ship or the system's own word
	State TaskState
	Raw   string // the system's own word for the state
	Order string // that it is for; empty = none
}

// TaskState says how far a task is. The zero TaskState is a word of the system that is not known.
type TaskState string

// Task states.
const (
	TaskHeld    TaskState = "held" // may not start
	TaskOpen    TaskState = "open" // may start
	TaskStarted TaskState = "started"
	TaskDone    TaskState = "done"
)

// Disposition is a decision on a lot as its system of record shows it.
type Disposition struct {
	Version    int64            // of the record, from 1; with its id it names one decision
	Q          event.Quantity   // zero = all of the lot
	Decision   quality.Decision // empty = a word of the system that is not known
	Raw        string           // that word
	SignedBy   string           // empty = not signed yet, so that it decides nothing
	Reason     string
	Condition  string
	DecidedAt  time.Time // zero = not decided yet
	Supersedes string    // id of the decision whose place it takes; empty = none
}

// Allocation is what a customer's order line counts on.
type Allocation struct {
	Version    string // of the record, in the system's words; with its id it names one state
	Order      string
	Line       string
	Customer   string
	Q          event.Quantity // zero value = no longer allocated
	PromisedAt time.Time      // zero = no date was promised
}

// Version is what a conditional write sends back: ETags and what was read with them. It is opaque to all but the
// connector that made it.
type Version any

// Cursor is a position in a system's feed of changes. The zero Cursor is its beginning.
type Cursor string

// Result is the answer to one call.
type Result struct {
	// Outcome is zero for acknowledged, else rejected, conflict, retry_later or unknown.
	Outcome    quality.Outcome
	Ref        event.Ref     // the record that was made or changed, if known
	RetryAfter time.Duration // as the system asked, capped at [MaxRetryAfter]: that long or longer; 0 = it did not say
	Code       string        // the vendor's, unchanged
	Message    string        // the vendor's, unchanged; never a secret
	Evidence   []byte        // JSON: request hash, versions, redacted answer; goes to the ledger
	Refused    bool          // our user was refused: stop asking, or it is locked out
	Waits      bool          // with retry_later: this object waits, and the system is well: no reason to ask it less
}

// PossibleRepeat begins the reason of a notice that may have been sent before.
const PossibleRepeat = "Possible repeat of a message sent before. "

// MaxRetryAfter is the longest that a system's Retry-After is followed.
const MaxRetryAfter = 5 * time.Minute

// Error makes a result an error, for the reading verbs.
func (r Result) Error() string {
	text := string(r.Outcome)
	if r.Code != "" {
		text += " " + r.Code
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}
