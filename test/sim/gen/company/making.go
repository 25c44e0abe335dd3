package company

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// making is a lot while it is made up.
type making struct {
	g       *generator
	site    *dialect.Site // that makes it
	other   *dialect.Site // that inspects it finally; mostly the same
	machine string
	line    bool // the machine reports over OPC UA
	story   story
	lot     Lot
	began   time.Duration // since the start
	failed  map[string]bool
	decided int // dispositions so far
}

const specRevision = "3"

// make makes up all facts and acts of the lot.
func (m *making) make() {
	p := &m.g.plan
	m.promise()
	m.say(m.site, dialect.Made{Of: m.of(m.site, 0), Kilograms: "500", Order: m.order(), Equipment: m.machine})
	m.ran(m.site, m.machine, time.Millisecond, time.Duration(p.Parts)*p.Every)
	m.planned(m.site, m.inProcess(), "in_process", 2*time.Millisecond)
	m.planned(m.other, m.final(), "final", 3*time.Millisecond)
	m.parts()
	end := time.Duration(p.Parts) * p.Every
	results := 2 * p.Parts
	if m.line {
		results = p.Parts
	}
	m.completed(m.site, m.inProcess(), "in_process", end+5*time.Millisecond, results)
	end = m.inspected(end + p.Every)
	m.holds(end)
	m.decisions(end)
	m.lot.Plants = []string{m.site.Plant}
	if m.other != m.site {
		m.lot.Plants = append(m.lot.Plants, m.other.Plant)
		slices.Sort(m.lot.Plants)
	}
}

func (m *making) at(offset time.Duration) time.Time {
	return m.g.plan.Start.Add((m.began + offset).Truncate(time.Millisecond))
}

func (m *making) of(site *dialect.Site, offset time.Duration) dialect.Of {
	return dialect.Of{Record: m.g.record(site), Lot: m.lot.Number, Material: m.lot.Material, At: m.at(offset)}
}

func (m *making) say(site *dialect.Site, f dialect.Fact) {
	m.lot.facts = append(m.lot.facts, said{site: site, fact: f})
}

func (m *making) inProcess() string { return dialect.InProcess(m.lot.Number) }
func (m *making) final() string     { return "FI-" + m.lot.Number }
func (m *making) order() string     { return "WO-" + m.lot.Number }

// ran says that a machine works on the lot from one moment to another.
func (m *making) ran(site *dialect.Site, machine string, from, to time.Duration) {
	run := dialect.Ran{Of: m.of(site, from), Run: "RUN-" + m.lot.Number + "-" + machine, Order: m.order(), Equipment: machine}
	m.say(site, run)
	run.Of, run.Ended = m.of(site, to), true
	m.say(site, run)
	m.lot.Runs = append(m.lot.Runs, Run{Plant: site.Plant, Machine: machine, From: m.at(from), To: m.at(to)})
}

func (m *making) planned(site *dialect.Site, inspection, kind string, offset time.Duration) {
	m.say(site, dialect.Planned{Of: m.of(site, offset), Inspection: inspection, Type: kind, SpecRev: specRevision, Due: m.at(offset + 24*time.Hour)})
}

func (m *making) completed(site *dialect.Site, inspection, kind string, offset time.Duration, results int) {
	verdict := "pass"
	if m.failed[inspection] {
		verdict = "fail"
	}
	m.say(site, dialect.Completed{Of: m.of(site, offset), Inspection: inspection, Type: kind, SpecRev: specRevision, Verdict: verdict, Results: results})
}

// parts makes up what the machine reports: one reading of each of two characteristics per part.
func (m *making) parts() {
	p := &m.g.plan
	special := 1 + m.g.random.IntN(p.Parts-2) // the part that the story is about; neither the first nor the last
	for part := range p.Parts {
		offset := p.Every*time.Duration(part) + p.Every/2
		about := part == special
		for i := range p.Signals {
			m.say(m.site, dialect.Sampled{
				Equipment: m.machine, Tag: "force", Value: number2(80000 + m.noise(5000)), Unit: "N", At: m.at(offset + time.Duration(i+1)*time.Millisecond),
			})
		}
		if m.line {
			m.part(offset, about)
			continue
		}
		if m.story == garbled && about {
			m.say(m.site, dialect.Garbled{Equipment: m.machine, At: m.at(offset + 7*time.Millisecond)})
		}
		m.readings(part, offset, about)
	}
}

// readings are those of one part.
func (m *making) readings(part int, offset time.Duration, about bool) {
	for _, name := range []string{"depth", "torque"} {
		r := m.reading(m.site, m.machine, m.inProcess(), name, part+1, offset)
		mine := about && name == "depth"
		switch {
		case about && name == "torque" && m.story == unsafe, mine && m.story == failing:
			r.Value = m.beyond(r.LSL, r.USL)
		case mine && m.story == wrongUnit:
			r.WrongUnit = true
		case mine && m.story == corrected:
			m.correction(r)
			continue
		case mine && m.story == contrary:
			m.contradicted(r)
			continue
		case mine && m.story == lateFail:
			r.Value = m.beyond(r.LSL, r.USL)
			m.late(r)
			continue
		}
		m.measured(m.site, r)
	}
}

// part is one part of a press line.
func (m *making) part(offset time.Duration, about bool) {
	key := m.site.Plant + "/" + m.machine
	m.g.series[key]++
	l, _ := dialect.LimitsOf("torque")
	torque := m.good(l.LSL, l.USL)
	if about && m.story == unsafe {
		torque = m.over(l.LSL, l.USL)
		m.failed[m.inProcess()] = true
	}
	m.lot.facts = append(m.lot.facts, said{
		site: m.site, line: m.machine, missed: about && m.story == missing,
		part: &plant.Part{
			Lot: m.lot.Number, Material: m.lot.Material, Seq: m.g.series[key], Values: []float64{float64(torque) / 100}, At: m.at(offset),
		},
	})
}

// reading is a good one, near the middle of its limits.
func (m *making) reading(site *dialect.Site, machine, inspection, name string, sample int, offset time.Duration) dialect.Measured {
	l, _ := dialect.LimitsOf(name)
	return dialect.Measured{
		Of: m.of(site, offset), Rev: 1, Inspection: inspection, Characteristic: name, Sample: sample, Value: number2(m.good(l.LSL, l.USL)),
		Unit: l.Unit, LSL: l.LSL, USL: l.USL, Safety: l.Safety, Equipment: machine,
	}
}

// measured says a reading, and notes what it makes of its inspection. A reading in a unit that nobody knows judges
// nothing.
func (m *making) measured(site *dialect.Site, r dialect.Measured) {
	if !r.WrongUnit && dialect.Outside(r.Value, r.LSL, r.USL) {
		m.failed[r.Inspection] = true
	}
	m.say(site, r)
}

// correction is a reading and, one part later, its correction; one of the two is out of limits. Neither a pass after a
// failure nor the other way round makes the failure unsaid.
func (m *making) correction(r dialect.Measured) {
	again := r
	again.Rev = 2
	again.Record, again.At = r.Record, r.At.Add(m.g.plan.Every)
	if m.g.chance(500) {
		r.Value = m.beyond(r.LSL, r.USL)
	} else {
		again.Value = m.beyond(r.LSL, r.USL)
	}
	m.measured(m.site, r)
	m.measured(m.site, again)
}

// contradicted is a reading and, one part later, the same record with another value: one of the two is not true, and
// nobody can tell which.
func (m *making) contradicted(r dialect.Measured) {
	again := r
	again.Value = number2(hundredths(r.Value) + 1)
	m.measured(m.site, r)
	m.lot.facts = append(m.lot.facts, said{site: m.site, fact: again, late: m.g.plan.Every})
}

// late is a reading that leaves its machine only after everything is decided. Its inspection was completed without it.
func (m *making) late(r dialect.Measured) {
	m.lot.facts = append(m.lot.facts, said{site: m.site, fact: r, late: m.settled() + m.g.plan.Delay - r.At.Sub(m.at(0))})
}

// settled returns when the last decision on the lot has been made, from its beginning.
func (m *making) settled() time.Duration {
	p := &m.g.plan
	return time.Duration(p.Parts+3)*p.Every + 2*p.Delay
}

// inspected makes up the final inspection and returns when it ended, from the lot's beginning.
func (m *making) inspected(offset time.Duration) time.Duration {
	every := m.g.plan.Every
	fails := m.story == failFinal || m.story == reinspect
	end := offset + every/2
	if m.story != reinspect {
		m.ran(m.other, dialect.Lab, offset-time.Millisecond, end+time.Millisecond)
		m.examine(m.final(), "final", offset, fails)
		return end
	}
	m.ran(m.other, dialect.Lab, offset-time.Millisecond, end+every+time.Millisecond)
	m.examine(m.final(), "final", offset, fails)
	again := "RE-" + m.lot.Number
	m.planned(m.other, again, "reinspection", end+2*time.Millisecond)
	m.say(m.other, dialect.Superseded{Of: m.of(m.other, end+4*time.Millisecond), Inspection: m.final(), By: again, Reason: "measured again on another gauge"})
	m.examine(again, "reinspection", end+every/2, false)
	end += every
	m.act(Act{Offset: end + m.g.plan.Delay/2, In: InHoldfast, Kind: Lift, By: "alice", Reason: "the re-inspection has passed", Needs: m.other.Object("inspection", again)})
	return end
}

// examine measures the finished lot in the laboratory and completes the inspection.
func (m *making) examine(inspection, kind string, offset time.Duration, fails bool) {
	names := []string{"flatness", "length"}
	for i, name := range names {
		r := m.reading(m.other, dialect.Lab, inspection, name, 1, offset+time.Duration(i)*5*time.Millisecond)
		if fails && name == "length" {
			r.Value = m.beyond(r.LSL, r.USL)
		}
		m.measured(m.other, r)
	}
	m.completed(m.other, inspection, kind, offset+m.g.plan.Every/2, len(names))
}

// holds are those of an operator. Decided before end, the engineer knows nothing of them.
func (m *making) holds(end time.Duration) {
	p := &m.g.plan
	var at time.Duration
	switch m.story {
	case held, lifted:
		at = time.Duration(m.g.random.IntN(p.Parts-2)) * p.Every
	case heldLate:
		at = end + p.Delay/2 + time.Duration(m.g.random.Int64N(int64(2*p.Delay)))
	default:
		return
	}
	id := "H-" + m.lot.Number
	m.say(m.site, dialect.Held{Of: m.of(m.site, at+11*time.Millisecond), Hold: id, Reason: "oil on the part", By: "operator 7"})
	if m.story == lifted {
		m.say(m.site, dialect.Lifted{Of: m.of(m.site, at+p.Every+13*time.Millisecond), Hold: id, Reason: "cleaned and seen", By: "operator 7"})
	}
}

// decisions are the engineer's.
func (m *making) decisions(end time.Duration) {
	p := &m.g.plan
	at := end + p.Delay + time.Duration(m.g.random.Int64N(int64(p.Delay)))
	switch m.story {
	case undecided, unknownMat:
	case rejected, repealed:
		m.decide(at, event.DecisionReject, "scratches all over")
	case reworked:
		m.decide(at, event.DecisionRework, "to be deburred")
	case failing, unsafe, failFinal, corrected:
		if d := m.afterFailure(); d != "" {
			m.decide(at, d, "a part failed")
		}
	default:
		m.decide(at, event.DecisionRelease, "all inspections have passed")
	}
	switch m.story {
	case repealed:
		m.decide(at+p.Delay, event.DecisionRelease, "the scratches are on the foil")
	case takenBack:
		m.decide(at+p.Delay, event.DecisionReject, "the gauge was wrong")
	case foreign:
		m.act(Act{Offset: time.Duration(p.Parts) * p.Every, In: InERP, Kind: Restrict, By: "planner", Reason: "kept back for an audit"})
	}
}

// afterFailure is what the engineer makes of a lot that failed; empty = nothing yet.
func (m *making) afterFailure() event.Decision {
	switch draw := m.g.random.IntN(4); {
	case draw < 2:
		return event.DecisionReject
	case draw == 2:
		return event.DecisionRework
	}
	return ""
}

// decide signs a disposition; a second one takes the place of the first.
func (m *making) decide(offset time.Duration, d event.Decision, reason string) {
	m.decided++
	id := fmt.Sprintf("D-%s-%s-%d", m.lot.Plant, m.lot.Number, m.decided)
	a := Act{Offset: offset, In: InQMS, Kind: Decide, Disposition: id, Decision: d, By: "quinn", Reason: reason, Q: "500"}
	if m.decided > 1 {
		a.Kind, a.Supersedes = Revise, fmt.Sprintf("D-%s-%s-%d", m.lot.Plant, m.lot.Number, m.decided-1)
	}
	m.act(a)
}

// promise promises the lot to a customer, soon after it has begun.
func (m *making) promise() {
	if !m.g.chance(m.g.plan.Ordered) {
		return
	}
	in := time.Duration(2+m.g.random.IntN(5)) * 24 * time.Hour
	hurried := m.g.chance(m.g.plan.Hurried)
	if hurried {
		in = time.Duration(30+m.g.random.IntN(90)) * time.Minute
	}
	o := Order{
		ID: "SO-" + m.lot.Plant + "-" + m.lot.Number, Line: "10", Customer: fmt.Sprintf("customer %d", 1+m.g.random.IntN(20)),
		PromisedAt: m.at(in), hurried: hurried,
	}
	m.lot.Orders = append(m.lot.Orders, o)
	m.act(Act{Offset: time.Millisecond, In: InOrders, Kind: Allocate, Order: o, By: "sales", Q: "500"})
}

// act adds what a person does, at an offset from the lot's beginning.
func (m *making) act(a Act) {
	a.Offset += m.began
	a.Lot, a.Plant, a.Material, a.Number = m.lot.Key, m.lot.Plant, m.lot.Material, m.lot.Number
	m.lot.acts = append(m.lot.acts, a)
}

// good is a value near the middle of its limits, in hundredths: whole numbers give the same digits on every processor.
func (m *making) good(lsl, usl string) int {
	low, high := hundredths(lsl), hundredths(usl)
	return (low+high)/2 + m.noise((high-low)/4)
}

// over is a value above the upper limit by a twentieth of the width at least, in hundredths.
func (m *making) over(lsl, usl string) int {
	low, high := hundredths(lsl), hundredths(usl)
	return high + 1 + (high-low)/20 + m.g.random.IntN(high-low)
}

func (m *making) beyond(lsl, usl string) string { return number2(m.over(lsl, usl)) }

// noise is a sum of three draws, so that small ones are the most frequent. It stays within most, on both sides.
func (m *making) noise(most int) (sum int) {
	for range 3 {
		sum += m.g.random.IntN(2*(most/3)+1) - most/3
	}
	return sum
}

// number2 writes hundredths.
func number2(v int) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }

// hundredths reads a decimal with two digits after the point.
func hundredths(decimal string) (v int) {
	for _, c := range decimal {
		if c != '.' {
			v = 10*v + int(c-'0')
		}
	}
	return v
}
