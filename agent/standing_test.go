package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// The agent tells the cloud how it stands with each head.
func TestAgent_Standing(t *testing.T) {
	r := newRig(t)
	r.result("1", "61.2")
	r.drained()
	r.until("the link is up", func() bool { return must(r.client.Status(t.Context()))(t).Uplink.Up })
	s := r.agent.standing()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if s.Version == "" || s.Started.IsZero() || s.LinkSince.IsZero() || s.Urgent != 0 {
		t.Errorf("standing is %+v", s)
	}
	if len(s.Backlog) != 2 || s.Backlog[0] != (event.LaneBacklog{Lane: event.LaneQuality, Full: s.Backlog[0].Full}) {
		t.Errorf("backlog is %+v", s.Backlog)
	}
	if len(s.Sources) != 2 || s.Sources[0].ID != "press" || s.Sources[0].State == event.Name(source.Live) || s.Sources[0].Problem == "" || s.Sources[0].Since.IsZero() {
		t.Errorf("sources are %+v", s.Sources)
	}
	r.until("a head is stated", func() bool { return !r.agent.uplink.Status().Head.IsZero() })
	if heads := r.heads(0); heads[0].Status == nil || heads[0].Status.Version != s.Version || len(heads[0].Status.Sources) != 2 {
		t.Errorf("the head states %+v", heads[0].Status)
	}
}

// A cut link leaves a backlog: how much, how old, and how many holds are in it.
func TestBacklog(t *testing.T) {
	oldest := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		lane localapi.Lane
		want event.LaneBacklog
	}{
		"Empty":   {localapi.Lane{Name: "quality", Bytes: 500, SentBytes: 400, FullIn: 9}, event.LaneBacklog{Lane: "quality", Full: 9}},
		"Waiting": {localapi.Lane{Name: "telemetry", Depth: 3, Bytes: 500, SentBytes: 400, Oldest: oldest, DrainIn: 7}, event.LaneBacklog{Lane: "telemetry", Events: 3, Bytes: 100, Oldest: event.At(oldest), Drain: 7}},
		"Unknown": {localapi.Lane{Name: "quality", Depth: 1, Bytes: 1, SentBytes: 2, DrainIn: -1, FullIn: -1}, event.LaneBacklog{Lane: "quality", Events: 1}},
	} {
		if diff := cmp.Diff(c.want, backlog(&c.lane)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSourceStanding(t *testing.T) {
	since := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		source localapi.Source
		want   event.SourceStanding
		calm   int
	}{
		"Live": {localapi.Source{ID: "a", State: source.Live, Since: since, Items: 4, Signals: map[source.Quality]int{source.Good: 4}},
			event.SourceStanding{ID: "a", State: "live", Since: event.At(since), Items: 4}, 3},
		"BadItem": {localapi.Source{ID: "a", State: source.Live, Since: since, Items: 4, Signals: map[source.Quality]int{source.Good: 1, source.Bad: 3}},
			event.SourceStanding{ID: "a", State: "live", Since: event.At(since), Items: 4, Bad: 3}, 2},
		"Troubled": {localapi.Source{ID: "a", State: source.Live, Since: since, Items: 4, Troubled: []string{"x: BadNodeIdUnknown (E-4102)"}, OpenGaps: 1},
			event.SourceStanding{ID: "a", State: "live", Since: event.At(since), Items: 4, Bad: 1, OpenGaps: 1}, 2},
		"Silent": {localapi.Source{ID: "a", State: source.Silent, Since: since, Problem: "nothing came from opc.tcp://host for 4s (E-4103)", LastSignal: since},
			event.SourceStanding{ID: "a", State: "stale", Since: event.At(since), Last: event.At(since), Problem: "E-4103"}, 1},
		"Refused": {localapi.Source{ID: "a", State: source.Refused, Since: since, Problem: "no code"},
			event.SourceStanding{ID: "a", State: "refused", Since: event.At(since)}, 0},
	} {
		got := sourceStanding(&c.source)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if n := calm(&got); n != c.calm {
			t.Errorf("%s is sorted as %d, want %d", name, n, c.calm)
		}
	}
}
