package opcua

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of all OPC UA sources of an agent; the package comment lists them.
type Metrics struct {
	lives      *prometheus.CounterVec
	gaps       *prometheus.CounterVec
	closed     *prometheus.CounterVec
	backfilled *prometheus.CounterVec
	overflow   *prometheus.CounterVec
	torn       *prometheus.CounterVec
	unusable   *prometheus.CounterVec
	bad        *prometheus.CounterVec
	skew       *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_agent_opcua_" + name, Help: help}, append([]string{"source"}, more...))
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "holdfast_agent_opcua_" + name, Help: help}, []string{"source"})
		reg.MustRegister(g)
		return g
	}
	return &Metrics{
		lives:      counter("lives_total", "Connections that got as far as a session."),
		gaps:       counter("gaps_total", "Gaps recorded.", "reason"),
		closed:     counter("gaps_closed_total", "Gaps that data explained."),
		backfilled: counter("backfilled_total", "Values read from history."),
		overflow:   counter("overflow_total", "Values before which the server dropped others."),
		torn:       counter("torn_total", "Records whose parts could not be read at one instant."),
		unusable:   counter("unusable_total", "Values that no mapping may take."),
		bad:        counter("bad_total", "Values with the status bad or uncertain."),
		skew:       gauge("skew_seconds", "Server's clock minus ours."),
	}
}
