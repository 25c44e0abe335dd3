package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// pipelineMetrics of the agent:
//
//	holdfast_agent_repeated_events_total             events read again and dropped
//	holdfast_agent_quarantined_events_total{cause}   records that were not understood, by E-code
//	holdfast_agent_gap_events_total{source}          gaps recorded
//	holdfast_agent_gap_closed_events_total{source}   gaps that data explained afterwards
//	holdfast_agent_queue_full_waits_total            times that a source had to wait for room
//	holdfast_agent_queue_full_waiting_sources        sources that wait for it now, so that nothing of theirs is acknowledged
type pipelineMetrics struct {
	repeated    prometheus.Counter
	quarantined *prometheus.CounterVec
	gaps        *prometheus.CounterVec
	closed      *prometheus.CounterVec
	waits       prometheus.Counter
	waiting     prometheus.Gauge
}

func newPipelineMetrics(reg prometheus.Registerer) *pipelineMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "holdfast_agent_" + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_agent_" + name, Help: help}, []string{label})
	}
	m := &pipelineMetrics{
		repeated:    counter("repeated_events_total", "Events read again and dropped."),
		quarantined: counters("quarantined_events_total", "Records that were not understood, by E-code.", "cause"),
		gaps:        counters("gap_events_total", "Gaps recorded.", "source"),
		closed:      counters("gap_closed_events_total", "Gaps that data explained afterwards.", "source"),
		waits:       counter("queue_full_waits_total", "Times that a source had to wait for room."),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_agent_queue_full_waiting_sources", Help: "Sources that wait for room in the queue now.",
		}),
	}
	reg.MustRegister(m.repeated, m.quarantined, m.gaps, m.closed, m.waits, m.waiting)
	return m
}

// Outcomes of a reload.
const (
	outcomeApplied   = "applied"
	outcomeUnchanged = "unchanged" // nothing differed
	outcomeRefused   = "refused"
)

// newReloadMetrics counts how often the configuration was read again:
//
//	holdfast_agent_config_reloads_total{outcome}   applied, unchanged or refused
func newReloadMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_agent_config_reloads_total", Help: "Reloads of the configuration."}, []string{"outcome"})
	for _, outcome := range []string{outcomeApplied, outcomeUnchanged, outcomeRefused} {
		c.WithLabelValues(outcome)
	}
	reg.MustRegister(c)
	return c
}

// sourceMetrics shows the state of each source when it is asked:
//
//	holdfast_agent_source_up{source}                      1 while it reads
//	holdfast_agent_source_received_events_total{source}   messages or values read
//	holdfast_agent_source_signals{source,state}           single items by quality; none for a source without items
//	holdfast_agent_source_open_gaps{source}               gaps recorded and not explained yet
type sourceMetrics struct{ sources func() []source.Source }

var (
	sourceUpDesc       = sourceDesc("up", "1 while the source reads.")
	sourceReceivedDesc = sourceDesc("received_events_total", "Messages or values read.")
	sourceSignalsDesc  = sourceDesc("signals", "Configured single items by the quality of their newest value.", "state")
	sourceGapsDesc     = sourceDesc("open_gaps", "Gaps recorded and not explained yet.")
)

func sourceDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_agent_source_"+name, help, append([]string{"source"}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (m sourceMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sourceUpDesc, sourceReceivedDesc, sourceSignalsDesc, sourceGapsDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m sourceMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, s := range m.sources() {
		st := s.Status()
		up := 0.0
		if st.State == source.Live {
			up = 1
		}
		gauge(sourceUpDesc, up, st.ID)
		ch <- prometheus.MustNewConstMetric(sourceReceivedDesc, prometheus.CounterValue, float64(st.Received), st.ID)
		gauge(sourceGapsDesc, float64(st.OpenGaps), st.ID)
		for quality, n := range signals(&st) {
			gauge(sourceSignalsDesc, float64(n), st.ID, string(quality))
		}
	}
}

// signals counts a source's single items. Of one that does not tell their qualities, those in trouble count as bad.
func signals(st *source.Status) map[source.Quality]int {
	if st.Signals != nil || st.Items == 0 {
		return st.Signals
	}
	bad := min(len(st.Troubled), st.Items)
	return map[source.Quality]int{source.Good: st.Items - bad, source.Bad: bad}
}
