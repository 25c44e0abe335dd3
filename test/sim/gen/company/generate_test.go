package company

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// calm has no story but the plain one, and no disturbance.
func calm() Plan {
	return Plan{
		Start: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC), Lots: 50, Parts: 4, Every: 400 * time.Millisecond, Pause: 1600 * time.Millisecond,
		Delay: 2 * time.Second,
	}
}

// whole has all of it.
func whole() Plan {
	p := calm()
	p.Lots, p.Signals = 120, 1
	for _, share := range []*int{
		&p.Failing, &p.Unsafe, &p.FailFinal, &p.Corrected, &p.Reinspect, &p.Held, &p.Lifted, &p.HeldLate, &p.LateFail, &p.WrongUnit, &p.Contrary, &p.Garbled,
		&p.Missing, &p.Rejected, &p.Reworked, &p.Undecided, &p.Repealed, &p.TakenBack, &p.Foreign, &p.UnknownMat,
	} {
		*share = 30
	}
	p.Shared, p.Ordered, p.Hurried, p.Duplicated, p.Late, p.Swapped = 200, 300, 200, 10, 20, 50
	return p
}

func generate(t *testing.T, seed uint64, plan Plan) *Stream {
	t.Helper()
	s, err := Generate(seed, plan)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// encode writes all of a stream: what is sent and done, and what is expected.
func encode(t *testing.T, s *Stream) []byte {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestGenerate_SameSeedSameBytes(t *testing.T) {
	one := encode(t, generate(t, 7, whole()))
	if !bytes.Equal(one, encode(t, generate(t, 7, whole()))) {
		t.Error("the same seed and plan gave two streams")
	}
	if bytes.Equal(one, encode(t, generate(t, 8, whole()))) {
		t.Error("two seeds gave the same stream")
	}
	// Another processor or Go version must give these bytes, too.
	const want = "2b9482282840848e"
	if sum := sha256.Sum256(one); hex.EncodeToString(sum[:8]) != want {
		t.Errorf("the stream of seed 7 has the sum %x, want %s: if that is meant, seeds of old reports mean nothing any more", sum[:8], want)
	}
}

// TestGenerate_Stories gives every lot one story, and looks at what each must come to.
func TestGenerate_Stories(t *testing.T) {
	only := func(n int, waits ...Wait) func(*Lot) bool {
		return func(l *Lot) bool { return len(l.Want.Cases) == n && slices.Equal(l.Want.Waits, waits) }
	}
	ends := func(usage event.UsageStatus, least, most int, more func(*Lot) bool) func(*Lot) bool {
		return func(l *Lot) bool {
			w := &l.Want
			gate := map[bool]Gate{true: Opened, false: Closed}[usage == event.Unrestricted]
			return w.Usage == usage && w.Gate == gate && w.Opened == Bounds{least, most} && more(l)
		}
	}
	one := func(usages ...event.UsageStatus) func(*Lot) bool {
		return func(l *Lot) bool {
			return slices.Contains(usages, l.Want.Usage) && l.Want.Gate == Closed && l.Want.Opened == exactly(0) && len(l.Want.Cases) == 1 && l.Want.Open == 1
		}
	}
	for name, c := range map[string]struct {
		change func(*Plan)
		want   func(*Lot) bool
	}{
		"a good lot is free":                     {func(*Plan) {}, ends(event.Unrestricted, 1, 1, only(0))},
		"a failed part restricts":                {func(p *Plan) { p.Failing = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), one(event.Restricted, event.Blocked))},
		"an unsafe part blocks":                  {func(p *Plan) { p.Unsafe = 1000 }, one(event.Blocked)},
		"a failed final inspection restricts":    {func(p *Plan) { p.FailFinal = 1000 }, one(event.Restricted, event.Blocked)},
		"a re-inspection frees":                  {func(p *Plan) { p.Reinspect = 1000 }, ends(event.Unrestricted, 1, 2, only(1))},
		"a hold restricts":                       {func(p *Plan) { p.Held = 1000 }, ends(event.Restricted, 0, 1, only(0, WaitsHold))},
		"its lift frees":                         {func(p *Plan) { p.Lifted = 1000 }, ends(event.Unrestricted, 1, 2, only(0))},
		"a hold about the release takes it back": {func(p *Plan) { p.HeldLate = 1000 }, ends(event.Restricted, 0, 1, only(0, WaitsHold))},
		"a rejected lot is blocked":              {func(p *Plan) { p.Rejected = 1000 }, ends(event.Blocked, 0, 0, only(0))},
		"one to be reworked is restricted":       {func(p *Plan) { p.Reworked = 1000 }, ends(event.Restricted, 0, 0, only(0))},
		"an undecided one stays as it is":        {func(p *Plan) { p.Undecided = 1000 }, ends(event.InInspection, 0, 0, only(0))},
		"a repealed rejection frees":             {func(p *Plan) { p.Repealed = 1000 }, ends(event.Unrestricted, 1, 1, only(0))},
		"a release that is taken back blocks":    {func(p *Plan) { p.TakenBack = 1000 }, ends(event.Blocked, 0, 1, only(0))},
		"what somebody restricts by hand stays":  {func(p *Plan) { p.Foreign = 1000 }, ends(event.Restricted, 0, 0, only(0, WaitsForeign))},
		"an unknown material is not decided":     {func(p *Plan) { p.UnknownMat = 1000 }, ends(event.InInspection, 0, 0, only(0))},
		"a missing part waits, where it is seen": {func(p *Plan) { p.Missing = 1000 }, byLine(ends(event.InInspection, 0, 0, only(0, WaitsGap)), ends(event.Unrestricted, 1, 1, only(0)))},
		"a wrong unit waits":                     {func(p *Plan) { p.WrongUnit = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), ends(event.InInspection, 0, 0, only(0, WaitsQuarantine)))},
		"contrary readings wait":                 {func(p *Plan) { p.Contrary = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), ends(event.InInspection, 0, 0, only(0, WaitsQuarantine)))},
		"a message that broke off waits":         {func(p *Plan) { p.Garbled = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), ends(event.InInspection, 0, 0, only(0, WaitsGap)))},
		"it may touch another lot if it is late": {func(p *Plan) { p.Garbled, p.Slack = 1000, 5*time.Second }, func(l *Lot) bool { return isLine(l) || l.Want.Maybe && l.Want.Opened == Bounds{0, 1} }},
		"a correction unsays no failure":         {func(p *Plan) { p.Corrected = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), one(event.Restricted, event.Blocked))},
		"a late failure takes the release back":  {func(p *Plan) { p.LateFail = 1000 }, byLine(ends(event.Unrestricted, 1, 1, only(0)), ends(event.Restricted, 0, 1, only(1, WaitsHold)))},
	} {
		t.Run(name, func(t *testing.T) {
			plan := calm()
			c.change(&plan)
			s := generate(t, 3, plan)
			for i := range s.Lots {
				if !c.want(&s.Lots[i]) {
					t.Errorf("lot %s on %s: %+v", s.Lots[i].Key, s.Lots[i].Runs[0].Machine, s.Lots[i].Want)
				}
			}
			if len(s.Lots) != plan.Lots {
				t.Errorf("%d lots", len(s.Lots))
			}
		})
	}
}

// isLine tells whether a lot is made on a line that reports over OPC UA, where some stories can't happen.
func isLine(l *Lot) bool { return strings.HasPrefix(l.Runs[0].Machine, "line") }

func byLine(line, press func(*Lot) bool) func(*Lot) bool {
	return func(l *Lot) bool {
		if isLine(l) {
			return line(l)
		}
		return press(l)
	}
}

// TestGenerate_Notices says who is told what: nobody of an order whose lot was never held, and not before the last hold
// is gone that all is clear.
func TestGenerate_Notices(t *testing.T) {
	for name, c := range map[string]struct {
		change            func(*Plan)
		risk, held, clear Bounds
	}{
		"never held":               {func(*Plan) {}, exactly(0), exactly(0), exactly(0)},
		"rejected":                 {func(p *Plan) { p.Rejected = 1000 }, exactly(0), exactly(0), exactly(0)},
		"promised for today":       {func(p *Plan) { p.Hurried = 1000 }, Bounds{0, 1}, exactly(0), Bounds{0, 1}},
		"held":                     {func(p *Plan) { p.Held = 1000 }, exactly(0), exactly(1), exactly(0)},
		"held and lifted":          {func(p *Plan) { p.Lifted = 1000 }, exactly(0), Bounds{0, 1}, Bounds{0, 1}},
		"unsafe":                   {func(p *Plan) { p.Unsafe = 1000 }, exactly(0), exactly(1), exactly(0)},
		"blocked by hand, no hold": {func(p *Plan) { p.Foreign = 1000 }, exactly(0), exactly(0), exactly(0)},
	} {
		t.Run(name, func(t *testing.T) {
			plan := calm()
			plan.Ordered = 1000
			c.change(&plan)
			for _, l := range generate(t, 3, plan).Lots {
				if len(l.Want.Notices) != 1 {
					t.Fatalf("lot %s has %d notices", l.Key, len(l.Want.Notices))
				}
				if n := l.Want.Notices[0]; n.AtRisk != c.risk || n.Held != c.held || n.Clear != c.clear {
					t.Errorf("lot %s: %+v", l.Key, n)
				}
			}
		})
	}
}

// TestGenerate_Rates compares each share with what was drawn, within four standard deviations.
func TestGenerate_Rates(t *testing.T) {
	plan := whole()
	plan.Lots, plan.Signals = 1500, 0
	s := generate(t, 11, plan)
	stories, lines, shared, ordered := map[string]int{}, 0, 0, 0
	for i := range s.Lots {
		l := &s.Lots[i]
		if isLine(l) {
			lines++
		} else {
			stories[l.Story]++
		}
		if len(l.Plants) > 1 {
			shared++
		}
		ordered += len(l.Orders)
	}
	presses := len(s.Lots) - lines
	near := func(name string, got, of, inThousand int) {
		t.Helper()
		mean := float64(of) * float64(inThousand) / 1000
		if limit := 4 * math.Sqrt(mean*(1-float64(inThousand)/1000)); math.Abs(float64(got)-mean) > limit+1 {
			t.Errorf("%s: %d of %d, want %.0f within %.0f", name, got, of, mean, limit)
		}
	}
	for _, share := range plan.shares() {
		if share.story != missing {
			near(string(share.story), stories[string(share.story)], presses, share.inThousand)
		}
	}
	near("shared", shared, 4*len(s.Lots)/5, plan.Shared)
	near("ordered", ordered, len(s.Lots), plan.Ordered)
	again, once := 0, 0
	for i := range s.Messages {
		if s.Messages[i].Again {
			again++
		} else if !s.Messages[i].Quarantined {
			once++
		}
	}
	near("duplicated", again, once, plan.Duplicated)
}

// TestGenerate_Disturbances proves that each disturbance is there, and that none changes a word of a message.
func TestGenerate_Disturbances(t *testing.T) {
	words := func(s *Stream) (all []string) {
		for i := range s.Messages {
			all = append(all, s.Messages[i].Plant+" "+s.Messages[i].Topic+" "+string(s.Messages[i].Payload))
		}
		slices.Sort(all)
		return all
	}
	said := words(generate(t, 5, calm()))
	offsets := func(s *Stream) map[event.ID]time.Duration {
		all := map[event.ID]time.Duration{}
		for i := range s.Messages {
			if m := &s.Messages[i]; !m.Again && len(m.Offers) > 0 {
				all[m.Offers[0].ID] = m.Offset
			}
		}
		return all
	}
	before := offsets(generate(t, 5, calm()))
	moved := func(s *Stream, wanted func(by time.Duration) bool) bool {
		for id, at := range offsets(s) {
			if wanted(at - before[id]) {
				return true
			}
		}
		return false
	}
	for name, c := range map[string]struct {
		change func(*Plan)
		seen   func(*Stream) bool
	}{
		"duplicates": {func(p *Plan) { p.Duplicated = 100 }, func(s *Stream) bool { return len(s.Messages) > len(said) }},
		"late":       {func(p *Plan) { p.Late = 100 }, func(s *Stream) bool { return moved(s, func(by time.Duration) bool { return by > calm().Every }) }},
		"swapped":    {func(p *Plan) { p.Swapped = 100 }, func(s *Stream) bool { return moved(s, func(by time.Duration) bool { return by < 0 }) }},
	} {
		t.Run(name, func(t *testing.T) {
			plan := calm()
			c.change(&plan)
			s := generate(t, 5, plan)
			if !c.seen(s) {
				t.Error("not there")
			}
			if !slices.IsSortedFunc(s.Messages, func(a, b Message) int { return cmp.Compare(a.Offset, b.Offset) }) {
				t.Error("messages are not in the order of their offsets")
			}
			if !slices.Equal(slices.Compact(words(s)), said) {
				t.Error("a message was changed or lost")
			}
			for i := range s.Lots {
				if w := &s.Lots[i].Want; !w.Free() {
					t.Errorf("lot %s: %+v", s.Lots[i].Key, w)
				}
			}
		})
	}
}

// TestGenerate_Identity looks at what tells lots and facts apart.
func TestGenerate_Identity(t *testing.T) {
	s := generate(t, 2, whole())
	keys, numbers := map[event.LotKey]bool{}, map[string]int{}
	for i := range s.Lots {
		l := &s.Lots[i]
		if keys[l.Key] {
			t.Errorf("lot %s stands twice", l.Key)
		}
		keys[l.Key] = true
		numbers[l.Material+"/"+l.Number]++
		if scoped := strings.HasPrefix(string(l.Key), "lot:p5:"); scoped != (l.Plant == "p5") {
			t.Errorf("lot %s of plant %s", l.Key, l.Plant)
		}
	}
	twins := 0
	for _, n := range numbers {
		if n > 1 {
			twins++
		}
	}
	if twins < len(s.Lots)/6 {
		t.Errorf("%d numbers stand for two lots, want nearly a fifth of %d", twins, len(s.Lots))
	}
	contrary := map[event.LotKey]bool{}
	for i := range s.Lots {
		contrary[s.Lots[i].Key] = s.Lots[i].Story == "contrary readings"
	}
	ids, two := map[event.ID]event.Hash{}, 0
	note := func(offers []Offer, again bool) {
		for _, o := range offers {
			hash, twice := ids[o.ID]
			switch {
			case twice && hash != o.Hash && contrary[o.Lot]:
				two++
			case twice && (!again || hash != o.Hash):
				t.Errorf("event %s of lot %s stands for two facts", o.ID, o.Lot)
			}
			ids[o.ID] = o.Hash
		}
	}
	for i := range s.Messages {
		note(s.Messages[i].Offers, s.Messages[i].Again)
	}
	for i := range s.Parts {
		note(s.Parts[i].Offers, false)
	}
	if two == 0 {
		t.Error("no event stands for two contrary readings")
	}
}

// TestGenerate_Lines looks at what press lines report: numbers without a hole, but for the parts that are kept back.
func TestGenerate_Lines(t *testing.T) {
	plan := calm()
	plan.Lots, plan.Missing = 150, 300
	s := generate(t, 4, plan)
	gaps := 0
	for i := range s.Lots {
		gaps += s.Lots[i].Want.Gaps
	}
	last, jumps := map[string]int64{}, 0
	for i := range s.Parts {
		p := &s.Parts[i]
		key := p.Plant + "/" + p.Line
		if jump := p.Part.Seq - last[key] - 1; jump > 0 {
			jumps += int(jump)
		} else if jump < 0 {
			t.Errorf("part %d of %s comes after part %d", p.Part.Seq, key, last[key])
		}
		last[key] = p.Part.Seq
	}
	if jumps == 0 || jumps != gaps || len(last) != 2 {
		t.Errorf("%d parts of %d lines are missing, %d gaps are expected", jumps, len(last), gaps)
	}
}

func TestGenerate_Refuses(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"a lot of 4 parts":      func(p *Plan) { p.Parts = 3 },
		"20 ms":                 func(p *Plan) { p.Every = time.Millisecond },
		"between two lots":      func(p *Plan) { p.Pause = p.Every },
		"time to decide":        func(p *Plan) { p.Delay = 0 },
		"1001 in a thousand":    func(p *Plan) { p.Failing, p.Held = 1000, 1 },
		"more than millisecond": func(p *Plan) { p.Start = p.Start.Add(time.Microsecond) },
	} {
		plan := calm()
		change(&plan)
		if _, err := Generate(1, plan); err == nil {
			t.Errorf("a plan without %s is taken", name)
		}
	}
}

// TestFold_ByHand folds facts that were written down by hand.
func TestFold_ByHand(t *testing.T) {
	sites := dialect.Sites()
	start := calm().Start
	of := func(second int) dialect.Of {
		return dialect.Of{Lot: "L-1", Material: "MAT-100", At: start.Add(time.Duration(second) * time.Second)}
	}
	fact := func(f dialect.Fact) said { return said{site: &sites[0], fact: f} }
	reading := func(second int, value string, safety bool) said {
		return fact(dialect.Measured{Of: of(second), Inspection: "I-1", Characteristic: "torque", Value: value, LSL: "40.00", USL: "50.00", Safety: safety})
	}
	decision := func(second int, d event.Decision, id, before string) Act {
		return Act{Offset: time.Duration(second) * time.Second, Kind: Decide, Decision: d, Disposition: id, Supersedes: before}
	}
	release := decision(9, event.DecisionRelease, "D-1", "")
	for name, c := range map[string]struct {
		facts []said
		acts  []Act
		usage event.UsageStatus
		open  int
		times Bounds
	}{
		"nothing":                      {nil, nil, event.InInspection, 0, exactly(0)},
		"a release":                    {nil, []Act{release}, event.Unrestricted, 0, exactly(1)},
		"the limit passes":             {[]said{reading(1, "50.00", true)}, []Act{release}, event.Unrestricted, 0, exactly(1)},
		"beyond it blocks":             {[]said{reading(1, "50.01", true)}, nil, event.Blocked, 1, exactly(0)},
		"two failures are one hold":    {[]said{reading(1, "50.01", false), reading(2, "39.99", false)}, nil, event.Restricted, 1, exactly(0)},
		"the strictest failure rules":  {[]said{reading(1, "50.01", true), reading(2, "39.99", false)}, nil, event.Blocked, 1, exactly(0)},
		"a pass unsays no failure":     {[]said{reading(1, "39.99", false), reading(2, "45.00", false)}, []Act{release}, event.Restricted, 1, Bounds{0, 1}},
		"another hold stays":           {[]said{fact(dialect.Held{Of: of(1), Hold: "A"}), fact(dialect.Held{Of: of(2), Hold: "B"}), fact(dialect.Lifted{Of: of(3), Hold: "A"})}, []Act{release}, event.Restricted, 1, Bounds{0, 1}},
		"a revision counts":            {nil, []Act{release, decision(10, event.DecisionScrap, "D-2", "D-1")}, event.Blocked, 0, Bounds{0, 1}},
		"two decisions: the worst":     {nil, []Act{release, decision(10, event.DecisionRework, "D-2", "")}, event.Restricted, 0, Bounds{0, 1}},
		"restricted by hand":           {nil, []Act{{Offset: 1, Kind: Restrict}, release}, event.Restricted, 0, exactly(0)},
		"a failed verdict, no reading": {[]said{fact(dialect.Completed{Of: of(1), Inspection: "I-1", Verdict: "fail"})}, []Act{release}, event.Restricted, 1, Bounds{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := Fold(&Lot{facts: c.facts, acts: c.acts}, start)
			if w.Usage != c.usage || w.Open != c.open || w.Opened != c.times {
				t.Errorf("%+v, want %s with %d holds open, freed %v times", w, c.usage, c.open, c.times)
			}
		})
	}
}
