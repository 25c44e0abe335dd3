package downlink

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// TestMain also is the child process that checks a file.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "check" {
		if err := CheckFile(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// checkInChild checks a file where a fault ends another process.
func checkInChild(path string) error {
	output, err := exec.Command(os.Args[0], "check", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %.200s", err, output)
	}
	return nil
}

const (
	patience = 20 * time.Second
	maxAge   = 4 * time.Hour

	lotA event.LotKey = "lot::MAT-100:L-1"
	lotB event.LotKey = "lot::MAT-100:L-2"
)

// rig is a broker, the cloud's publisher, and a downlink whose clock the test turns.
type rig struct {
	t        *testing.T
	kafka    *broker.Kafka
	cfg      Config
	data     broker.KafkaConfig
	registry *prometheus.Registry
	cloud    *kgo.Client
	down     *Downlink
	every    time.Duration // of asking
	stop     func()

	boot    atomic.Value // string
	up      atomic.Int64
	version int64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, data: broker.KafkaConfig{Dir: t.TempDir()}, every: askEvery}
	k := r.broker()
	r.boot.Store("boot1")
	r.up.Store(int64(time.Hour))
	r.cfg = Config{
		Kafka: kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast", CreateTopics: true}, Plant: "p1", Agent: "gw1", Dir: t.TempDir(), MaxAge: maxAge,
		Check:   checkInChild,
		Instant: func() Instant { return Instant{r.boot.Load().(string), time.Duration(r.up.Load())} },
	}
	if err := r.cfg.Kafka.Ensure(t.Context(), r.cfg.Kafka.PlantSpecs("p1"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	var err error
	r.cloud, err = kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.TransactionalID("cloud"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cloud.Close)
	return r
}

// broker starts the broker, at its old place if it ran before.
func (r *rig) broker() *broker.Kafka {
	r.t.Helper()
	k, err := broker.StartKafka(r.data)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(k.Close)
	_, port, err := net.SplitHostPort(k.Addrs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	if r.data.Port, err = strconv.Atoi(port); err != nil {
		r.t.Fatal(err)
	}
	r.kafka = k
	return k
}

// open opens the downlink, as a start of the agent does.
func (r *rig) open() {
	r.t.Helper()
	r.registry = prometheus.NewRegistry()
	d, err := Open(r.cfg, zerolog.Nop(), r.registry)
	if err != nil {
		r.t.Fatal(err)
	}
	r.down, d.every = d, r.every
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := d.Close(); err != nil {
			r.t.Error(err)
		}
	}
	r.t.Cleanup(func() { r.stop() })
}

// start opens and runs it.
func (r *rig) start() {
	r.t.Helper()
	r.open()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.down.Run(ctx) }()
	closeStore := r.stop
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		closeStore()
	}
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			r.t.Fatalf("not within %v: %s; status is %+v", patience, what, r.down.Status())
		case <-tick.C:
		}
	}
}

// metric returns the value of a metric without labels.
func (r *rig) metric(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name && m.GetCounter() != nil {
			return m.GetCounter().GetValue()
		} else if f.GetName() == name {
			return m.GetGauge().GetValue()
		}
	}
	r.t.Fatalf("no metric %s", name)
	return 0
}

// publish sends events of the cloud in one transaction, which it commits or aborts.
func (r *rig) publish(commit bool, events ...event.Data) {
	r.t.Helper()
	if err := r.cloud.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	for _, data := range events {
		r.produce(r.record(data))
	}
	if err := r.cloud.EndTransaction(r.t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) produce(record *kgo.Record) {
	r.t.Helper()
	if err := r.cloud.ProduceSync(r.t.Context(), record).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) record(data event.Data) *kgo.Record {
	r.t.Helper()
	data.ReadBy().Source = "holdfast"
	now := time.Now()
	e := &event.Event{
		ID:     event.NaturalID("", "holdfast", []string{data.Subject(), fmt.Sprint(now.UnixNano())}, data.Type(), 0),
		Source: "/holdfast", Time: now, Recorded: now, Plant: "p1", Data: data,
	}
	if err := e.Seal(""); err != nil {
		r.t.Fatal(err)
	}
	m := e.Message()
	record := &kgo.Record{Topic: r.cfg.Kafka.PlantLotStatus("p1"), Key: m.Key, Value: m.Value}
	if data.Type() == event.TypeControlSet {
		record.Topic = r.cfg.Kafka.Control("p1")
	}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader(h))
	}
	return record
}

// control is the next control record.
func (r *rig) control(barrier int64) *event.ControlSet {
	r.version++
	return &event.ControlSet{Agent: "gw1", Version: r.version, Barrier: barrier, Wanted: []event.Wanted{}, Covered: []event.Covered{}, Epochs: []event.DecidedEpoch{}}
}

// free and held are statuses of a lot.
func free(lot event.LotKey, version int64) *event.LotStatusUpdated {
	return &event.LotStatusUpdated{
		OfLot: event.OfLot{Lot: lot}, Version: version, Disposition: "release", OpenHolds: []event.OpenHold{}, Usage: []event.SystemUsage{},
		MayMove: true, Reasons: []event.MoveReason{}, AsOf: event.At(time.Now()), Cause: "n-32a482b26791ea8c88f3e8e225202ab4",
	}
}

func held(lot event.LotKey, version int64) *event.LotStatusUpdated {
	s := free(lot, version)
	s.MayMove, s.Reasons = false, []event.MoveReason{event.ReasonOpenHold}
	s.OpenHolds = []event.OpenHold{{HoldID: "hold:mes1:H-1", HoldKind: event.HoldSafety, Reason: "torque", PlacedAt: s.AsOf}}
	return s
}

func (r *rig) answer(lot event.LotKey) Answer {
	r.t.Helper()
	a, err := r.down.Answer(lot)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// says waits for an answer: a reason against, or "" for one that the lot may move.
func (r *rig) says(lot event.LotKey, why Why) {
	r.t.Helper()
	r.until(fmt.Sprintf("%s says %q", lot, why), func() bool {
		a := r.answer(lot)
		return why == "" && a.MayMove || why != "" && !a.MayMove && slices.Contains(a.Why, why)
	})
}

// fresh makes the cloud be heard now: a control record behind ends that were known.
func (r *rig) fresh() {
	r.t.Helper()
	r.until("a control record counts", func() bool {
		r.publish(true, r.control(1))
		version := uint64(r.version)
		r.until("it is read", func() bool { return r.down.Status().Version == version })
		return r.down.Status().AgeKnown && r.down.Status().Age == 0
	})
}
