package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// off tells whether effects on a system are not to be carried out now. They wait as rows.
func off(offs []store.DispatchOff, system string, now time.Time) bool {
	return slices.ContainsFunc(offs, func(o store.DispatchOff) bool { return o.Covers(system, now) })
}

// errOff is why an attempt that was claimed in time ends without a write.
func errOff(system string) connector.Result {
	return connector.Result{Outcome: event.RetryLater, Code: "dispatch_off", Message: "dispatch to " + system + " was turned off", Waits: true}
}

// allowed refuses a write to a system that dispatch was turned off for since the effect was claimed. It is asked in the
// transaction that marks the write: what was turned off before is not written any more.
func (a *attempt) allowed(tx *store.Tx, now time.Time) error {
	offs, err := tx.DispatchOffs()
	if err == nil && off(offs, a.row.System, now) {
		err = errOff(a.row.System)
	}
	return err
}

// codeRestored is the code of a message that was closed because the database was restored.
const codeRestored = "restored"

// errRestored is why a message is not sent that was asked for in front of a restore.
type errRestored struct{}

func (errRestored) Error() string {
	return "closed unsent: it was asked for before the database was restored, and may have been sent then"
}

func (errRestored) Unwrap() error { return ErrUnwanted }

// remember makes an attempt at what was asked for in front of a restore one of which a write may have happened: it is
// looked up first. A message is not sent; where the system can be asked and shows it, it counts as sent. It returns how an
// effect ends for which no system has to be asked.
func (a *attempt) remember(ctx context.Context) (*Ending, error) {
	if !a.row.Kind.Document() {
		return nil, nil
	}
	var doubtful time.Time
	if err := a.dispatcher.store.View(ctx, func(tx *store.Tx) (err error) {
		doubtful, err = tx.Doubtful()
		return err
	}); err != nil || !a.row.Asked.Before(doubtful) {
		return nil, err
	}
	p := a.protocol
	p.Wrote, a.row.Wrote = true, true
	if a.row.Kind != quality.NoticeSend {
		return nil, nil
	}
	if p.blind() {
		return &Ending{Outcome: event.Cancelled, Result: connector.Result{Code: codeRestored, Message: errRestored{}.Error()}}, nil
	}
	decide := p.Decide
	p.Decide = func(ctx context.Context, e quality.Effect, seen *connector.View) (quality.Effect, error) {
		e, err := decide(ctx, e, seen)
		if err == nil {
			err = errRestored{}
		}
		return e, err
	}
	return nil, nil
}

var onDesc = prometheus.NewDesc("holdfast_cloud_dispatch_on", "1 while effects on the system are carried out, 0 while dispatch is off.", []string{"system"}, nil)

// switches shows to which systems is written when it is asked.
type switches struct{ dispatcher *Dispatcher }

// Describe implements prometheus.Collector.
func (s switches) Describe(ch chan<- *prometheus.Desc) { ch <- onDesc }

// Collect implements prometheus.Collector.
func (s switches) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	var offs []store.DispatchOff
	if err := s.dispatcher.store.View(ctx, func(tx *store.Tx) (err error) {
		offs, err = tx.DispatchOffs()
		return err
	}); err != nil {
		return
	}
	now := s.dispatcher.cfg.Now()
	for _, t := range s.dispatcher.targets {
		value := 1.0
		if off(offs, t.id, now) {
			value = 0
		}
		ch <- prometheus.MustNewConstMetric(onDesc, prometheus.GaugeValue, value, t.id)
	}
}
