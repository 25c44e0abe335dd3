package queue

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics shows a lane's Stat to a registry, and how long commits take.
type metrics struct {
	lane     *Lane
	registry prometheus.Registerer
	clock    func() time.Time
	sync     prometheus.Histogram
	gauges   []gauge
}

type gauge struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(Stat, time.Time) float64
}

var _ prometheus.Collector = (*metrics)(nil)

func newMetrics(l *Lane, cfg Config) (*metrics, error) {
	labels := prometheus.Labels{"lane": cfg.Name}
	m := &metrics{lane: l, registry: cfg.Metrics, clock: cfg.Clock}
	m.sync = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_agent_queue_sync_seconds", Help: "Time of a commit to the queue, sync included.", ConstLabels: labels,
		Buckets: prometheus.ExponentialBuckets(0.00025, 2, 14), // 0.25 ms, a fast disk, to 2 s, a stalled one
	})
	add := func(kind prometheus.ValueType, name, help string, value func(Stat, time.Time) float64) {
		desc := prometheus.NewDesc("holdfast_agent_queue_"+name, help, nil, labels)
		m.gauges = append(m.gauges, gauge{desc, kind, value})
	}
	gaugeOf := func(name, help string, value func(Stat) float64) {
		add(prometheus.GaugeValue, name, help, func(s Stat, _ time.Time) float64 { return value(s) })
	}
	counterOf := func(name, help string, value func(Stat) uint64) {
		add(prometheus.CounterValue, name, help, func(s Stat, _ time.Time) float64 { return float64(value(s)) })
	}
	gaugeOf("size_events", "Unsent events in the queue.", func(s Stat) float64 { return float64(s.Depth) })
	gaugeOf("urgent_size_events", "Unsent urgent events in the queue.", func(s Stat) float64 { return float64(s.Urgent) })
	gaugeOf("size_bytes", "Bytes of the queue on disk.", func(s Stat) float64 { return float64(s.Bytes) })
	gaugeOf("max_size_bytes", "Quota of the queue.", func(s Stat) float64 { return float64(s.Quota) })
	gaugeOf("reserve_used_bytes", "Bytes in use beyond the quota.", func(s Stat) float64 { return float64(s.ReserveUsed) })
	gaugeOf("full_in_seconds", "Time until the quota is reached at the present inflow, 0 for never.", func(s Stat) float64 { return s.FullIn.Seconds() })
	gaugeOf("drain_in_seconds", "Time until all is sent at the present outflow, 0 for none.", func(s Stat) float64 { return s.DrainIn.Seconds() })
	counterOf("received_events_total", "Events stored.", func(s Stat) uint64 { return s.Received })
	counterOf("sent_events_total", "Events confirmed by the receiver.", func(s Stat) uint64 { return s.Sent })
	counterOf("shed_events_total", "Events deleted unsent at the quota.", func(s Stat) uint64 { return s.Shed })
	add(prometheus.GaugeValue, "oldest_event_age_seconds", "Age of the oldest unsent event, 0 for none.", func(s Stat, now time.Time) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return max(0, now.Sub(s.Oldest).Seconds())
	})
	if m.registry == nil {
		return m, nil
	}
	if err := m.registry.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics of queue lane %s: %w", cfg.Name, err)
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registry != nil {
		m.registry.Unregister(m)
	}
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	m.sync.Describe(descs)
	for _, g := range m.gauges {
		descs <- g.desc
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.sync.Collect(out)
	stat, now := m.lane.Stat(), m.clock()
	for _, g := range m.gauges {
		out <- prometheus.MustNewConstMetric(g.desc, g.kind, g.value(stat, now))
	}
}
