package workflow

import (
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// retirement is the act of retiring the agent of the bench.
func (b *bench) retirement(rest Rest, signers ...string) Input {
	data := RetireAgent("p1", "gw1", rest)
	data.Principal, data.Reason = "alice", "line 4 was sold"
	for _, name := range signers {
		AddSignature(data, name, []byte(`{}`))
	}
	b.off++
	return Input{Event: b.own(data, "retire", string(rune('a'+b.off))), Principal: "alice", Reason: data.Reason}
}

func (b *bench) refusedAct(in Input, code problem.Code, says string) {
	b.t.Helper()
	if _, err := b.Apply(b.t.Context(), []Input{in}, nil); problem.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
		b.t.Errorf("got %v, want %s with %q", err, code, says)
	}
}

// gaps returns the open gaps of the plant.
func (b *bench) gaps() (n int) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		gaps, err := tx.GapsAt("p1")
		n = len(gaps)
		return err
	})
	return n
}

func (b *bench) inQuestion() (n int) {
	b.t.Helper()
	b.view(func(tx *store.Tx) error {
		answers, err := tx.Answers("p1")
		n = len(answers)
		return err
	})
	return n
}

func TestEngine_Retire(t *testing.T) {
	b := newBench(t)
	b.epoch = epochOf(1)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	late := b.input(b.event("2", b.measured("L1", 1, "45", event.Pass)))
	b.want(b.send("3", b.created("L2", "kg")), Accepted, "")
	b.restart(2, event.NewPrev(epochOf(1), 5, 0)) // two more of the first run never come
	b.want(b.send("4", b.created("L3", "kg")), Accepted, "")
	missing, err := b.Missing(t.Context(), "p1", "gw1")
	if want := "2-2,4-5 of epoch " + string(epochOf(1)); err != nil || missing != want {
		t.Fatalf("missing is %q, %v, want %q", missing, err, want)
	}

	rest := Rest{Answered: true, Missing: missing}
	b.refusedAct(b.retirement(Rest{Answered: true}), problem.StateMoved, "lacks")
	b.refusedAct(b.retirement(rest), problem.RuleRefused, "records that never came: "+missing)
	b.refusedAct(b.retirement(Rest{Missing: missing}), problem.RuleRefused, "has not answered")
	other := b.retirement(rest, "alice", "bob")
	other.Event.Data.(*event.ActRecorded).Detail[detailAgent] = "gw9"
	b.refusedAct(other, problem.ObjectHidden, "gw9")
	if b.gaps() == 0 || b.inQuestion() != 1 {
		t.Fatalf("%d gaps, %d agents in question before", b.gaps(), b.inQuestion())
	}

	b.want(b.apply(b.retirement(rest, "alice", "bob"))[0], Accepted, "")
	if b.gaps() != 0 || b.inQuestion() != 0 {
		t.Errorf("%d gaps, %d agents in question", b.gaps(), b.inQuestion())
	}
	if r := b.epochRow(2); !r.Closed || r.Quality != 1 || r.Superseded {
		t.Errorf("its newest epoch is %+v", r)
	}
	b.refusedAct(b.retirement(rest, "alice", "bob"), problem.RuleRefused, "was retired by alice")
	if _, err := b.Question(t.Context(), "p1", "gw1"); problem.CodeOf(err) != problem.RuleRefused {
		t.Errorf("it is asked: %v", err)
	}
	t.Run("WhatComesAfterAllIsAppliedWhereItBelongs", func(t *testing.T) {
		b.want(b.apply(late)[0], Accepted, "")
	})
	t.Run("ItSends", func(t *testing.T) {
		b.want(b.send("5", b.created("L4", "kg")), Quarantined, problem.EpochFork)
		b.want(b.send("6", b.safety("L2")), Accepted, "")
		if b.gaps() != 0 {
			t.Errorf("what it sends is a gap of its plant")
		}
		b.raised(t, AlertRetired, "p1/gw1")
	})
	t.Run("ItStartsAgain", func(t *testing.T) {
		b.restart(3, event.NewPrev(epochOf(2), 3, 0))
		b.want(b.send("7", b.created("L5", "kg")), Quarantined, problem.EpochFork)
		b.want(b.send("8", b.safety("L3")), Accepted, "")
		if b.gaps() != 0 || b.inQuestion() != 0 || b.undecided() != 0 {
			t.Errorf("%d gaps, %d agents in question, %d epochs undecided: it was decided about", b.gaps(), b.inQuestion(), b.undecided())
		}
	})
	t.Run("ItIsPutBack", func(t *testing.T) {
		b.decide(3, event.EpochAccepted)
		b.drain()
		b.raised(t, AlertRetired)
		if b.inQuestion() != 1 {
			t.Error("it is not in question")
		}
		b.want(b.send("9", b.created("L6", "kg")), Accepted, "")
		b.view(func(tx *store.Tx) error {
			for _, lot := range []string{"L4", "L5"} { // what was kept is applied
				if l, err := tx.Lot(lotKey(lot)); err != nil || l == nil {
					t.Errorf("lot %s is not known, %v", lot, err)
				}
			}
			return nil
		})
	})
}

// raised compares the subjects of the alerts of a code.
func (b *bench) raised(t *testing.T, code event.Name, want ...string) {
	t.Helper()
	got, err := b.Raised(t.Context(), code)
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("alerts %s about %q, %v, want %q", code, got, err, want)
	}
}

func TestEngine_Retire_Undecided(t *testing.T) {
	b := newBench(t)
	b.epoch = epochOf(1)
	b.want(b.send("1", b.created("L1", "kg")), Accepted, "")
	b.restart(2, event.NoPrev)
	b.want(b.send("2", b.created("L2", "kg")), Quarantined, problem.EpochFork)
	b.refusedAct(b.retirement(Rest{Answered: true}, "alice", "bob"), problem.RuleRefused, "two gateways")
}
