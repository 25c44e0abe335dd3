package gen

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// The one characteristic of the press that safety depends on, and one that it does not depend on.
const (
	safety = "torque"
	other  = "depth"
)

// limits of a characteristic, in hundredths of the unit: whole numbers give the same digits on every processor. A part
// is good from lower to upper, both included.
type limits struct {
	lower, upper int
	unit         string
}

func limitsOf(characteristic string) limits {
	if characteristic == safety {
		return limits{4000, 5000, "N.m"}
	}
	return limits{1150, 1250, "mm"}
}

// generator makes up one stream.
type generator struct {
	plan   Plan
	random *rand.Rand
	out    Stream
}

// Generate returns the stream of a seed and a plan. It is a pure function.
func Generate(seed uint64, plan Plan) (Stream, error) {
	g := &generator{plan: plan, random: rand.New(rand.NewPCG(seed, 0x686f6c6466617374))}
	for i := range plan.Lots {
		if err := g.lot(i); err != nil {
			return Stream{}, err
		}
	}
	g.disturb()
	return g.out, nil
}

// chance is true in so many of a thousand cases.
func (g *generator) chance(inThousand int) bool { return g.random.IntN(1000) < inThousand }

// story is what happens to a lot.
type story string

const (
	plain       story = ""
	drifting    story = "drifting"
	unsafe      story = "unsafe"
	failing     story = "failing"
	corrected   story = "corrected"
	wrongUnit   story = "wrong unit"
	unknownCode story = "unknown code"
	garbled     story = "garbled"
)

func (g *generator) story() story {
	draw := g.random.IntN(1000)
	for _, s := range []struct {
		story
		share int
	}{
		{drifting, g.plan.Drifting},
		{unsafe, g.plan.Unsafe},
		{failing, g.plan.Failing},
		{corrected, g.plan.Corrected},
		{wrongUnit, g.plan.WrongUnit},
		{unknownCode, g.plan.UnknownCode},
		{garbled, g.plan.Garbled},
	} {
		if draw -= s.share; draw < 0 {
			return s.story
		}
	}
	return plain
}

// lot makes up one lot: what is sent of it, and what must come of it.
func (g *generator) lot(i int) error {
	s := g.story()
	m := &making{g: g, story: s, began: time.Duration(i*g.plan.Parts) * g.plan.Every, failed: map[string]bool{}}
	m.lot = Lot{Number: fmt.Sprintf("L-%05d", g.plan.First+i+1), Material: "MAT-100", Want: Free}
	unit := "kg"
	switch s {
	case unknownCode:
		m.lot.Material = "MAT-999"
		m.comesTo(InInspection, "its material is not known, so somebody has to decide about it")
	case wrongUnit:
		unit = "L"
		m.waits("its creation is in litres, its material is counted in kilograms")
	}
	m.publish(plant.TopicLot, 0, plant.Lot{
		Record: m.record("LOT"), Lot: m.lot.Number, Material: m.lot.Material, Qty: "500", Unit: unit,
		Order: strconv.Itoa(4711 + i), Equipment: "press4", At: g.at(m.began),
	})
	m.parts()
	if !m.lot.Waits && g.chance(g.plan.Held) {
		m.hold(g.chance(g.plan.Lifted))
	}
	g.out.Lots = append(g.out.Lots, m.lot)
	return m.err
}

func (g *generator) at(offset time.Duration) string { return plant.Stamp(g.plan.Start.Add(offset)) }

// making is a lot while it is made up.
type making struct {
	g      *generator
	story  story
	lot    Lot
	began  time.Duration
	failed map[string]bool // inspections

	records int // so far
	err     error
}

// record returns the id of a new record of the plant's systems.
func (m *making) record(kind string) string {
	m.records++
	return fmt.Sprintf("%s-%s-%03d", kind, m.lot.Number, m.records)
}

// comesTo says what a fact asks for; the strictest fact wins.
func (m *making) comesTo(want State, why string) {
	order := []State{Free, Restricted, InInspection, Blocked}
	if slices.Index(order, want) > slices.Index(order, m.lot.Want) {
		m.lot.Want = want
	}
	m.lot.Why = append(m.lot.Why, why)
}

func (m *making) waits(why string) {
	m.lot.Waits = true
	m.lot.Why = append(m.lot.Why, why)
}

// parts makes up all readings of the lot: one of each characteristic per part.
func (m *making) parts() {
	n := m.g.plan.Parts
	special := m.g.random.IntN(max(n, 1)) // the part that the story is about
	unsafeToo := m.g.chance(500)
	for part := range n {
		for i := range m.g.plan.Signals {
			at := m.partAt(part) + m.g.plan.Every*time.Duration(i)/time.Duration(m.g.plan.Signals)
			force := plant.Signal{Tag: "force", Value: number(80000 + m.noise(5000)), Unit: "N", At: m.g.at(at)}
			m.publish(plant.TopicSignal, at-m.began, force)
		}
		for _, characteristic := range []string{safety, other} {
			r := m.reading(part, characteristic)
			about := part == special
			switch {
			case m.story == unsafe && about && characteristic == safety,
				(m.story == garbled || m.story == wrongUnit) && about && unsafeToo && characteristic == safety:
				r.Value = m.beyond(characteristic)
			case m.story == failing && about && characteristic == other:
				r.Value = m.beyond(characteristic)
			case m.story == garbled && about:
				r.Value = "n/a"
				m.waits("a reading of it says n/a")
			case m.story == corrected && about && characteristic == other:
				m.correction(part, r)
				continue
			case m.story == drifting && characteristic == other:
				r.Value = m.drift(part)
			}
			m.send(part, r, 0)
		}
	}
}

// reading is a good one, near the middle of its limits.
func (m *making) reading(part int, characteristic string) plant.Result {
	l := limitsOf(characteristic)
	middle, width := (l.lower+l.upper)/2, l.upper-l.lower
	inspection := 1
	if 2*part >= m.g.plan.Parts {
		inspection = 2
	}
	return plant.Result{
		Record: m.record("R"), Rev: 1, Lot: m.lot.Number, Material: m.lot.Material,
		Inspection: fmt.Sprintf("INS-%s-%d", m.lot.Number, inspection), Characteristic: characteristic, Sample: part + 1,
		Value: number(middle + m.noise(width/4)), Unit: l.unit,
		LSL: number(l.lower), USL: number(l.upper), Safety: characteristic == safety, At: m.g.at(m.partAt(part)),
	}
}

// number writes hundredths.
func number(v int) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }

// noise is a sum of three draws, so that small ones are the most frequent. It stays within most, on both sides.
func (m *making) noise(most int) (sum int) {
	for range 3 {
		sum += m.g.random.IntN(2*most/3+1) - most/3
	}
	return sum
}

func (m *making) partAt(part int) time.Duration { return m.began + time.Duration(part)*m.g.plan.Every }

// beyond is a value over the upper limit by a twentieth of the width at least.
func (m *making) beyond(characteristic string) string {
	l := limitsOf(characteristic)
	width := l.upper - l.lower
	return number(l.upper + width/20 + m.g.random.IntN(width))
}

// drift creeps from the middle to a fifth of the width over the upper limit; the noise is small against that.
func (m *making) drift(part int) string {
	l := limitsOf(other)
	width := l.upper - l.lower
	return number((l.lower+l.upper)/2 + 7*width*(part+1)/(10*m.g.plan.Parts) + m.noise(width/50))
}

// correction sends a reading and, some parts later, its correction; one of the two is beyond its limit. Neither a pass
// after a failure nor the other way round makes the failure unsaid.
func (m *making) correction(part int, r plant.Result) {
	again := r
	again.Rev = 2
	if m.g.chance(500) {
		r.Value = m.beyond(r.Characteristic)
	} else {
		again.Value = m.beyond(r.Characteristic)
	}
	m.send(part, r, 0)
	m.send(part, again, 3*m.g.plan.Every)
}

// send publishes a reading and notes what it asks for. It judges the text that is sent.
func (m *making) send(part int, r plant.Result, later time.Duration) {
	m.publish(plant.TopicResult, m.partAt(part)-m.began+later, r)
	v, err := strconv.ParseFloat(r.Value, 64)
	l := limitsOf(r.Characteristic)
	if err != nil || v >= float64(l.lower)/100 && v <= float64(l.upper)/100 {
		return
	}
	if !m.failed[r.Inspection] {
		m.failed[r.Inspection] = true
		m.lot.Failed = append(m.lot.Failed, r.Inspection)
		m.lot.Holds++
	}
	want := Restricted
	if r.Safety {
		want = Blocked
	}
	m.comesTo(want, fmt.Sprintf("part %d: %s %s is outside %s to %s", r.Sample, r.Characteristic, r.Value, r.LSL, r.USL))
}

// hold is an operator's, somewhere in the lot's time; a lift of it follows some parts later.
func (m *making) hold(lifted bool) {
	part := m.g.random.IntN(max(m.g.plan.Parts, 1))
	record := m.record("H")
	m.publish(plant.TopicHold, m.partAt(part)-m.began, plant.Hold{
		Record: record, Lot: m.lot.Number, Material: m.lot.Material, Reason: "oil on the part", By: "operator 7", At: m.g.at(m.partAt(part)),
	})
	m.lot.Holds++
	if !lifted {
		m.comesTo(Restricted, "an operator holds it")
		return
	}
	m.lot.Why = append(m.lot.Why, "an operator held it and lifted the hold")
	m.publish(plant.TopicLift, m.partAt(part+5)-m.began, plant.Lift{
		Record: m.record("H"), Hold: record, Lot: m.lot.Number, Material: m.lot.Material, Reason: "cleaned and seen", By: "operator 7",
		At: m.g.at(m.partAt(part + 5)),
	})
}

// publish adds a message, at an offset from the lot's beginning.
func (m *making) publish(topic string, offset time.Duration, v any) {
	payload, err := json.Marshal(v)
	if err != nil {
		m.err = err
	}
	m.g.out.Messages = append(m.g.out.Messages, Message{Offset: m.began + offset, Topic: topic, Payload: payload})
}

// disturb sends some messages twice, some late, and lets some overtake each other. What they say stays.
func (g *generator) disturb() {
	byOffset := func(a, b Message) int { return cmp.Compare(a.Offset, b.Offset) }
	slices.SortStableFunc(g.out.Messages, byOffset)
	for i := range g.out.Messages {
		m := &g.out.Messages[i]
		if g.chance(g.plan.Late) {
			m.Offset += g.later(30)
		}
		if g.chance(g.plan.Duplicated) {
			again := *m
			again.Offset += g.later(20)
			g.out.Messages = append(g.out.Messages, again)
		}
		if next := i + 1; next < len(g.out.Messages) && g.chance(g.plan.Swapped) {
			n := &g.out.Messages[next]
			m.Offset, n.Offset = n.Offset, m.Offset
		}
	}
	slices.SortStableFunc(g.out.Messages, byOffset)
}

func (g *generator) later(parts int) time.Duration {
	return time.Duration(1+g.random.IntN(parts)) * g.plan.Every
}
