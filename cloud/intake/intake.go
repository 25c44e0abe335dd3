// Package intake is Kafka's door: it polls the topics of all plants, decides from the topic which plant speaks, and
// hands what it polled to the workflow engine, with the next offset of each partition in the records' own transaction.
//
// Kafka's own committed offset is advisory. The one in SQL counts: it moves by compare-and-set, so a second process
// that reads the same partition is stopped before it can do anything twice. Several copies share the topics as one group,
// each under an instance name of its own; of two that have the same name the newer one goes on.
package intake

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Offsets reads the stored next offset of a partition, 0 if there is none.
type Offsets func(ctx context.Context, topic string, partition int32) (int64, error)

// Config of the intake.
type Config struct {
	Kafka kafka.Config
	Group string // Kafka group; holds the database's id, so that a new database starts anew
	// Instance names this copy in the group, the same over restarts: a process that was killed and started again takes its
	// partitions back at once, instead of waiting until Kafka misses the dead one.
	Instance string
	// Batch is the most records in one transaction. 500 records are about 0.2 s of SQLite's time, which
	// bounds how long a hold behind them waits for the writer.
	Batch int
	// Topics are those that the cloud reads and writes. While one of them is missing it is looked for, so that it is found
	// soon after it was made; nil = the plants' topics are read as they are found, within half a minute.
	Topics []kafka.Spec
}

// DefaultBatch is the Batch that is used for 0.
const DefaultBatch = 500

// Intake reads the plants' topics.
type Intake struct {
	cfg     Config
	engine  *workflow.Engine
	offsets Offsets
	log     zerolog.Logger
	client  *kgo.Client
	topics  *regexp.Regexp
	stopped *prometheus.GaugeVec
	lag     *lag
	search  *search

	mu     sync.Mutex      // guards what follows: the client assigns partitions from a goroutine of its own
	next   map[place]int64 // next offset per assigned partition, as stored
	halted map[place]bool  // partitions that stand still until a person acts
}

type place struct {
	topic     string
	partition int32
}

// New returns an intake. It makes the client but does not connect; Run does.
func New(cfg Config, engine *workflow.Engine, offsets Offsets, log zerolog.Logger, reg *prometheus.Registry) (*Intake, error) {
	if cfg.Batch == 0 {
		cfg.Batch = DefaultBatch
	}
	pattern := "^" + regexp.QuoteMeta(cfg.Kafka.Prefix) + `\.([a-z][a-z0-9-]{1,15})\.(?:quality|telemetry)\.v1$`
	i := &Intake{
		cfg: cfg, engine: engine, offsets: offsets, log: log, topics: regexp.MustCompile(pattern),
		stopped: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_cloud_intake_stopped", Help: "1 for a topic that stands still until a person acts.",
		}, []string{"topic"}),
		lag: newLag(), search: newSearch(cfg.Topics),
		next: map[place]int64{}, halted: map[place]bool{},
	}
	reg.MustRegister(i.stopped, i.lag)
	opts, err := cfg.Kafka.Options("intake", log, reg)
	if err != nil {
		return nil, err
	}
	i.client, err = kgo.NewClient(append(opts,
		kgo.ConsumerGroup(cfg.Group), kgo.ConsumeRegex(), kgo.ConsumeTopics(pattern),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		// Out of range stops the partition; a reset to latest would be a silent loss.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(i.adjust),
		kgo.OnPartitionsLost(i.forget), kgo.OnPartitionsRevoked(i.forget),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(1<<20),
		// Kafka misses a dead copy after the session's time, and takes no less than 6 s: so long its holds wait for the others.
		// One that is started again sooner takes its partitions back at once.
		kgo.InstanceID(cfg.Instance), kgo.SessionTimeout(6*time.Second), kgo.RebalanceTimeout(10*time.Second), kgo.HeartbeatInterval(time.Second),
	)...)
	return i, err
}

// adjust starts each assigned partition at the offset in SQL, or at exactly 0 where there is none. The epoch -1 keeps
// the client from checking for data loss itself.
func (i *Intake) adjust(ctx context.Context, assigned map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for topic, partitions := range assigned {
		for partition := range partitions {
			next, err := i.offsets(ctx, topic, partition)
			if err != nil {
				return nil, fmt.Errorf("read offset of %s/%d: %w", topic, partition, err)
			}
			i.setNext(place{topic, partition}, next)
			i.lag.applied(place{topic, partition}, next)
			partitions[partition] = kgo.NewOffset().At(next).WithEpoch(-1)
		}
	}
	return assigned, nil
}

func (i *Intake) setNext(p place, next int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next[p] = next
}

func (i *Intake) nextOf(p place) (next int64, assigned bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	next, assigned = i.next[p]
	return next, assigned
}

func (i *Intake) forget(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for topic, partitions := range gone {
		for _, partition := range partitions {
			delete(i.next, place{topic, partition})
			i.lag.forget(place{topic, partition})
			i.resumed(place{topic, partition})
		}
	}
}

// resumed takes back that a partition stands still; mu is held.
func (i *Intake) resumed(p place) {
	if !i.halted[p] {
		return
	}
	delete(i.halted, p)
	for other := range i.halted {
		if other.topic == p.topic {
			return
		}
	}
	i.stopped.WithLabelValues(p.topic).Set(0)
}

// Run polls until ctx ends, then leaves the group. It returns an error only where going on could do harm; trouble with
// Kafka or the database is waited out.
func (i *Intake) Run(ctx context.Context) error {
	defer i.client.CloseAllowingRebalance()
	seeking, stop := context.WithCancel(ctx)
	var sought sync.WaitGroup
	sought.Go(func() { i.seek(seeking) })
	defer sought.Wait()
	defer stop()
	quiet := telemetry.Quiet{Log: i.log, Interval: 30 * time.Second, Now: failpoint.Now}
	for ctx.Err() == nil {
		// What was polled is worked off before the next poll: a hold that arrives meanwhile waits for no more than this.
		fetches := i.client.PollRecords(ctx, 2*i.cfg.Batch)
		err := i.take(ctx, fetches)
		if err != nil {
			i.rewind()
		}
		i.client.AllowRebalance()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, workflow.ErrFence):
			return problem.New(problem.OffsetFence, "%w", err)
		case err != nil:
			quiet.Failed(err, "intake waits")
			if err := pause(ctx, time.Second); err != nil {
				return nil
			}
		default:
			quiet.Recovered("intake goes on")
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// rewind makes the client read again from the stored offsets what a failed transaction gave back.
func (i *Intake) rewind() {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	i.mu.Lock()
	defer i.mu.Unlock()
	for p, next := range i.next {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.topic][p.partition] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	i.client.SetOffsets(offsets)
}

// take applies what was polled, partition by partition.
func (i *Intake) take(ctx context.Context, fetches kgo.Fetches) error {
	var errs []error
	fetches.EachError(func(topic string, partition int32, err error) {
		if err = i.judge(place{topic, partition}, err); err != nil {
			errs = append(errs, err)
		}
	})
	var page []portion
	size, failed := 0, map[place]bool{}
	flush := func() {
		errs = append(errs, i.applyPage(ctx, page, failed))
		page, size = nil, 0
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := place{p.Topic, p.Partition}
		i.lag.fetched(at, p.HighWatermark)
		for records := p.Records; len(records) > 0 && !failed[at]; {
			n := min(len(records), i.cfg.Batch-size)
			page, size = append(page, portion{at, records[:n]}), size+n
			if records = records[n:]; size == i.cfg.Batch {
				flush()
			}
		}
	})
	flush()
	return errors.Join(errs...)
}

// portion is what was polled of one partition.
type portion struct {
	place
	records []*kgo.Record
}

// applyPage applies portions in one transaction: at a few records a partition a commit costs more than what it commits.
// Where that fails each goes by itself, so that what is wrong with one partition stops no other. The partitions that
// failed are added to failed: what comes behind waits with them, since the next offset moves over what lies before it.
func (i *Intake) applyPage(ctx context.Context, page []portion, failed map[place]bool) error {
	if len(page) == 0 || i.apply(ctx, page) == nil {
		return nil
	}
	var errs []error
	for n := range page {
		if err := i.apply(ctx, page[n:n+1]); err != nil {
			failed[page[n].place] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// judge tells an error that passes from one that needs a person.
func (i *Intake) judge(p place, err error) error {
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		i.halt(p, problem.OffsetRange, err)
		return nil
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		// The topic was deleted, and perhaps made anew. The others must not wait for it.
		i.halt(p, problem.KafkaTopic, err)
		return nil
	case errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("another copy has joined the group as instance %q: %w", i.cfg.Instance, workflow.ErrFence)
	case errors.Is(err, context.Canceled):
		return nil
	}
	return problem.New(problem.KafkaUnreachable, "fetch %s/%d: %w", p.topic, p.partition, err)
}

// halt says once that a partition stands still.
func (i *Intake) halt(p place, code problem.Code, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.halted[p] {
		return
	}
	i.halted[p] = true
	err = problem.New(code, "%s/%d: offset %d: %w", p.topic, p.partition, i.next[p], err)
	i.stopped.WithLabelValues(p.topic).Set(1)
	i.log.Error().Err(err).Str(telemetry.KeyTopic, p.topic).Int32(telemetry.KeyPartition, p.partition).Msg("partition stands still")
}

// moved notes the stored offset of a partition, which does not stand still.
func (i *Intake) moved(p place, next int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next[p] = next
	i.lag.applied(p, next)
	i.resumed(p)
}

// apply hands portions to the engine, with the offset behind the last record of each.
func (i *Intake) apply(ctx context.Context, page []portion) error {
	var inputs []workflow.Input
	var offsets []workflow.Offset
	for _, p := range page {
		plant := i.topics.FindStringSubmatch(p.topic)
		from, assigned := i.nextOf(p.place)
		if plant == nil || !assigned {
			continue // a topic of another kind, let through before the pattern was compiled anew, or revoked meanwhile
		}
		for _, r := range p.records {
			in := workflow.Input{Message: message(r), Plant: event.PlantID(plant[1])}
			in.Place.Topic, in.Place.Partition, in.Place.Offset = r.Topic, r.Partition, r.Offset
			inputs = append(inputs, in)
		}
		offsets = append(offsets, workflow.Offset{Topic: p.topic, Partition: p.partition, From: from, To: p.records[len(p.records)-1].Offset + 1})
	}
	if len(inputs) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := failpoint.Hit("intake.before_apply"); err != nil {
		return err
	}
	results, err := i.engine.Apply(ctx, inputs, offsets)
	if err != nil {
		return err
	}
	if err := failpoint.Hit("intake.after_apply"); err != nil {
		return err
	}
	for _, o := range offsets {
		i.moved(place{o.Topic, o.Partition}, o.To)
	}
	for n := range results {
		if results[n].Cause != nil && results[n].Outcome != workflow.Waiting {
			at := &inputs[n].Place
			i.log.Warn().Err(results[n].Cause).Str(telemetry.KeyTopic, at.Topic).Int32(telemetry.KeyPartition, at.Partition).
				Int64(telemetry.KeyOffset, at.Offset).Int64("deadletter", results[n].Deadletter).Msg("record kept, not applied")
		}
	}
	return nil
}

func message(r *kgo.Record) event.Message {
	m := event.Message{Key: r.Key, Value: r.Value, Headers: make([]event.Header, len(r.Headers))}
	for i, h := range r.Headers {
		m.Headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return m
}
