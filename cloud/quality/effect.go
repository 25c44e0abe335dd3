package quality

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Kind names what an effect changes in another system.
type Kind string

// Effect kinds.
const (
	// LotUsageSet sets what an ERP enforces for a lot. A state effect: one row per system and lot.
	LotUsageSet Kind = "erp.lot_usage.set"
	// StockTransfer moves part of a lot's stock. A document effect of a hold.
	StockTransfer Kind = "erp.stock.transfer"
	// InspectionSubmit makes one record of an inspection with its verdict in the QMS. A document effect of the inspection.
	InspectionSubmit Kind = "qms.inspection.submit"
	// NonconformanceEnsure makes one record of a nonconformance in the QMS. A document effect.
	NonconformanceEnsure Kind = "qms.nonconformance.ensure"
	// NonconformanceAdvance moves the QMS record to the nonconformance's state. A state effect.
	NonconformanceAdvance Kind = "qms.nonconformance.advance"
	// UsageDecisionPost posts the usage decision on the ERP's inspection lot. A document effect of a disposition.
	UsageDecisionPost Kind = "erp.usage_decision.post"
	// TasksGate holds or frees a lot's warehouse tasks. A state effect: one row per system and lot.
	TasksGate Kind = "wms.tasks.gate"
	// NoticeSend sends one message of a customer-service notice. A document effect of the notice and its step.
	NoticeSend Kind = "notify.send"
)

// Document tells whether k is a document effect: one row per command, looked up by its reference, never repeated
// blindly. The others are state effects: one row per system and object, whose wanted value is worked out anew right
// before each write.
func (k Kind) Document() bool {
	switch k {
	case StockTransfer, InspectionSubmit, NonconformanceEnsure, UsageDecisionPost, NoticeSend:
		return true
	}
	return false
}

// ReferenceLength is the length of an [EffectRef] in characters: it fits SAP's ReferenceDocument.
const ReferenceLength = 16

// EffectRef is the reference under which a system keeps an effect: HF and 14 Crockford base32 digits.
type EffectRef string

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Reference returns the reference of a command.
func Reference(commandID string) EffectRef {
	sum := sha256.Sum256([]byte(commandID))
	return EffectRef("HF" + crockford.EncodeToString(sum[:9])[:ReferenceLength-2])
}

// longestObject is how many characters of an object's name a command id has room for: with all else it stays a name of at
// most 256.
const longestObject = 200

// CommandID names one intended effect: cmd:{workflow}:{object}:{step}:{generation}. The generation of a state effect is
// the version of its object when it was asked for; that of a document effect is 1 until it is reversed. An object whose
// name is too long stands there by its hash.
func CommandID(workflow, object, step string, generation int64) string {
	if utf8.RuneCountInString(object) > longestObject {
		object = fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(object)))
	}
	return fmt.Sprintf("cmd:%s:%s:%s:%d", workflow, object, step, generation)
}

// Outcome is how an attempt ended. The zero Outcome means acknowledged by the system, which proves nothing: only a
// read-back does. Applied and already_applied are said by the dispatcher alone.
type Outcome = event.Outcome

// Effect is one change wanted in another system, as a connector gets it.
type Effect struct {
	CommandID   string
	Ref         EffectRef
	Kind        Kind
	System      string // id of the configured system
	Object      string // lot key, inspection id, nonconformance id, hold id
	Lot         event.LotKey
	Generation  int64
	Correlation string

	Usage  event.UsageStatus // for LotUsageSet: wanted now
	Q      event.Quantity    // for StockTransfer: how much of the lot
	Record *Record           // for the nonconformance kinds

	Inspection *InspectionRecord // for InspectionSubmit
	Decision   Decision          // for UsageDecisionPost
	Gate       Gate              // for TasksGate: wanted now
	Notice     *NoticeMessage    // for NoticeSend
}

// Gate says what a warehouse may do with a lot's tasks.
type Gate string

// Gates.
const (
	GateHeld Gate = "held" // no task may start; those started are listed for a person
	GateOpen Gate = "open"
)

// NoticeStep says which message of a notice is sent.
type NoticeStep string

// Notice steps. A notice has each of them at most once.
const (
	NoticeAtRisk NoticeStep = "at_risk" // a promised date may be missed, though nothing is held yet
	NoticeHeld   NoticeStep = "held"    // an allocated lot is held
	NoticeClear  NoticeStep = "clear"   // the order's lot may move again
)

// NoticeMessage is what customer service is told about one order line and one lot.
type NoticeMessage struct {
	Step       NoticeStep
	Order      string
	Line       string
	Customer   string
	Lot        event.LotKey
	Reason     string    // in words
	PromisedAt time.Time // zero = no date was promised
}

// InspectionRecord is the content of an inspection's record in the QMS: its verdict, and what the verdict rests on. An
// inspection that takes the place of others has a record of its own, which names them.
type InspectionRecord struct {
	ID          event.ObjectID
	Lot         event.LotKey
	Plant       event.PlantID // where it was made; empty = it came through the cloud's door
	Type        event.InspectionType
	Verdict     event.Verdict // never none
	SpecRev     string
	CompletedAt time.Time
	ResultCount int64            // how many results the verdict rests on
	Supersedes  []event.ObjectID // inspections that it took the place of when the record was written, sorted
}

// Record is the content of a nonconformance's record in the QMS. Connectors write only these fields.
type Record struct {
	Title       string
	Description string
	Severity    event.Severity
	State       NonconformanceState // wanted state
	Lots        []event.LotKey
	Source      string
}
