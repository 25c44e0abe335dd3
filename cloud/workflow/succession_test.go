package workflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func epochOf(n int) event.Epoch { return event.Epoch(strings.Repeat(fmt.Sprint(n), 32)[:32]) }

// restart makes the agent one that opened an epoch behind prev.
func (b *bench) restart(n int, prev event.Prev) {
	b.epoch, b.prev, b.seq = epochOf(n), prev, 0
}

func (b *bench) decision(epoch event.Epoch, d event.EpochDecision) Input {
	data := DecideEpoch("p1", "gw1", epoch, d)
	data.Principal, data.Reason = "alice", "the disk was replaced"
	b.off++
	return Input{Event: b.own(data, fmt.Sprint(b.off)), Principal: "alice", Reason: data.Reason}
}

func (b *bench) decide(n int, d event.EpochDecision) {
	b.t.Helper()
	b.want(b.apply(b.decision(epochOf(n), d))[0], Accepted, "")
}

// drain fires what is due, and what that makes due at once.
func (b *bench) drain() {
	b.t.Helper()
	for range 10 {
		b.pass(0)
	}
}

func (b *bench) refusedDecision(n int, d event.EpochDecision, code problem.Code) {
	b.t.Helper()
	if _, err := b.Apply(b.t.Context(), []Input{b.decision(epochOf(n), d)}, nil); problem.CodeOf(err) != code {
		b.t.Errorf("decision %s about epoch %d gave %v, want %s", d, n, err, code)
	}
}

func (b *bench) undecided() (n int64) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		counts, err := tx.CountUndecided()
		n = counts["p1"]
		return err
	})
	return n
}

func (b *bench) epochRow(n int) (row store.EpochRow) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		r, err := tx.Epoch("p1", "gw1", epochOf(n))
		if r != nil {
			row = *r
		}
		return err
	})
	return row
}

// sampled returns the numbers of a lot's samples in the order in which they were applied.
func (b *bench) sampled(lot string) (samples []int64) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		rows, err := tx.InboxOfLot(lotKey(lot))
		for _, r := range rows {
			if d, ok := r.Event.Data.(*event.CharacteristicRecorded); ok {
				samples = append(samples, d.SampleNo)
			}
		}
		return err
	})
	return samples
}

// TestEngine_ReplacedGateway: the disk of an agent is gone, so that it starts without memory.
func TestEngine_ReplacedGateway(t *testing.T) {
	b := newBench(t)
	b.epoch = epochOf(1)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	lostSeq := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.want(b.send("3", b.created("L2", "kg")), Accepted, "")
	beyond := b.input(b.event("beyond", b.created("L7", "kg")))

	b.restart(2, event.NoPrev)
	b.want(b.send("4", b.created("L3", "kg")), Quarantined, problem.EpochFork)
	for n := range 2*redrivePage + 7 {
		b.want(b.send(fmt.Sprint("m", n), b.measured("L3", int64(n), "45", event.Pass)), Quarantined, problem.EpochFork)
	}
	b.want(b.send("5", b.safety("L1")), Accepted, "")
	last := b.seq
	b.restart(3, event.NewPrev(epochOf(2), last, 0))
	b.want(b.send("6", b.measured("L3", 9000, "45", event.Pass)), Quarantined, problem.EpochFork)
	if n := b.undecided(); n != 2 {
		t.Fatalf("%d epochs undecided, want the two without the memory of the first", n)
	}

	b.refusedDecision(1, event.EpochAccepted, problem.RuleRefused)
	b.refusedDecision(9, event.EpochAccepted, problem.ObjectHidden)
	b.refusedDecision(3, "perhaps", problem.Usage)
	b.decide(3, event.EpochAccepted)
	if n := b.undecided(); n != 0 {
		t.Errorf("%d epochs undecided after the decision", n)
	}
	b.refusedDecision(2, event.EpochAccepted, problem.RuleRefused)
	t.Run("NothingOvertakesWhatWasKept", func(t *testing.T) {
		b.want(b.send("7", b.measured("L3", 9001, "45", event.Pass)), Quarantined, problem.EpochFork)
	})
	b.drain()
	b.want(b.send("8", b.measured("L3", 9002, "45", event.Pass)), Accepted, "")
	samples := b.sampled("L3")
	if len(samples) != 2*redrivePage+7+3 || !slices.IsSorted(samples) {
		t.Errorf("%d samples applied, in order %t", len(samples), slices.IsSorted(samples))
	}
	b.view(func(tx *store.Tx) error {
		rows, err := tx.Deadletters(0, 100, false)
		if len(rows) != 0 {
			t.Errorf("%d records are left in quarantine, the first: %+v", len(rows), rows[0])
		}
		return err
	})

	old := b.epochRow(1)
	if !old.Closed || old.Quality != 3 || old.Successor != epochOf(2) {
		t.Errorf("the lost epoch is %+v, want closed at 3", old)
	}
	t.Run("WhatWasUnderWayOfTheLostStillCounts", func(t *testing.T) { b.want(b.apply(lostSeq)[0], Accepted, "") })
	t.Run("BeyondItsClosing", func(t *testing.T) { b.want(b.apply(beyond)[0], Quarantined, problem.EpochFork) })
	t.Run("LedgerSaysWhatIsMissing", func(t *testing.T) {
		found := false
		b.view(func(tx *store.Tx) error {
			entries, err := tx.Entries(0, 10000)
			for _, e := range entries {
				found = found || strings.HasPrefix(e.Object, "epoch:p1/gw1/"+string(epochOf(1))) && e.Principal == "alice" &&
					strings.Contains(e.Now, `"missing":"2-2","cause":"disk_lost"`)
			}
			return err
		})
		if !found {
			t.Error("no entry names seq 2 as missing, cause disk_lost")
		}
	})
	t.Run("ARestartOfTheLostStaysAside", func(t *testing.T) {
		b.restart(4, event.NewPrev(epochOf(1), 4, 0))
		b.want(b.send("old", b.created("L8", "kg")), Quarantined, problem.EpochFork)
		if n := b.undecided(); n != 0 {
			t.Errorf("%d epochs undecided: the gateway was decided against", n)
		}
	})
	t.Run("TheOtherWayRoundAfterAll", func(t *testing.T) {
		b.refusedDecision(1, event.EpochAccepted, problem.RuleRefused)
		b.decide(4, event.EpochAccepted)
		b.drain()
		for _, lot := range []string{"L7", "L8"} {
			if f := b.facts(lot); f.Lot.Key == "" {
				t.Errorf("lot %s of the gateway that goes on after all is not known", lot)
			}
		}
		b.restart(5, event.NewPrev(epochOf(3), 3, 0))
		b.want(b.send("new", b.created("L9", "kg")), Quarantined, problem.EpochFork)
	})
}

// TestEngine_Fork: a backup of a gateway's disk was started, so that two continue one queue.
func TestEngine_Fork(t *testing.T) {
	b := newBench(t)
	b.epoch = epochOf(1)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	b.restart(2, event.NewPrev(epochOf(1), 1, 0))
	b.want(b.send("2", b.created("L2", "kg")), Accepted, "")
	b.restart(3, event.NewPrev(epochOf(2), 1, 0))
	b.want(b.send("3", b.created("L3", "kg")), Accepted, "")
	seq := b.seq
	// The backup knows nothing of epochs 2 and 3.
	b.restart(4, event.NewPrev(epochOf(1), 1, 0))
	b.want(b.send("4", b.created("L4", "kg")), Accepted, "")
	if n := b.undecided(); n != 2 {
		t.Fatalf("%d epochs undecided, want both of the first gateway", n)
	}
	b.epoch, b.prev, b.seq = epochOf(3), event.NewPrev(epochOf(2), 1, 0), seq
	b.want(b.send("5", b.created("L5", "kg")), Quarantined, problem.EpochFork)
	t.Run("ConfirmedAsItIs", func(t *testing.T) {
		b.decide(3, event.EpochQuarantined)
		if n := b.undecided(); n != 0 {
			t.Errorf("%d epochs undecided", n)
		}
		b.want(b.send("6", b.created("L6", "kg")), Quarantined, problem.EpochFork)
	})
	t.Run("TheFirstGatewayAfterAll", func(t *testing.T) {
		b.decide(3, event.EpochAccepted)
		b.drain()
		for _, lot := range []string{"L5", "L6"} {
			if f := b.facts(lot); f.Lot.Key == "" {
				t.Errorf("lot %s is not known", lot)
			}
		}
		if r := b.epochRow(1); r.Successor != epochOf(2) {
			t.Errorf("the epoch before the fork leads to %s", r.Successor)
		}
		if r := b.epochRow(4); !r.Closed || r.Quality != 1 {
			t.Errorf("the backup's epoch is %+v, want closed at 1", r)
		}
		b.want(b.send("7", b.created("L7", "kg")), Accepted, "")
	})
	t.Run("TheBackupIsOut", func(t *testing.T) {
		b.restart(5, event.NewPrev(epochOf(4), 1, 0))
		b.want(b.send("8", b.created("L8", "kg")), Quarantined, problem.EpochFork)
	})
}

func TestEngine_DecideEpoch(t *testing.T) {
	aside := func(t *testing.T) *bench {
		b := newBench(t)
		b.epoch = epochOf(1)
		b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
		b.restart(2, event.NoPrev)
		return b
	}
	t.Run("AFailingRecordParksItsKeyAlone", func(t *testing.T) {
		b := aside(t)
		b.want(b.send("bad", b.created("L2", "m")), Quarantined, problem.EpochFork)
		b.want(b.send("behind", b.measured("L2", 1, "45", event.Pass)), Quarantined, problem.EpochFork)
		b.want(b.send("other", b.created("L3", "kg")), Quarantined, problem.EpochFork)
		b.decide(2, event.EpochAccepted)
		b.drain()
		b.view(func(tx *store.Tx) error {
			rows, err := tx.Deadletters(0, 100, false)
			if len(rows) != 2 || rows[0].State != store.Parked || rows[1].State != store.Parked || rows[1].Code != string(problem.EventParked) {
				t.Errorf("left are %+v", rows)
			}
			return err
		})
		if f := b.facts("L3"); f.Lot.Key == "" {
			t.Error("the other lot waits, too")
		}
	})
	t.Run("AnAgentDecidesNothing", func(t *testing.T) {
		b := aside(t)
		b.want(b.send("2", b.created("L2", "kg")), Quarantined, problem.EpochFork)
		act := DecideEpoch("p1", "gw1", epochOf(2), event.EpochAccepted)
		act.Principal, act.Reason, act.Traced = "gateway", "me", provenance("d")
		b.restart(1, event.NoPrev)
		b.seq = 1
		b.want(b.send("act", act), Accepted, "")
		b.drain()
		if r := b.epochRow(2); !r.Superseded {
			t.Error("an agent accepted its own epoch")
		}
	})
	t.Run("StandsInARebuild", func(t *testing.T) {
		b := aside(t)
		b.want(b.send("2", b.created("L2", "kg")), Quarantined, problem.EpochFork)
		b.decide(2, event.EpochAccepted)
		b.drain()
		b.want(b.send("3", b.created("L3", "kg")), Accepted, "")
		fresh := newBench(t)
		fresh.clock = b.clock
		if err := fresh.Rebuild(t.Context(), b.store); err != nil {
			t.Fatal(err)
		}
		for _, lot := range []string{"L1", "L2", "L3"} {
			if f := fresh.facts(lot); f.Lot.Key == "" {
				t.Errorf("lot %s is not known", lot)
			}
		}
		fresh.epoch, fresh.prev, fresh.seq, fresh.off = b.epoch, b.prev, b.seq, b.off
		fresh.want(fresh.send("4", fresh.created("L4", "kg")), Accepted, "")
		if n := fresh.undecided(); n != 0 {
			t.Errorf("%d epochs undecided", n)
		}
		fresh.restart(1, event.NoPrev)
		fresh.seq = 7
		fresh.want(fresh.send("5", fresh.created("L5", "kg")), Quarantined, problem.EpochFork)
	})
	t.Run("AgainstItStandsInARebuild", func(t *testing.T) {
		b := aside(t)
		b.want(b.send("2", b.created("L2", "kg")), Quarantined, problem.EpochFork)
		b.decide(2, event.EpochQuarantined)
		fresh := newBench(t)
		fresh.clock = b.clock
		if err := fresh.Rebuild(t.Context(), b.store); err != nil {
			t.Fatal(err)
		}
		fresh.epoch, fresh.prev, fresh.seq, fresh.off = b.epoch, b.prev, b.seq, b.off
		fresh.want(fresh.send("3", fresh.created("L3", "kg")), Quarantined, problem.EpochFork)
		if n := fresh.undecided(); n != 0 {
			t.Errorf("%d epochs undecided", n)
		}
	})
	t.Run("AnnouncedByItsSuccessor", func(t *testing.T) {
		b := aside(t)
		first := b.input(b.event("2", b.created("L2", "kg")))
		b.restart(3, event.NewPrev(epochOf(2), 1, 0))
		// What came before its predecessor was known to be without memory is applied; all else waits.
		b.want(b.send("3", b.created("L3", "kg")), Accepted, "")
		b.want(b.apply(first)[0], Quarantined, problem.EpochFork)
		b.want(b.send("4", b.created("L4", "kg")), Quarantined, problem.EpochFork)
	})
	t.Run("OrderRunsOnBehindTheLost", func(t *testing.T) {
		b := aside(t)
		b.restart(1, event.NoPrev)
		b.seq = 1
		early := b.input(b.event("early", b.measured("L1", 1, "45", event.Pass)))
		b.want(b.send("later", b.measured("L1", 2, "45", event.Pass)), Accepted, "")
		b.restart(2, event.NoPrev)
		b.want(b.send("new", b.measured("L1", 3, "45", event.Pass)), Quarantined, problem.EpochFork)
		b.decide(2, event.EpochAccepted)
		b.drain()
		if s := b.sampled("L1"); !slices.Equal(s, []int64{2, 3}) {
			t.Fatalf("applied are samples %v", s)
		}
		b.want(b.apply(early)[0], Parked, problem.EventLate)
	})
}
