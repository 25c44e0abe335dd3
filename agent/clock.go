package agent

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// clockAge is how long what the host said about its clock is believed.
const clockAge = 10 * time.Second

// hostTime is what the host says about its clock.
type hostTime struct {
	synchronised bool
	offset       *time.Duration // still to be corrected, by the kernel's own loop; nil = it is not told
}

// clock tells whether the host's clock is synchronised. Order never depends on it; times are marked by it.
type clock struct {
	mu    sync.Mutex // guards what follows
	asked time.Time
	last  hostTime
}

func (c *clock) state() source.ClockState {
	return source.ClockState{Synchronised: c.time().synchronised}
}

func (c *clock) time() hostTime {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.asked.IsZero() || now.Sub(c.asked) >= clockAge {
		c.asked, c.last = now, askHost()
	}
	return c.last
}

// clockMetrics shows the host's clock when it is asked:
//
//	holdfast_agent_clock_synchronised     1 while a time service keeps the clock
//	holdfast_agent_clock_offset_seconds   what the time service has still to correct; absent where the host does not tell
type clockMetrics struct{ clock *clock }

var (
	clockSynchronisedDesc = prometheus.NewDesc("holdfast_agent_clock_synchronised", "1 while a time service keeps the host's clock.", nil, nil)
	clockOffsetDesc       = prometheus.NewDesc("holdfast_agent_clock_offset_seconds", "What the host's time service has still to correct.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m clockMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- clockSynchronisedDesc
	ch <- clockOffsetDesc
}

// Collect implements prometheus.Collector.
func (m clockMetrics) Collect(ch chan<- prometheus.Metric) {
	t := m.clock.time()
	kept := 0.0
	if t.synchronised {
		kept = 1
	}
	ch <- prometheus.MustNewConstMetric(clockSynchronisedDesc, prometheus.GaugeValue, kept)
	if t.offset != nil {
		ch <- prometheus.MustNewConstMetric(clockOffsetDesc, prometheus.GaugeValue, t.offset.Seconds())
	}
}
