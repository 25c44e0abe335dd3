package workflow

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the engine:
//
//	holdfast_cloud_intake_events_total{plant,outcome}  records of plants, by what became of them
//	holdfast_cloud_end_to_end_seconds{plant}           agent's disk to commit here, of accepted records
//	holdfast_cloud_barrier_wait_seconds{plant}         from the question to an agent until all that it had on disk is here
type metrics struct {
	events   *prometheus.CounterVec
	endToEnd *prometheus.HistogramVec
	barrier  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_cloud_intake_events_total", Help: "Records of plants, by what became of them.",
		}, []string{"plant", "outcome"}),
		endToEnd: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_cloud_end_to_end_seconds", Help: "Time from agent's disk to the cloud's commit, by the two clocks.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400},
		}, []string{"plant"}),
		barrier: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_cloud_barrier_wait_seconds", Help: "Time from the question to an agent until all that it had on disk is here.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 600, 3600, 86400},
		}, []string{"plant"}),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.endToEnd, m.barrier)
	}
	return m
}

// waited notes how long agents took to answer.
func (m *metrics) waited(waits []barrierWait) {
	for _, w := range waits {
		m.barrier.WithLabelValues(string(w.plant)).Observe(w.took.Seconds())
	}
}

// count notes what became of a batch of records of plants.
func (m *metrics) count(inputs []Input, decoded []decodedInput, results []Result, now time.Time) {
	for i := range inputs {
		if inputs[i].Event != nil {
			continue
		}
		plant := string(inputs[i].Plant)
		m.events.WithLabelValues(plant, string(results[i].Outcome)).Inc()
		if e := decoded[i].event; e != nil && results[i].Outcome == Accepted {
			m.endToEnd.WithLabelValues(plant).Observe(now.Sub(e.Recorded).Seconds())
		}
	}
}
