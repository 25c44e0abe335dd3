package workflow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestRelease_FromInspectionToWarehouse(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.gateway("p1", "gw1")
	m.want(g.send("made", made(lotA, "MI")), Accepted)
	m.work()
	m.state(lotA, quality.AwaitingInspection)
	m.waits(lotA, quality.WaitInspection)
	m.want(g.send("planned", planned(lotA, "1")), Accepted)
	m.want(g.send("planned2", planned(lotA, "2")), Accepted)
	m.want(g.send("completed", completed(lotA, "1", event.VerdictPass)), Accepted)
	m.state(lotA, quality.Evaluating)
	m.want(g.send("completed2", completed(lotA, "2", event.VerdictPass)), Accepted)
	m.state(lotA, quality.AwaitingDisposition)
	m.waits(lotA, quality.WaitDisposition)

	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.work()
	m.state(lotA, quality.Asking)
	m.waits(lotA, quality.WaitAnswer)
	f := m.lot(lotA)
	for _, w := range f.Waits("s4") {
		if w.Object == "" || strings.Contains(w.Words, w.Object) || !strings.Contains(w.Words, "has not answered") {
			t.Errorf("it waits in words: %q; the number of the question, %s, says nothing to a reader", w.Words, w.Object)
		}
	}
	if got := m.usage(lotA); got != event.InInspection || m.gates[lotA] == quality.GateOpen {
		t.Fatalf("before any answer the lot is %s, its tasks %s", got, m.gates[lotA])
	}
	if f := m.lot(lotA); !slices.Equal(f.Reasons("s4"), []event.MoveReason{event.ReasonBarrier, event.ReasonUsageNotVerified}) {
		t.Errorf("reasons are %v", f.Reasons("s4"))
	}

	g.answer()
	m.fireNow()
	m.state(lotA, quality.Releasing)
	m.waits(lotA, quality.WaitUsage)
	m.work()
	m.state(lotA, quality.Released)
	m.waits(lotA)
	if got := m.usage(lotA); got != event.Unrestricted || m.gates[lotA] != quality.GateOpen {
		t.Errorf("released, the lot is %s, its tasks %s", got, m.gates[lotA])
	}
	if !slices.Equal(m.posted, []string{"decision disposition:qms1:1"}) {
		t.Errorf("posted %q", m.posted)
	}
	m.view(func(tx *store.Tx) error {
		rows, err := tx.EffectsOf(lotA)
		i := slices.IndexFunc(rows, func(r store.EffectRow) bool { return r.Kind == quality.UsageDecisionPost })
		if err != nil || i < 0 || rows[i].CommandID != "cmd:w1:disposition:qms1:1:usage_decision:1" {
			t.Errorf("effects are %+v, %v", rows, err)
		}
		return nil
	})
}

// The race that matters: a hold on the gateway's disk whose link drops, while the QMS releases.
func TestRelease_WaitsForAHoldOnDisk(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	g.keep("hold", held(lotA, "1"))
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.work()
	m.pass(time.Hour)
	m.state(lotA, quality.Asking) // nobody answered
	g.answer()                    // the head comes through, the records do not
	m.pass(time.Hour)
	m.work()
	m.state(lotA, quality.Asking)
	if got := m.usage(lotA); got != event.InInspection {
		t.Fatalf("the lot is %s before the agent's records have come", got)
	}
	g.drain()
	m.fireNow()
	m.work()
	m.state(lotA, quality.Held)
	if got := m.usage(lotA); got != event.Restricted {
		t.Errorf("the lot is %s under its hold", got)
	}
}

func TestRelease_CoverageAndHeadInAnyOrder(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	g.keep("other", made("lot::M:B", "M"))
	g.answer()
	m.fireNow()
	m.state(lotA, quality.Asking)
	// One head after the other keeps coming before the records of the one before have: the first whole one answers.
	first := g.kept
	g.kept = nil
	for _, key := range []string{"x", "y", "z"} {
		g.keep(key, made("lot::M:"+key, "M"))
		g.answer()
	}
	m.apply(first...)
	m.fireNow()
	m.state(lotA, quality.Releasing)
}

func TestRelease_HoldBeatsRelease(t *testing.T) {
	t.Parallel()
	t.Run("between grant and write", func(t *testing.T) {
		m := newMesh(t)
		g := m.inspectedLot()
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		m.answerAll()
		m.state(lotA, quality.Releasing)
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.work()
		m.state(lotA, quality.Held)
		if got := m.usage(lotA); got != event.Restricted {
			t.Errorf("the lot is %s", got)
		}
		m.want(m.say(freed(lotA, "1")), Accepted)
		m.work()
		m.state(lotA, quality.Asking)
		if got := m.usage(lotA); got != event.Restricted {
			t.Errorf("with the last hold lifted and nobody asked the lot is %s", got)
		}
		m.answerAll()
		m.work()
		m.state(lotA, quality.Released)
		if got := m.usage(lotA); got != event.Unrestricted {
			t.Errorf("in the end the lot is %s", got)
		}
	})
	t.Run("after the release", func(t *testing.T) {
		m := newMesh(t)
		g := m.releasedLot()
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.work()
		m.state(lotA, quality.Held)
		if m.usage(lotA) != event.Restricted || m.gates[lotA] != quality.GateHeld {
			t.Errorf("the lot is %s, its tasks %s", m.usage(lotA), m.gates[lotA])
		}
	})
	t.Run("an answer to an earlier round grants nothing", func(t *testing.T) {
		m := newMesh(t)
		g := m.inspectedLot()
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		g.answer() // the timer that grants is set, and does not fire yet
		m.want(g.send("hold", held(lotA, "1")), Accepted)
		m.want(m.say(freed(lotA, "1")), Accepted)
		m.fireNow()
		m.state(lotA, quality.Asking)
		g.answer()
		m.fireNow()
		m.state(lotA, quality.Releasing)
	})
}

func TestRelease_SomethingComesBetween(t *testing.T) {
	t.Parallel()
	gap := func(g *gateway) {
		g.mesh.want(g.send("gap", &event.GapRecorded{
			GapID: "gap:mes:1", Source: "opcua", From: event.At(g.mesh.clock.Add(-time.Minute)), To: event.At(g.mesh.clock), Reason: event.GapDisconnect,
		}), Accepted)
	}
	for _, c := range []struct {
		name   string
		happen func(*gateway)
		wait   quality.WaitKind
		end    func(*gateway)
	}{
		{"a gap of the plant", gap, quality.WaitGap, func(g *gateway) {
			g.mesh.want(g.send("filled", &event.GapClosed{
				GapID: "gap:mes:1", Source: "opcua", From: event.At(g.mesh.clock.Add(-time.Hour)), To: event.At(g.mesh.clock), Reason: "history read", Filled: 3,
			}), Accepted)
		}},
		{"a gap that two persons accept for the lot", gap, quality.WaitGap, func(g *gateway) {
			m := g.mesh
			m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: "gap:mes:1"}, "eve")), Refused)
			m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: "gap:mes:1"}, "eve", "EVE")), Refused)
			m.want(m.say(accepted("lot::M:B", event.EvidenceAccepted{GapID: "gap:mes:1"}, "eve", "bob")), Waiting)
			m.waits(lotA, quality.WaitGap)
			m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: "gap:mes:1"}, "eve", "bob")), Accepted)
		}},
		{"a record that the agent did not understand, of no lot", func(g *gateway) {
			g.mesh.want(g.send("bad", &event.RecordQuarantined{Source: "mes", Item: "x", Reason: "no JSON", RawSHA256: event.Hash(strings.Repeat("b", 64))}), Accepted)
		}, quality.WaitQuarantine, func(g *gateway) {
			id := event.NaturalID("p1", "mes", []string{"gw1", "bad"}, event.TypeRecordQuarantined, 0)
			e := g.mesh.own(made("lot::M:C", "M"), "corrected")
			e.Causation = id
			g.mesh.want(g.mesh.apply(Input{Event: e, Principal: "eve"})[0], Accepted)
		}},
		{"a record of the lot that the agent did not understand", func(g *gateway) {
			g.mesh.want(g.send("bad", &event.RecordQuarantined{
				MayLot: event.MayLot{Lot: lotA}, Source: "mes", Item: "x", Reason: "no JSON", RawSHA256: event.Hash(strings.Repeat("b", 64)),
			}), Accepted)
		}, quality.WaitQuarantine, func(g *gateway) {
			m := g.mesh
			m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: m.lot(lotA).Gaps[0].ID}, "eve", "bob")), Refused)
			e := m.own(completed(lotA, "1", event.VerdictPass), "corrected")
			e.Causation = event.NaturalID("p1", "mes", []string{"gw1", "bad"}, event.TypeRecordQuarantined, 0)
			m.want(m.apply(Input{Event: e, Principal: "eve"})[0], Accepted)
		}},
		{"a record of the plant that the cloud did not understand", func(g *gateway) {
			in := g.put("bad", &event.GapRecorded{
				GapID: "gap:mes:9", Source: "opcua", From: event.At(g.mesh.clock), To: event.At(g.mesh.clock), Reason: event.GapDisconnect,
			})
			in.Message.Value = in.Message.Value[:len(in.Message.Value)-1]
			g.mesh.want(g.mesh.apply(in)[0], Quarantined)
		}, quality.WaitQuarantine, func(g *gateway) {
			m := g.mesh
			m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: m.lot(lotA).Gaps[0].ID}, "eve", "bob")), Accepted)
		}},
		{"an event of the lot that failed", func(g *gateway) {
			d := made(lotA, "M")
			d.Lot, d.Q.Unit = lotA, "m"
			g.mesh.want(g.send("late", &event.CharacteristicRecorded{
				OfLot: event.OfLot{Lot: lotA}, InspectionID: "inspection:mes:1", Characteristic: "torque", SampleNo: 1, Kind: event.Variable, Value: "45",
				Unit: "N.m", LSL: "40", USL: "50", Evaluation: event.Pass, MeasuredAt: event.At(g.mesh.clock),
			}), Accepted)
			// A second one comes with an earlier place in the queue.
			g.seq -= 2
			in := g.put("earlier", &event.CharacteristicRecorded{
				OfLot: event.OfLot{Lot: lotA}, InspectionID: "inspection:mes:1", Characteristic: "torque", SampleNo: 2, Kind: event.Variable, Value: "45",
				Unit: "N.m", LSL: "40", USL: "50", Evaluation: event.Pass, MeasuredAt: event.At(g.mesh.clock),
			})
			g.seq++
			g.mesh.want(g.mesh.apply(in)[0], Parked)
		}, quality.WaitParked, func(g *gateway) {
			m := g.mesh
			var rows []store.DeadletterRow
			m.view(func(tx *store.Tx) (err error) { rows, err = tx.DeadlettersOf(lotA); return err })
			r, err := m.Redrive(m.t.Context(), rows[0].ID, "eve", "in order after all")
			if err != nil || r[0].Outcome != Accepted {
				m.t.Fatalf("redrive: %+v, %v", r, err)
			}
		}},
		{"a plant that was not asked", func(g *gateway) {
			o := g.mesh.gateway("p2", "gw1")
			g.mesh.want(o.send("seen", &event.DefectDetected{
				OfLot: event.OfLot{Lot: "lot::M:Z"}, DefectID: "defect:mes:1", CodeGroup: "a", Code: "b", Severity: event.Minor, Q: event.Quantity{Value: "1", Unit: "kg"},
			}), Accepted)
			g.mesh.want(o.send("run", &event.RunStarted{Run: event.Run{
				OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:1", Equipment: "mill2", WorkOrder: "work_order:mes:1", At: event.At(g.mesh.clock),
			}}), Accepted)
		}, quality.WaitAnswer, func(*gateway) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			g := m.inspectedLot()
			m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
			m.answerAll()
			m.state(lotA, quality.Releasing)
			c.happen(g)
			m.work() // the write comes before the engine took the grant back: it is seen there, too
			if got := m.usage(lotA); got != event.InInspection {
				t.Fatalf("the lot is %s", got)
			}
			m.fireNow()
			m.state(lotA, quality.Asking)
			if c.wait != quality.WaitAnswer {
				m.waits(lotA, c.wait)
			}
			m.fireNow()
			m.work()
			if c.wait != quality.WaitAnswer {
				round := m.lot(lotA).Lot.Release.Round
				g.answer() // an answer does not help
				m.fireNow()
				m.state(lotA, quality.Asking)
				if f := m.lot(lotA); f.Lot.Release.Round != round || f.Ask.Barrier != 0 {
					t.Errorf("it asks although something speaks against it: %+v", f.Ask)
				}
			}
			c.end(g)
			m.waits(lotA, slices.Repeat([]quality.WaitKind{quality.WaitAnswer}, len(m.lot(lotA).Answers))...)
			m.answerAll()
			m.work()
			m.state(lotA, quality.Released)
			if got := m.usage(lotA); got != event.Unrestricted {
				t.Errorf("in the end the lot is %s", got)
			}
		})
	}
}

func TestRelease_MissingAnswer(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g, o := m.inspectedLot(), m.gateway("p2", "gw9")
	m.want(o.send("run", &event.RunEnded{Run: event.Run{
		OfLot: event.OfLot{Lot: lotA}, RunID: "run:mes:1", Equipment: "mill2", WorkOrder: "work_order:mes:1", At: event.At(m.clock),
	}}), Accepted)
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	g.answer()
	m.fireNow()
	m.waits(lotA, quality.WaitAnswer)
	barrier := m.lot(lotA).Ask.Barrier

	m.pass(3 * time.Minute)
	var alerts []event.Alert
	m.view(func(tx *store.Tx) (err error) { alerts, err = tx.Alerts(); return err })
	if len(alerts) != 1 || alerts[0].Code != AlertSilent || alerts[0].About != "p2/gw9" {
		t.Fatalf("alerts are %+v", alerts)
	}
	m.want(m.say(accepted(lotA, event.EvidenceAccepted{Plant: "p2", Agent: "gw9", Barrier: barrier - 1 + 0}, "eve", "bob")), accept(barrier > 1))
	m.want(m.say(accepted(lotA, event.EvidenceAccepted{Plant: "p2", Agent: "gw9", Barrier: barrier}, "eve", "bob")), Accepted)
	m.fireNow()
	m.work()
	m.state(lotA, quality.Released)
	m.pass(time.Minute)
	m.view(func(tx *store.Tx) (err error) { alerts, err = tx.Alerts(); return err })
	if len(alerts) != 0 {
		t.Errorf("alerts are %+v", alerts)
	}
}

// accept is the outcome of an event that is valid only in some cases.
func accept(valid bool) Outcome {
	if valid {
		return Accepted
	}
	return Refused
}

func TestRelease_StockAtAPlantThatWasNotAsked(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.inspectedLot()
	o := m.gateway("p2", "gw1")
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.state(lotA, quality.Releasing)
	f := m.lot(lotA)
	if got := f.Wanted(quality.Seen{System: "s4", Usage: event.InInspection, Plants: []event.PlantID{"p2"}}); got != event.InInspection {
		t.Errorf("wanted is %s", got)
	}
	if err := m.AskAgain(t.Context(), lotA, []event.PlantID{"p1", "p2"}); err != nil {
		t.Fatal(err)
	}
	m.fireNow()
	m.state(lotA, quality.Asking)
	m.agents["p1/gw1"].answer()
	m.fireNow()
	m.state(lotA, quality.Asking)
	o.answer()
	m.fireNow()
	m.state(lotA, quality.Releasing)
	if err := m.AskAgain(t.Context(), lotA, []event.PlantID{"p1", "p2"}); err != nil {
		t.Fatal(err)
	}
	m.work()
	m.state(lotA, quality.Released)
}

// TestRelease_PlantNeverHeardOf: the ERP has stock at a plant none of whose agents ever spoke. Nobody is there to be asked,
// which is no answer: the release waits for the first head of an agent there, or for signatures.
func TestRelease_PlantNeverHeardOf(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) *mesh {
		m := newMesh(t)
		m.inspectedLot()
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		m.answerAll()
		m.state(lotA, quality.Releasing)
		if err := m.AskAgain(t.Context(), lotA, []event.PlantID{"p1", "p2"}); err != nil {
			t.Fatal(err)
		}
		m.fireNow()
		m.agents["p1/gw1"].answer()
		m.fireNow()
		m.state(lotA, quality.Asking)
		f := m.lot(lotA)
		if all := f.Waits("s4"); len(all) != 1 || all[0].Plant != "p2" || all[0].Agent != "" || !strings.Contains(all[0].Words, "ever heard of") {
			t.Fatalf("waits for %+v", all)
		}
		return m
	}
	t.Run("Head", func(t *testing.T) {
		t.Parallel()
		m := begin(t)
		late := m.gateway("p2", "gw7")
		m.fireNow()
		m.state(lotA, quality.Asking)
		late.answer()
		m.fireNow()
		m.work()
		m.state(lotA, quality.Released)
	})
	t.Run("Signature", func(t *testing.T) {
		t.Parallel()
		m := begin(t)
		f := m.lot(lotA)
		m.want(m.say(accepted(lotA, event.EvidenceAccepted{Plant: "p2", Barrier: f.Ask.Barrier}, "eve", "bob")), Accepted)
		m.fireNow()
		m.work()
		m.state(lotA, quality.Released)
	})
	t.Run("AgentAfterTheSignature", func(t *testing.T) { // who signed for nobody did not sign for it
		t.Parallel()
		m := begin(t)
		f := m.lot(lotA)
		m.want(m.say(accepted(lotA, event.EvidenceAccepted{Plant: "p2", Barrier: f.Ask.Barrier}, "eve", "bob")), Accepted)
		late := m.gateway("p2", "gw7")
		m.fireNow()
		m.state(lotA, quality.Asking)
		m.agents["p1/gw1"].answer() // it is a new question, to all
		m.fireNow()
		m.state(lotA, quality.Asking)
		late.answer()
		m.fireNow()
		m.work()
		m.state(lotA, quality.Released)
	})
}

func TestRelease_ForeignRestriction(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.inspectedLot()
	m.erp[lotA] = event.Blocked // someone in the ERP
	m.want(m.say(&event.LotStatusChanged{OfLot: event.OfLot{Lot: lotA}, System: "s4", Usage: event.Blocked, ObservedAt: event.At(m.clock)}), Accepted)
	m.work()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.work()
	m.state(lotA, quality.Releasing)
	m.waits(lotA, quality.WaitForeign)
	if got := m.usage(lotA); got != event.Blocked {
		t.Fatalf("what someone else restricted is %s", got)
	}
	m.pass(16 * time.Minute)
	var alerts []event.Alert
	m.view(func(tx *store.Tx) (err error) { alerts, err = tx.Alerts(); return err })
	if len(alerts) != 1 || alerts[0].Code != AlertStuck {
		t.Errorf("alerts are %+v", alerts)
	}
	m.erp[lotA] = event.InInspection // it is taken back there
	m.want(m.say(&event.LotStatusChanged{OfLot: event.OfLot{Lot: lotA}, System: "s4", Usage: event.InInspection, ObservedAt: event.At(m.clock)}), Accepted)
	m.work()
	m.state(lotA, quality.Released)
}

func TestRelease_NobodyToAsk(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	d := made(lotA, "M")
	m.want(m.say(d), Accepted)
	m.fireNow()
	m.state(lotA, quality.Released) // there is no ERP either
}

func TestRelease_ClosedEpochLacksRecords(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	g.keep("lost", held("lot::M:B", "9"))
	lost := g.kept
	g.kept = nil
	first := *g
	g.seq++ // and one more, which comes late
	g.restart()
	m.want(g.send("epoch-2", &event.EpochOpened{Epoch: g.epoch, Prev: g.prev, Reason: "start", Salvage: []event.Salvage{}}), Accepted)
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	g.answer()
	m.fireNow()
	m.waits(lotA, quality.WaitGap)
	if w := m.control(g).Set.Wanted; len(w) != 0 {
		t.Errorf("what may be on its way is wanted again: %+v", w)
	}
	m.pass(10 * time.Second)
	if w := m.control(g).Set.Wanted; len(w) != 1 || w[0].FromSeq != 5 || w[0].ToSeq != 6 {
		t.Errorf("wanted is %+v", w)
	}
	t.Run("a lot that appears later is not touched", func(t *testing.T) {
		m.want(g.send("made-later", made("lot::M:LATER", "M")), Accepted)
		m.waits("lot::M:LATER", quality.WaitAnswer)
	})
	t.Run("a lot that its late records brought is", func(t *testing.T) {
		g2 := *g
		g2.epoch, g2.prev, g2.seq = first.epoch, first.prev, first.seq
		m.clock = m.clock.Add(time.Second)
		in := g2.put("made-late", made("lot::M:LATE", "M"))
		m.want(m.apply(in)[0], Accepted)
		m.waits("lot::M:LATE", quality.WaitGap)
	})
	t.Run("two persons accept it for the lot", func(t *testing.T) {
		gap := m.lot(lotA).Gaps[0].ID
		m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: gap}, "eve", "bob")), Accepted)
		g.answer()
		m.fireNow()
		m.state(lotA, quality.Releasing)
	})
	t.Run("or it comes after all", func(t *testing.T) {
		m.want(g.send("made2", made("lot::M:B", "M")), Accepted)
		m.apply(lost...)
		var gaps []quality.Gap
		m.view(func(tx *store.Tx) (err error) { gaps, err = tx.GapsAt("p1"); return err })
		if len(gaps) != 0 {
			t.Errorf("gaps are %+v", gaps)
		}
	})
}

func TestRelease_DeclaredLoss(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	g.keep("lost", held("lot::M:B", "9"))
	lost := g.kept
	g.kept = nil
	m.want(g.send("loss", &event.LossRecorded{
		Epoch: g.epoch, Lane: event.LaneQuality, FromSeq: 5, ToSeq: 5, From: event.At(m.clock), To: event.At(m.clock), Count: 1, Cause: event.LossDamaged, Sources: []event.Name{},
	}), Accepted)
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.waits(lotA, quality.WaitGap)
	m.want(g.send("made-later", made("lot::M:LATER", "M")), Accepted)
	g.answer()
	m.fireNow()
	m.state("lot::M:LATER", quality.Releasing) // declared is not closed, but it keeps no later lot
	m.state(lotA, quality.Asking)
	m.apply(lost...) // found on a spare disk
	g.answer()
	m.fireNow()
	m.state(lotA, quality.Releasing)
}

func TestRelease_SecondGateway(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	fork := *g
	fork.epoch, fork.prev, fork.seq = event.Epoch(strings.Repeat("f", 32)), event.NoPrev, 0
	m.want(fork.send("epoch2", &event.EpochOpened{Epoch: fork.epoch, Prev: event.NoPrev, Reason: "start", Salvage: []event.Salvage{}}), Quarantined)
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.want(fork.head(1000), Refused) // what it states answers for nobody
	g.answer()
	m.fireNow()
	m.waits(lotA, quality.WaitGap)
	if e := m.control(g).Set.Epochs; len(e) != 1 || e[0].Decision != event.EpochQuarantined {
		t.Errorf("epochs are %+v", e)
	}
}

func TestHead_NotUnderstood(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.gateway("p1", "gw1")
	h := event.Head{Plant: "p2", Agent: "gw1", Epoch: g.epoch, Prev: g.prev, Time: m.clock, Epochs: []event.HeadEpoch{{Epoch: g.epoch}}}
	m.want(m.apply(Input{Message: h.Message(), Plant: "p1"})[0], Refused)
	bad := h.Message()
	bad.Value = []byte(`{`)
	m.want(m.apply(Input{Message: bad, Plant: "p1"})[0], Refused)
	m.view(func(tx *store.Tx) error {
		heads, err := tx.HeadsOf("p1", "gw1")
		if len(heads) != 0 {
			t.Errorf("heads are %+v", heads)
		}
		return err
	})
	// A head of an epoch that is not known registers it.
	g.restart()
	m.want(g.head(0), Accepted)
	m.view(func(tx *store.Tx) error {
		rows, err := tx.Epochs("p1", "gw1")
		if len(rows) != 2 || !rows[0].Closed || rows[0].Quality != 1 {
			t.Errorf("epochs are %+v", rows)
		}
		return err
	})
}
