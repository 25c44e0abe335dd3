// Package uplink carries what the queue holds to Kafka: unsent urgent records first, then lane quality whole and in
// order, then lane telemetry. Each has a producer of its own: a topic that is missing or refused stops what goes to it,
// and nothing that goes before it.
//
// The acked position of a lane moves only over records that the broker confirmed (acks=all, idempotent), without a gap.
// Any error of a record stops its lane: what is buffered is given up, a new client is made after a back-off, and
// sending goes on behind the acked position. No record is skipped. A crash between the broker's answer and the acked
// position sends records again; the cloud's inbox knows them by their ids.
//
// Past the queue go heads: statements of how far each lane reaches on disk. A head also says which barrier the agent had
// read before it looked, so that the cloud knows what a release has seen. And what the cloud says it misses is sent again.
//
// A producer's acknowledgement is no proof: the cloud proves completeness by epoch, lane and seq. Contexts given to a
// record are never cancelled, and no delivery time-out is set, because a cancelled idempotent record can be
// acknowledged and not written.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Config of the uplink.
type Config struct {
	Kafka kafka.Config
	Plant string
	Agent string
	Now   func() time.Time
	// Control returns the newest control record of this agent, nil before the first, and a channel that is closed when a
	// newer one is read. A nil Control means that the cloud says nothing: no barrier, nothing wanted.
	Control func() (*event.ControlSet, <-chan struct{})
	// Begun is closed when what the sources may have missed while the agent did not run is on disk. No head is stated
	// before; nil = it is already.
	Begun <-chan struct{}
	// Seeds are the brokers by which the cluster is found; nil = those of Kafka alone.
	Seeds *Seeds
	// Standing tells how the agent stands, for people at the cloud; it travels with each head. nil = nothing is told.
	Standing func() *event.AgentStatus
}

const (
	pageRecords = 500
	pageBytes   = 1 << 20

	// What is in flight is about a second of the measured rate, between these bounds: more would stand in the way of an
	// urgent record on a slow line, less would leave a fast one idle.
	leastInFlight = 200
	mostInFlight  = 2000
	mostBytes     = 16 << 20

	firstPause   = 250 * time.Millisecond
	longestPause = 10 * time.Second
	flushLimit   = 5 * time.Second
	pingEvery    = 2 * time.Second
	pingLimit    = 3 * time.Second
)

// Uplink sends two lanes.
type Uplink struct {
	cfg     Config
	quality *queue.Lane
	signals *queue.Lane
	log     zerolog.Logger
	opts    []kgo.Opt
	metrics *metrics
	handed  handed // of lane quality

	headEvery time.Duration // tests shorten it

	mu     sync.Mutex // guards what follows
	status Status
	stated time.Time // when the newest head was confirmed, else of New; with a monotonic reading
}

// Status is a snapshot of the link.
type Status struct {
	Up        bool
	Since     time.Time // of Up
	LastError string    // of the newest failure; stays after it is over
	NextTry   time.Time // zero while up
	Head      time.Time // when the newest head was confirmed; zero = none yet
	Answered  uint64    // barrier that it answered
}

// New returns an uplink for the two lanes. It makes no connection; reg may be nil.
func New(cfg Config, quality, signals *queue.Lane, log zerolog.Logger, reg prometheus.Registerer) (*Uplink, error) {
	opts, err := cfg.Kafka.Options("uplink", log, nil)
	if err != nil {
		return nil, err
	}
	if cfg.Control == nil {
		cfg.Control = func() (*event.ControlSet, <-chan struct{}) { return nil, nil }
	}
	if cfg.Begun == nil {
		begun := make(chan struct{})
		close(begun)
		cfg.Begun = begun
	}
	if cfg.Seeds == nil {
		cfg.Seeds = &Seeds{configured: cfg.Kafka.Brokers}
	}
	u := &Uplink{cfg: cfg, quality: quality, signals: signals, log: log, handed: newHanded(), headEvery: headEvery, stated: time.Now()}
	u.metrics = newMetrics(reg, u.headAge)
	u.opts = append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.StopProducerOnDataLossDetected(),
		kgo.UnknownTopicRetries(-1), // a topic that is not there yet is waited for, never skipped
		kgo.MaxBufferedRecords(mostInFlight), kgo.MaxBufferedBytes(mostBytes),
	)
	u.status = Status{Since: cfg.Now()}
	return u, nil
}

// Status returns how the link stands.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// Run sends until ctx ends, then gives what is in flight five seconds.
func (u *Uplink) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { u.loop(ctx, "urgent", u.sendUrgent) })
	all.Go(func() { u.loop(ctx, string(event.LaneQuality), u.sendQuality) })
	all.Go(func() { u.loop(ctx, string(event.LaneTelemetry), u.sendTelemetry) })
	all.Go(func() { u.loop(ctx, "head", u.sendHeads) })
	all.Go(func() { u.sendWanted(ctx) })
	all.Go(func() { u.watch(ctx) })
	all.Wait()
	return nil
}

// loop runs one producer, and a new one after each failure.
func (u *Uplink) loop(ctx context.Context, name string, send func(context.Context, *kgo.Client) error) {
	pause := firstPause
	for ctx.Err() == nil {
		began := u.cfg.Now()
		err := u.with(ctx, send)
		if ctx.Err() != nil {
			return
		}
		if u.cfg.Now().Sub(began) > longestPause {
			pause = firstPause // it worked for a while
		}
		u.failed(err, pause)
		u.log.Warn().Err(err).Str("producer", name).Str("backoff", pause.String()).Msg("producer is made anew")
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// client makes a producer. The codecs are a list of its own for each: the library sorts it in place.
func (u *Uplink) client() (*kgo.Client, error) {
	opts := append(slices.Clone(u.opts), kgo.SeedBrokers(u.cfg.Seeds.All()...), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("make producer: %w", err)
	}
	return client, nil
}

// with makes a client for send and closes it afterwards. What it still has buffered is given up: it stays in the queue.
func (u *Uplink) with(ctx context.Context, send func(context.Context, *kgo.Client) error) error {
	client, err := u.client()
	if err != nil {
		return err
	}
	defer client.Close()
	var guard sync.WaitGroup
	defer guard.Wait()
	sending, sent := context.WithCancel(context.WithoutCancel(ctx))
	defer sent()
	guard.Go(func() { closeLate(ctx, sending, client) })
	return send(ctx, client)
}

// closeLate closes the client a while after the program was asked to stop: a record that waits for room in a full
// producer has a context that never ends, so nothing else lets its sender go.
func closeLate(ctx, sending context.Context, client *kgo.Client) {
	select {
	case <-sending.Done():
		return
	case <-ctx.Done():
	}
	if sleep(sending, flushLimit) {
		client.Close()
	}
}

// flush gives what is in flight a last chance when the program stops.
func flush(ctx context.Context, client *kgo.Client) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	_ = client.Flush(stop) // what is left stays in the queue
}

// sendUrgent sends unsent urgent records as they appear. They go up once more in their place in the lane.
func (u *Uplink) sendUrgent(ctx context.Context, client *kgo.Client) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	topic := u.cfg.Kafka.Quality(u.cfg.Plant)
	for {
		records, err := u.quality.NextUrgent(inner, pageRecords)
		if err != nil {
			return u.end(ctx, inner, client, err)
		}
		for i := range records {
			position := records[i].Position()
			client.Produce(context.WithoutCancel(ctx), u.record(topic, &records[i]), func(_ *kgo.Record, err error) {
				if err != nil {
					stop(classify(topic, err)) // first: the client that failed must not get the record back
					u.quality.RetryUrgent(position)
					return
				}
				u.quality.AckUrgent(position)
				u.metrics.urgent.Inc()
			})
		}
	}
}

// sendQuality sends lane quality.
func (u *Uplink) sendQuality(ctx context.Context, client *kgo.Client) error {
	t := newTrack(u.quality, event.LaneQuality, u.cfg.Kafka.Quality(u.cfg.Plant))
	u.handed.set(t.position)
	return u.sendLane(ctx, client, t, func(context.Context) error {
		u.handed.set(t.position)
		return nil
	})
}

// sendTelemetry sends lane telemetry while lane quality has nothing to send.
func (u *Uplink) sendTelemetry(ctx context.Context, client *kgo.Client) error {
	t := newTrack(u.signals, event.LaneTelemetry, u.cfg.Kafka.Telemetry(u.cfg.Plant))
	return u.sendLane(ctx, client, t, func(ctx context.Context) error { return u.handed.wait(ctx, u.quality) })
}

// sendLane sends a lane in order. Before is called in front of each page.
func (u *Uplink) sendLane(ctx context.Context, client *kgo.Client, t *track, before func(context.Context) error) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := u.checkPartitions(inner, client, t.topic); err != nil {
		return u.end(ctx, inner, client, err)
	}
	w := newWindow(u.cfg.Now)
	for {
		err := before(inner)
		if err == nil {
			err = w.room(inner)
		}
		if err != nil {
			return u.end(ctx, inner, client, err)
		}
		records, err := t.lane.Next(inner, t.position, pageRecords, pageBytes)
		if err != nil {
			return u.end(ctx, inner, client, err)
		}
		for i := range records {
			u.produce(ctx, client, t, w, &records[i], stop)
		}
		t.position = records[len(records)-1].Position()
	}
}

// checkPartitions refuses a topic with another partition count than its specification: keys would land elsewhere. One
// that cannot be read is left to the producer, which waits.
func (u *Uplink) checkPartitions(ctx context.Context, client *kgo.Client, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := u.check(ctx, client, topic); errors.Is(err, kafka.ErrPartitions) {
		return err
	}
	return nil
}

// check holds topics against their specification.
func (u *Uplink) check(ctx context.Context, client *kgo.Client, topics ...string) error {
	specs := slices.DeleteFunc(u.cfg.Kafka.PlantSpecs(u.cfg.Plant), func(s kafka.Spec) bool { return !slices.Contains(topics, s.Name) })
	return kafka.Check(ctx, client, specs)
}

// end tells a stop of the program from a failed record.
func (u *Uplink) end(ctx, inner context.Context, client *kgo.Client, err error) error {
	if ctx.Err() != nil {
		flush(ctx, client)
		return ctx.Err()
	}
	if cause := context.Cause(inner); cause != nil && inner.Err() != nil {
		return cause
	}
	return err
}

func (u *Uplink) produce(ctx context.Context, client *kgo.Client, t *track, w *window, r *queue.Record, fail context.CancelCauseFunc) {
	p := t.begin(r.Position())
	w.add(1)
	client.Produce(context.WithoutCancel(ctx), u.record(t.topic, r), func(_ *kgo.Record, err error) {
		w.add(-1)
		if err != nil {
			fail(classify(t.topic, err))
			return
		}
		if err := failpoint.Hit("uplink.before_ack"); err != nil {
			fail(err)
			return
		}
		u.worked()
		if err := t.done(p); err != nil {
			fail(fmt.Errorf("move acked of lane %s: %w", t.name, err))
		}
	})
}

// record adds the origin to the queue's bytes; they are else the wire's bytes.
func (u *Uplink) record(topic string, r *queue.Record) *kgo.Record {
	lane := event.LaneQuality
	if topic == u.cfg.Kafka.Telemetry(u.cfg.Plant) {
		lane = event.LaneTelemetry
	}
	origin := event.Origin{Agent: u.cfg.Agent, Epoch: event.Epoch(r.Epoch), Prev: event.Prev(r.Prev), Lane: lane, Seq: r.Seq}
	out := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, 0, len(r.Headers)+5)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	for _, h := range origin.Headers() {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

// classify names what a person can do something about.
func classify(topic string, err error) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.SaslAuthenticationFailed):
		return problem.New(problem.KafkaRefused, "send to %s: %w", topic, err)
	case errors.Is(err, kerr.OutOfOrderSequenceNumber), errors.Is(err, kerr.UnknownProducerID), isDataLoss(err):
		return problem.New(problem.KafkaDataLoss, "send to %s: %w", topic, err)
	}
	return problem.New(problem.KafkaUnreachable, "send to %s: %w", topic, err)
}

func isDataLoss(err error) bool {
	_, ok := errors.AsType[*kgo.ErrDataLoss](err)
	return ok
}

// watch asks the broker whether it is there and has our topics, so that "up" is no memory of better days and a missing
// topic shows before anything waits for it.
func (u *Uplink) watch(ctx context.Context) {
	client, err := u.client()
	if err != nil {
		u.failed(err, 0)
		return
	}
	defer client.Close()
	quiet, unkept := telemetry.Quiet{Log: u.log, Now: u.cfg.Now}, telemetry.Quiet{Log: u.log, Now: u.cfg.Now}
	var learned time.Time
	for {
		ask, cancel := context.WithTimeout(ctx, pingLimit)
		err := u.check(ask, client, u.cfg.Kafka.Quality(u.cfg.Plant), u.cfg.Kafka.Telemetry(u.cfg.Plant))
		cancel()
		reached := err == nil || problem.CodeOf(err) == problem.KafkaTopic
		if reached && time.Since(learned) >= learnEvery {
			learned = time.Now()
			if err := u.learn(ctx, client); err != nil && ctx.Err() == nil {
				unkept.Failed(err, "only the configured brokers are known at the next start")
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			u.worked()
			quiet.Recovered("topics are as specified")
		case problem.CodeOf(err) == problem.KafkaTopic:
			u.worked() // the broker answers; only what goes to that topic waits
			u.noteError(err)
			quiet.Failed(err, "what goes to a topic waits")
		default:
			u.failed(err, pingEvery)
		}
		if !sleep(ctx, pingEvery) {
			return
		}
	}
}

// learn asks the cluster which brokers it has.
func (u *Uplink) learn(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	cluster, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("ask for the brokers of the cluster: %w", err)
	}
	return u.cfg.Seeds.learn(cluster.Brokers)
}

// noteError shows an error while the link is up.
func (u *Uplink) noteError(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.LastError = err.Error()
}

func (u *Uplink) worked() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.Up {
		return
	}
	u.status.Up, u.status.Since, u.status.NextTry = true, u.cfg.Now(), time.Time{}
	u.metrics.up.Set(1)
	u.log.Info().Msg("uplink is up")
}

func (u *Uplink) failed(err error, pause time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.cfg.Now()
	u.status.LastError, u.status.NextTry = err.Error(), now.Add(pause)
	u.metrics.up.Set(0)
	if u.status.Up {
		u.status.Up, u.status.Since = false, now
		u.log.Warn().Err(err).Msg("uplink is down; events stay in the queue")
	}
}
