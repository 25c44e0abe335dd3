// Package outbox sends to Kafka what commits left to send: lot status and control records on the compacted topics,
// effects, dead letters, alerts, audit heads.
//
// A row for a compacted topic is only a mark that a key changed: what is sent is the state of now, so the last record
// of a key is always the newest. One publisher works at a time, under a lease in SQL; its transactional id fences a
// former holder in Kafka, too. Readers use read-committed and keep the highest version. A row is removed after the
// broker's answer; a crash in between sends it again under the same id.
//
// A plant's control records go out with the last of its lot status or after it, never before: while lot status waits, or
// can't be sent, the plant's agents see their answers age and are asked nothing new.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
}

const (
	leaseName   = "outbox"
	leaseLength = 15 * time.Second
	page        = 500
	idle        = time.Second
	sendLimit   = 10 * time.Second // well inside the lease
)

// errUnfit marks a row whose message would not fit its own schema.
var errUnfit = errors.New("message does not fit its schema")

// Publisher sends the outbox.
type Publisher struct {
	cfg    Config
	store  *store.Store
	log    zerolog.Logger
	opts   []kgo.Opt
	client *kgo.Client // nil = to be made: a fenced or failed producer is given up whole
	fence  int64
	unfit  telemetry.Quiet
}

// New returns a publisher on an open store.
func New(cfg Config, s *store.Store, log zerolog.Logger, reg *prometheus.Registry) (*Publisher, error) {
	opts, err := cfg.Kafka.Options("outbox", log, nil)
	if err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, store: s, log: log, unfit: telemetry.Quiet{Log: log, Now: cfg.Now}}
	p.opts = append(opts,
		kgo.TransactionalID("holdfast-outbox-"+s.ID()), kgo.TransactionTimeout(30*time.Second),
		kgo.StopProducerOnDataLossDetected(), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(2*page), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_cloud_outbox_size_events", Help: "Messages that wait to be sent to Kafka.",
	}, p.size))
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
}

// batch is what is sent together. It was read in one transaction at a time by which the state it shows can be named.
type batch struct {
	at       time.Time
	rows     []store.OutboxRow // a page of all but control records
	controls []store.OutboxRow
	lots     statuses
	unfit    map[event.PlantID]bool // plants with a lot status that can't be sent
}

// more tells whether the next page is to follow at once.
func (b *batch) more() bool { return len(b.rows) == page || len(b.controls) == page }

// next reads what is to be sent. A plant's control records come with the page that has the last of its lot status: an
// agent that has read a record takes its time for that of the lot status that it knows.
func (p *Publisher) next(ctx context.Context) (*batch, error) {
	b := &batch{at: p.cfg.Now(), lots: statuses{}, unfit: map[event.PlantID]bool{}}
	err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		if b.rows, err = tx.Outbox(page); err != nil {
			return err
		}
		last := int64(0)
		if n := len(b.rows); n > 0 {
			last = b.rows[n-1].ID
		}
		b.controls, err = tx.OutboxControl(last, page)
		return err
	})
	return b, err
}

// publish sends one page. It tells how many rows were sent, and whether the next page is to follow at once.
func (p *Publisher) publish(ctx context.Context) (n int, more bool, err error) {
	b, err := p.next(ctx)
	if err != nil || len(b.rows)+len(b.controls) == 0 {
		return 0, false, err
	}
	ours, err := p.lease(ctx)
	if err != nil || !ours {
		return 0, false, err
	}
	records, sent, err := p.records(ctx, b)
	if err != nil {
		return 0, false, err
	}
	if err := p.send(ctx, records); err != nil {
		return 0, false, err
	}
	if err := failpoint.Hit("outbox.after_send"); err != nil {
		return 0, false, err
	}
	err = p.store.Update(ctx, func(tx *store.Tx) error {
		for _, row := range sent {
			if err := tx.DropOutbox(row); err != nil {
				return err
			}
		}
		return nil
	})
	return len(sent), len(sent) > 0 && b.more(), err
}

// records makes the records of a batch, control records last, and returns the rows that they are of. A row whose message
// is unfit stays, for a person to see; the others do not wait behind it, but for the control records of its plant.
func (p *Publisher) records(ctx context.Context, b *batch) (records []*kgo.Record, sent []*store.OutboxRow, err error) {
	add := func(row *store.OutboxRow) error {
		r, err := p.record(ctx, row, b)
		switch {
		case errors.Is(err, errUnfit):
			p.unfit.Failed(err, "a row of the outbox can not be sent")
			if name, plant, _ := strings.Cut(row.Topic, "/"); name == "lot-status" {
				b.unfit[event.PlantID(plant)] = true
			}
			return nil
		case err != nil:
			return err
		case r != nil:
			records = append(records, r)
		}
		sent = append(sent, row)
		return nil
	}
	for i := range b.rows {
		if err := add(&b.rows[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range b.controls {
		row := &b.controls[i]
		if _, plant, _ := strings.Cut(row.Topic, "/"); b.unfit[event.PlantID(plant)] {
			continue
		}
		if err := add(row); err != nil {
			return nil, nil, err
		}
	}
	return records, sent, nil
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

// statuses are those of the lots of one page: a lot's goes to the topics of all its plants, and is worked out once. The
// marks of the page were read before, so that each of them is answered.
type statuses map[event.LotKey]*event.LotStatusUpdated

// record makes the Kafka record of a row; nil for a mark whose object is gone.
func (p *Publisher) record(ctx context.Context, row *store.OutboxRow, b *batch) (*kgo.Record, error) {
	m := row.Message
	if m == nil {
		var err error
		if m, err = p.now(ctx, row, b); err != nil || m == nil {
			return nil, err
		}
	}
	r := &kgo.Record{Topic: p.topic(row.Topic), Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, nil
}

// topic returns the Kafka name of a logical topic.
func (p *Publisher) topic(logical string) string {
	name, plant, _ := strings.Cut(logical, "/")
	switch {
	case name == "lot-status" && plant != "":
		return p.cfg.Kafka.PlantLotStatus(plant)
	case name == "lot-status":
		return p.cfg.Kafka.LotStatus()
	case name == "control":
		return p.cfg.Kafka.Control(plant)
	case name == "alert":
		return p.cfg.Kafka.Alert()
	case name == "deadletter":
		return p.cfg.Kafka.Deadletter()
	case name == "audit":
		return p.cfg.Kafka.Audit()
	}
	return p.cfg.Kafka.Effect()
}

// now returns the state of now of what a mark names; nil if it is gone.
func (p *Publisher) now(ctx context.Context, row *store.OutboxRow, b *batch) (*event.Message, error) {
	if name, plant, _ := strings.Cut(row.Topic, "/"); name == "control" {
		return p.control(ctx, event.PlantID(plant), row.Key, b.at)
	}
	return p.status(ctx, event.LotKey(row.Key), row.Topic, b.lots)
}

// control returns an agent's control record of now. Its time is that at which no lot status of the plant was due that is
// not sent before it or with it.
func (p *Publisher) control(ctx context.Context, plant event.PlantID, agent string, now time.Time) (*event.Message, error) {
	var set store.Control
	if err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		set, err = tx.Control(plant, agent, now)
		return err
	}); err != nil {
		return nil, err
	}
	key := []string{string(plant), agent, fmt.Sprint(set.Set.Version)}
	e := &event.Event{
		ID: event.NaturalID("", "holdfast", key, set.Set.Type(), 0), Source: "/holdfast", Time: now, Recorded: now, Plant: plant, Data: &set.Set,
	}
	if err := e.Seal(agent); err != nil {
		return nil, fmt.Errorf("control record of %s/%s: %w: %w", plant, agent, errUnfit, err)
	}
	m := e.Message()
	return &m, nil
}

// status returns a lot's status of now.
func (p *Publisher) status(ctx context.Context, lot event.LotKey, logical string, lots statuses) (*event.Message, error) {
	data, known := lots[lot]
	if !known {
		if err := p.store.View(ctx, func(tx *store.Tx) error {
			f, err := tx.Facts(lot)
			if err == nil && f.Lot.Key != "" {
				data = f.Status(p.cfg.ERP(f.Lot.Plant))
			}
			return err
		}); err != nil {
			return nil, err
		}
		lots[lot] = data
	}
	if data == nil {
		return nil, nil
	}
	e := &event.Event{
		ID:     event.NaturalID("", "holdfast", []string{string(lot), fmt.Sprint(data.Version)}, data.Type(), 0),
		Source: "/holdfast", Time: data.AsOf.Time, Recorded: data.AsOf.Time, Causation: data.Cause, Data: data,
	}
	if _, plant, ok := strings.Cut(logical, "/"); ok {
		e.Plant = event.PlantID(plant)
	}
	if err := e.Seal("holdfast"); err != nil {
		return nil, fmt.Errorf("status of lot %s: %w: %w", lot, errUnfit, err)
	}
	m := e.Message()
	return &m, nil
}

// send produces the records in one Kafka transaction.
func (p *Publisher) send(ctx context.Context, records []*kgo.Record) error {
	// The records' context is never cancelled: a cancelled idempotent record can be acknowledged and not written.
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	if err := p.client.BeginTransaction(); err != nil {
		return problem.New(problem.KafkaUnreachable, "begin outbox transaction: %w", err)
	}
	promise := kgo.AbortingFirstErrPromise(p.client)
	for _, r := range records {
		p.client.Produce(context.WithoutCancel(ctx), r, promise.Promise())
	}
	flushed := p.client.Flush(ctx)
	if flushed != nil {
		// What is buffered must not be sent later by a client that has lost its lease: the client is dropped.
		return problem.New(problem.KafkaUnreachable, "send outbox: %w", flushed)
	}
	if err := promise.Err(); err != nil {
		return problem.New(problem.KafkaUnreachable, "send outbox: %w", err)
	}
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return problem.New(problem.KafkaUnreachable, "commit outbox transaction: %w", err)
	}
	return nil
}
