package quality

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func submits(c *Change) (all []Intent) {
	for _, i := range c.Intents {
		if i.Kind == InspectionSubmit {
			all = append(all, i)
		}
	}
	return all
}

func TestInspection_Submit(t *testing.T) {
	withQMS := func(t *testing.T) *script {
		s := newScript(t, Lot{InspectionRequired: true})
		s.o.Plant.QMS = "qms1"
		return s
	}
	fired := func(s *script) Change {
		return s.must("", &event.TimerFired{MayLot: event.MayLot{Lot: decidedLot}, Timer: TimerSubmit, Object: string(i1) + "@" + string(decidedLot)})
	}
	for _, v := range []event.Verdict{event.VerdictPass, event.VerdictFail, event.VerdictIndeterminate} {
		t.Run(string(v)+" is submitted once", func(t *testing.T) {
			s := withQMS(t)
			c := s.must("p1", verdict(i1, v))
			want := Intent{Kind: InspectionSubmit, System: "qms1", Object: string(i1), Lot: decidedLot, CommandID: "cmd:w1:inspection:mes:1:inspection_submit:1"}
			if got := submits(&c); !slices.Equal(got, []Intent{want}) {
				t.Errorf("intents are %+v, want %+v", got, want)
			}
			if !containsTimer(c.Timers, Timer{TimerSubmit, string(i1) + "@" + string(decidedLot), decidedLot, noon.Add(time.Hour)}) {
				t.Errorf("timers are %+v", c.Timers)
			}
			if c := s.must("p1", verdict(i1, event.VerdictFail)); len(submits(&c)) != 0 {
				t.Error("a second verdict is submitted, too")
			}
		})
	}
	t.Run("each lot that an inspection names has a record, the first by the name that it always had", func(t *testing.T) {
		for other, command := range map[event.LotKey]string{
			"":          "cmd:w1:inspection:mes:1:inspection_submit:1",
			decidedLot:  "cmd:w1:inspection:mes:1:inspection_submit:1",
			"lot::M:99": "cmd:w1:inspection:mes:1@" + string(decidedLot) + ":inspection_submit:1",
		} {
			s := withQMS(t)
			s.o.Submitted = other
			c := s.must("p1", verdict(i1, event.VerdictPass))
			want := Intent{Kind: InspectionSubmit, System: "qms1", Object: string(i1), Lot: decidedLot, CommandID: command}
			if got := submits(&c); !slices.Equal(got, []Intent{want}) {
				t.Errorf("after a record for lot %q the intents are %+v, want %+v", other, got, want)
			}
		}
	})
	t.Run("what was not evaluated is submitted when it is", func(t *testing.T) {
		s := withQMS(t)
		if c := s.must("p1", verdict(i1, event.VerdictNone)); len(submits(&c)) != 0 {
			t.Error("an inspection without a verdict is submitted")
		}
		if c := s.must("p1", verdict(i1, event.VerdictPass)); len(submits(&c)) != 1 {
			t.Error("its verdict is not")
		}
	})
	t.Run("a plant without a QMS submits nothing", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		if c := s.must("p1", verdict(i1, event.VerdictPass)); len(submits(&c)) != 0 {
			t.Error("submitted")
		}
	})
	t.Run("nothing waits for it", func(t *testing.T) {
		s := withQMS(t)
		s.must("p1", verdict(i1, event.VerdictPass))
		s.want(AwaitingDisposition, "", 0)
		s.must("", decide1(d1, Release, "500"))
		s.granted()
		s.want(Releasing, Release, 0)
	})
	t.Run("is overdue until the QMS has it", func(t *testing.T) {
		s := withQMS(t)
		s.must("p1", verdict(i1, event.VerdictPass))
		fired(s)
		if !s.o.Inspections[0].Unsubmitted {
			t.Fatal("not overdue after an hour")
		}
		s.settle(InspectionSubmit, "qms1", event.Rejected, event.EffectSettled{Object: string(i1)})
		if !s.o.Inspections[0].Unsubmitted {
			t.Error("a refusal counts as a record")
		}
		s.settle(InspectionSubmit, "qms1", event.Applied, event.EffectSettled{Object: string(i1), ExternalRef: "4711"})
		x := s.o.Inspections[0]
		if x.Unsubmitted || x.SubmittedAt.IsZero() || x.ExternalRef != (event.Ref{System: "qms1", Kind: "inspection", ID: "4711"}) {
			t.Errorf("the inspection is %+v", x)
		}
		if c := fired(s); len(c.Inspections) != 0 {
			t.Error("overdue although the QMS has it")
		}
	})
	t.Run("a QMS that keeps none is not waited for", func(t *testing.T) {
		s := withQMS(t)
		s.must("p1", verdict(i1, event.VerdictPass))
		s.settle(InspectionSubmit, "qms1", event.AlreadyApplied, event.EffectSettled{Object: string(i1)})
		fired(s)
		if x := s.o.Inspections[0]; x.Unsubmitted || x.ExternalRef.ID != "" {
			t.Errorf("the inspection is %+v", x)
		}
	})
}

func TestFacts_InspectionRecord(t *testing.T) {
	s := newScript(t, Lot{InspectionRequired: true})
	s.must("p1", verdict(i1, event.VerdictFail))
	s.must("p1", plan(i2))
	s.must("p1", supersede(i1, i2))
	facts := func() *Facts { return &Facts{Lot: *s.o.Lot, Inspections: s.o.Inspections} }
	if r := facts().InspectionRecord(i2); r != nil {
		t.Errorf("one without a verdict has the record %+v", r)
	}
	if r := facts().InspectionRecord("inspection:mes:9"); r != nil {
		t.Errorf("an unknown one has the record %+v", r)
	}
	s.must("p1", verdict(i2, event.VerdictPass))
	if r := facts().InspectionRecord(i1); r == nil || r.Verdict != event.VerdictFail || len(r.Supersedes) != 0 {
		t.Errorf("the first has the record %+v: want it as it was found", r)
	}
	r := facts().InspectionRecord(i2)
	if r == nil || r.ID != i2 || r.Lot != decidedLot || r.Plant != "p1" || r.Type != event.InspectionFinal || r.Verdict != event.VerdictPass ||
		!r.CompletedAt.Equal(noon) || !slices.Equal(r.Supersedes, []event.ObjectID{i1}) {
		t.Errorf("the second has the record %+v", r)
	}
}
