package dispatch

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// figures returns the values of a metric by its labels' values, joined by slashes.
func figures(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				key += "/" + l.GetValue()
			}
			all[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

func TestDispatcher_Metrics(t *testing.T) {
	b := newBench(t)
	reg := prometheus.NewRegistry()
	b.metrics = newMetrics(reg, b.Dispatcher)
	show := func(waiting, age float64) {
		t.Helper()
		for name, want := range map[string]float64{"holdfast_cloud_effects_waiting": waiting, "holdfast_cloud_effect_oldest_age_seconds": age} {
			if got := figures(t, reg, name); !maps.Equal(got, map[string]float64{"/qms1": 0, "/s4": want}) {
				t.Errorf("%s is %v, want %v for s4", name, got, want)
			}
		}
	}
	b.work()
	show(0, 0) // a system without a row shows 0, too
	b.hold("hold:q:1", event.HoldSafety)
	b.clock = b.clock.Add(90 * time.Second)
	show(1, 90)
	b.work()
	show(0, 0)
	if got := figures(t, reg, "holdfast_cloud_effects_total"); got["/applied/s4"] != 1 {
		t.Errorf("effects by outcome are %v, want one applied", got)
	}
}
