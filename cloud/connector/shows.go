package connector

import (
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
)

// Shows tells whether what was read is what the effect wants: the one test by which an effect counts as applied. A
// record counts only under the effect's own reference, since one that the system dropped could never be found again.
func (v *View) Shows(e *quality.Effect) bool {
	switch e.Kind {
	case quality.LotUsageSet:
		return v.Exists && v.Is(e.Usage)
	case quality.StockTransfer, quality.InspectionSubmit, quality.NonconformanceEnsure, quality.NoticeSend:
		return v.Exists && v.Fields[FieldReference] == string(e.Ref)
	case quality.NonconformanceAdvance:
		return v.Exists && e.Record != nil && reached(v.Reached, e.Record.State)
	case quality.UsageDecisionPost:
		return v.Exists && v.decided(e.Decision)
	case quality.TasksGate:
		return v.Exists && v.gated(e.Gate)
	}
	return false
}

// decided tells whether each inspection lot of the view has a usage decision that stands for d. A lot that the system
// does not inspect is decided.
func (v *View) decided(d quality.Decision) bool {
	return !slices.ContainsFunc(v.Inspections, func(i Inspection) bool { return !slices.Contains(i.Decisions, d) })
}

// gated tells whether no task stands against the gate, nor the warehouse's own word for the lot. A started task can't be
// held any more: a person stops it. One in a state that is not known might still start.
func (v *View) gated(want quality.Gate) bool {
	against := []TaskState{TaskHeld}
	if want == quality.GateHeld {
		against = []TaskState{TaskOpen, ""}
	}
	if v.Gate != "" && v.Gate != want || want != quality.GateHeld && want != quality.GateOpen {
		return false
	}
	return !slices.ContainsFunc(v.Tasks, func(t Task) bool { return slices.Contains(against, t.State) })
}

// reached tells whether a record has come as far as wanted. The system decides what comes after containment, so that a
// record that is further on is not moved back; one that was voided never was contained.
func reached(have, want quality.NonconformanceState) bool {
	if have == want {
		return true
	}
	order := map[quality.NonconformanceState]int{
		quality.NCOpened: 1, quality.NCContained: 2, quality.NCInvestigating: 3, quality.NCDisposition: 4, quality.NCClosed: 5,
	}
	return order[want] > 0 && order[have] > order[want]
}
