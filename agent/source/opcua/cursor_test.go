package opcua

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestPosition_Load(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	seven := uint64(7)
	want := position{
		Server: "urn:server", Certificate: "ab", Started: at, Contact: at, GapTo: at, Items: map[string]mark{"i=1": {Time: at, Seq: &seven, Print: "cd"}},
		Samples: at, Outages: []outage{{Gaps: []recorded{{at, at.Add(time.Second), "watchdog"}}, Reason: "watchdog", Unexplained: map[string]bool{"i=1": true}, Filled: 3}},
		Held: map[string]held{"x": {Event: "e", Source: "s", Name: "n"}}, Open: 2,
	}
	got, err := load(want.bytes())
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(outage{})); err != nil || diff != "" {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
	if first, err := load(nil); err != nil || first.Items == nil || first.Held == nil {
		t.Errorf("the first position is %+v, %v", first, err)
	}
	if _, err := load([]byte("{")); problem.CodeOf(err) != problem.QueueVersion {
		t.Errorf("got %v for a cursor that cannot be read", err)
	}
}

// TestSource_Prune forgets an item that is no longer configured, and what it had to explain.
func TestSource_Prune(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	old := position{
		Items:   map[string]mark{"i=1": {Time: at}, "i=2": {Time: at}},
		Outages: []outage{{Reason: "watchdog"}, {Item: "i=1", Reason: "item_missing"}, {Item: "i=2", Reason: "item_missing"}}, Open: 3,
	}
	s, err := New(Config{Endpoint: "opc.tcp://press1", Items: []Item{{Node: "i=2"}}}, Deps{ID: "press1", Plant: "p1", Agent: "gw1", PKI: t.TempDir(), Cursor: old.bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.at.Items) != 1 || len(s.at.Outages) != 2 || s.outage("i=1") != nil || !s.tracks[0].last.Equal(at) || s.Status().OpenGaps != 3 {
		t.Errorf("position %+v", s.at)
	}
}

// TestSource_Near gives samples that the cursor had no room for the time of the newest one, and no more trust than that.
func TestSource_Near(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	cfg := Config{Endpoint: "opc.tcp://press1", Items: []Item{{Node: "i=1", Pattern: PatternRecord, Seq: "."}}}
	for i := range maxMarks + 1 {
		cfg.Items = append(cfg.Items, Item{Node: fmt.Sprintf("nsu=urn:x;i=%d", i)})
	}
	old := position{Items: map[string]mark{"i=1": {Time: at.Add(-time.Hour)}}, Samples: at}
	s, err := New(cfg, Deps{ID: "press1", Plant: "p1", Agent: "gw1", PKI: t.TempDir(), Cursor: old.bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if first := s.tracks[0]; first.near || !first.last.Equal(at.Add(-time.Hour)) {
		t.Errorf("record %+v", first)
	}
	if sample := s.tracks[1]; !sample.near || !sample.last.Equal(at) {
		t.Errorf("sample %+v", sample)
	}
	l := &life{Source: s}
	l.take(s.tracks[1], reading{at: at}, &source.Batch{})
	l.take(s.tracks[0], reading{at: at}, &source.Batch{})
	if len(s.at.Items) != 1 {
		t.Errorf("%d marks for %d items", len(s.at.Items), len(s.tracks))
	}
}
