package quality

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// reading is one measured value of a characteristic in inspection i1; corrects names the record whose place it takes.
func reading(characteristic event.Name, ev event.Evaluation, corrects event.Name) event.Data {
	return &event.CharacteristicRecorded{
		OfLot: event.OfLot{Lot: decidedLot}, InspectionID: i1, Characteristic: characteristic, SampleNo: 1, Kind: event.Variable, Value: "61.2", Unit: "N.m", USL: "50",
		Evaluation: ev, Corrects: corrects,
	}
}

func (s *script) correctionHolds() (n int) {
	for _, h := range s.o.Open {
		if strings.Contains(h.Reason, "were corrected") {
			n++
		}
	}
	return n
}

func TestConflict_3_CorrectedReading(t *testing.T) {
	cases := []struct {
		name     string
		readings []event.Data
		holds    int // open at the end
		ncs      int
	}{
		{"a pass never clears a failure", []event.Data{reading("torque", event.Fail, ""), reading("torque", event.Pass, "r1")}, 1, 1},
		{"nor one that could not be decided", []event.Data{reading("torque", event.Indeterminate, ""), reading("torque", event.Pass, "r1")}, 1, 1},
		{"the worse of the two rules", []event.Data{reading("torque", event.Pass, ""), reading("torque", event.Fail, "r1")}, 1, 1},
		{"two corrections are no case", []event.Data{reading("torque", event.Pass, "r1"), reading("torque", event.Pass, "r2")}, 0, 0},
		{"three are", []event.Data{reading("torque", event.Pass, "r1"), reading("torque", event.Pass, "r2"), reading("torque", event.Pass, "r3")}, 1, 1},
		{"a fourth adds nothing", []event.Data{
			reading("torque", event.Pass, "r1"), reading("torque", event.Pass, "r2"), reading("torque", event.Pass, "r3"), reading("torque", event.Pass, "r4"),
		}, 1, 1},
		{"each characteristic counts by itself", []event.Data{
			reading("torque", event.Pass, "r1"), reading("torque", event.Pass, "r2"), reading("angle", event.Pass, "r3"), reading("angle", event.Pass, "r4"),
		}, 0, 0},
		{"a third that fails is its inspection's case as well", []event.Data{
			reading("torque", event.Pass, "r1"), reading("torque", event.Pass, "r2"), reading("torque", event.Fail, "r3"),
		}, 2, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, Lot{InspectionRequired: true})
			for _, r := range c.readings {
				s.must("p1", r)
			}
			s.must("p1", verdict(i1, event.VerdictPass))
			if len(s.o.Open) != c.holds || len(s.o.Nonconformances) != c.ncs {
				t.Errorf("holds are %+v, nonconformances %+v: want %d and %d", s.o.Open, s.o.Nonconformances, c.holds, c.ncs)
			}
		})
	}
	t.Run("a signed decision clears the failure once the hold is lifted", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		s.must("p1", reading("torque", event.Fail, ""))
		s.must("p1", reading("torque", event.Pass, "r1"))
		s.must("p1", verdict(i1, event.VerdictPass))
		s.must("", decide1(d1, Release, "500"))
		s.want(Held, Release, 1)
		s.must("", liftOf("hold:mes:1"))
		s.want(Asking, Release, 0)
	})
	t.Run("so does an inspection that takes its place", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		s.must("p1", verdict(i1, event.VerdictFail))
		s.must("p1", reading("torque", event.Pass, "r1"))
		s.want(Held, "", 1)
		s.must("p1", verdict(i2, event.VerdictPass))
		s.must("p1", supersede(i1, i2))
		s.must("", liftOf("hold:mes:1"))
		s.want(AwaitingDisposition, "", 0)
	})
	t.Run("a case that was reviewed is another when it goes on", func(t *testing.T) {
		s := newScript(t, Lot{InspectionRequired: true})
		for n := range 3 {
			s.must("p1", reading("torque", event.Pass, event.Name(fmt.Sprint("r", n))))
		}
		first := s.o.Open[0].ID
		s.must("", liftOf(first))
		s.want(AwaitingInspection, "", 0)
		s.must("p1", reading("torque", event.Fail, "r3"))
		if s.correctionHolds() != 1 || len(s.o.Open) != 2 || slices.ContainsFunc(s.o.Open, func(h Hold) bool { return h.ID == first }) {
			t.Errorf("open holds are %+v: want one of the failure and a new one of the corrections", s.o.Open)
		}
	})
	t.Run("one of an unknown lot waits unless it forbids", func(t *testing.T) {
		s := newScript(t, Lot{})
		s.o.Lot = nil
		s.wait("p1", reading("torque", event.Pass, "r1"), string(decidedLot))
		s.must("p1", reading("torque", event.Fail, "r1"))
		s.wait("p1", reading("torque", event.Pass, "r2"), string(decidedLot))
		if !s.o.Lot.Stub || len(s.o.Lot.Corrected) != 1 || s.o.Lot.Corrected[0].Count != 1 {
			t.Errorf("the lot is %+v: want a stub with one correction", s.o.Lot)
		}
	})
}

// safe is what two orders of the same facts must leave alike.
func (s *script) safe() string {
	var b strings.Builder
	fmt.Fprintln(&b, s.o.Lot.Release.State, OwnUsage(s.o.Lot, s.o.Open), s.o.Lot.Corrected)
	for _, h := range s.o.Open {
		fmt.Fprintln(&b, h.ID, h.Kind, h.Authority)
	}
	for _, n := range s.o.Nonconformances {
		fmt.Fprintln(&b, n.ID, n.Severity, n.State, n.Holds)
	}
	for _, i := range s.o.Inspections {
		fmt.Fprintln(&b, i.ID, i.State, i.Verdict)
	}
	return b.String()
}

// TestConflict_3_AnyOrder: readings and their corrections leave the same state in whatever order they arrive.
func TestConflict_3_AnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		facts := []event.Data{verdict(i1, event.VerdictPass)}
		if r.IntN(3) == 0 {
			facts = append(facts, verdict(i1, event.VerdictFail))
		}
		for n := range 1 + r.IntN(9) {
			ev := []event.Evaluation{event.Pass, event.Pass, event.Fail, event.Indeterminate}[r.IntN(4)]
			corrects := event.Name("")
			if r.IntN(3) > 0 {
				corrects = event.Name(fmt.Sprint("r", n))
			}
			facts = append(facts, reading([]event.Name{"torque", "angle"}[r.IntN(2)], ev, corrects))
		}
		var want string
		for range 4 {
			s := newScript(t, Lot{InspectionRequired: true})
			for _, i := range r.Perm(len(facts)) {
				s.must("p1", facts[i])
			}
			got := s.safe()
			if want == "" {
				want = got
			}
			if got != want {
				t.Fatalf("seed %d: one order leaves\n%s\nanother\n%s", seed, want, got)
			}
		}
	}
}
