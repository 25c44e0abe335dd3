package intake

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// lag shows, by topic, how many records of our partitions the broker had when they were fetched last and that are not
// applied yet:
//
//	holdfast_cloud_intake_lag_records{topic}
type lag struct {
	mu  sync.Mutex      // guards all
	end map[place]int64 // high watermark of the last fetch
	at  map[place]int64 // next offset, as stored; of each assigned partition
}

func newLag() *lag { return &lag{end: map[place]int64{}, at: map[place]int64{}} }

// fetched notes the offset behind the last record that the broker has.
func (l *lag) fetched(p place, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end[p] = end
}

// applied notes the next offset of an assigned partition.
func (l *lag) applied(p place, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[p] = next
}

// forget notes that a partition is assigned no more.
func (l *lag) forget(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.end, p)
	delete(l.at, p)
}

var lagDesc = prometheus.NewDesc("holdfast_cloud_intake_lag_records", "Records in Kafka that are not applied yet, as of the last fetch.", []string{"topic"}, nil)

// Describe implements prometheus.Collector.
func (l *lag) Describe(ch chan<- *prometheus.Desc) { ch <- lagDesc }

// Collect implements prometheus.Collector.
func (l *lag) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	topics := map[string]int64{}
	for p, next := range l.at {
		topics[p.topic] += max(0, l.end[p]-next)
	}
	for topic, n := range topics {
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(n), topic)
	}
}
