package workflow

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// gauge returns the value of a gauge; label is the value of its one label, empty where it has none.
func gauge(t *testing.T, reg *prometheus.Registry, name, label string) (value float64, shown bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

func TestEngine_Gauges(t *testing.T) {
	b := newBench(t)
	reg := prometheus.NewRegistry()
	b.Engine = New(b.store, Config{
		Plants:    map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "s4"}, "p2": {ID: "p2", ERP: "s4"}, "": {ERP: "s4"}},
		Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, func() time.Time { return b.clock }, b.log, reg)
	const prefix = "holdfast_cloud_"
	show := func(name, label string, want float64) {
		t.Helper()
		if got, shown := gauge(t, reg, prefix+name, label); got != want || !shown {
			t.Errorf("%s{%s} is %v (shown: %t), want %v", name, label, got, shown, want)
		}
	}
	for _, plant := range []string{"p1", "p2"} {
		for _, name := range []string{"lot_hold_oldest_age_seconds", "coverage_gaps_open", "plant_silent_seconds", "epochs_undecided"} {
			show(name, plant, 0)
		}
	}
	show("parked_lots", "", 0)
	if _, shown := gauge(t, reg, prefix+"lot_hold_oldest_age_seconds", "lot::M:L1"); shown {
		t.Error("a lot is a label")
	}

	b.send("1", b.created("L1", "kg"))
	b.send("2", b.safety("L1"))
	b.clock = b.clock.Add(90 * time.Second)
	show("lot_hold_oldest_age_seconds", "p1", 90)
	show("plant_silent_seconds", "p1", 90)
	show("plant_silent_seconds", "p2", 90)
	t.Run("TelemetryBreaksTheSilence", func(t *testing.T) {
		sample := &event.ValueSampled{Equipment: "press4", Signal: "temperature", Value: "21.5", Unit: "Cel", Status: event.StatusGood, Traced: provenance("e")}
		if r := b.send("s", sample); r.Outcome != Accepted {
			t.Fatalf("sample: %+v", r)
		}
		b.seq-- // a seq of the other lane
		show("plant_silent_seconds", "p1", 0)
	})

	missing := b.input(b.event("late", b.created("L2", "kg")))
	b.send("3", b.created("L3", "kg"))
	show("coverage_gaps_open", "p1", 1)
	b.apply(missing)
	show("coverage_gaps_open", "p1", 0)
	gap := &event.GapRecorded{
		GapID: "gap:p1:1", Source: "press4", Equipment: "press4", From: event.At(b.clock.Add(-time.Minute)), To: event.At(b.clock), Reason: event.GapDisconnect,
		Traced: provenance("f"),
	}
	b.want(b.send("gap", gap), Accepted, "")
	show("coverage_gaps_open", "p1", 1)
	closed := &event.GapClosed{GapID: gap.GapID, Source: gap.Source, Equipment: gap.Equipment, From: gap.From, To: gap.To, Reason: "history read", Filled: 3, Traced: provenance("f")}
	b.want(b.send("closed", closed), Accepted, "")
	show("coverage_gaps_open", "p1", 0)

	b.send("4", b.created("L4", "m"))
	b.send("5", b.measured("L4", 1, "45", event.Pass))
	show("parked_lots", "", 1)
	show("deadletters_open", "E-6007", 1)
	show("deadletters_open", "E-6008", 1)

	b.restart(2, event.NoPrev)
	b.send("6", b.created("L5", "kg"))
	show("epochs_undecided", "p1", 1)
	b.decide(2, event.EpochQuarantined)
	show("epochs_undecided", "p1", 0)

	t.Run("AHoldByScopeCountsAtThePlantsOfItsLots", func(t *testing.T) {
		place := &event.HoldPlaced{
			HoldID: "hold:qms1:S-1", Scope: &event.Scope{Kind: event.ScopeSupplier, Value: "ACME"}, HoldKind: event.HoldQuality, Reason: "recall",
			PlacedBy: "alice", PlacedAt: event.At(b.clock.Add(-time.Hour)), Authority: event.AuthorityQuality,
		}
		b.want(b.apply(Input{Event: b.own(place, "scope"), Principal: "alice"})[0], Accepted, "")
		show("lot_hold_oldest_age_seconds", "p1", 3600)
		show("lot_hold_oldest_age_seconds", "p2", 0)
	})
	t.Run("NoneWhileTheDatabaseIsAway", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "away.db")
		t.Run("WhichIsMade", func(t *testing.T) { storetest.OpenAt(t, path) }) // and closed, with its tables
		away, err := store.Open(t.Context(), "sqlite:"+path)
		if err != nil {
			t.Fatal(err)
		}
		if err := away.Close(); err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		New(away, Config{}, func() time.Time { return b.clock }, b.log, reg)
		if _, shown := gauge(t, reg, prefix+"parked_lots", ""); shown { // and Gather as a whole still works
			t.Error("a figure is shown that nobody has read")
		}
	})
}

// TestMetrics_Count: what became of records, and how long they took from the agent's disk.
func TestMetrics_Count(t *testing.T) {
	b := newBench(t)
	reg := prometheus.NewRegistry()
	b.metrics = newMetrics(reg)
	b.send("1", b.created("L1", "kg"))
	b.send("1", b.created("L1", "kg"))
	b.clock = b.clock.Add(3 * time.Second)
	late := b.event("2", b.created("L2", "kg"))
	late.Recorded = b.clock.Add(-2 * time.Second)
	b.want(b.apply(b.input(late))[0], Accepted, "")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "holdfast_cloud_intake_events_total":
				outcomes[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			case "holdfast_cloud_end_to_end_seconds":
				if h := m.GetHistogram(); h.GetSampleCount() != 2 || h.GetSampleSum() != 2 {
					t.Errorf("%d records took %v s, want 2 and 2 s", h.GetSampleCount(), h.GetSampleSum())
				}
				outcomes["timed"]++
			}
		}
	}
	if want := map[string]float64{"accepted p1": 2, "duplicate p1": 1, "timed": 1}; !maps.Equal(outcomes, want) {
		t.Errorf("counted are %v, want %v", outcomes, want)
	}
}

func TestArrivals_Latest(t *testing.T) {
	start := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	for name, c := range map[string]struct{ heard, stored, want time.Time }{
		"Nothing":              {time.Time{}, time.Time{}, start},
		"StoredBeforeTheStart": {time.Time{}, at(-60), at(-60)},
		"Heard":                {at(5), time.Time{}, at(5)},
		"HeardLater":           {at(5), at(2), at(5)},
		"StoredByAnotherCopy":  {at(5), at(9), at(9)},
	} {
		t.Run(name, func(t *testing.T) {
			h := &arrivals{start: start, at: map[event.PlantID]time.Time{}}
			if !c.heard.IsZero() {
				h.note([]Input{{Plant: "p1"}, {Plant: "p2", Event: &event.Event{}}}, c.heard)
			}
			if got := h.latest("p1", c.stored); !got.Equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := h.latest("p2", time.Time{}); !got.Equal(start) {
				t.Errorf("an event of the cloud's own door broke the silence of p2: %v", got)
			}
		})
	}
}
