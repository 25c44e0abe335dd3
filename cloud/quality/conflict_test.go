package quality

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// script applies events to one lot one after the other, as the engine does with its store.
type script struct {
	t     *testing.T
	o     Objects
	n     int
	holds map[string]Hold // all there ever were, by name
}

func newScript(t *testing.T, lot Lot) *script {
	lot.Key, lot.Plant, lot.Q = decidedLot, "p1", event.Quantity{Value: "500", Unit: "kg"}
	return &script{t: t, o: Objects{Now: noon, Lot: &lot, Plant: Plant{ID: "p1", ERP: "s4"}}, holds: map[string]Hold{}}
}

func (s *script) apply(plant event.PlantID, data event.Data) (Change, error) {
	s.n++
	e := &event.Event{ID: event.NaturalID("", "t", []string{string(rune('a' + s.n))}, data.Type(), 0), Plant: plant, Time: noon, Data: data}
	if plant != "" {
		e.Origin.Agent = "gw1"
	}
	n := Names(e)
	s.o.Hold, s.o.CaseHold, s.o.Nonconformance = s.hold(n.Hold), s.hold(n.CaseHold), nil
	for i := range s.o.Nonconformances {
		if s.o.Nonconformances[i].ID == n.Nonconformance {
			s.o.Nonconformance = &s.o.Nonconformances[i]
		}
	}
	c, err := Decide(e, s.o)
	if err != nil {
		return c, err
	}
	open := s.o.openAfter(&c)
	for _, h := range c.Holds {
		s.holds[h.Name()] = h
	}
	if c.Lot != nil {
		lot := *c.Lot
		lot.Version++
		s.o.Lot = &lot
	}
	s.o.Open = open
	s.o.Nonconformances = merge(s.o.Nonconformances, c.Nonconformances, func(n *Nonconformance) string { return string(n.ID) })
	s.o.Inspections = merge(s.o.Inspections, c.Inspections, (*Inspection).Name)
	s.o.Dispositions = merge(s.o.Dispositions, c.Dispositions, (*Disposition).Name)
	s.o.Notices = merge(s.o.Notices, c.Notices, func(n *Notice) string { return string(n.ID) })
	return c, nil
}

// hold returns a hold of the lot, open or lifted, nil if it is not known.
func (s *script) hold(id event.ObjectID) *Hold {
	h := Hold{ID: id, Lot: decidedLot}
	h, known := s.holds[h.Name()]
	if !known {
		return nil
	}
	return &h
}

func (s *script) must(plant event.PlantID, data event.Data) Change {
	s.t.Helper()
	c, err := s.apply(plant, data)
	if err != nil {
		s.t.Fatalf("%s: %v", data.Type(), err)
	}
	return c
}

func (s *script) refuse(plant event.PlantID, data event.Data) {
	s.t.Helper()
	var refusal *Refusal
	if _, err := s.apply(plant, data); !errors.As(err, &refusal) {
		s.t.Fatalf("%s: got %v, want a refusal", data.Type(), err)
	}
}

func (s *script) wait(plant event.PlantID, data event.Data, object string) {
	s.t.Helper()
	var wait *Wait
	if _, err := s.apply(plant, data); !errors.As(err, &wait) || wait.Object != object {
		s.t.Fatalf("%s: got %v, want it to wait for %s", data.Type(), err, object)
	}
}

func (s *script) want(state ReleaseState, decision Decision, holds int) {
	s.t.Helper()
	if l := s.o.Lot; l.Release.State != state || l.Decision != decision || len(s.o.Open) != holds {
		s.t.Fatalf("the lot is %s, decided %q, with %d holds: want %s, %q, %d", l.Release.State, l.Decision, len(s.o.Open), state, decision, holds)
	}
}

func (s *script) granted() {
	s.t.Helper()
	s.must("", &event.TimerFired{MayLot: event.MayLot{Lot: decidedLot}, Timer: TimerAnswered, Object: ReleaseTimer{decidedLot, 1, s.o.Lot.Release.Round, "", nil}.String()})
}

func inspection(id event.ObjectID) event.OfInspection {
	return event.OfInspection{OfLot: event.OfLot{Lot: decidedLot}, InspectionID: id}
}

func plan(id event.ObjectID) event.Data {
	return &event.InspectionPlanned{OfInspection: inspection(id), InspectionType: event.InspectionFinal}
}

func verdict(id event.ObjectID, v event.Verdict) event.Data {
	return &event.InspectionCompleted{OfInspection: inspection(id), InspectionType: event.InspectionFinal, Verdict: v, CompletedAt: event.At(noon)}
}

func supersede(id, by event.ObjectID) event.Data {
	return &event.InspectionSuperseded{OfInspection: inspection(id), SupersededBy: by, Reason: "again"}
}

func decide1(id event.ObjectID, d Decision, q event.Decimal) event.Data {
	return &event.DispositionDecided{Disposition: event.Disposition{OfLot: event.OfLot{Lot: decidedLot}, DispositionID: id, Decision: d, Q: event.Quantity{Value: q, Unit: "kg"}}}
}

func revise(id, of event.ObjectID, d Decision, q event.Decimal) event.Data {
	return &event.DispositionRevised{
		Disposition: event.Disposition{OfLot: event.OfLot{Lot: decidedLot}, DispositionID: id, Decision: d, Q: event.Quantity{Value: q, Unit: "kg"}}, Supersedes: of,
	}
}

func place(id event.ObjectID) event.Data {
	return &event.HoldPlaced{MayLot: event.MayLot{Lot: decidedLot}, HoldID: id, HoldKind: event.HoldQuality, Authority: event.AuthorityQuality, PlacedBy: "ann"}
}

func liftOf(id event.ObjectID) event.Data {
	return &event.HoldLifted{MayLot: event.MayLot{Lot: decidedLot}, HoldID: id, Authority: event.AuthorityQuality, LiftedBy: "eve"}
}

const (
	i1 = event.ObjectID("inspection:mes:1")
	i2 = event.ObjectID("inspection:mes:2")
	d1 = event.ObjectID("disposition:qms:1")
	d2 = event.ObjectID("disposition:qms:2")
	d3 = event.ObjectID("disposition:qms:3")
)

func TestConflict_1_HoldBeatsRelease(t *testing.T) {
	s := newScript(t, Lot{})
	s.must("", decide1(d1, Release, "500"))
	s.want(Asking, Release, 0)
	round := s.o.Lot.Release.Round
	s.granted()
	s.want(Releasing, Release, 0)
	s.must("p1", place("hold:mes:1"))
	s.want(Held, Release, 1)
	s.must("", liftOf("hold:mes:1"))
	s.want(Asking, Release, 0)
	if s.o.Lot.Release.Round != round+1 || s.o.Lot.Release.Barrier != 0 {
		t.Errorf("the release is %+v: want it to ask anew", s.o.Lot.Release)
	}
}

func TestConflict_2_LateResult(t *testing.T) {
	released := func(t *testing.T) *script {
		s := newScript(t, Lot{InspectionRequired: true})
		s.must("p1", verdict(i1, event.VerdictPass))
		s.must("", decide1(d1, Release, "500"))
		s.granted()
		s.want(Releasing, Release, 0)
		return s
	}
	t.Run("a pass is attached", func(t *testing.T) {
		s := released(t)
		c := s.must("p1", verdict(i2, event.VerdictPass))
		s.want(Releasing, Release, 0)
		if len(c.Inspections) != 1 || !c.Inspections[0].Late || c.Lot != nil {
			t.Errorf("change is %+v", c)
		}
	})
	for _, v := range []event.Verdict{event.VerdictFail, event.VerdictIndeterminate} {
		t.Run(string(v)+" holds the lot anew", func(t *testing.T) {
			s := released(t)
			c := s.must("p1", verdict(i2, v))
			s.want(Held, Release, 1)
			if len(c.Nonconformances) != 1 {
				t.Errorf("change is %+v: want a nonconformance", c)
			}
		})
	}
	t.Run("a decision is superseded, never edited", func(t *testing.T) {
		s := released(t)
		s.refuse("", decide1(d1, Reject, "500"))
		s.refuse("", decide1(d2, Reject, "500"))
		s.wait("", revise(d2, "disposition:qms:9", Reject, "500"), "disposition:qms:9")
		s.must("", revise(d2, d1, Reject, "500"))
		s.want(Rejected, Reject, 0)
		s.refuse("", revise(d3, d1, Release, "500"))
		s.must("", revise(d3, d2, Release, "500"))
		s.want(Asking, Release, 0)
		if n := len(s.o.Dispositions); n != 3 || s.o.Dispositions[0].SupersededBy != d2 || s.o.Dispositions[1].SupersededBy != d3 {
			t.Errorf("dispositions are %+v", s.o.Dispositions)
		}
	})
	t.Run("a new decision takes the grant back", func(t *testing.T) {
		s := released(t)
		s.must("", revise(d2, d1, Release, "500"))
		s.want(Asking, Release, 0)
	})
}

func TestConflict_3_Reinspection(t *testing.T) {
	t.Run("supersedes by link, not by time", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true, InspectionTypes: []event.InspectionType{event.InspectionFinal}})
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("", liftOf("hold:mes:1"))
		s.must("p1", verdict(i2, event.VerdictPass))
		s.must("p1", supersede(i1, i2))
		s.want(AwaitingDisposition, "", 0)
		if s.o.Inspections[0].State != InspectionSuperseded {
			t.Errorf("inspections are %+v", s.o.Inspections)
		}
	})
	t.Run("the hold of the first failure stays", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("p1", plan(i2))
		s.must("p1", supersede(i1, i2))
		s.must("p1", verdict(i2, event.VerdictPass))
		s.want(Held, "", 1)
	})
	t.Run("what it is superseded by has to be complete", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true, InspectionTypes: []event.InspectionType{event.InspectionFinal}})
		s.must("p1", verdict(i1, event.VerdictPass))
		s.must("p1", plan(i2))
		s.must("p1", supersede(i1, i2))
		s.want(AwaitingInspection, "", 0)
	})
	t.Run("of two verdicts on one inspection the worse stands", func(t *testing.T) {
		for _, order := range [][]event.Verdict{{event.VerdictPass, event.VerdictFail}, {event.VerdictFail, event.VerdictPass}} {
			s := newScript(t, Lot{InspectionRequired: true})
			for _, v := range order {
				s.must("p1", verdict(i1, v))
			}
			s.want(Held, "", 1)
			if s.o.Inspections[0].Verdict != event.VerdictFail {
				t.Errorf("%v gives %s", order, s.o.Inspections[0].Verdict)
			}
		}
	})
	t.Run("more than two are a case by themselves", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		ids := []event.ObjectID{"inspection:mes:1", "inspection:mes:2", "inspection:mes:3", "inspection:mes:4"}
		for _, id := range ids {
			s.must("p1", verdict(id, event.VerdictPass))
		}
		s.must("p1", supersede(ids[0], ids[1]))
		s.must("p1", supersede(ids[1], ids[2]))
		s.want(AwaitingDisposition, "", 0)
		s.must("p1", supersede(ids[2], ids[3]))
		s.want(Held, "", 1)
		if len(s.o.Nonconformances) != 1 {
			t.Errorf("nonconformances are %+v", s.o.Nonconformances)
		}
	})
	t.Run("it names what exists, once and forwards", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.wait("p1", supersede(i1, i2), string(i1))
		s.must("p1", plan(i1))
		s.wait("p1", supersede(i1, i2), string(i2))
		s.must("p1", plan(i2))
		s.must("p1", supersede(i1, i2))
		s.refuse("p1", supersede(i2, i1))
		s.refuse("p1", supersede(i1, "inspection:mes:1"))
	})
	t.Run("a cancelled one does not count, a failure of it does", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		s.wait("p1", &event.InspectionCancelled{OfInspection: inspection(i1), Reason: "broken gauge"}, string(i1))
		s.must("p1", plan(i1))
		s.must("p1", &event.InspectionCancelled{OfInspection: inspection(i1), Reason: "broken gauge"})
		s.must("p1", verdict(i1, event.VerdictPass))
		s.want(AwaitingInspection, "", 0)
		s.must("p1", verdict(i1, event.VerdictFail))
		s.want(Held, "", 1)
	})
	t.Run("one that was not evaluated is not complete", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		s.must("p1", verdict(i1, event.VerdictNone))
		s.want(AwaitingInspection, "", 0)
	})
}

func TestConflict_4_TwoPlants(t *testing.T) {
	s := newScript(t, Lot{})
	s.must("p1", place("hold:mes:1"))
	s.must("p2", place("hold:mes:2"))
	s.refuse("p1", liftOf("hold:mes:2"))
	s.must("p2", liftOf("hold:mes:2"))
	s.must("", liftOf("hold:mes:1"))
	s.want(Asking, "", 0)
	t.Run("a plant moves its own nonconformances only", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("p1", verdict(i1, event.VerdictFail))
		step := event.NonconformanceStep{OfLot: event.OfLot{Lot: decidedLot}, NonconformanceID: "nonconformance:mes:1", By: "ann", Reason: "none"}
		s.refuse("p2", &event.NonconformanceVoided{NonconformanceStep: step})
		s.must("p1", &event.NonconformanceVoided{NonconformanceStep: step})
		s.want(Asking, "", 0)
	})
	t.Run("the QMS decides, not the plant", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("p1", decide1(d1, ConditionalRelease, "500"))
		s = newScript(t, Lot{})
		s.o.Plant.QMS = "qms1"
		s.refuse("p1", decide1(d1, Release, "500"))
		s.must("", decide1(d1, Release, "500"))
	})
	t.Run("a plant does not decide about another's lot, whichever of the two has no QMS", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.o.Plant, s.o.Home = Plant{ID: "p3", ERP: "s4"}, Plant{ID: "p1", ERP: "s4", QMS: "qms1"}
		s.refuse("p3", decide1(d1, Release, "500"))
		s.o.Home.QMS = ""
		s.refuse("p3", decide1(d1, Release, "500"))
		s.want("", "", 0)
	})
	t.Run("a plant with a QMS does not lift the quality department's hold by voiding its cause", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.o.Plant.QMS = "qms1"
		s.must("p1", verdict(i1, event.VerdictFail))
		void := &event.NonconformanceVoided{NonconformanceStep: event.NonconformanceStep{
			OfLot: event.OfLot{Lot: decidedLot}, NonconformanceID: "nonconformance:mes:1", By: "op", Reason: "none",
		}}
		s.refuse("p1", void)
		s.want(Held, "", 1)
		s.must("", void)
		s.want(Asking, "", 0)
	})
}

func TestConflict_8_UnknownLot(t *testing.T) {
	s := newScript(t, Lot{})
	s.o.Lot = nil
	for _, data := range []event.Data{plan(i1), verdict(i1, event.VerdictPass), decide1(d1, Release, "500")} {
		s.wait("p1", data, string(decidedLot))
	}
	s.must("p1", verdict(i1, event.VerdictFail))
	if !s.o.Lot.Stub {
		t.Error("a failure of an unknown lot makes no stub")
	}
	s.want(Held, "", 1)
	s.wait("p1", plan(i2), string(decidedLot))
	s.wait("p1", &event.NonconformanceClosed{NonconformanceStep: event.NonconformanceStep{OfLot: event.OfLot{Lot: decidedLot}, NonconformanceID: "nonconformance:mes:9"}}, "nonconformance:mes:9")
}

func TestDecide_Disposition_Parts(t *testing.T) {
	s := newScript(t, Lot{InspectionRequired: true})
	s.must("p1", verdict(i1, event.VerdictPass))
	s.must("", decide1(d1, Release, "300"))
	s.want(AwaitingDisposition, Release, 0)
	if u := OwnUsage(s.o.Lot, nil); u != event.InInspection {
		t.Errorf("with a part undecided the lot is %s", u)
	}
	s.refuse("", decide1(d2, Release, "200.001"))
	s.refuse("", &event.DispositionDecided{Disposition: event.Disposition{OfLot: event.OfLot{Lot: decidedLot}, DispositionID: d2, Q: event.Quantity{Value: "200", Unit: "m"}}})
	s.must("", decide1(d2, Scrap, "200"))
	s.want(Rejected, Scrap, 0)
	s.must("", revise(d3, d2, Release, "200.000"))
	s.want(Asking, Release, 0)
}

func TestDecide_Nonconformance(t *testing.T) {
	step := func(id event.ObjectID) event.NonconformanceStep {
		return event.NonconformanceStep{OfLot: event.OfLot{Lot: decidedLot}, NonconformanceID: id, By: "eve", At: event.At(noon), Reason: "found to be none"}
	}
	const nc = event.ObjectID("nonconformance:mes:1")
	s := newScript(t, Lot{})
	s.must("p1", verdict(i1, event.VerdictFail))
	s.must("p1", place("hold:mes:9"))
	s.must("", &event.NonconformanceContained{NonconformanceStep: step(nc)})
	s.must("", &event.NonconformanceVoided{NonconformanceStep: step(nc)})
	s.want(Held, "", 1) // the other hold is not its own
	if s.o.Open[0].ID != "hold:mes:9" || s.o.Nonconformances[0].State != NCVoided {
		t.Errorf("left is %+v, %+v", s.o.Open, s.o.Nonconformances)
	}
	s.refuse("", &event.NonconformanceClosed{NonconformanceStep: step(nc)})
	s.must("", &event.NonconformanceContained{NonconformanceStep: step(nc)}) // late, and changes nothing
	if s.o.Nonconformances[0].State != NCVoided {
		t.Errorf("it is %s again", s.o.Nonconformances[0].State)
	}
	t.Run("closed lifts nothing and is not voided after", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("", &event.NonconformanceClosed{NonconformanceStep: step(nc)})
		s.want(Held, "", 1)
		s.refuse("", &event.NonconformanceVoided{NonconformanceStep: step(nc)})
	})
	t.Run("what is found after the end is another", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("", &event.NonconformanceVoided{NonconformanceStep: step(nc)})
		s.must("p1", verdict(i1, event.VerdictFail))
		if len(s.o.Nonconformances) != 2 || len(s.o.Open) != 1 {
			t.Errorf("nonconformances are %+v, holds %+v", s.o.Nonconformances, s.o.Open)
		}
	})
}

func TestReleaseTimer(t *testing.T) {
	for _, r := range []ReleaseTimer{
		{Lot: decidedLot, Barrier: 7, Round: 2},
		{Lot: decidedLot, Barrier: 7, Round: 2, Reason: "gap"},
		{Lot: decidedLot, Barrier: 7, Round: 2, Reason: "stock", Plants: []event.PlantID{"p2", "p3"}},
	} {
		if got, err := parseReleaseTimer(r.String()); err != nil || got.String() != r.String() || !slices.Equal(got.Plants, r.Plants) {
			t.Errorf("%q reads as %+v, %v", r.String(), got, err)
		}
	}
	for _, s := range []string{"", "lot::M:1", "lot::M:1#x#1", "lot::M:1#1#x"} {
		if got, err := parseReleaseTimer(s); err == nil {
			t.Errorf("%q reads as %+v", s, got)
		}
	}
}

func FuzzReleaseTimer(f *testing.F) {
	f.Add("lot::M:1#7#2#stock#p2")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReleaseTimer(s)
		if err != nil {
			return
		}
		again, err := parseReleaseTimer(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q reads as %+v, then as %+v, %v", s, r, again, err)
		}
	})
}

func TestDecide_Late(t *testing.T) {
	s := newScript(t, Lot{InspectionRequired: true})
	c := s.must("p1", verdict(i1, event.VerdictPass))
	if len(c.Timers) != 1 || c.Timers[0].Name != TimerLate || !c.Timers[0].Due.Equal(noon.Add(8*time.Hour)) {
		t.Fatalf("timers are %+v", c.Timers)
	}
	fired := &event.TimerFired{MayLot: event.MayLot{Lot: decidedLot}, Timer: TimerLate, Object: string(decidedLot)}
	if c := s.must("", fired); c.Lot != nil {
		t.Error("late before its time")
	}
	s.o.Now = noon.Add(8 * time.Hour)
	s.must("", fired)
	if !s.o.Lot.Release.Late {
		t.Error("not late in its time")
	}
	s.must("", decide1(d1, Release, "500"))
	if s.o.Lot.Release.Late {
		t.Error("late in the next state")
	}
}
