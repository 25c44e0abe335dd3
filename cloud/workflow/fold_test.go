package workflow

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func (m *mesh) dump() string {
	m.t.Helper()
	var b strings.Builder
	m.view(func(tx *store.Tx) error { return tx.Dump(&b) })
	return b.String()
}

// life lets two lots live at two plants for a while, with all that can happen, in an order given by r.
func (m *mesh) life(r *rand.Rand) {
	m.t.Helper()
	a, b := m.gateway("p1", "gw1"), m.gateway("p2", "gw1")
	steps := []func(i int){
		func(i int) { a.send(fmt.Sprint("made", i), made(lotA, "MI")) },
		func(i int) { b.send(fmt.Sprint("made", i), made("lot::M:B", "M")) },
		func(i int) { a.send(fmt.Sprint("plan", i), planned(lotA, fmt.Sprint(i%3))) },
		func(i int) { a.send(fmt.Sprint("pass", i), completed(lotA, fmt.Sprint(i%3), event.VerdictPass)) },
		func(i int) { b.send(fmt.Sprint("fail", i), completed("lot::M:B", fmt.Sprint(i%3), event.VerdictFail)) },
		func(i int) { b.send(fmt.Sprint("hold", i), held(lotA, fmt.Sprint(i%4))) },
		func(i int) { m.say(freed(lotA, fmt.Sprint(i%4))) },
		func(i int) {
			m.say(&event.HoldLifted{
				MayLot: event.MayLot{Lot: "lot::M:B"}, HoldID: event.ObjectID(fmt.Sprintf("hold:mes:%d", i%3)), LiftedBy: "eve", LiftedAt: event.At(m.clock),
				Authority: event.AuthorityQuality, Reason: "measured again",
			})
		},
		func(i int) { m.say(decided(lotA, fmt.Sprint(i), quality.Release, "500")) },
		func(i int) { m.say(decided("lot::M:B", fmt.Sprint(i), quality.Release, "250")) },
		func(i int) {
			m.say(&event.HoldPlaced{
				HoldID: event.ObjectID(fmt.Sprintf("hold:api:%d", i)), HoldKind: event.HoldDoc, Reason: "paper", PlacedBy: "eve", PlacedAt: event.At(m.clock),
				Authority: event.AuthorityQuality, Scope: &event.Scope{Kind: event.ScopeMaterial, Value: "MI", Plant: "p1"},
			})
		},
		func(i int) {
			a.send(fmt.Sprint("gap", i), &event.GapRecorded{
				GapID: event.ObjectID(fmt.Sprintf("gap:mes:%d", i)), Source: "opcua", Equipment: "press4", From: event.At(m.clock.Add(-time.Minute)),
				To: event.At(m.clock), Reason: event.GapDisconnect,
			})
		},
		func(i int) {
			a.send(fmt.Sprint("run", i), &event.RunStarted{Run: event.Run{
				OfLot: event.OfLot{Lot: lotA}, RunID: event.ObjectID(fmt.Sprintf("run:mes:%d", i)), Equipment: "press4", WorkOrder: "work_order:mes:1", At: event.At(m.clock),
			}})
		},
		func(i int) {
			a.send(fmt.Sprint("bad", i), &event.RecordQuarantined{Source: "mes", Item: "x", Reason: "no JSON", RawSHA256: event.Hash(strings.Repeat("b", 64))})
		},
		func(i int) {
			m.say(accepted(lotA, event.EvidenceAccepted{Plant: "p2", Agent: "gw1", Barrier: m.clock.UnixMicro() + int64(i)}, "eve", "bob"))
		},
		func(i int) { m.allocate(event.Name(fmt.Sprint(i%2)), "5", m.clock.Add(9*time.Hour)) },
		func(i int) {
			a.send(fmt.Sprint("again", i), &event.CharacteristicRecorded{
				OfLot: event.OfLot{Lot: lotA}, InspectionID: "inspection:mes:1", Characteristic: "torque", SampleNo: 1, Kind: event.Variable, Value: "45",
				Unit: "N.m", LSL: "40", Evaluation: event.Pass, MeasuredAt: event.At(m.clock), Corrects: event.Name(fmt.Sprint("r", i)),
			})
		},
		func(i int) {
			m.moved[lotA] = append(m.moved[lotA], event.Movement{Document: fmt.Sprint(i), Kind: "601", At: event.At(m.clock)})
		},
		func(int) { a.answer() },
		func(int) { b.answer() },
		func(int) { m.fireNow() },
		func(int) { m.work() },
		func(int) { m.pass(time.Duration(r.IntN(3)) * time.Hour) },
		func(i int) { // a record that is not understood, and one that comes late
			in := a.put(fmt.Sprint("torn", i), completed(lotA, "1", event.VerdictPass))
			in.Message.Value = in.Message.Value[:len(in.Message.Value)-1]
			m.apply(in)
		},
	}
	for i := range 150 {
		steps[r.IntN(len(steps))](i)
	}
}

func TestRebuild_GivesTheSameState(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			m.life(rand.New(rand.NewPCG(seed, 1)))
			newMesh(t).rebuilds(m)
		})
	}
}

// rebuilds fails unless the inbox of was gives the same state here.
func (m *mesh) rebuilds(was *mesh) {
	m.t.Helper()
	m.clock = was.clock
	if err := m.Rebuild(m.t.Context(), was.store); err != nil {
		m.t.Fatal(err)
	}
	then, is := was.dump(), m.dump()
	if then == is && then != "" {
		return
	}
	old, now := strings.Split(then, "\n"), strings.Split(is, "\n")
	for i := range min(len(old), len(now)) {
		if old[i] != now[i] {
			m.t.Fatalf("the state was\n%s\nrebuilt it is\n%s", old[i], now[i])
		}
	}
	m.t.Fatalf("the state had %d lines, rebuilt it has %d", len(old), len(now))
}

// What was allowed when it was done stays done, although it would be refused today.
func TestRebuild_PoliciesOfTheTime(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	lot := "lot::M:C"
	g := m.gateway("p3", "gw1") // no QMS, and one person signs
	m.want(g.send("made", made(lot, "M")), Accepted)
	gap := event.ObjectID("gap:mes:1")
	m.want(g.send("gap", &event.GapRecorded{
		GapID: gap, Source: "opcua", Equipment: "press4", From: event.At(m.clock.Add(-time.Minute)), To: event.At(m.clock), Reason: event.GapDisconnect,
	}), Accepted)
	m.want(m.say(accepted(lot, event.EvidenceAccepted{GapID: gap}, "eve")), Accepted)
	m.want(g.send("fail", completed(lot, "1", event.VerdictFail)), Accepted)
	step := event.NonconformanceStep{OfLot: event.OfLot{Lot: event.LotKey(lot)}, NonconformanceID: "nonconformance:mes:1", By: "op", At: event.At(m.clock), Reason: "none"}
	m.want(g.send("void", &event.NonconformanceVoided{NonconformanceStep: step}), Accepted)
	m.want(g.send("decided", decided(lot, "1", quality.Release, "500")), Accepted)
	if f := m.lot(lot); len(f.Acceptances) != 1 || len(f.Open) != 0 || f.Lot.Decision != quality.Release {
		t.Fatalf("the lot is %+v", f)
	}

	strict := newMesh(t)
	strict.cfg.Plants = map[event.PlantID]quality.Plant{"p3": {ID: "p3", ERP: "s4", QMS: "qms1"}}
	strict.cfg.Materials = map[string]quality.Material{"M": {BaseUnit: "each"}}
	for name, data := range map[string]event.Data{
		"a signature of one":                accepted(lot, event.EvidenceAccepted{GapID: gap}, "eve"),
		"a decision that is not the QMS's":  decided(lot, "1", quality.Release, "500"),
		"a lot in a unit that is not known": made(lot, "M"),
	} {
		other := newMesh(t)
		other.cfg = strict.cfg
		og := other.gateway("p3", "gw1")
		r := og.send(name, data)
		if r.Outcome == Accepted {
			t.Errorf("%s is accepted under the new policies, so that this test proves nothing", name)
		}
	}
	strict.rebuilds(m)
	if f := strict.lot(lot); len(f.Acceptances) != 1 || f.Lot.Decision != quality.Release {
		t.Errorf("rebuilt, the lot is %+v", f)
	}
}

func TestReplay_NoNewEffects(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	var all []Input
	record := func(in Input) { all = append(all, in); m.apply(in) }
	g := m.gateway("p1", "gw1")
	record(g.put("made", made(lotA, "MI")))
	record(g.put("plan", planned(lotA, "1")))
	record(g.put("pass", completed(lotA, "1", event.VerdictPass)))
	record(g.put("fail", completed("lot::M:B", "2", event.VerdictFail)))
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.work()
	m.state(lotA, quality.Released)
	state, effects := m.dump(), m.effectDump()
	for range 2 {
		for _, r := range m.apply(all...) {
			m.want(r, Duplicate)
		}
		m.answerAll()
		m.work()
	}
	if got := m.dump(); got != state {
		t.Errorf("the state was\n%s\nafter the replay it is\n%s", state, got)
	}
	if got := m.effectDump(); got != effects {
		t.Errorf("the effects were\n%s\nafter the replay they are\n%s", effects, got)
	}
}

func (m *mesh) effectDump() string {
	m.t.Helper()
	var b strings.Builder
	m.view(func(tx *store.Tx) error {
		for _, lot := range []event.LotKey{lotA, "lot::M:B"} {
			rows, err := tx.EffectsOf(lot)
			if err != nil {
				return err
			}
			for _, r := range rows {
				fmt.Fprintf(&b, "%s %d %s %d\n", r.ID, r.Generation, r.State, r.Attempts)
			}
		}
		return nil
	})
	return b.String()
}

// safe is what two orders of the same events must leave alike: what holds the lot, what was found, what the ERP enforces,
// and how far the release has come.
func (m *mesh) safe(lot string) string {
	m.t.Helper()
	f := m.lot(lot)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q stub=%t wanted=%s erp=%s gate=%s\n", f.Lot.Release.State, f.Lot.Decision, f.Lot.Stub,
		f.Wanted(quality.Seen{System: "s4", Usage: event.Blocked}), m.usage(event.LotKey(lot)), m.gates[event.LotKey(lot)])
	for _, h := range f.Open {
		fmt.Fprintln(&b, "hold", h.ID, h.Kind)
	}
	for _, i := range f.Inspections {
		fmt.Fprintln(&b, "inspection", i.ID, i.State, i.Verdict)
	}
	for _, g := range f.Gaps {
		fmt.Fprintln(&b, "gap", g.ID)
	}
	for _, p := range f.Plants {
		fmt.Fprintln(&b, "plant", p)
	}
	return b.String()
}

// One lot's events from two plants, in any interleaving of the two, end in the same safe state.
func TestInterleaving_TwoPlants(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, seed uint64, withFail bool) string {
		m := newMesh(t)
		a, b := m.gateway("p1", "gw1"), m.gateway("p2", "gw1")
		at := event.At(m.clock)
		queue := map[*gateway][]event.Data{
			a: {
				made(lotA, "MI"), planned(lotA, "1"), held(lotA, "a1"), completed(lotA, "1", event.VerdictPass), freed(lotA, "a1"), held(lotA, "a2"),
				&event.RunStarted{Run: event.Run{OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:1", Equipment: "press4", WorkOrder: "work_order:mes:1", At: at}},
				freed(lotA, "a2"),
			},
			b: {
				held(lotA, "b1"), planned(lotA, "2"), completed(lotA, "2", event.VerdictPass), completed(lotA, "3", event.VerdictPass), freed(lotA, "b1"),
				&event.RunEnded{Run: event.Run{OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:2", Equipment: "mill1", WorkOrder: "work_order:mes:1", At: at}},
				freed(lotA, "a2"), // a plant does not lift another's
			},
		}
		if withFail {
			queue[b] = append(queue[b], completed(lotA, "4", event.VerdictFail))
		}
		r := rand.New(rand.NewPCG(seed, 2))
		for n := 0; len(queue[a])+len(queue[b]) > 0; n++ {
			g := a
			if k := r.IntN(len(queue[a]) + len(queue[b])); k >= len(queue[a]) {
				g = b
			}
			data := queue[g][0]
			queue[g] = queue[g][1:]
			g.send(fmt.Sprintf("%s-%d", data.Type(), len(queue[g])), data)
			if r.IntN(3) == 0 {
				m.answerAll()
				m.work()
			}
		}
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		for range 3 {
			m.fireNow()
			m.work()
			m.answerAll()
		}
		m.work()
		return m.safe(lotA)
	}
	for _, c := range []struct {
		name string
		fail bool
		end  string
	}{
		{"all passes", false, "released"},
		{"one fails", true, "held"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := run(t, 0, c.fail)
			if !strings.HasPrefix(want, c.end) {
				t.Fatalf("the lot ends as\n%s", want)
			}
			for seed := range uint64(6) {
				if got := run(t, seed+1, c.fail); got != want {
					t.Fatalf("seed %d ends as\n%s\nseed 0 as\n%s", seed+1, got, want)
				}
			}
		})
	}
}

// An agent that went out of service is not asked for in the rebuilt database either.
func TestRebuild_Retired(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	o := m.gateway("p2", "gw9")
	m.want(o.send("run", &event.RunEnded{Run: event.Run{
		OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:1", Equipment: "mill2", WorkOrder: "work_order:mes:1", At: event.At(m.clock),
	}}), Accepted)
	if _, err := m.Question(t.Context(), "p2", "gw9"); err != nil {
		t.Fatal(err)
	}
	o.answer()
	act := RetireAgent("p2", "gw9", Rest{Answered: true})
	act.Principal, act.Reason = "alice", "the line was sold"
	m.want(m.say(act), Accepted)

	again := newMesh(t)
	again.rebuilds(m)
	again.agents["p1/gw1"], again.facts = g, m.facts
	g.mesh = again
	again.view(func(tx *store.Tx) error {
		retired, err := tx.Retired("p2", "gw9")
		if retired == nil || retired.Principal != "ann" {
			t.Errorf("rebuilt, the agent is retired by %+v", retired)
		}
		return err
	})
	again.want(again.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	g.answer()
	again.fireNow()
	again.work()
	again.state(lotA, quality.Released)
}
