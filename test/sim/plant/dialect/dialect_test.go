package dialect

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 125e6, time.UTC)

func of(n int) Of {
	return Of{Record: Record(n), Lot: "0000300001", Material: "MAT-100", At: noon.Add(time.Duration(n) * time.Second)}
}

// facts has one of each kind.
func facts() []Fact {
	reading := Measured{
		Of: of(6), Rev: 1, Inspection: "I-1", Characteristic: "torque", Sample: 1, Value: "61.20", Unit: "N.m", LSL: "40.00", USL: "50.00", Safety: true, Equipment: "press2",
	}
	wrong := reading
	wrong.WrongUnit = true
	return []Fact{
		Made{Of: of(1), Kilograms: "500", Order: "WO-1", Equipment: "press2"}, Ran{Of: of(2), Run: "R-1", Order: "WO-1", Equipment: "press2"},
		Ran{Of: of(3), Run: "R-1", Order: "WO-1", Equipment: "press2", Ended: true}, Planned{Of: of(4), Inspection: "I-1", Type: "final", SpecRev: "3", Due: noon},
		Completed{Of: of(5), Inspection: "I-1", Type: "final", SpecRev: "3", Verdict: "fail", Results: 2}, Superseded{Of: of(7), Inspection: "I-1", By: "I-2", Reason: "again"},
		reading, wrong, Held{Of: of(8), Hold: "H-1", Reason: "oil", By: "operator 7"}, Lifted{Of: of(9), Hold: "H-1", Reason: "clean", By: "operator 7"},
		Sampled{Equipment: "press2", Tag: "force", Value: "812.50", Unit: "N", At: noon}, Garbled{Equipment: "press2", At: noon},
	}
}

// TestSite_Say looks at every message of every plant: it is JSON unless it broke off, always the same, and on a topic that
// the plant's gateway reads by exactly one source.
func TestSite_Say(t *testing.T) {
	for _, s := range Sites() {
		topics := s.Topics()
		sources := append([]string{topics.Hold, topics.Result("press2"), topics.Signal("press2")}, topics.MES...)
		said := map[string]bool{}
		for _, f := range facts() {
			m, err := s.Say(f)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := s.Say(f)
			if !bytes.Equal(m.Payload, again.Payload) || said[string(m.Payload)] {
				t.Errorf("%s: a %T is said in two ways, or as another fact was: %s", s.Plant, f, m.Payload)
			}
			said[string(m.Payload)] = true
			if _, broken := f.(Garbled); json.Valid(m.Payload) == broken {
				t.Errorf("%s: a %T is said as %s", s.Plant, f, m.Payload)
			}
			reads := slices.DeleteFunc(slices.Clone(sources), func(filter string) bool { return !matches(filter, m.Topic) })
			if len(reads) != 1 {
				t.Errorf("%s: topic %s of a %T is read by %q", s.Plant, m.Topic, f, reads)
			}
		}
	}
}

// matches tells whether a topic matches a filter whose last level may be a wildcard.
func matches(filter, topic string) bool {
	if top, wild := bytes.CutSuffix([]byte(filter), []byte("+")); wild {
		rest, ok := bytes.CutPrefix([]byte(topic), top)
		return ok && !bytes.Contains(rest, []byte("/"))
	}
	return filter == topic
}

// TestSite_Events says which events must come of a fact, as types.
func TestSite_Events(t *testing.T) {
	for _, s := range Sites() {
		ids := map[event.ID]bool{}
		for _, f := range facts() {
			events, err := s.Events(f)
			if err != nil {
				t.Fatal(err)
			}
			want := 1
			switch f := f.(type) {
			case Garbled:
				want = 0
			case Measured:
				want = 2 // the reading, and that it is not safe
				if f.WrongUnit {
					want = 0
				}
			}
			if len(events) != want {
				t.Errorf("%s: a %T gives %d events, want %d", s.Plant, f, len(events), want)
			}
			for _, e := range events {
				if ids[e.ID] {
					t.Errorf("%s: id %s stands for two facts", s.Plant, e.ID)
				}
				ids[e.ID] = e.ID != ""
				if e.ID != "" && (e.ContentHash == "" || e.Plant != event.PlantID(s.Plant)) {
					t.Errorf("%s: %+v is not sealed", s.Plant, e)
				}
			}
		}
	}
}

func TestSite_PartIDs(t *testing.T) {
	s := Sites()[1]
	good := plant.Part{Lot: "0000200001", Material: "MAT-100", Seq: 7, Values: []float64{45.2}, At: noon}
	unsafe, next := good, good
	unsafe.Values = []float64{50.01}
	next.Seq++
	one, two, other := s.PartIDs("line1", &good), s.PartIDs("line1", &unsafe), s.PartIDs("line1", &next)
	if len(one) != 1 || len(two) != 2 || two[1].Data.Type() != event.TypeSafetyFailed || one[0].ID != two[0].ID || one[0].ID == other[0].ID {
		t.Errorf("%d and %d events, %s %s %s", len(one), len(two), one[0].ID, two[0].ID, other[0].ID)
	}
	if good.LotID() != "MAT-100/0000200001" {
		t.Errorf("the controller shows %s", good.LotID())
	}
}

func TestVoice(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{comma("45.10"), "45,10"}, {comma("500"), "500"}, {string(digits("000042")), "42"}, {string(digits("0000")), "0"},
		{string(thousandths("45.10")), "45100"}, {string(thousandths("0.07")), "70"}, {string(thousandths("0.00")), "0"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if !numeric("0000300001") || numeric("L-000001") || numeric("00003000011") {
		t.Error("what is a number of ten digits")
	}
}

func TestOutside(t *testing.T) {
	for value, want := range map[string]bool{"40.00": false, "39.99": true, "50.00": false, "50.01": true, "45": false, "100.00": true} {
		if Outside(value, "40.00", "50.00") != want {
			t.Errorf("%s: want %t", value, want)
		}
	}
}
