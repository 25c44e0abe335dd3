package quality

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// settle says how an effect on the lot ended at a system.
func (s *script) settle(kind Kind, system event.Name, outcome event.Outcome, d event.EffectSettled) Change {
	s.t.Helper()
	d.Lot, d.Kind, d.System, d.Outcome = decidedLot, event.Name(kind), system, outcome
	if d.Object == "" {
		d.Object = string(decidedLot)
	}
	return s.must("", &d)
}

func (s *script) shows(u event.UsageStatus, d event.EffectSettled) Change {
	s.t.Helper()
	d.Usage, d.Own, d.Wrote = u, u, true
	return s.settle(LotUsageSet, "s4", event.Applied, d)
}

// freed takes the script's lot to its verified release, with a warehouse that shows it.
func freed(t *testing.T) *script {
	t.Helper()
	s := newScript(t, Lot{})
	s.o.Plant.WMS, s.o.Plant.Notify, s.o.Plant.QMS = "wms", "mail", "qms1"
	s.must("", decide1(d1, Release, "500"))
	s.granted()
	s.shows(event.Unrestricted, event.EffectSettled{})
	s.want(Released, Release, 0)
	s.settle(TasksGate, "wms", event.Applied, event.EffectSettled{Wanted: string(GateOpen)})
	return s
}

var (
	shipped = event.Movement{Document: "4900000119/2026/1", Kind: "601", To: "SO-1/10", Q: event.Quantity{Value: "120", Unit: "kg"}, At: event.At(noon.Add(time.Minute))}
	begun   = event.Movement{Document: "T-7", Kind: "pick", To: "SO-1/10", UnderWay: true, Warehouse: true}
)

func TestTakeback(t *testing.T) {
	t.Run("lists what moved since the grant, by system", func(t *testing.T) {
		s := freed(t)
		since := s.o.Lot.Release.GrantedAt
		if since.IsZero() || s.o.Lot.Takeback != nil {
			t.Fatalf("the lot is released since %v, with %+v", since, s.o.Lot.Takeback)
		}
		s.o.Now = noon.Add(time.Hour)
		s.must("p1", verdict(i1, event.VerdictFail))
		if got := s.o.Lot.MovedSince(); !got.Equal(since) || !s.o.Lot.Takeback.At.Equal(s.o.Now) {
			t.Fatalf("systems are asked since %v, want %v; taken back %+v", got, since, s.o.Lot.Takeback)
		}
		c := s.shows(event.Restricted, event.EffectSettled{MovedSince: event.At(since), Moved: []event.Movement{shipped}})
		if len(c.Nonconformances) != 1 || !strings.Contains(c.Nonconformances[0].Record().Description, "120 kg document 4900000119/2026/1 (601) for SO-1/10") {
			t.Errorf("nonconformances are %+v: want the document in the record", c.Nonconformances)
		}
		c = s.settle(TasksGate, "wms", event.Applied, event.EffectSettled{Wanted: string(GateHeld), MovedSince: event.At(since), Moved: []event.Movement{begun}})
		if len(c.Nonconformances) != 1 || !strings.Contains(c.Nonconformances[0].Record().Description, "task T-7 (pick) for SO-1/10 begun, not done") {
			t.Errorf("nonconformances are %+v: want the task in the record", c.Nonconformances)
		}
		words := s.o.Lot.Takeback.Words()
		if len(s.o.Lot.Takeback.Read) != 2 || !strings.Contains(words, "s4") || !strings.Contains(words, "wms") {
			t.Errorf("moved is %q, read %+v", words, s.o.Lot.Takeback.Read)
		}
	})
	t.Run("one whose hold was lifted before is not told", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.o.Plant.QMS = "qms1"
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("", liftOf("hold:mes:1"))
		s.must("", decide1(d1, Release, "500"))
		s.granted()
		s.must("p1", verdict(i2, event.VerdictFail))
		c := s.shows(event.Restricted, event.EffectSettled{MovedSince: event.At(noon), Moved: []event.Movement{shipped}})
		for i := range c.Nonconformances {
			if n := &c.Nonconformances[i]; (n.Moved[decidedLot] != "") != (n.ID == "nonconformance:mes:2") {
				t.Errorf("%s is told %q", n.ID, n.Moved)
			}
		}
		asked := map[string]int{}
		for _, i := range c.Intents {
			asked[i.Object]++
		}
		if asked["nonconformance:mes:2"] != 1 {
			t.Errorf("intents are %+v: want each record once", c.Intents)
		}
	})
	t.Run("the same said again is no news", func(t *testing.T) {
		s := freed(t)
		s.must("p1", place("hold:mes:1"))
		d := event.EffectSettled{Wanted: string(GateHeld), MovedSince: event.At(noon), Moved: []event.Movement{shipped}}
		s.settle(TasksGate, "wms", event.Applied, d)
		local := shipped
		local.At = event.Time{Time: shipped.At.In(time.FixedZone("x", 3600))}
		d.Moved = []event.Movement{local}
		if c := s.settle(TasksGate, "wms", event.AlreadyApplied, d); c.Lot != nil {
			t.Errorf("change is %+v", c)
		}
	})
	t.Run("a system that was not asked has said nothing", func(t *testing.T) {
		s := freed(t)
		s.must("p1", place("hold:mes:1"))
		s.shows(event.Restricted, event.EffectSettled{})
		if n := len(s.o.Lot.Takeback.Read); n != 0 || s.o.Lot.Takeback.Words() != "" {
			t.Errorf("%d systems are read", n)
		}
	})
	t.Run("a decision takes back as a hold does", func(t *testing.T) {
		s := freed(t)
		s.must("", revise(d2, d1, Reject, "500"))
		if s.o.Lot.Takeback == nil {
			t.Error("nothing is asked for")
		}
	})
	t.Run("a release that was only granted may have moved, too", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("", decide1(d1, Release, "500"))
		s.granted()
		s.must("p1", place("hold:mes:1"))
		if s.o.Lot.MovedSince().IsZero() {
			t.Error("nothing is asked for")
		}
	})
	t.Run("what asks anew is restricted by nobody", func(t *testing.T) {
		s := freed(t)
		s.must("", revise(d2, d1, Release, "500"))
		s.want(Asking, Release, 0)
		if s.o.Lot.Takeback != nil {
			t.Errorf("taken back: %+v", s.o.Lot.Takeback)
		}
	})
	t.Run("a lot that was never released has none, and a new release ends it", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("p1", place("hold:mes:1"))
		if s.o.Lot.Takeback != nil {
			t.Errorf("taken back: %+v", s.o.Lot.Takeback)
		}
		s = freed(t)
		s.must("p1", place("hold:mes:1"))
		s.must("", liftOf("hold:mes:1"))
		s.granted()
		if s.o.Lot.Takeback != nil {
			t.Errorf("taken back: %+v", s.o.Lot.Takeback)
		}
	})
	t.Run("the order's notice names what was picked for it", func(t *testing.T) {
		s := freed(t)
		s.o.Allocations = []Allocation{
			{Order: "SO-1", Line: "10", Lot: decidedLot, Q: event.Quantity{Value: "5", Unit: "kg"}},
			{Order: "SO-2", Line: "10", Lot: decidedLot, Q: event.Quantity{Value: "5", Unit: "kg"}},
		}
		s.must("p1", place("hold:mes:1"))
		s.settle(TasksGate, "wms", event.Applied, event.EffectSettled{Wanted: string(GateHeld), MovedSince: event.At(noon), Moved: []event.Movement{begun}})
		told := 0
		for i := range s.o.Notices {
			n := &s.o.Notices[i]
			if n.Hold == "" {
				continue
			}
			told++
			if got := strings.Contains(n.Message(NoticeHeld).Reason, "task T-7"); got != (n.Order == "SO-1") {
				t.Errorf("order %s is told %q", n.Order, n.Message(NoticeHeld).Reason)
			}
		}
		if told != 2 {
			t.Errorf("%d notices of the hold, want 2", told)
		}
	})
}

func TestTakeback_Words_Bounded(t *testing.T) {
	k := &Takeback{Read: []SystemMoves{{System: "s4"}}}
	for range mostMoves + 7 {
		k.Read[0].Moved = append(k.Read[0].Moved, shipped)
	}
	if words := k.Words(); strings.Count(words, "4900000119") != mostMoves || !strings.HasSuffix(words, "and 7 more") {
		t.Errorf("words are %q", words)
	}
}

func TestGateWait(t *testing.T) {
	fired := func(s *script, wms string) Change {
		return s.must("", &event.TimerFired{MayLot: event.MayLot{Lot: decidedLot}, Timer: TimerGate, Object: string(decidedLot) + "@" + wms})
	}
	t.Run("ends when the warehouse shows it", func(t *testing.T) {
		s := freed(t)
		c := s.must("p1", place("hold:mes:1"))
		want := Timer{TimerGate, string(decidedLot) + "@wms", decidedLot, noon.Add(time.Minute)}
		if len(s.o.Lot.Gates) != 1 || !containsTimer(c.Timers, want) {
			t.Fatalf("waits for %+v with timers %+v", s.o.Lot.Gates, c.Timers)
		}
		if c := s.must("p1", place("hold:mes:2")); containsTimer(c.Timers, want) || len(s.o.Lot.Gates) != 1 {
			t.Error("a second hold sets the timer anew")
		}
		c = s.settle(TasksGate, "wms", event.Applied, event.EffectSettled{Wanted: string(GateHeld)})
		if len(s.o.Lot.Gates) != 0 || len(c.Cancel) != 1 {
			t.Errorf("waits for %+v, cancelled %+v", s.o.Lot.Gates, c.Cancel)
		}
		if c := fired(s, "wms"); c.Lot != nil {
			t.Error("late although it is verified")
		}
	})
	t.Run("is late with the list of what to stop, until it is verified", func(t *testing.T) {
		s := freed(t)
		s.o.Allocations = []Allocation{
			{Order: "SO-1", Line: "10", Lot: decidedLot, Q: event.Quantity{Value: "5", Unit: "kg"}},
			{Order: "SO-2", Line: "10", Lot: decidedLot, Q: event.Quantity{Value: "0", Unit: "kg"}},
		}
		s.must("p1", place("hold:mes:1"))
		fired(s, "wms")
		g := &s.o.Lot.Gates[0]
		if list := s.o.Lot.StopList(g); !g.Late || !strings.Contains(list, "was not read since") || !strings.HasSuffix(list, "SO-1/10") {
			t.Errorf("late %t: %q", g.Late, list)
		}
		// The warehouse refuses, and shows what has begun.
		s.settle(TasksGate, "wms", event.Rejected, event.EffectSettled{Wanted: string(GateHeld), MovedSince: event.At(noon), Moved: []event.Movement{begun}})
		if list := s.o.Lot.StopList(&s.o.Lot.Gates[0]); !s.o.Lot.Gates[0].Late || !strings.Contains(list, "task T-7 (pick) for SO-1/10 begun, not done") {
			t.Errorf("list is %q", list)
		}
		s.settle(TasksGate, "wms", event.Applied, event.EffectSettled{Wanted: string(GateHeld)})
		if len(s.o.Lot.Gates) != 0 {
			t.Errorf("waits for %+v", s.o.Lot.Gates)
		}
	})
	t.Run("is waited for at each warehouse by itself", func(t *testing.T) {
		s := freed(t)
		s.o.Others = []Plant{{ID: "p2", ERP: "s4", WMS: "wms2"}}
		s.must("p1", place("hold:mes:1"))
		s.settle(TasksGate, "wms2", event.Applied, event.EffectSettled{Wanted: string(GateHeld)})
		fired(s, "wms")
		fired(s, "wms2")
		if g := s.o.Lot.Gates; len(g) != 1 || g[0].System != "wms" || !g[0].Late {
			t.Errorf("waits for %+v", g)
		}
	})
	t.Run("ends where the lot is free again", func(t *testing.T) {
		s := freed(t)
		s.must("p1", place("hold:mes:1"))
		s.shows(event.Restricted, event.EffectSettled{})
		s.must("", liftOf("hold:mes:1"))
		s.granted()
		s.shows(event.Unrestricted, event.EffectSettled{})
		s.want(Released, Release, 0)
		if len(s.o.Lot.Gates) != 0 {
			t.Errorf("waits for %+v", s.o.Lot.Gates)
		}
	})
}

func containsTimer(all []Timer, x Timer) bool {
	for _, y := range all {
		if y.Name == x.Name && y.Object == x.Object && y.Lot == x.Lot && y.Due.Equal(x.Due) {
			return true
		}
	}
	return false
}
