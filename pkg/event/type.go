package event

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Type names an event type and its major version, such as quality.hold.placed.v1.
type Type string

// Event types that plants send, on the topic of their lane.
const (
	TypeLotCreated              Type = "inventory.lot.created.v1"
	TypeCharacteristicRecorded  Type = "quality.characteristic.recorded.v1"
	TypeSafetyFailed            Type = "quality.safety.failed.v1"
	TypeDefectDetected          Type = "quality.defect.detected.v1"
	TypeNonconformanceOpened    Type = "quality.nonconformance.opened.v1"
	TypeNonconformanceContained Type = "quality.nonconformance.contained.v1"
	TypeNonconformanceClosed    Type = "quality.nonconformance.closed.v1"
	TypeNonconformanceVoided    Type = "quality.nonconformance.voided.v1"
	TypeInspectionPlanned       Type = "quality.inspection.planned.v1"
	TypeInspectionCompleted     Type = "quality.inspection.completed.v1"
	TypeInspectionCancelled     Type = "quality.inspection.cancelled.v1"
	TypeInspectionSuperseded    Type = "quality.inspection.superseded.v1"
	TypeCertificateReceived     Type = "quality.certificate.received.v1"
	TypeDispositionDecided      Type = "quality.disposition.decided.v1"
	TypeDispositionRevised      Type = "quality.disposition.revised.v1"
	TypeRunStarted              Type = "production.run.started.v1"
	TypeRunEnded                Type = "production.run.ended.v1"
	TypeHoldPlaced              Type = "quality.hold.placed.v1"
	TypeHoldLifted              Type = "quality.hold.lifted.v1"
	TypeRecordQuarantined       Type = "observation.record.quarantined.v1"
	TypeGapRecorded             Type = "observation.gap.recorded.v1"
	TypeGapClosed               Type = "observation.gap.closed.v1"
	TypeLossRecorded            Type = "observation.loss.recorded.v1"
	TypeEpochOpened             Type = "agent.epoch.opened.v1"
	TypeActRecorded             Type = "agent.act.recorded.v1"
	TypeValueSampled            Type = "signal.value.sampled.v1"
)

// Event types that the cloud makes.
const (
	TypeTimerFired         Type = "workflow.timer.fired.v1"
	TypeEvidenceAccepted   Type = "quality.evidence.accepted.v1"
	TypeLotStatusChanged   Type = "inventory.lot.status_changed.v1"
	TypeAllocationChanged  Type = "sales.allocation.changed.v1"
	TypeEffectRequested    Type = "integration.effect.requested.v1"
	TypeEffectSettled      Type = "integration.effect.settled.v1"
	TypeLotStatusUpdated   Type = "lot.status.updated.v1"
	TypeAuditHeadPublished Type = "audit.head.published.v1"
	TypeDeadletterParked   Type = "deadletter.record.parked.v1"
	TypeDeadletterRedriven Type = "deadletter.record.redriven.v1"
	TypeDeadletterReplaced Type = "deadletter.record.replaced.v1"
	TypeDeadletterDropped  Type = "deadletter.record.dropped.v1"
	TypeAlertRaised        Type = "monitor.alert.raised.v1"
	TypeAlertCleared       Type = "monitor.alert.cleared.v1"
	TypeControlSet         Type = "control.agent.set.v1"
)

// Spec is what is fixed for a type.
type Spec struct {
	Type   Type
	Lane   Lane // empty for a type that only the cloud makes
	Urgent bool // goes ahead of its lane; safe because it only ever restricts
	Plant  bool // may come through the plant's door
	Cloud  bool // may come through the cloud's door

	data   reflect.Type
	fill   filler
	append appender
}

// Data is the typed content of an event: a pointer to one of this package's structs.
type Data interface {
	// Type returns the event type that this struct belongs to.
	Type() Type
	// Concerns returns the lot that the event is about, or "".
	Concerns() LotKey
	// ReadBy returns the data's last member, which the content hash leaves out.
	ReadBy() *Provenance
	// Subject returns what the event is about: lot, else scope, object or equipment; "" for the agent itself.
	Subject() string
	// Case returns the object that ties a chain of events together, or "".
	Case() ObjectID
}

var specs = makeSpecs(
	plantSpec[LotCreated](LaneQuality, true),
	plantSpec[CharacteristicRecorded](LaneQuality, false),
	urgentSpec[SafetyFailed](false),
	plantSpec[DefectDetected](LaneQuality, true),
	urgentSpec[NonconformanceOpened](true),
	plantSpec[NonconformanceContained](LaneQuality, true),
	plantSpec[NonconformanceClosed](LaneQuality, true),
	plantSpec[NonconformanceVoided](LaneQuality, true),
	plantSpec[InspectionPlanned](LaneQuality, true),
	plantSpec[InspectionCompleted](LaneQuality, true),
	plantSpec[InspectionCancelled](LaneQuality, true),
	plantSpec[InspectionSuperseded](LaneQuality, true),
	plantSpec[CertificateReceived](LaneQuality, true),
	plantSpec[DispositionDecided](LaneQuality, true),
	plantSpec[DispositionRevised](LaneQuality, true),
	plantSpec[RunStarted](LaneQuality, false),
	plantSpec[RunEnded](LaneQuality, false),
	urgentSpec[HoldPlaced](true),
	plantSpec[HoldLifted](LaneQuality, true),
	plantSpec[RecordQuarantined](LaneQuality, false),
	plantSpec[GapRecorded](LaneQuality, false),
	plantSpec[GapClosed](LaneQuality, false),
	plantSpec[LossRecorded](LaneQuality, false),
	plantSpec[EpochOpened](LaneQuality, false),
	plantSpec[ActRecorded](LaneQuality, false),
	plantSpec[ValueSampled](LaneTelemetry, false),
	cloudSpec[TimerFired](),
	cloudSpec[EvidenceAccepted](),
	cloudSpec[LotStatusChanged](),
	cloudSpec[AllocationChanged](),
	cloudSpec[EffectRequested](),
	cloudSpec[EffectSettled](),
	cloudSpec[LotStatusUpdated](),
	cloudSpec[AuditHeadPublished](),
	cloudSpec[DeadletterParked](),
	cloudSpec[DeadletterRedriven](),
	cloudSpec[DeadletterReplaced](),
	cloudSpec[DeadletterDropped](),
	cloudSpec[AlertRaised](),
	cloudSpec[AlertCleared](),
	cloudSpec[ControlSet](),
)

type dataOf[T any] interface {
	*T
	Data
}

func plantSpec[T any, P dataOf[T]](lane Lane, cloud bool) Spec {
	data := reflect.TypeFor[T]()
	return Spec{Type: P(new(T)).Type(), Lane: lane, Plant: true, Cloud: cloud, data: data, fill: compile(data), append: compileAppender(data)}
}

func urgentSpec[T any, P dataOf[T]](cloud bool) Spec {
	s := plantSpec[T, P](LaneQuality, cloud)
	s.Urgent = true
	return s
}

func cloudSpec[T any, P dataOf[T]]() Spec {
	s := plantSpec[T, P]("", true)
	s.Plant = false
	return s
}

func makeSpecs(list ...Spec) map[Type]Spec {
	m := make(map[Type]Spec, len(list))
	for _, s := range list {
		m[s.Type] = s
	}
	return m
}

// Lookup returns the specification of a type, false for one that this version does not know.
func Lookup(t Type) (Spec, bool) {
	s, ok := specs[t]
	return s, ok
}

// Types returns all known types, sorted.
func Types() []Type {
	all := make([]Type, 0, len(specs))
	for t := range specs {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}

// New returns empty data of the type, to be filled and checked by [Check].
func (s Spec) New() Data { return reflect.New(s.data).Interface().(Data) }

// DecodeData reads and checks the value of an event of type t. It accepts what the JSON Schema of t accepts, but for
// what [ParseJSON] refuses in any JSON and a schema cannot see.
func DecodeData(t Type, value []byte) (Data, error) {
	tree, err := ParseJSON(value)
	if err != nil {
		return nil, fmt.Errorf("value %w", err)
	}
	return FillData(t, tree)
}

// FillData reads and checks data from a parsed JSON value, as [ParseJSON] makes it. An [Object] may stand for an object, and
// a [Time] for its text.
func FillData(t Type, tree any) (Data, error) {
	s, ok := specs[t]
	if !ok {
		return nil, fmt.Errorf("event type %.80q: %w", string(t), ErrUnknownType)
	}
	v := reflect.New(s.data)
	if err := s.fill(tree, v.Elem()); err != nil {
		return nil, err
	}
	return v.Interface().(Data), nil
}

// Family returns the type without its major version: quality.hold.placed.
func (t Type) Family() string {
	family, _, _ := cutLast(string(t), ".")
	return family
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
