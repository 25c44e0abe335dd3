package workflow

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// waits shows what releases wait for, when it is asked:
//
//	holdfast_cloud_release_waits{plant,reason}               lots that nobody has to inspect or decide about any more, and that wait now
//	holdfast_cloud_release_wait_seconds_total{plant,reason}  how long such lots have waited for it, those that do now included
//
// The reasons are those of quality.WaitKind. Of a plant that makes its people wait too often they tell early: people who
// wait learn to sign without looking.
type waits struct {
	store *store.Store
	now   func() time.Time
}

var (
	waitsDesc  = prometheus.NewDesc("holdfast_cloud_release_waits", "Lots whose release waits now, by plant and reason.", []string{"plant", "reason"}, nil)
	waitedDesc = prometheus.NewDesc("holdfast_cloud_release_wait_seconds_total", "Time that releases have waited, by plant and reason.",
		[]string{"plant", "reason"}, nil)
)

// Describe implements prometheus.Collector.
func (w *waits) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitsDesc
	ch <- waitedDesc
}

// Collect implements prometheus.Collector. While the database does not answer it shows nothing.
func (w *waits) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var all []store.Waited
	if err := w.store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Waited(w.now())
		return err
	}); err != nil {
		return
	}
	for _, x := range all {
		ch <- prometheus.MustNewConstMetric(waitsDesc, prometheus.GaugeValue, float64(x.Lots), string(x.Plant), string(x.Reason))
		ch <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, x.Total.Seconds(), string(x.Plant), string(x.Reason))
	}
}
