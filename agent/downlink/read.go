package downlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 10 * time.Second

	pageRecords = 2000
	askLimit    = 5 * time.Second
	// askEvery is how often the ends of the topics are asked for, so that a record that comes next is known to be new.
	askEvery = 15 * time.Second
	// askAgain is the pause after an ask that failed.
	askAgain = 2 * time.Second
)

// place is where a partition is read.
type place struct {
	topic     string
	partition int32
}

// reader is one client's reading of both topics, each from its start.
type reader struct {
	*Downlink
	client  *kgo.Client
	admin   *kadm.Client
	control string
	status  string
	next    map[place]int64 // offset that is due next

	heard   int64 // offset behind the newest control record of this agent
	credit  int64 // what of heard has been counted
	due     time.Time
	pending *ends // asked for and not reached yet
	before  *ends // the newest that were reached
}

// ends are the ends of all partitions as they were at an instant.
type ends struct {
	at      Instant
	offsets map[place]int64
	heard   int64 // reader.heard when they were asked for
}

// read reads with a client of its own, until ctx ends or reading fails for good.
func (d *Downlink) read(ctx context.Context) error {
	r := &reader{Downlink: d, control: d.cfg.Kafka.Control(d.cfg.Plant), status: d.cfg.Kafka.PlantLotStatus(d.cfg.Plant), next: map[place]int64{}}
	partitions := map[string]map[int32]kgo.Offset{}
	for _, s := range d.specs() {
		partitions[s.Name] = map[int32]kgo.Offset{}
		for p := range s.Partitions {
			partitions[s.Name][p] = kgo.NewOffset().AtStart()
			r.next[place{s.Name, p}] = 0
		}
	}
	client, err := kgo.NewClient(append(d.opts[:len(d.opts):len(d.opts)], kgo.ConsumePartitions(partitions))...)
	if err != nil {
		return fmt.Errorf("make consumer: %w", err)
	}
	defer client.CloseAllowingRebalance()
	r.client, r.admin = client, kadm.NewClient(client)
	if err := r.check(ctx); err != nil {
		return err
	}
	for {
		r.ask(ctx)
		if err := r.poll(ctx); err != nil {
			return err
		}
		if err := r.settle(); err != nil {
			return err
		}
	}
}

// specs returns the two topics.
func (d *Downlink) specs() []kafka.Spec {
	var both []kafka.Spec
	for _, s := range d.cfg.Kafka.PlantSpecs(d.cfg.Plant) {
		if s.Name == d.cfg.Kafka.Control(d.cfg.Plant) || s.Name == d.cfg.Kafka.PlantLotStatus(d.cfg.Plant) {
			both = append(both, s)
		}
	}
	return both
}

// check refuses topics that are missing or have other partitions than they should: a part of the lots would never be
// read.
func (r *reader) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return kafka.Check(ctx, r.client, r.specs())
}

// ask asks for the ends where that is due: after a control record at once, else now and then.
func (r *reader) ask(ctx context.Context) {
	if r.pending != nil || r.heard == r.credit && time.Now().Before(r.due) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	asked := &ends{at: r.cfg.Instant(), offsets: map[place]int64{}, heard: r.heard}
	starts, err := r.admin.ListStartOffsets(ctx, r.control, r.status)
	var last kadm.ListedOffsets
	if err == nil {
		last, err = r.admin.ListCommittedOffsets(ctx, r.control, r.status)
	}
	if err = errors.Join(err, starts.Error(), last.Error()); err != nil {
		r.due = time.Now().Add(askAgain)
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.failed(classify(err))
		}
		return
	}
	r.worked()
	starts.Each(func(o kadm.ListedOffset) {
		p := place{o.Topic, o.Partition}
		r.next[p] = max(r.next[p], o.Offset) // what was deleted needs not be read
	})
	last.Each(func(o kadm.ListedOffset) { asked.offsets[place{o.Topic, o.Partition}] = o.Offset })
	r.pending, r.due = asked, time.Now().Add(r.every)
}

func classify(err error) error {
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return problem.New(problem.KafkaRefused, "read what the cloud says: %w", err)
	}
	return problem.New(problem.KafkaUnreachable, "read what the cloud says: %w", err)
}

// poll takes in what is there, and waits for it until the next ask is due.
func (r *reader) poll(ctx context.Context) error {
	if r.reached() { // what is pending needs no more records
		return nil
	}
	until := r.due
	if r.pending != nil {
		until = time.Now().Add(r.every)
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	fetches := r.client.PollRecords(waiting, pageRecords)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed error
	fetches.EachError(func(_ string, _ int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			failed = errors.Join(failed, err)
		}
	})
	if failed != nil {
		return classify(failed)
	}
	return r.take(fetches.Records())
}

// take stores a page of records in one transaction.
func (r *reader) take(records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	var newest *event.ControlSet
	added, heard := 0, int64(0)
	err := r.store.db.Update(func(tx *bbolt.Tx) error {
		for _, record := range records {
			var err error
			switch {
			case record.Attrs.IsControl(): // the end of a transaction: only its offset counts
			case record.Topic == r.control:
				if c := r.takeControl(record); c != nil && (newest == nil || c.Version > newest.Version) {
					newest, heard = c, record.Offset+1
					err = tx.Bucket([]byte(bucketMeta)).Put([]byte(keyControl), record.Value)
				}
			default:
				var n int
				n, err = r.takeStatus(tx, record)
				added += n
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return problem.New(problem.DiskWrite, "store what the cloud says: %w", err)
	}
	for _, record := range records {
		r.next[place{record.Topic, record.Partition}] = record.Offset + 1
	}
	r.heard = max(r.heard, heard)
	r.keep(newest, added)
	return nil
}

// keep shows what was stored.
func (d *Downlink) keep(newest *event.ControlSet, added int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lots += added
	if newest == nil {
		return
	}
	d.status.Heard = d.cfg.Now()
	d.control = newest
	close(d.changed)
	d.changed = make(chan struct{})
}

// takeControl returns a control record of this agent that is newer than what is known; else nil.
func (r *reader) takeControl(record *kgo.Record) *event.ControlSet {
	if string(record.Key) != r.cfg.Agent || record.Value == nil {
		return nil
	}
	data, err := r.decode(record)
	c, ok := data.(*event.ControlSet)
	if err == nil && !ok {
		err = fmt.Errorf("type %s does not belong here", data.Type())
	}
	if err != nil {
		r.misread(record, err)
		return nil
	}
	if known, _ := r.Control(); known != nil && c.Version <= known.Version {
		return nil
	}
	return c
}

// takeStatus stores the status of a lot that is newer than what is known, and returns how many lots it adds. A record
// that is not understood stands against moving the lot that its key names, until a newer one is.
func (r *reader) takeStatus(tx *bbolt.Tx, record *kgo.Record) (added int, err error) {
	key := event.LotKey(record.Key)
	old, known, err := getLot(tx, key)
	if err != nil {
		return 0, err
	}
	if record.Value == nil { // the cloud no longer keeps it
		if known {
			added = -1
		}
		return added, tx.Bucket([]byte(bucketLot)).Delete([]byte(key))
	}
	if !known {
		added = 1
	}
	data, err := r.decode(record)
	status, ok := data.(*event.LotStatusUpdated)
	if err == nil && !ok {
		err = fmt.Errorf("type %s does not belong here", data.Type())
	}
	if err != nil {
		r.misread(record, err)
		if _, _, _, keyErr := key.Parts(); keyErr != nil {
			return 0, nil // it names no lot
		}
		old.Fault = err.Error()
		return added, putLot(tx, key, old)
	}
	if old.Status != nil {
		before, err := event.DecodeData(event.TypeLotStatusUpdated, old.Status)
		if err != nil {
			return 0, fmt.Errorf("stored status of %s: %w", key, err)
		}
		if v := before.(*event.LotStatusUpdated).Version; status.Version < v || status.Version == v && old.Fault != "" {
			return 0, nil // the record that was not understood came after this one
		}
	}
	return added, putLot(tx, key, lotRow{Status: json.RawMessage(record.Value)})
}

// decode reads a record as an event of this plant.
func (r *reader) decode(record *kgo.Record) (event.Data, error) {
	m := event.Message{Key: record.Key, Value: record.Value}
	for _, h := range record.Headers {
		m.Headers = append(m.Headers, event.Header(h))
	}
	e, err := event.Decode(m)
	if err != nil {
		return nil, err
	}
	if string(e.Plant) != r.cfg.Plant {
		return nil, fmt.Errorf("it says plant %q", e.Plant)
	}
	return e.Data, nil
}

func (r *reader) misread(record *kgo.Record, err error) {
	r.refused.Inc()
	r.odd.Failed(problem.New(problem.EventInvalid, "%s partition %d offset %d, key %.120q: %w", record.Topic, record.Partition, record.Offset, record.Key, err),
		"a record of the cloud is not understood")
}

// reached tells whether everything in front of the pending ends is read.
func (r *reader) reached() bool {
	if r.pending == nil {
		return false
	}
	for p, end := range r.pending.offsets {
		if r.next[p] < end {
			return false
		}
	}
	return true
}

// settle counts what reaching the pending ends proves: a control record that lay behind the ends before was written after
// them, so lot status is whole as of then.
func (r *reader) settle() error {
	if !r.reached() {
		return nil
	}
	done := r.pending
	r.pending = nil
	first := place{r.control, 0}
	before := r.before
	r.before = done
	if done.heard == r.credit {
		return nil
	}
	r.credit = done.heard
	if before == nil || done.heard <= before.offsets[first] || before.at.Boot == "" {
		return nil // it may have been there for long
	}
	if err := r.store.setFresh(before.at); err != nil {
		return problem.New(problem.DiskWrite, "store how far lot status is whole: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh = before.at
	return nil
}
