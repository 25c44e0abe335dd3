// Package outbox sends to Kafka what commits left to send: lot status and control records on the compacted topics,
// effects, dead letters, alerts, audit heads.
//
// A row for a compacted topic is only a mark that a key changed: what is sent is the state of now, so the last record
// of a key is always the newest. One publisher works at a time, under a lease in SQL; its transactional id fences a
// former holder in Kafka, too. Readers use read-committed and keep the highest version. A row is removed after the
// broker's answer; a crash in between sends it again under the same id.
//
// A plant's control records go out with the last of its lot status or after it, never before: while lot status waits the
// plant's agents see their answers age and are asked nothing new.
//
// What can't be sent keeps nothing else waiting: a topic that is missing or that we may not write holds up what is meant
// for it, and the control records of its plant where it is that of the plant's lot status; a record that no broker would
// take holds up itself. Both stay, are told by an alert, and go out when they can. A lot status that does not fit its
// schema goes out as one that says no more than that the lot may not move.
//
// Metrics: holdfast_cloud_outbox_size_events, holdfast_cloud_outbox_blocked_topics, holdfast_cloud_outbox_unfit_records.
package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Config of the publisher.
type Config struct {
	Kafka kafka.Config
	Owner string                     // names this process in the lease
	ERP   func(event.PlantID) string // id of a plant's ERP
	Now   func() time.Time
	// Changed receives after commits that may have left something; nil = look once a second.
	Changed <-chan struct{}
	Alarm   Alarm // is told what can't be sent
}

const (
	leaseName   = "outbox"
	leaseLength = 15 * time.Second
	page        = 500
	idle        = time.Second
	sendLimit   = 10 * time.Second // well inside the lease
)

// Publisher sends the outbox.
type Publisher struct {
	cfg    Config
	store  *store.Store
	log    zerolog.Logger
	opts   []kgo.Opt
	client *kgo.Client // nil = to be made: a fenced or failed producer is given up whole
	fence  int64

	trouble        *trouble // touched by Run alone
	blocked, unfit prometheus.Gauge
}

// New returns a publisher on an open store.
func New(cfg Config, s *store.Store, log zerolog.Logger, reg *prometheus.Registry) (*Publisher, error) {
	opts, err := cfg.Kafka.Options("outbox", log, nil)
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		cfg: cfg, store: s, log: log, trouble: newTrouble(cfg.Alarm, cfg.Now),
		blocked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_cloud_outbox_blocked_topics", Help: "Topics that can not be written; what is meant for them waits.",
		}),
		unfit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_cloud_outbox_unfit_records", Help: "Records that do not fit their schema, or that no broker takes.",
		}),
	}
	p.opts = append(opts,
		kgo.TransactionalID("holdfast-outbox-"+s.ID()), kgo.TransactionTimeout(30*time.Second),
		kgo.StopProducerOnDataLossDetected(), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(2*page), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_cloud_outbox_size_events", Help: "Messages that wait to be sent to Kafka.",
	}, p.size), p.blocked, p.unfit)
	return p, nil
}

func (p *Publisher) size() float64 {
	var n int64
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.CountOutbox()
		return err
	}); err != nil {
		return -1 // the database does not answer; its own metric says why
	}
	return float64(n)
}

// Run sends until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.drop()
	quiet := telemetry.Quiet{Log: p.log, Now: p.cfg.Now}
	for ctx.Err() == nil {
		_, more, err := p.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			quiet.Failed(err, "outbox waits")
			p.drop()
		default:
			quiet.Recovered("outbox goes on")
		}
		if more {
			continue
		}
		timer := time.NewTimer(idle)
		select {
		case <-ctx.Done():
		case <-p.cfg.Changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (p *Publisher) drop() {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
	clear(p.trouble.exists) // another client looks for itself
}

// batch is what is sent together. It was read in one transaction at a time by which the state it shows can be named.
type batch struct {
	at       time.Time
	rows     []store.OutboxRow // a page of all but control records
	controls []store.OutboxRow
	lots     statuses
}

// more tells whether the next page is to follow at once.
func (b *batch) more() bool { return len(b.rows) == page || len(b.controls) == page }

// next reads what is to be sent. A plant's control records come with the page that has the last of its lot status: an
// agent that has read a record takes its time for that of the lot status that it knows.
func (p *Publisher) next(ctx context.Context) (*batch, error) {
	b, except := &batch{at: p.cfg.Now(), lots: statuses{}}, p.trouble.except()
	err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		if b.rows, err = tx.Outbox(page, except); err != nil {
			return err
		}
		last := int64(0)
		if n := len(b.rows); n > 0 {
			last = b.rows[n-1].ID
		}
		b.controls, err = tx.OutboxControl(last, page, except)
		return err
	})
	return b, err
}

// publish sends one page. It tells how many rows were sent, and whether the next page is to follow at once: also where
// something of this one can't be sent, and the rest is to be tried without it.
func (p *Publisher) publish(ctx context.Context) (n int, more bool, err error) {
	defer p.show()
	b, err := p.next(ctx)
	if err != nil || len(b.rows)+len(b.controls) == 0 {
		return 0, false, err
	}
	ours, err := p.lease(ctx)
	if err != nil || !ours {
		return 0, false, err
	}
	if err := p.trouble.load(ctx); err != nil {
		return 0, false, err
	}
	all, err := p.records(ctx, b)
	if err == nil {
		all, err = p.writable(ctx, all)
	}
	if err != nil {
		return 0, false, err
	}
	if len(all) == 0 {
		return 0, b.more() && p.trouble.passed(), nil
	}
	if err := p.send(ctx, all); err != nil {
		return 0, p.judge(ctx, err), err
	}
	if err := failpoint.Hit("outbox.after_send"); err != nil {
		return 0, false, err
	}
	err = p.store.Update(ctx, func(tx *store.Tx) error {
		for _, x := range all {
			if err := tx.DropOutbox(x.row); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = p.trouble.sent(ctx, all)
	}
	return len(all), b.more(), err
}

// judge leaves alone what a page failed for, and tells whether that was it: the rest of the page can go without it.
func (p *Publisher) judge(ctx context.Context, err error) bool {
	r, ok := errors.AsType[*refused](err)
	if !ok {
		return false
	}
	if ofRecord(r.cause) {
		err = p.trouble.refuse(ctx, r.of.row, r.cause)
	} else {
		err = p.trouble.block(ctx, r.of.row.Topic, r.of.record.Topic, r.cause)
	}
	return err == nil // else the page is tried again, and fails again
}

// show lets the metrics show the trouble there is.
func (p *Publisher) show() {
	p.blocked.Set(float64(len(p.trouble.topics)))
	p.unfit.Set(float64(len(p.trouble.told[store.AlertUnfit])))
}

// lease takes or keeps the right to publish. A new holder makes a new client, which fences the former one in Kafka.
func (p *Publisher) lease(ctx context.Context) (ours bool, err error) {
	var fence int64
	err = p.store.Update(ctx, func(tx *store.Tx) (err error) {
		fence, ours, err = tx.TakeLease(leaseName, p.cfg.Owner, p.cfg.Now(), leaseLength)
		return err
	})
	if err != nil || !ours {
		return false, err
	}
	if fence != p.fence {
		p.drop()
		p.fence = fence
	}
	if p.client == nil {
		if p.client, err = kgo.NewClient(p.opts...); err != nil {
			return false, fmt.Errorf("make outbox producer: %w", err)
		}
	}
	return true, nil
}

// refused is an error of one topic or of one record, for which a page failed.
type refused struct {
	of    outgoing
	cause error
}

func (r *refused) Error() string { return fmt.Sprintf("topic %s: %s", r.of.record.Topic, r.cause) }
func (r *refused) Unwrap() error { return r.cause }

// send produces the records in one Kafka transaction.
func (p *Publisher) send(ctx context.Context, all []outgoing) error {
	// The records' context is never cancelled: a cancelled idempotent record can be acknowledged and not written.
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	if err := p.client.BeginTransaction(); err != nil {
		return problem.New(problem.KafkaUnreachable, "begin outbox transaction: %w", err)
	}
	var mu sync.Mutex // guards failed
	var failed *refused
	promise := kgo.AbortingFirstErrPromise(p.client)
	for _, x := range all {
		if x.record == nil {
			continue
		}
		done := promise.Promise()
		p.client.Produce(context.WithoutCancel(ctx), x.record, func(r *kgo.Record, err error) {
			if ofTopic(err) || ofRecord(err) {
				mu.Lock()
				failed = cmp.Or(failed, &refused{x, err})
				mu.Unlock()
			}
			done(r, err)
		})
	}
	flushed := p.client.Flush(ctx)
	if flushed != nil {
		// What is buffered must not be sent later by a client that has lost its lease: the client is dropped.
		return problem.New(problem.KafkaUnreachable, "send outbox: %w", flushed)
	}
	if err := promise.Err(); err != nil {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			err = failed
		}
		return problem.New(problem.KafkaUnreachable, "send outbox: %w", err)
	}
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return problem.New(problem.KafkaUnreachable, "commit outbox transaction: %w", err)
	}
	return nil
}
