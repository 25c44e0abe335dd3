package workflow

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// withERP2 adds plant p4, which has an ERP of its own.
func (m *mesh) withERP2() {
	m.cfg.Plants = maps.Clone(m.cfg.Plants)
	m.cfg.Plants["p4"] = quality.Plant{ID: "p4", ERP: "erp2", QMS: "qms1"}
}

func ran(lot, id string, at time.Time) *event.RunStarted {
	return &event.RunStarted{Run: event.Run{
		OfLot: event.OfLot{Lot: event.LotKey(lot)}, RunID: event.ObjectID("run:mes:" + id), Equipment: "press4", WorkOrder: "work_order:mes:1", At: event.At(at),
	}}
}

func gapAt(id string, at time.Time) *event.GapRecorded {
	return &event.GapRecorded{
		GapID: event.ObjectID("gap:mes:" + id), Source: "opcua", From: event.At(at.Add(-time.Minute)), To: event.At(at), Reason: event.GapDisconnect,
	}
}

// The write to the ERP looks by itself at who has answered: the timer that takes the grant back may not have fired yet.
func TestGrant_SomeoneNewBeforeTheWrite(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]func(*mesh){
		"a plant whose agent has not answered": func(m *mesh) {
			m.want(m.gateway("p2", "gw1").send("started", ran(lotA, "9", m.clock)), Accepted)
		},
		"an agent of the plant that was asked": func(m *mesh) { m.gateway("p1", "gw-late") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			m.inspectedLot()
			m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
			m.answerAll()
			m.state(lotA, quality.Releasing)
			comes(m)
			f := m.lot(lotA)
			if f.Lot.Release.State != quality.Releasing {
				t.Fatalf("the lot is %s already", f.Lot.Release.State)
			}
			seen := quality.Seen{System: "s4", Usage: event.InInspection, Ours: true, Plants: []event.PlantID{"p1"}}
			if got := f.Wanted(seen); got != event.InInspection {
				t.Errorf("the ERP is told %s while not all have answered: %+v", got, f.Answers)
			}
			m.answerAll()
			m.answerAll()
			m.work()
			m.state(lotA, quality.Released)
		})
	}
}

func TestGrant_SecondERP(t *testing.T) {
	t.Parallel()
	at4 := event.LotKey(lotA + "@erp2")
	t.Run("a plant with stock there that was not asked is asked, and the stock then freed", func(t *testing.T) {
		t.Parallel()
		m := newMesh(t)
		m.withERP2()
		m.releasedLot()
		g := m.gateway("p4", "gw1")
		seen := quality.Seen{System: "erp2", Usage: event.InInspection, Plants: []event.PlantID{"p4"}}
		if f := m.lot(lotA); f.Wanted(seen) != event.InInspection {
			t.Fatal("the second ERP is told to free the lot, whose plant was never asked")
		}
		if err := m.AskAgain(t.Context(), lotA, seen.Plants); err != nil {
			t.Fatal(err)
		}
		m.fireNow()
		m.state(lotA, quality.Asking)
		g.answer()
		m.answerAll()
		m.work()
		m.state(lotA, quality.Released)
		if got := m.usage(at4); got != event.Unrestricted {
			t.Errorf("the second ERP says %s", got)
		}
	})
	t.Run("a plant that shares the ERP, where the lot is free, is not asked again", func(t *testing.T) {
		t.Parallel()
		m := newMesh(t)
		m.releasedLot()
		if err := m.AskAgain(t.Context(), lotA, []event.PlantID{"p1", "p2"}); err != nil {
			t.Fatal(err)
		}
		m.fireNow()
		m.state(lotA, quality.Released)
	})
	for name, comes := range map[string]func(*mesh, *gateway){
		"a gap": func(m *mesh, g *gateway) { m.want(g.send("gap", gapAt("4", m.clock)), Accepted) },
		"an agent that has not answered": func(m *mesh, _ *gateway) {
			m.gateway("p4", "gw-late")
		},
	} {
		t.Run(name+" after the first ERP, before the second", func(t *testing.T) {
			t.Parallel()
			m := newMesh(t)
			m.withERP2()
			m.down["erp2"] = true
			m.inspectedLot()
			g := m.gateway("p4", "gw1")
			m.want(g.send("started", ran(lotA, "9", m.clock)), Accepted)
			m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
			m.answerAll()
			m.work()
			m.state(lotA, quality.Released)
			comes(m, g)
			m.fireNow()
			m.state(lotA, quality.Released) // what comes later does not reach back
			m.down["erp2"] = false
			m.work()
			if got := m.usage(at4); got != event.InInspection {
				t.Errorf("the second ERP says %s", got)
			}
			m.state(lotA, quality.Asking)
			if name == "a gap" {
				m.waits(lotA, quality.WaitGap)
				m.want(m.say(accepted(lotA, event.EvidenceAccepted{GapID: "gap:mes:4"}, "eve", "bob")), Accepted)
			}
			m.answerAll()
			m.work()
			m.state(lotA, quality.Released)
			if got := m.usage(at4); got != event.Unrestricted {
				t.Errorf("in the end the second ERP says %s", got)
			}
		})
	}
}

func TestGrant_LossTouchesWhatLags(t *testing.T) {
	t.Parallel()
	loss := func(g *gateway, epoch event.Epoch) *event.LossRecorded {
		at := event.At(g.mesh.clock)
		return &event.LossRecorded{
			Epoch: epoch, Lane: event.LaneQuality, FromSeq: 90, ToSeq: 91, From: at, To: at, Count: 2, Cause: event.LossDamaged, Sources: []event.Name{},
		}
	}
	t.Run("a lot made before, seen after", func(t *testing.T) {
		t.Parallel()
		m := newMesh(t)
		g := m.inspectedLot()
		g.keep("lag", made("lot::M:LAG", "M"))
		m.want(g.send("loss", loss(g, g.epoch)), Accepted)
		m.clock = m.clock.Add(time.Minute)
		g.drain()
		m.want(g.send("later", made("lot::M:LATER", "M")), Accepted)
		g.answer()
		m.fireNow()
		m.waits("lot::M:LAG", quality.WaitGap)
		m.state("lot::M:LATER", quality.Releasing)
	})
	t.Run("a lot of the epoch that is over, by a clock that is ahead", func(t *testing.T) {
		t.Parallel()
		m := newMesh(t)
		g := m.inspectedLot()
		m.clock = m.clock.Add(time.Hour)
		g.keep("lag", made("lot::M:LAG", "M"))
		m.clock = m.clock.Add(-time.Hour)
		old := g.epoch
		g.restart()
		m.want(g.send("epoch2", &event.EpochOpened{Epoch: g.epoch, Prev: g.prev, Reason: "start", Salvage: []event.Salvage{}}), Accepted)
		m.want(g.send("loss", loss(g, old)), Accepted)
		m.clock = m.clock.Add(time.Minute)
		g.drain()
		if f := m.lot("lot::M:LAG"); !f.Evidence.Gap {
			t.Errorf("the loss does not touch a lot whose creation lagged: %+v", f.Gaps)
		}
	})
}

func TestGrant_OnlyItsPlantExplainsARecord(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	m.want(g.send("bad", &event.RecordQuarantined{
		MayLot: event.MayLot{Lot: lotA}, Source: "mes", Item: "x", Reason: "no JSON", RawSHA256: event.Hash(strings.Repeat("b", 64)),
	}), Accepted)
	id := event.NaturalID("p1", "mes", []string{"gw1", "bad"}, event.TypeRecordQuarantined, 0)
	corrects := func(g *gateway, lot, key string) {
		t.Helper()
		data := made(lot, "M")
		data.ReadBy().Source = "mes"
		g.seq++
		e := &event.Event{
			ID: event.NaturalID(string(g.plant), "mes", []string{key}, data.Type(), 0), Source: "/" + string(g.plant) + "/mes", Time: m.clock, Recorded: m.clock,
			Plant: g.plant, Data: data, Causation: id, Origin: event.Origin{Agent: g.name, Epoch: g.epoch, Prev: g.prev, Lane: event.LaneQuality, Seq: g.seq},
		}
		if err := e.Seal(g.name); err != nil {
			t.Fatal(err)
		}
		g.offset++
		m.want(m.apply(Input{Message: e.Message(), Plant: g.plant, Place: store.Place{Topic: "holdfast." + string(g.plant) + ".quality.v1", Offset: g.offset}})[0], Accepted)
	}
	corrects(m.gateway("p2", "gw1"), lotA, "a")
	corrects(g, "lot::M:C", "c")
	if !m.lot(lotA).Evidence.Quarantined {
		t.Error("another plant's event, or one of another lot, closes the quarantine")
	}
	corrects(g, lotA, "b")
	if m.lot(lotA).Evidence.Quarantined {
		t.Error("the correction does not close the quarantine")
	}
}

func TestGrant_RebuiltBarrierIsNew(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	old := m.lot(lotA).Ask.Barrier
	again := newMesh(t)
	m.clock = m.clock.Add(4 * time.Hour)
	again.clock = m.clock
	if err := again.Rebuild(t.Context(), m.store); err != nil {
		t.Fatal(err)
	}
	if f := again.lot(lotA); f.Ask.Barrier <= old {
		t.Errorf("barrier %d is asked after the rebuild, agents have read %d before", f.Ask.Barrier, old)
	}
	h := event.Head{
		Plant: g.plant, Agent: g.name, Epoch: g.epoch, Prev: g.prev, Time: m.clock.Add(-4 * time.Hour), Barrier: uint64(old),
		Epochs: []event.HeadEpoch{{Epoch: g.epoch, Quality: g.seq}},
	}
	again.want(again.apply(Input{Message: h.Message(), Plant: g.plant, Place: store.Place{Topic: "holdfast.p1.telemetry.v1"}})[0], Accepted)
	again.fireNow()
	again.state(lotA, quality.Asking) // what was stated hours ago answers nothing
}

func TestGrant_ClockSetBack(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.clock = m.clock.Add(time.Hour)
	for _, g := range m.agents {
		g.answer()
	}
	m.clock = m.clock.Add(-time.Hour)
	m.fireNow()
	m.state(lotA, quality.Releasing)
}

// A name as long as a key may be goes all the way: no command or timer is too long for it.
func TestGrant_LongLotKey(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.gateway("p1", "gw1")
	long := "lot::MI:" + strings.Repeat("a", 1000)
	m.want(g.send("made", made(long, "MI")), Accepted)
	m.want(g.send("fail", completed(long, "1", event.VerdictFail)), Accepted)
	m.work()
	m.want(m.say(&event.HoldLifted{
		MayLot: event.MayLot{Lot: event.LotKey(long)}, HoldID: "hold:mes:1", LiftedBy: "eve", Reason: "measured again", LiftedAt: event.At(m.clock), Authority: event.AuthorityQuality,
	}), Accepted)
	m.want(m.say(decided(long, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.work()
	m.state(long, quality.Released)
}

// An event from which something follows that can't be announced waits for a person; those around it go on.
func TestGrant_NothingStopsAPartition(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.cfg.Plants = maps.Clone(m.cfg.Plants)
	m.cfg.Plants["p5"] = quality.Plant{ID: "p5", ERP: strings.Repeat("s", 300)}
	g := m.gateway("p5", "gw1")
	results := m.apply(g.put("run", ran(lotA, "1", m.clock)), g.put("made", made(lotA, "M")), g.put("cert", ran("lot::M:B", "2", m.clock)))
	for i, want := range []Outcome{Accepted, Parked, Accepted} {
		if results[i].Outcome != want {
			t.Errorf("input %d is %s (%v), want %s", i, results[i].Outcome, results[i].Cause, want)
		}
	}
	if f := m.lot(lotA); !f.Evidence.Parked {
		t.Error("the event that failed does not count for its lot")
	}
}
