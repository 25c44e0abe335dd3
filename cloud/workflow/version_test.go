package workflow

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestEngine_IfVersion(t *testing.T) {
	b := newBench(t)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	version := b.facts("L1").Lot.Version
	hold := func(lot, id string, ifVersion int64) Input {
		data := &event.HoldPlaced{
			MayLot: event.MayLot{Lot: lotKey(lot)}, HoldID: event.ObjectID("hold:api:" + id), HoldKind: event.HoldQuality, Reason: "scratch",
			PlacedBy: "alice", PlacedAt: event.At(b.clock), Authority: event.AuthorityQuality,
		}
		return Input{Event: b.own(data, id), Principal: "alice", Reason: "scratch", IfVersion: ifVersion}
	}
	// Both were read at the same version, and wait for one transaction.
	first, second := hold("L1", "1", version), hold("L1", "2", version)
	results := b.apply(first, second)
	b.want(results[0], Accepted, "")
	b.want(results[1], Refused, problem.StateMoved)
	if f := b.facts("L1"); len(f.Open) != 1 || f.Lot.Version != version+1 {
		t.Errorf("the lot has %d holds at version %d", len(f.Open), f.Lot.Version)
	}
	t.Run("ARepeatIsADuplicate", func(t *testing.T) { b.want(b.apply(first)[0], Duplicate, "") })
	t.Run("ErrUnknownLot", func(t *testing.T) { b.want(b.apply(hold("L9", "3", 1))[0], Refused, problem.StateMoved) })
	t.Run("AnyVersion", func(t *testing.T) { b.want(b.apply(hold("L1", "4", 0))[0], Accepted, "") })
}
