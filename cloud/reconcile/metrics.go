package reconcile

import "github.com/prometheus/client_golang/prometheus"

// metrics of the feeds:
//
//	holdfast_cloud_feed_age_seconds{system}             how old the newest change can be that is not known yet
//	holdfast_cloud_feed_errors_total{system}            looks that failed
//	holdfast_cloud_feed_events_total{system,outcome}    events that the feed gave, by what became of them
//	holdfast_cloud_feed_unread_objects{system}          objects that became no event and wait for a person
type metrics struct {
	errors *prometheus.CounterVec
	events *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_cloud_feed_errors_total", Help: "Looks at a system's feed that failed.",
		}, []string{"system"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_cloud_feed_events_total", Help: "Events that a system's feed gave, by what became of them.",
		}, []string{"system", "outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.errors, m.events)
	}
	return m
}

// watch shows what a follower knows of itself.
func (m *metrics) watch(reg prometheus.Registerer, f *follower) {
	m.errors.WithLabelValues(f.feed.ID).Add(0)
	if reg == nil {
		return
	}
	labels := prometheus.Labels{"system": f.feed.ID}
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_cloud_feed_age_seconds", Help: "How old the newest change can be that is not known yet.", ConstLabels: labels,
		}, func() float64 { return f.age().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_cloud_feed_unread_objects", Help: "Objects of a feed that became no event.", ConstLabels: labels,
		}, func() float64 { return float64(f.unread()) }),
	)
}
