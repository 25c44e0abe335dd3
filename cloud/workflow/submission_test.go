package workflow

import (
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// submissions returns the commands of the records of a lot's inspections.
func (b *bench) submissions(lot string) (commands []string) {
	for _, r := range b.effects(lot) {
		if r.Kind == quality.InspectionSubmit {
			commands = append(commands, r.CommandID)
		}
	}
	return commands
}

// TestEngine_InspectionOfTwoLots has one inspection name two lots. Each has a record of its own, under a name that stays: a
// rebuilt database asks for the same ones, so that what the QMS has is found and not made again.
func TestEngine_InspectionOfTwoLots(t *testing.T) {
	b := newBench(t)
	completed := func(lot string) event.Data {
		return &event.InspectionCompleted{
			OfInspection: event.OfInspection{OfLot: event.OfLot{Lot: lotKey(lot)}, InspectionID: "inspection:mes1:I-7"}, InspectionType: event.InspectionFinal,
			Verdict: event.VerdictPass, SpecRev: "C", ResultCount: 4, CompletedAt: event.At(b.clock), Traced: provenance("e"),
		}
	}
	for _, lot := range []string{"L2", "L1"} {
		b.want(b.send("created "+lot, b.created(lot, "kg")), Accepted, "")
		b.want(b.send("completed "+lot, completed(lot)), Accepted, "")
	}
	fresh := newBench(t)
	if err := fresh.Rebuild(t.Context(), b.store); err != nil {
		t.Fatal(err)
	}
	for lot, want := range map[string]string{
		"L2": "cmd:w1:inspection:mes1:I-7:inspection_submit:1", // the first that came, as it was named before there was a second
		"L1": "cmd:w1:inspection:mes1:I-7@lot::M:L1:inspection_submit:1",
	} {
		if got := b.submissions(lot); !slices.Equal(got, []string{want}) {
			t.Errorf("records of %s: %v, want %s", lot, got, want)
		}
		if got := fresh.submissions(lot); !slices.Equal(got, []string{want}) {
			t.Errorf("records of %s after a rebuild: %v, want %s", lot, got, want)
		}
	}
}
