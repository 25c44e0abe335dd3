package dispatch

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// metrics of the dispatcher:
//
//	holdfast_cloud_effects_total{system,outcome}       attempts by how they ended
//	holdfast_cloud_effects_waiting{system}             effects that are due or leased
//	holdfast_cloud_effect_oldest_age_seconds{system}   age of the oldest of them
//	holdfast_cloud_dispatch_on{system}                 1 while effects on it are carried out, 0 while dispatch is off
type metrics struct {
	outcomes *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, d *Dispatcher) *metrics {
	m := &metrics{outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_cloud_effects_total", Help: "Attempts of effects, by how they ended.",
	}, []string{"system", "outcome"})}
	if reg != nil {
		w := &waiting{store: d.store, now: d.cfg.Now}
		for _, t := range d.targets {
			w.systems = append(w.systems, t.id)
		}
		reg.MustRegister(m.outcomes, w, switches{d})
	}
	return m
}

func (m *metrics) outcome(system string, o quality.Outcome) {
	m.outcomes.WithLabelValues(system, string(o)).Inc()
}

// waiting reads the effects that wait when it is asked. While the database does not answer it has no metrics: one that
// is invalid would take all others of the program with it.
type waiting struct {
	store   *store.Store
	systems []string // configured ones, which show 0 while nothing waits
	now     func() time.Time
}

// scrapeLimit is far above what counting takes, and below the time that a scrape waits.
const scrapeLimit = 2 * time.Second

var (
	waitingDesc = prometheus.NewDesc("holdfast_cloud_effects_waiting", "Effects that are due or out.", []string{"system"}, nil)
	oldestDesc  = prometheus.NewDesc("holdfast_cloud_effect_oldest_age_seconds", "Age of the oldest effect that waits.", []string{"system"}, nil)
)

// Describe implements prometheus.Collector.
func (w *waiting) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitingDesc
	ch <- oldestDesc
}

// Collect implements prometheus.Collector.
func (w *waiting) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	count, oldest := map[string]float64{}, map[string]float64{}
	for _, system := range w.systems {
		count[system] = 0
	}
	now := w.now()
	if err := w.store.View(ctx, func(tx *store.Tx) error {
		counts, err := tx.CountEffects()
		for _, c := range counts {
			count[c.System] += 0 // a system that is configured no more
			if c.State == store.EffectDue || c.State == store.EffectLeased {
				count[c.System] += float64(c.Count)
				oldest[c.System] = max(oldest[c.System], now.Sub(c.Oldest).Seconds())
			}
		}
		return err
	}); err != nil {
		return
	}
	for system, n := range count {
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, n, system)
		ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, oldest[system], system)
	}
}
