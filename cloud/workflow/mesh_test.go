package workflow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// mesh is an engine with two plants that send records and state heads, and with an ERP, a QMS, a warehouse and a notice
// system that do what the dispatcher would make them do.
type mesh struct {
	*Engine
	t      *testing.T
	clock  time.Time
	agents map[string]*gateway // by plant/agent
	facts  int                 // of the cloud's door so far

	erp     map[event.LotKey]event.UsageStatus // by lot, and at another ERP than s4 by lot@system; absent = in inspection
	gates   map[event.LotKey]quality.Gate
	posted  []string // usage decisions and messages, in order
	down    map[string]bool
	foreign map[event.LotKey]bool
	moved   map[event.LotKey][]event.Movement // what left a lot's stock in the ERP
	tasks   map[event.LotKey][]event.Movement // what the warehouse has begun
}

// gateway is one agent.
type gateway struct {
	mesh   *mesh
	plant  event.PlantID
	name   string
	epoch  event.Epoch
	prev   event.Prev
	seq    uint64
	kept   []Input // records on its disk that were not sent
	offset int64
}

var meshPlants = map[event.PlantID]quality.Plant{
	"p1": {ID: "p1", ERP: "s4", QMS: "qms1", WMS: "wms1", Notify: "mail"},
	"p2": {ID: "p2", ERP: "s4", QMS: "qms1", WMS: "wms1", Notify: "mail"},
	"p3": {ID: "p3", ERP: "s4", OneSigner: true},
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	s := storetest.Open(t)
	m := &mesh{
		t: t, clock: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC), agents: map[string]*gateway{}, erp: map[event.LotKey]event.UsageStatus{},
		gates: map[event.LotKey]quality.Gate{}, down: map[string]bool{}, foreign: map[event.LotKey]bool{},
		moved: map[event.LotKey][]event.Movement{}, tasks: map[event.LotKey][]event.Movement{},
	}
	m.Engine = New(s, Config{
		Plants: meshPlants, Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}, "MI": {BaseUnit: "kg", InspectionRequired: true}},
	}, func() time.Time { return m.clock }, zerolog.Nop(), nil)
	return m
}

// gateway returns an agent, which has opened its first epoch.
func (m *mesh) gateway(plant event.PlantID, name string) *gateway {
	g := m.agents[string(plant)+"/"+name]
	if g == nil {
		n := len(m.agents) + 1
		g = &gateway{mesh: m, plant: plant, name: name, epoch: event.Epoch(strings.Repeat(fmt.Sprint(n), 32)), prev: event.NoPrev}
		m.agents[string(plant)+"/"+name] = g
		g.send("epoch", &event.EpochOpened{Epoch: g.epoch, Prev: event.NoPrev, Reason: "start", Salvage: []event.Salvage{}})
	}
	return g
}

// put is a record on the agent's disk, not sent yet.
func (g *gateway) put(key string, data event.Data) Input {
	g.mesh.t.Helper()
	data.ReadBy().Source = "mes"
	g.seq++
	e := &event.Event{
		ID: event.NaturalID(string(g.plant), "mes", []string{g.name, key}, data.Type(), 0), Source: "/" + string(g.plant) + "/mes",
		Time: g.mesh.clock, Recorded: g.mesh.clock, Plant: g.plant, Data: data,
		Origin: event.Origin{Agent: g.name, Epoch: g.epoch, Prev: g.prev, Lane: event.LaneQuality, Seq: g.seq},
	}
	if err := e.Seal(g.name); err != nil {
		g.mesh.t.Fatalf("%s %s: %v", data.Type(), key, err)
	}
	g.offset++
	return Input{Message: e.Message(), Plant: g.plant, Place: store.Place{Topic: "holdfast." + string(g.plant) + ".quality.v1", Offset: g.offset}}
}

func (g *gateway) send(key string, data event.Data) Result {
	g.mesh.t.Helper()
	return g.mesh.apply(g.put(key, data))[0]
}

// keep puts a record on the agent's disk that does not leave it.
func (g *gateway) keep(key string, data event.Data) {
	g.mesh.t.Helper()
	g.kept = append(g.kept, g.put(key, data))
}

// drain sends what was kept.
func (g *gateway) drain() {
	g.mesh.t.Helper()
	if len(g.kept) > 0 {
		g.mesh.apply(g.kept...)
	}
	g.kept = nil
}

// restart opens a new epoch.
func (g *gateway) restart() {
	g.mesh.t.Helper()
	g.prev = event.NewPrev(g.epoch, g.seq, 0)
	g.epoch = event.Epoch(strings.Repeat(string(rune('a'+len(g.epoch)%6)), 31) + string(g.epoch[0]))
	g.seq = 0
}

// head states what is on the agent's disk, for a barrier.
func (g *gateway) head(barrier int64) Result {
	g.mesh.t.Helper()
	h := event.Head{
		Plant: g.plant, Agent: g.name, Epoch: g.epoch, Prev: g.prev, Time: g.mesh.clock, Barrier: uint64(barrier),
		Epochs: []event.HeadEpoch{{Epoch: g.epoch, Quality: g.seq}},
	}
	return g.mesh.apply(Input{Message: h.Message(), Plant: g.plant, Place: store.Place{Topic: "holdfast." + string(g.plant) + ".telemetry.v1"}})[0]
}

// answer reads the control record and answers its barrier.
func (g *gateway) answer() {
	g.mesh.t.Helper()
	g.mesh.want(g.head(g.mesh.control(g).Set.Barrier), Accepted)
}

func (m *mesh) control(g *gateway) (c store.Control) {
	m.t.Helper()
	m.view(func(tx *store.Tx) (err error) {
		c, err = tx.Control(g.plant, g.name, m.clock)
		return err
	})
	return c
}

// answerAll lets every agent answer and fires what follows.
func (m *mesh) answerAll() {
	m.t.Helper()
	for _, g := range m.agents {
		g.answer()
	}
	m.fireNow()
}

func (m *mesh) apply(in ...Input) []Result {
	m.t.Helper()
	m.clock = m.clock.Add(time.Millisecond)
	results, err := m.Apply(m.t.Context(), in, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return results
}

// say lets a fact in by the cloud's door.
func (m *mesh) say(data event.Data) Result {
	m.t.Helper()
	m.facts++
	return m.apply(Input{Event: m.own(data, "test", fmt.Sprint(m.facts)), Principal: "ann"})[0]
}

func (m *mesh) want(r Result, o Outcome) {
	m.t.Helper()
	if r.Outcome != o {
		m.t.Fatalf("result is %s (%v), want %s", r.Outcome, r.Cause, o)
	}
}

func (m *mesh) view(f func(*store.Tx) error) {
	m.t.Helper()
	if err := m.store.View(m.t.Context(), f); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) fireNow() {
	m.t.Helper()
	if _, err := m.fire(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) pass(d time.Duration) {
	m.t.Helper()
	m.clock = m.clock.Add(d)
	m.fireNow()
	if err := m.tendOnce(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) lot(name string) (f quality.Facts) {
	m.t.Helper()
	m.view(func(tx *store.Tx) (err error) {
		f, err = tx.Facts(event.LotKey(name))
		return err
	})
	return f
}

func (m *mesh) state(name string, want quality.ReleaseState) {
	m.t.Helper()
	if f := m.lot(name); f.Lot.Release.State != want {
		m.t.Fatalf("lot %s is %s, want %s; it waits for %+v", name, f.Lot.Release.State, want, f.Waits("s4"))
	}
}

// waits fails unless the lot's release waits for exactly these kinds.
func (m *mesh) waits(name string, want ...quality.WaitKind) {
	m.t.Helper()
	f := m.lot(name)
	var got []quality.WaitKind
	for _, w := range f.Waits("s4") {
		got = append(got, w.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Fatalf("lot %s waits for %v (%+v), want %v", name, got, f.Waits("s4"), want)
	}
}

func (m *mesh) usage(lot event.LotKey) event.UsageStatus {
	if u, ok := m.erp[lot]; ok {
		return u
	}
	return event.InInspection
}

// work carries out what is due, as the dispatcher does, until nothing is.
func (m *mesh) work() {
	m.t.Helper()
	for range 200 {
		var rows []store.EffectRow
		systems := []string{}
		for _, s := range []string{"s4", "erp2", "qms1", "wms1", "mail"} {
			if !m.down[s] {
				systems = append(systems, s)
			}
		}
		if err := m.store.Update(m.t.Context(), func(tx *store.Tx) (err error) {
			rows, err = tx.ClaimEffects("test", systems, 1, m.clock, time.Minute)
			return err
		}); err != nil {
			m.t.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
		if err := m.Settle(m.t.Context(), &rows[0], m.carryOut(&rows[0])); err != nil {
			m.t.Fatal(err)
		}
		m.fireNow()
	}
	m.t.Fatal("effects do not come to rest")
}

func (m *mesh) carryOut(row *store.EffectRow) Settlement {
	s := Settlement{Outcome: event.Applied, Wanted: string(row.Kind), External: "1"}
	f := m.lot(string(row.Lot))
	switch row.Kind {
	case quality.LotUsageSet:
		in := row.Lot
		if row.System != "s4" {
			in += event.LotKey("@" + row.System)
		}
		seen := quality.Seen{System: row.System, Usage: m.usage(in), Ours: row.Wrote}
		s.Usage, s.Own, s.Foreign = f.Wanted(seen), quality.OwnUsage(&f.Lot, f.Open), quality.ForeignUsage(&f.Lot, seen)
		if s.Wrote = s.Usage != seen.Usage; !s.Wrote {
			s.Outcome = event.AlreadyApplied
		}
		m.erp[in] = s.Usage
		if s.MovedSince = f.Lot.MovedSince(); !s.MovedSince.IsZero() {
			s.Moved = m.moved[row.Lot]
		}
	case quality.TasksGate:
		m.gates[row.Lot] = quality.WantedGate(&f, "s4")
		if s.MovedSince = f.Lot.MovedSince(); !s.MovedSince.IsZero() {
			s.Moved = m.tasks[row.Lot]
		}
	case quality.UsageDecisionPost:
		m.posted = append(m.posted, "decision "+row.Object)
	case quality.NoticeSend:
		id, step := quality.ParseNoticeObject(row.Object)
		var n *quality.Notice
		m.view(func(tx *store.Tx) (err error) { n, err = tx.Notice(id); return err })
		msg := n.Message(step)
		if msg == nil {
			return Settlement{Outcome: event.Cancelled, Wanted: string(row.Kind)}
		}
		m.posted = append(m.posted, fmt.Sprintf("%s %s/%s", msg.Step, msg.Order, msg.Line))
	}
	return s
}

// Facts that plants and the cloud's door send.

func made(lot, material string) *event.LotCreated {
	return &event.LotCreated{
		OfLot: event.OfLot{Lot: event.LotKey(lot)}, Material: event.Name(material), Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes:1",
	}
}

func planned(lot, id string) *event.InspectionPlanned {
	return &event.InspectionPlanned{
		OfInspection:   event.OfInspection{OfLot: event.OfLot{Lot: event.LotKey(lot)}, InspectionID: event.ObjectID("inspection:mes:" + id)},
		InspectionType: event.InspectionFinal, SpecRev: "3", Due: event.At(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)),
	}
}

func completed(lot, id string, v event.Verdict) *event.InspectionCompleted {
	return &event.InspectionCompleted{
		OfInspection:   event.OfInspection{OfLot: event.OfLot{Lot: event.LotKey(lot)}, InspectionID: event.ObjectID("inspection:mes:" + id)},
		InspectionType: event.InspectionFinal, Verdict: v, SpecRev: "3", CompletedAt: event.At(time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)), ResultCount: 5,
	}
}

func decided(lot, id string, d quality.Decision, q string) *event.DispositionDecided {
	return &event.DispositionDecided{Disposition: disposition(lot, id, d, q)}
}

func disposition(lot, id string, d quality.Decision, q string) event.Disposition {
	return event.Disposition{
		OfLot: event.OfLot{Lot: event.LotKey(lot)}, DispositionID: event.ObjectID("disposition:qms1:" + id), Q: event.Quantity{Value: event.Decimal(q), Unit: "kg"},
		Decision: d, SignedBy: "eve", Reason: "all results in limits", DecidedAt: event.At(time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)),
	}
}

func held(lot, id string) *event.HoldPlaced {
	return &event.HoldPlaced{
		MayLot: event.MayLot{Lot: event.LotKey(lot)}, HoldID: event.ObjectID("hold:mes:" + id), HoldKind: event.HoldQuality, Reason: "scratches",
		PlacedBy: "bob", PlacedAt: event.At(time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)), Authority: event.AuthorityQuality,
	}
}

func freed(lot, id string) *event.HoldLifted {
	return &event.HoldLifted{
		MayLot: event.MayLot{Lot: event.LotKey(lot)}, HoldID: event.ObjectID("hold:mes:" + id), LiftedBy: "eve", Reason: "polished",
		LiftedAt: event.At(time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)), Authority: event.AuthorityQuality,
	}
}

func accepted(lot string, d event.EvidenceAccepted, by ...event.Name) *event.EvidenceAccepted {
	d.Lot, d.By, d.Reason = event.LotKey(lot), by, "the paper records were read"
	for _, name := range by {
		d.Signatures = append(d.Signatures, event.Signature{
			By: name, PrintedName: name, Meaning: "accepted", At: event.At(time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)), RecordHash: event.Hash(strings.Repeat("a", 64)),
		})
	}
	return &d
}

const lotA = "lot::M:A"

// inspectedLot makes lot A at p1, which is inspected and waits for a decision.
func (m *mesh) inspectedLot() *gateway {
	m.t.Helper()
	g := m.gateway("p1", "gw1")
	m.want(g.send("made", made(lotA, "MI")), Accepted)
	m.want(g.send("planned", planned(lotA, "1")), Accepted)
	m.want(g.send("completed", completed(lotA, "1", event.VerdictPass)), Accepted)
	m.work()
	m.state(lotA, quality.AwaitingDisposition)
	return g
}

// released takes lot A all the way.
func (m *mesh) releasedLot() *gateway {
	m.t.Helper()
	g := m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.work()
	m.state(lotA, quality.Released)
	return g
}
