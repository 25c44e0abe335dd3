package connector

import "github.com/holdfast-mesh/holdfast/cloud/quality"

// Shows tells whether what was read is what the effect wants: the one test by which an effect counts as applied. A
// record counts only under the effect's own reference, since one that the system dropped could never be found again.
func (v *View) Shows(e *quality.Effect) bool {
	switch e.Kind {
	case quality.LotUsageSet:
		return v.Exists && v.Is(e.Usage)
	case quality.StockTransfer, quality.NonconformanceEnsure:
		return v.Exists && v.Fields[FieldReference] == string(e.Ref)
	case quality.NonconformanceAdvance:
		return v.Exists && e.Record != nil && reached(v.Reached, e.Record.State)
	}
	return false
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
