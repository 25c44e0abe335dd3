package history

import (
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

// OfDispositions returns the decisions that people signed in the QMS, as its own book has them.
func OfDispositions(system string, entries []book.Entry) History {
	words := map[string]event.Decision{
		qms.Accepted: event.DecisionRelease, qms.AcceptedWith: event.DecisionConditionalRelease, qms.Rework: event.DecisionRework,
		qms.Downgraded: event.DecisionRegrade, qms.Returned: event.DecisionReturn, qms.Scrapped: event.DecisionScrap, qms.Rejected: event.DecisionReject,
	}
	types := map[string]event.Type{"disposition_signed": event.TypeDispositionDecided, "disposition_revised": event.TypeDispositionRevised}
	var h History
	for _, e := range entries {
		typ, signed := types[e.Kind]
		if !signed {
			continue
		}
		h = append(h, Fact{
			At: e.At, Kind: Offered, By: system, Door: "C", Type: typ, Lot: event.LotKey(e.Key), Object: object("disposition", system, e.Record), Detail: string(words[e.Detail]),
		})
	}
	return h
}

// OfAllocations returns the promises that people made in the order system, as its own book has them.
func OfAllocations(system string, entries []book.Entry) History {
	var h History
	for _, e := range entries {
		if e.Kind == "allocated" {
			h = append(h, Fact{At: e.At, Kind: Offered, By: system, Door: "C", Type: event.TypeAllocationChanged, Lot: event.LotKey(e.Key), Record: e.Record, Reason: e.Detail})
		}
	}
	return h
}

// object returns the id of an object of a system; empty where its native id cannot be one.
func object(kind, system, native string) string {
	id, err := event.NewObjectID(kind, system, native)
	if err != nil {
		return ""
	}
	return string(id)
}
