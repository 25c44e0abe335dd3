package workflow

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestEngine_Epochs(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	b.want(b.send("2", b.created("L2", "kg")), Accepted, "")
	unsent := b.input(b.event("3", b.created("L3", "kg"))) // seq 3 of epoch 1
	beyond := b.input(b.event("4", b.created("L4", "kg"))) // seq 4: the next epoch does not know it
	beyondUrgent := b.input(b.event("5", b.safety("L5")))
	b.epoch, b.prev, b.seq = epoch2, event.NewPrev(epoch1, 3, 0), 0
	b.want(b.send("6", b.created("L6", "kg")), Accepted, "")
	t.Run("TailOfAClosedEpochStillCounts", func(t *testing.T) { b.want(b.apply(unsent)[0], Accepted, "") })
	t.Run("BeyondItsClosing", func(t *testing.T) { b.want(b.apply(beyond)[0], Quarantined, problem.EpochFork) })
	t.Run("UrgentBeyondItsClosingApplies", func(t *testing.T) { b.want(b.apply(beyondUrgent)[0], Accepted, "") })
	t.Run("SecondSuccessorWins", func(t *testing.T) {
		loser := b.input(b.event("7", b.created("L7", "kg")))
		b.epoch, b.seq = epoch3, 0
		b.want(b.send("8", b.created("L8", "kg")), Accepted, "")
		b.want(b.apply(loser)[0], Quarantined, problem.EpochFork)
	})
	t.Run("WithoutMemoryWaitsForAPerson", func(t *testing.T) {
		b.epoch, b.prev, b.seq = "44444444444444444444444444444444", event.NoPrev, 0
		b.want(b.send("9", b.created("L9", "kg")), Quarantined, problem.EpochFork)
		b.want(b.send("10", b.safety("L9")), Accepted, "")
	})
	b.view(func(tx *store.Tx) error {
		covered, err := tx.Coverage("p1", "gw1", epoch1, event.LaneQuality)
		if covered.String() != "1-5" {
			t.Errorf("coverage of epoch 1 is %s, want 1-5", covered)
		}
		return err
	})
}

func TestEngine_SuccessorArrivesFirst(t *testing.T) {
	b := newBench(t)
	first := b.input(b.event("1", b.created("L1", "kg")))
	second := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.epoch, b.prev, b.seq = epoch2, event.NewPrev(epoch1, 2, 0), 0
	urgent := b.input(b.event("3", b.safety("L1")))
	later := b.input(b.event("4", b.measured("L1", 2, "46", event.Pass)))
	b.want(b.apply(urgent)[0], Accepted, "")
	for _, in := range []Input{first, second, later} {
		b.want(b.apply(in)[0], Accepted, "")
	}
}
