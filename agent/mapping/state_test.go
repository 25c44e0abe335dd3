package mapping

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

func at(seconds int) time.Time { return arrived.Add(time.Duration(seconds) * time.Second) }

func change(value string, from, seen int) Change {
	c := Change{Source: "kep", Tag: "Lot", Value: value, Good: true, Arrived: at(seen), Clock: true}
	if from != 0 {
		c.From = at(from)
	}
	return c
}

func TestScope_Recall(t *testing.T) {
	bad := change("C", 30, 30)
	bad.Good = false
	for name, c := range map[string]struct {
		changes []Change
		time    int // of the signal at its source; 0 = none
		seen    int
		want    string
	}{
		"NeverSeen":            {nil, 10, 10, "has not been seen"},
		"Newest":               {[]Change{change("A", 1, 1), change("B", 10, 10)}, 20, 20, "B"},
		"OfItsTime":            {[]Change{change("A", 1, 1), change("B", 10, 10)}, 5, 20, "A"},
		"LateChange":           {[]Change{change("B", 10, 10), change("A", 1, 12)}, 20, 20, "B"},
		"BeforeAll":            {[]Change{change("A", 5, 5)}, 1, 20, "has not been seen"},
		"ChangeWithoutTime":    {[]Change{change("A", 1, 1), change("B", 0, 10)}, 5, 20, "B"},
		"SignalWithoutTime":    {[]Change{change("A", 1, 1), change("B", 10, 10)}, 0, 20, "B"},
		"Bad":                  {[]Change{change("A", 1, 1), bad}, 40, 40, "is bad"},
		"GoodBeforeBad":        {[]Change{change("A", 1, 1), bad}, 20, 40, "A"},
		"TooOld":               {[]Change{change("A", 1, 1)}, 5000, 5000, "old: want at most 1h"},
		"SeenAgainIsNotTooOld": {[]Change{change("A", 1, 1), change("A", 4000, 4000)}, 5000, 5000, "A"},
	} {
		t.Run(name, func(t *testing.T) {
			var state State
			state.Apply(c.changes)
			sig := source.Signal{Source: "kep", Arrived: at(c.seen)}
			s := scope{sig: &sig, state: &state}
			if c.time != 0 {
				s.at = at(c.time)
			}
			value, _, err := s.recall("Lot", time.Hour)
			if got := fmt.Sprint(value, err); !strings.Contains(got, c.want) {
				t.Errorf("recall gives %s, want %q", got, c.want)
			}
		})
	}
}

func TestState_Restore(t *testing.T) {
	var before State
	number := change("45.10", 1, 1)
	number.Tag, number.Kind = "Torque", kindOfNumber
	before.Apply([]Change{change("A", 1, 1), change("B", 2, 2), number})
	text, err := json.Marshal(before.Changes("kep"))
	if err != nil {
		t.Fatal(err)
	}
	var changes []Change
	if err := json.Unmarshal(text, &changes); err != nil {
		t.Fatal(err)
	}
	var after State
	after.Restore(changes)
	again, _ := json.Marshal(after.Changes("kep"))
	if d := cmp.Diff(string(text), string(again)); d != "" {
		t.Errorf("the state differs after a restart:\n%s", d)
	}
	sig := source.Signal{Source: "kep", Arrived: at(10), Clock: source.ClockState{Synchronised: true}}
	s := scope{sig: &sig, state: &after}
	if v, age, err := s.recall("Torque", time.Hour); fmt.Sprint(v) != "45.10" || age != 9*time.Second || err != nil {
		t.Errorf("recall gives %v, %s, %v", v, age, err)
	}
	sig.Clock.Synchronised = false
	if _, _, err := s.recall("Lot", time.Hour); err == nil {
		t.Error("an age across a restart was told by a clock that was not synchronised")
	}
}

func TestState_Bounds(t *testing.T) {
	var s State
	for i := range 2 * maxChanges {
		s.Apply([]Change{change(fmt.Sprint(i), i+1, i+1)})
	}
	got := s.Changes("kep")
	if len(got) != maxChanges || got[0].Value != fmt.Sprint(maxChanges) {
		t.Errorf("%d changes from %s on", len(got), got[0].Value)
	}
	for i := range maxTags + 10 {
		c := change("x", i+1000, i+1000)
		c.Tag = fmt.Sprint(i)
		s.Apply([]Change{c})
	}
	if n := len(s.sources["kep"]); n != maxTags {
		t.Errorf("%d tags, want %d", n, maxTags)
	}
}

// TestState_Copy proves that a copy can be changed and given up: what it shares with its original is not touched.
func TestState_Copy(t *testing.T) {
	var original State
	for n := range maxChanges {
		original.Apply([]Change{change(fmt.Sprint(n), 0, n)})
	}
	other := change("x", 0, 1)
	other.Tag = "Order"
	original.Apply([]Change{other})
	before := original.Changes("kep")

	copied := original.Copy()
	for n := range 3 { // the first refreshes the newest value, the others push the oldest out
		copied.Apply([]Change{change(fmt.Sprint(maxChanges-1+n), 0, maxChanges+n)})
	}
	added := change("y", 0, 2)
	added.Tag = "Shift"
	copied.Apply([]Change{added})
	if diff := cmp.Diff(before, original.Changes("kep")); diff != "" {
		t.Errorf("a change of the copy reached the original:\n%s", diff)
	}

	direct := original
	for n := range 3 {
		direct.Apply([]Change{change(fmt.Sprint(maxChanges-1+n), 0, maxChanges+n)})
	}
	direct.Apply([]Change{added})
	if diff := cmp.Diff(direct.Changes("kep"), copied.Changes("kep")); diff != "" {
		t.Errorf("a copy remembers otherwise (-original +copy):\n%s", diff)
	}
}
