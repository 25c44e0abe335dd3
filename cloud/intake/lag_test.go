package intake

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// lagOf returns the lag by topic.
func lagOf(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	topics := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "holdfast_cloud_intake_lag_records" {
			for _, m := range f.GetMetric() {
				topics[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return topics
}

func TestLag(t *testing.T) {
	l, reg := newLag(), prometheus.NewRegistry()
	reg.MustRegister(l)
	a0, a1, b0 := place{"a", 0}, place{"a", 1}, place{"b", 0}
	show := func(want map[string]float64) {
		t.Helper()
		if got := lagOf(t, reg); !maps.Equal(got, want) {
			t.Errorf("lag is %v, want %v", got, want)
		}
	}
	show(map[string]float64{})
	for _, p := range []place{a0, a1, b0} {
		l.applied(p, 10)
	}
	show(map[string]float64{"a": 0, "b": 0})
	l.fetched(a0, 15)
	l.fetched(a1, 12)
	show(map[string]float64{"a": 7, "b": 0})
	l.applied(a0, 15)
	show(map[string]float64{"a": 2, "b": 0})
	l.forget(b0)
	show(map[string]float64{"a": 2})
}

func TestIntake_Lag(t *testing.T) {
	b := newBench(t)
	b.send(20, 0, 1)
	i := b.intake(b.offsets, 5)
	stop := b.run(i)
	b.until("all are applied, and the lag says so", func() bool {
		n, shown := lagOf(t, b.registry)[topic]
		return shown && n == 0 && len(b.inbox()) == 20
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	i.lag.mu.Lock()
	defer i.lag.mu.Unlock()
	if len(i.lag.at) != 0 {
		t.Errorf("after the end %d partitions still have a lag", len(i.lag.at))
	}
}
