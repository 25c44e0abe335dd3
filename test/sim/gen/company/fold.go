package company

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// folded is a lot while its facts are gone through in the order in which they leave the plants and people act.
type folded struct {
	lot  *Lot
	want Want

	open      map[string]event.UsageStatus // holds, by case or id: what each of them asks for
	released  bool                         // it could have been freed at some time
	byHand    bool                         // somebody restricted it in the ERP
	decisions map[string]event.Decision    // that count, by id
	values    map[string]string            // read so far, by record and revision
}

// step is a fact or an act, at its time.
type step struct {
	at   time.Duration
	said *said
	act  *Act
}

// Fold works out what must come of a lot from what is said about it and done to it, without the machine faults of other
// lots. Start is that of the plan.
//
// A hold is a set member: the strictest one rules. A failed reading holds its lot, once for each inspection, and no
// later reading makes it unsaid. The newest signed disposition counts. A lot is free when a release says so, nothing
// holds it, no message of it is unread and its machine was seen all the time.
func Fold(l *Lot, start time.Time) Want {
	f := &folded{lot: l, open: map[string]event.UsageStatus{}, decisions: map[string]event.Decision{}, values: map[string]string{}}
	for _, s := range timeline(l, start) {
		switch {
		case s.act != nil:
			f.done(s.act)
		case s.said.part != nil:
			f.reported(s.said)
		default:
			f.stated(s.said)
		}
		f.released = f.released || f.free()
	}
	return f.end()
}

// Missing returns what must come of the lot where some parts of its press line were made and not reported, too.
func (l *Lot) Missing(start time.Time, gone func(line string, seq int64) bool) Want {
	seen := *l
	seen.facts = slices.Clone(l.facts)
	for i := range seen.facts {
		if s := &seen.facts[i]; s.part != nil {
			s.missed = s.missed || gone(s.line, s.part.Seq)
		}
	}
	return Fold(&seen, start)
}

func timeline(l *Lot, start time.Time) []step {
	var all []step
	for i := range l.facts {
		s := &l.facts[i]
		at := s.late
		if s.part != nil {
			at += s.part.At.Sub(start)
		} else {
			at += s.fact.When().Sub(start)
		}
		all = append(all, step{at: at, said: s})
	}
	for i := range l.acts {
		all = append(all, step{at: l.acts[i].Offset, act: &l.acts[i]})
	}
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return all
}

// stated takes in a fact that a system put into words.
func (f *folded) stated(s *said) {
	switch fact := s.fact.(type) {
	case dialect.Measured:
		if fact.WrongUnit {
			f.want.Quarantined++
			f.why("sample %d: %s has a unit that nobody knows", fact.Sample, fact.Characteristic)
			return
		}
		if f.contradicts(s.site, &fact) {
			f.want.Quarantined++
			f.why("sample %d: %s was read twice, differently", fact.Sample, fact.Characteristic)
			return
		}
		f.read(s.site, fact.Inspection, fact.Sample, fact.Characteristic, fact.Value, fact.LSL, fact.USL, fact.Safety)
	case dialect.Completed:
		f.want.Inspections++
		if fact.Verdict != "pass" {
			f.fails(s.site.System+":"+fact.Inspection, event.Restricted)
		}
	case dialect.Held:
		f.want.Placed++
		f.open[fact.Hold] = event.Restricted
		f.why("an operator held it")
	case dialect.Lifted:
		delete(f.open, fact.Hold)
		f.why("the operator lifted the hold")
	}
}

// contradicts tells whether a record was read before with another value. The first one stands, the other waits for a
// person.
func (f *folded) contradicts(site *dialect.Site, r *dialect.Measured) bool {
	record := fmt.Sprintf("%s %s %d", site.Plant, r.Record, r.Rev)
	value, known := f.values[record]
	f.values[record] = r.Value
	return known && value != r.Value
}

// reported takes in a part of a press line. One that is not reported is seen by the next one's number.
func (f *folded) reported(s *said) {
	if s.missed {
		f.want.Gaps++
		f.why("part %d of %s was not reported", s.part.Seq, s.line)
		return
	}
	l, _ := dialect.LimitsOf("torque")
	f.read(s.site, dialect.InProcess(s.part.Lot), int(s.part.Seq), "torque", fmt.Sprintf("%.2f", s.part.Values[0]), l.LSL, l.USL, l.Safety)
}

// read judges a reading.
func (f *folded) read(site *dialect.Site, inspection string, sample int, name, value, lsl, usl string, safety bool) {
	if !dialect.Outside(value, lsl, usl) {
		return
	}
	f.why("sample %d: %s %s is outside %s to %s", sample, name, value, lsl, usl)
	usage := event.Restricted
	if safety {
		usage = event.Blocked
	}
	f.fails(site.System+":"+inspection, usage)
}

// fails holds the lot for a failed inspection. One inspection holds it once, with the strictest of its failures.
func (f *folded) fails(of string, usage event.UsageStatus) {
	if !slices.Contains(f.want.Cases, of) {
		f.want.Cases = append(f.want.Cases, of)
	}
	before, isOpen := f.open[of]
	if !isOpen {
		f.want.Placed++
	}
	f.open[of] = stricter(before, usage)
}

// done takes in what a person did.
func (f *folded) done(a *Act) {
	switch a.Kind {
	case Decide, Revise:
		delete(f.decisions, a.Supersedes)
		f.decisions[a.Disposition] = a.Decision
		f.why("%s decided %s", a.By, a.Decision)
	case Restrict:
		f.byHand = true
		f.why("%s restricted it in the ERP", a.By)
	case Lift:
		clear(f.open)
		f.why("%s lifted its holds", a.By)
	case Allocate:
	}
}

// decided is what all decisions that count ask for; empty = none of them.
func (f *folded) decided() (d event.Decision, usage event.UsageStatus) {
	usage = event.InInspection
	for _, one := range f.decisions {
		d = one
		switch one {
		case event.DecisionRelease:
			usage = event.Unrestricted
		case event.DecisionReject, event.DecisionScrap, event.DecisionReturn:
			return one, event.Blocked
		default:
			return one, event.Restricted
		}
	}
	return d, usage
}

func (f *folded) free() bool {
	_, usage := f.decided()
	return usage == event.Unrestricted && len(f.open) == 0 && !f.byHand && f.want.Quarantined == 0 && f.want.Gaps == 0
}

// end sums up.
func (f *folded) end() Want {
	w := f.want
	w.Decision, w.Usage = f.decided()
	if w.Usage == event.Unrestricted && !f.free() {
		w.Usage = event.InInspection // nobody has freed it, and nobody may now
	}
	for _, usage := range f.open {
		w.Usage = stricter(w.Usage, usage)
	}
	if f.byHand {
		w.Usage = stricter(w.Usage, event.Restricted)
	}
	w.Open = len(f.open)
	for wait, is := range map[Wait]bool{
		WaitsHold: w.Open > 0, WaitsGap: w.Gaps > 0, WaitsQuarantine: w.Quarantined > 0, WaitsForeign: f.byHand,
	} {
		if is {
			w.Waits = append(w.Waits, wait)
		}
	}
	slices.Sort(w.Waits)
	f.gate(&w)
	for _, o := range f.lot.Orders {
		w.Notices = append(w.Notices, f.notice(&w, o))
	}
	return w
}

// gate says how often the warehouse may be told that it may go on. A hold that comes about when the release does may
// come before or after it; so may one whose message waits at a gateway that is down.
func (f *folded) gate(w *Want) {
	w.Gate = Closed
	if w.Free() {
		w.Gate, w.Opened = Opened, exactly(1)
		if w.Placed > 0 {
			w.Opened.Most++
		}
		return
	}
	if f.released || w.Decision == event.DecisionRelease && w.Open > 0 {
		w.Opened.Most = 1
	}
}

// notice says what customer service is told about an order. A date at risk and a hold are two matters: each has its own
// message, and its own all-clear. A hold that is lifted before anybody was told may pass in silence.
func (f *folded) notice(w *Want, o Order) Notice {
	n := Notice{Order: o.ID, Line: o.Line}
	if o.hurried {
		n.AtRisk.Most, n.Clear.Most = 1, 1
	}
	switch {
	case w.Placed == 0:
	case w.Open > 0:
		n.Held = exactly(1)
	default:
		n.Held.Most = 1
		if w.Free() {
			n.Clear.Most++
		}
	}
	return n
}

func (f *folded) why(format string, args ...any) {
	f.want.Why = append(f.want.Why, fmt.Sprintf(format, args...))
}

// stricter returns the one that forbids more.
func stricter(a, b event.UsageStatus) event.UsageStatus {
	order := []event.UsageStatus{"", event.Unrestricted, event.InInspection, event.Restricted, event.Blocked}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// expect works out what must come of every lot, the faults of its machine included.
func (g *generator) expect() {
	for i := range g.out.Lots {
		g.out.Lots[i].Want = Fold(&g.out.Lots[i], g.plan.Start)
	}
	byMachine := map[string][]*Lot{}
	for i := range g.out.Lots {
		l := &g.out.Lots[i]
		for _, r := range l.Runs {
			byMachine[r.Plant+"/"+r.Machine] = append(byMachine[r.Plant+"/"+r.Machine], l)
		}
	}
	for i := range g.out.Lots {
		for _, s := range g.out.Lots[i].facts {
			if broken, ok := s.fact.(dialect.Garbled); ok {
				g.touch(s.site.Plant, broken, byMachine[s.site.Plant+"/"+broken.Equipment], &g.out.Lots[i])
			}
		}
	}
}

// touch marks the lots that a message that broke off concerns: where no gateway is ever down its own, else all that were
// on the machine until it may have come in.
func (g *generator) touch(plant string, broken dialect.Garbled, lots []*Lot, own *Lot) {
	if g.plan.Slack == 0 {
		own.Want.Gaps++
		own.Want.Why = append(own.Want.Why, "a message of its machine broke off")
		own.Want.Waits = append(own.Want.Waits, WaitsGap)
		slices.Sort(own.Want.Waits)
		if own.Want.Free() {
			own.Want.Usage, own.Want.Gate, own.Want.Opened = event.InInspection, Closed, exactly(0)
			for i := range own.Want.Notices {
				own.Want.Notices[i].Clear = exactly(0)
			}
		}
		return
	}
	from, until := broken.At, broken.At.Add(g.plan.Slack)
	for _, l := range lots {
		there := slices.ContainsFunc(l.Runs, func(r Run) bool {
			return r.Plant == plant && r.Machine == broken.Equipment && !r.To.Before(from) && !r.From.After(until)
		})
		if !there || !l.Want.Free() {
			continue
		}
		l.Want.Maybe = true
		l.Want.Opened.Least = 0
		for i := range l.Want.Notices {
			l.Want.Notices[i].Clear.Least = 0
		}
	}
}
