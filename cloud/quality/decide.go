package quality

import (
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Needed says which objects [Decide] wants to see for an event, besides those of its lot.
type Needed struct {
	Lot            event.LotKey
	Hold           event.ObjectID
	Nonconformance event.ObjectID
	Run            event.ObjectID
	Gap            event.ObjectID
	// CaseHold is a further hold that the event may have to place: that of readings which are corrected too often.
	CaseHold event.ObjectID
	// ByCase tells that hold and nonconformance are those of the event's case, which it may have to open.
	ByCase bool
	// Submission is the command of the record that an inspection with a verdict has in the QMS: it may have been asked for
	// another lot.
	Submission string
}

// Names returns the objects that an event names.
func Names(e *event.Event) Needed {
	n := Needed{Lot: e.Data.Concerns()}
	switch d := e.Data.(type) {
	case *event.CharacteristicRecorded, *event.SafetyFailed, *event.DefectDetected, *event.InspectionCompleted:
		n.Hold, n.Nonconformance, n.ByCase = caseOf(e, "hold"), caseOf(e, "nonconformance"), true
		if r, ok := e.Data.(*event.CharacteristicRecorded); ok && r.Corrects != "" {
			n.CaseHold = correctionCase(r).hold
		}
		if i, ok := e.Data.(*event.InspectionCompleted); ok {
			n.Submission = submission(string(i.InspectionID))
		}
	case *event.NonconformanceOpened:
		n.Nonconformance = d.NonconformanceID
		n.Hold = holdOf(d.NonconformanceID)
	case *event.NonconformanceContained:
		n.Nonconformance = d.NonconformanceID
	case *event.NonconformanceClosed:
		n.Nonconformance = d.NonconformanceID
	case *event.NonconformanceVoided:
		n.Nonconformance = d.NonconformanceID
	case *event.InspectionSuperseded:
		n.Hold, n.Nonconformance = reinspectionCase(d.InspectionID)
	case *event.HoldPlaced:
		n.Hold = d.HoldID
	case *event.HoldLifted:
		n.Hold = d.HoldID
	case *event.RunStarted:
		n.Run = d.RunID
	case *event.RunEnded:
		n.Run = d.RunID
	case *event.GapRecorded:
		n.Gap = d.GapID
	case *event.GapClosed:
		n.Gap = d.GapID
	case *event.EvidenceAccepted:
		n.Gap = d.GapID
	case *event.TimerFired:
		n.timer(d)
	case *event.EffectSettled:
		if Kind(d.Kind) == NonconformanceEnsure || Kind(d.Kind) == NonconformanceAdvance {
			n.Nonconformance = event.ObjectID(d.Object)
		}
	}
	if n.Gap == "" && e.Causation != "" {
		n.Gap = gapOf(e.Causation)
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

// Decide says what an event does to the objects that it names, and what follows for the release of its lot, for the
// warehouse and for customer service. It returns a [*Wait] or a [*Refusal] where the event does nothing now. Any other
// error means that the event itself is wrong: its key waits for a person.
func Decide(e *event.Event, o Objects) (Change, error) {
	c, err := decide(e, o)
	if err != nil {
		return Change{}, err
	}
	c.explain(e, &o)
	c.conclude(e, &o)
	return c, nil
}

func decide(e *event.Event, o Objects) (Change, error) {
	switch d := e.Data.(type) {
	case *event.LotCreated:
		return lotCreated(e, d, o)
	case *event.LotStatusChanged:
		return lotStatusChanged(d, o)
	case *event.CharacteristicRecorded:
		return characteristicRecorded(e, d, o)
	case *event.SafetyFailed:
		return safetyFailed(e, d, o)
	case *event.DefectDetected:
		return defectDetected(e, d, o)
	case *event.HoldPlaced:
		return holdPlaced(e, d, o)
	case *event.HoldLifted:
		return holdLifted(e, d, o)
	case *event.RunStarted:
		return runStarted(e, d, o)
	case *event.RunEnded:
		return runEnded(e, d, o)
	case *event.CertificateReceived:
		return certificateReceived(e, d)
	case *event.AllocationChanged:
		return allocationChanged(e, d, o)
	case *event.TimerFired:
		return timerFired(e, d, o)
	case *event.EffectSettled:
		return effectSettled(e, d, o)
	}
	return decideRecord(e, o)
}

// decideRecord goes on with what the quality department and the agents record.
func decideRecord(e *event.Event, o Objects) (Change, error) {
	switch d := e.Data.(type) {
	case *event.NonconformanceOpened:
		return nonconformanceOpened(e, d, o)
	case *event.NonconformanceContained:
		return nonconformanceStep(e, &d.NonconformanceStep, NCContained, o)
	case *event.NonconformanceClosed:
		return nonconformanceStep(e, &d.NonconformanceStep, NCClosed, o)
	case *event.NonconformanceVoided:
		return nonconformanceStep(e, &d.NonconformanceStep, NCVoided, o)
	case *event.InspectionPlanned:
		return inspectionPlanned(e, d, o)
	case *event.InspectionCompleted:
		return inspectionCompleted(e, d, o)
	case *event.InspectionCancelled:
		return inspectionCancelled(e, d, o)
	case *event.InspectionSuperseded:
		return inspectionSuperseded(e, d, o)
	case *event.DispositionDecided:
		return dispositionMade(e, &d.Disposition, "", o)
	case *event.DispositionRevised:
		return dispositionMade(e, &d.Disposition, d.Supersedes, o)
	case *event.EvidenceAccepted:
		return evidenceAccepted(e, d, o)
	case *event.GapRecorded:
		return gapRecorded(e, d, o)
	case *event.GapClosed:
		return gapClosed(e, d, o)
	case *event.RecordQuarantined:
		return recordQuarantined(e, d, o)
	case *event.LossRecorded:
		return lossRecorded(e, d, o)
	}
	return Change{}, nil // a fact that changes no lot: kept in inbox and ledger
}

// Touched is what a lot does when a hold by scope that matches it was placed or lifted.
func Touched(e *event.Event, o Objects) Change {
	lot := *o.Lot
	var c Change
	c.setLot(&lot, e, o)
	c.wantUsage(o, lot.Key, len(o.Open) > 0)
	c.conclude(e, &o)
	return c
}

func (c *Change) setLot(lot *Lot, e *event.Event, o Objects) {
	lot.UpdatedAt, lot.Cause = o.Now, e.ID
	if lot.SeenAt.IsZero() {
		lot.SeenAt = o.Now
	}
	c.Lot = lot
}

// wantUsage asks each ERP of the lot's plants to enforce what is wanted now.
func (c *Change) wantUsage(o Objects, lot event.LotKey, urgent bool) {
	for _, erp := range o.systems(func(p *Plant) string { return p.ERP }) {
		c.intend(Intent{Kind: LotUsageSet, System: erp, Object: string(lot), Lot: lot, Urgent: urgent})
	}
}

// intend asks for an effect, unless the change has asked for the same already.
func (c *Change) intend(i Intent) {
	if !slices.Contains(c.Intents, i) {
		c.Intents = append(c.Intents, i)
	}
}
