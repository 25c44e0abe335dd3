package workflow

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// withoutWriter fails if f needs the one writer of the store.
func (m *mesh) withoutWriter(f func(context.Context) error) {
	m.t.Helper()
	done := make(chan error, 1)
	if err := m.store.Update(m.t.Context(), func(*store.Tx) error {
		go func() { done <- f(m.t.Context()) }()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			return fmt.Errorf("a writer is waited for")
		}
	}); err != nil {
		m.t.Fatal(err)
	}
}

// TestEngine_Look: a look at lots that wait keeps nobody from writing, and finds what was missed.
func TestEngine_Look(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.gateway("p1", "gw1")
	for i := range lookPage + 20 {
		m.want(g.send(fmt.Sprint("made", i), made(fmt.Sprintf("lot::M:%03d", i), "M")), Accepted)
	}
	last := fmt.Sprintf("lot::M:%03d", lookPage+19)
	m.state(last, quality.Asking)
	m.withoutWriter(m.look)
	if err := m.store.Update(t.Context(), func(tx *store.Tx) error { // no event says so
		return tx.PutAgent(&store.AgentRow{Plant: "p1", Agent: "gw1", Answered: m.lot(last).Ask.Barrier})
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.fireNow()
	m.state(last, quality.Releasing)
	m.withoutWriter(m.look) // nor does one at lots that were granted
}

// TestEngine_TendOnce: what is idle costs no writer, and nothing for each agent that nobody heard of.
func TestEngine_TendOnce(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.gateway("p1", "gw1")
	m.gateway("p2", "gw1")
	m.pass(0)
	m.pass(settleAfter)
	m.pass(coveredAfter)
	if n := len(m.attention.agents); n != 0 {
		t.Errorf("%d agents are looked at though nothing was heard of them for long", n)
	}
	m.clock = m.clock.Add(tendEvery)
	m.withoutWriter(m.tendOnce)
}

func TestAttention(t *testing.T) {
	a := &attention{agents: map[agentKey]*regard{}}
	k := agentKey{"p1", "gw1"}
	start := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	heard := func() { a.note(map[agentKey]bool{k: true}) }
	looks := func(at time.Duration) bool { return a.take(start.Add(at))[k] }
	if looks(0) {
		t.Fatal("one that nobody heard of is looked at")
	}
	heard()
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {2 * time.Second, false}, {settleAfter, true}, {settleAfter + 2*time.Second, false}, {time.Minute, false}} {
		if got := looks(c.at); got != c.want {
			t.Errorf("heard of once, looked at after %s: %t", c.at, got)
		}
	}
	n := 0
	for at := time.Hour; at < time.Hour+time.Minute; at += tendEvery {
		heard()
		if looks(at) {
			n++
		}
	}
	if n != int(time.Minute/settleAfter) {
		t.Errorf("heard of all the time, looked at %d times a minute", n)
	}
	for at := 2 * time.Hour; at < 2*time.Hour+time.Minute; at += tendEvery {
		looks(at)
	}
	a.put(map[agentKey]time.Time{k: start.Add(3 * time.Hour)})
	if looks(3*time.Hour-time.Second) || !looks(3*time.Hour) {
		t.Error("it is not looked at when it was to be")
	}
	heard()
	looks(4 * time.Hour)
	heard()
	if !looks(time.Minute) {
		t.Error("with the clock set back it is not looked at for hours")
	}
}

// TestTurn_FoundAgain: only what was declared as gone and came after all has the plant's lots looked at.
func TestTurn_FoundAgain(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.gateway("p1", "gw1")
	m.want(g.send("loss", &event.LossRecorded{
		Epoch: g.epoch, Lane: event.LaneQuality, FromSeq: 5, ToSeq: 8, From: event.At(m.clock), To: event.At(m.clock), Cause: event.LossDamaged,
		Sources: []event.Name{},
	}), Accepted)
	k := epochKey{"p1", "gw1", g.epoch}
	for _, c := range []struct {
		name string
		key  store.CoverageKey
		came store.Ranges
		want bool
	}{
		{"what was never lost", store.CoverageKey{Plant: "p1", Agent: "gw1", Epoch: g.epoch, Lane: event.LaneQuality}, store.Ranges{{From: 1, To: 4}, {From: 9, To: 90}}, false},
		{"one of the lost", store.CoverageKey{Plant: "p1", Agent: "gw1", Epoch: g.epoch, Lane: event.LaneQuality}, store.Ranges{{From: 1, To: 2}, {From: 8, To: 9}}, true},
		{"the same seqs of the other lane", store.CoverageKey{Plant: "p1", Agent: "gw1", Epoch: g.epoch, Lane: event.LaneTelemetry}, store.Ranges{{From: 5, To: 8}}, false},
		{"the same seqs of another agent", store.CoverageKey{Plant: "p1", Agent: "gw2", Epoch: g.epoch, Lane: event.LaneQuality}, store.Ranges{{From: 5, To: 8}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.view(func(tx *store.Tx) error {
				turn := &turn{engine: m.Engine, tx: tx, coverage: map[store.CoverageKey]store.Ranges{c.key: c.came}}
				got, err := turn.foundAgain(k)
				if got != c.want {
					t.Errorf("got %t", got)
				}
				return err
			})
		})
	}
}

// TestEngine_AnswerOfOneOfMany: an answer that is not the last one moves no lot, however many ask.
func TestEngine_AnswerOfOneOfMany(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	first, second := m.gateway("p1", "gw1"), m.gateway("p1", "gw2")
	m.want(first.send("made", made(lotA, "M")), Accepted)
	barrier := m.lot(lotA).Ask.Barrier
	var lots []event.LotKey
	answer := func(g *gateway, barrier int64) {
		turn := &turn{}
		if err := m.commit(t.Context(), turn, func() error { return turn.noteAnswer(agentKey{g.plant, g.name}, barrier) }); err != nil {
			t.Fatal(err)
		}
		lots = nil
		for lot := range turn.suspects {
			lots = append(lots, lot)
		}
	}
	if answer(first, barrier); len(lots) != 0 {
		t.Errorf("looked at %v", lots)
	}
	if answer(second, barrier); len(lots) != 1 {
		t.Errorf("looked at %v", lots)
	}
	if answer(second, barrier+1); len(lots) != 0 {
		t.Errorf("looked again at %v for an answer that they did not wait for", lots)
	}
	m.fireNow()
	m.state(lotA, quality.Releasing)
}
