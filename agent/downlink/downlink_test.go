package downlink

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	"github.com/holdfast-mesh/holdfast/pkg/problem"
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

func TestDownlink_Answer(t *testing.T) {
	r := newRig(t)
	r.publish(true, free(lotA, 3), held(lotB, 1))
	r.publish(true, r.control(7))
	r.start()
	r.says(lotB, Why(event.ReasonOpenHold))
	r.until("the barrier is read", func() bool { return r.down.Status().Barrier == 7 })

	// The control record may have been there for years: it does not say that the cloud lives.
	r.says(lotA, Expired)
	if n := r.metric("holdfast_agent_downlink_age_seconds"); !math.IsInf(n, 1) {
		t.Errorf("age is %v where it is not known", n)
	}
	if a := r.answer(lotA); a.AgeKnown {
		t.Fatalf("a record that was there before makes the answer fresh: %+v", a)
	}
	r.says("lot::MAT-100:L-404", UnknownLot)

	r.fresh()
	r.says(lotA, "")
	if a := r.answer(lotA); a.Expires != maxAge || a.Age != 0 {
		t.Errorf("answer is %+v, want one that holds for %s", a, maxAge)
	}

	for name, want := range map[string]float64{"up": 1, "age_seconds": 0, "lots": 2, "barrier": float64(r.down.Status().Barrier)} {
		if got := r.metric("holdfast_agent_downlink_" + name); got != want {
			t.Errorf("metric %s is %v, want %v", name, got, want)
		}
	}

	// Time goes by and the cloud says nothing.
	r.up.Add(int64(maxAge - time.Minute))
	if a := r.answer(lotA); !a.MayMove || a.Expires != time.Minute {
		t.Errorf("a minute before its end the answer is %+v", a)
	}
	r.up.Add(int64(time.Minute))
	r.says(lotA, Expired)
	r.up.Add(int64(1000 * time.Hour))
	if a := r.answer(lotB); a.MayMove || !slices.Equal(a.Why, []Why{Why(event.ReasonOpenHold)}) || a.Status.OpenHolds[0].HoldID != "hold:mes1:H-1" {
		t.Errorf("a held answer expired: %+v", a)
	}

	// It is heard again.
	r.fresh()
	r.says(lotA, "")
	r.publish(true, held(lotA, 4))
	r.says(lotA, Why(event.ReasonOpenHold))
}

// TestDownlink_Settle shows what a control record proves: nothing newer than the ends that were read before it.
func TestDownlink_Settle(t *testing.T) {
	r := newRig(t)
	r.publish(true, free(lotA, 1))
	r.start()
	r.fresh()
	r.up.Add(int64(3 * time.Hour)) // in which nothing was asked
	r.publish(true, r.control(2))
	r.until("it is read", func() bool { return r.down.Status().Version == uint64(r.version) })
	if s := r.down.Status(); !s.AgeKnown || s.Age != 3*time.Hour {
		t.Errorf("after three hours without a look, age is %v: the record may be as old as that", s.Age)
	}
	r.until("what came behind it is known", func() bool {
		r.publish(true, r.control(2))
		return r.down.Status().Age == 0
	})
}

func TestDownlink_Versions(t *testing.T) {
	r := newRig(t)
	r.start()
	r.publish(true, held(lotA, 5))
	r.says(lotA, Why(event.ReasonOpenHold))
	r.publish(true, free(lotA, 4), free(lotB, 1)) // one that a former publisher still sent
	r.fresh()
	r.says(lotB, "")
	r.says(lotA, Why(event.ReasonOpenHold))
	r.publish(true, free(lotA, 6))
	r.says(lotA, "")

	r.publish(false, held(lotA, 7)) // an aborted transaction says nothing
	r.publish(true, held(lotB, 2))
	r.says(lotB, Why(event.ReasonOpenHold))
	r.says(lotA, "")

	older := r.control(1)
	older.Version, older.Barrier = 1, 99
	r.publish(true, older)
	r.publish(true, held(lotB, 3), free(lotA, 8))
	r.until("all of it is read", func() bool { return r.answer(lotA).Status.Version == 8 })
	if s := r.down.Status(); s.Barrier == 99 {
		t.Error("an older control record counts")
	}
	other := r.control(50)
	other.Agent = "gw2"
	r.publish(true, other)
	r.publish(true, r.control(9))
	r.until("ours is read", func() bool { return r.down.Status().Barrier == 9 })
	if n := r.down.Status().Lots; n != 2 {
		t.Errorf("%d lots: want 2", n)
	}
}

func TestDownlink_Restart(t *testing.T) {
	for _, c := range []struct {
		name string
		turn func(r *rig)
		want Why
	}{
		{"within one boot the age goes on", func(r *rig) { r.up.Add(int64(time.Hour)) }, ""},
		{"within one boot it expires", func(r *rig) { r.up.Add(int64(maxAge)) }, Expired},
		{"of another boot nothing is known", func(r *rig) { r.boot.Store("boot2") }, Expired},
		{"a clock that went back proves nothing", func(r *rig) { r.up.Store(0) }, Expired},
		{"without a clock nothing is known", func(r *rig) { r.boot.Store("") }, Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.publish(true, free(lotA, 1), held(lotB, 1))
			r.start()
			r.fresh()
			r.says(lotA, "")
			r.stop()
			c.turn(r)
			r.open() // without a link
			r.says(lotA, c.want)
			r.says(lotB, Why(event.ReasonOpenHold))
			if s := r.down.Status(); s.Barrier != 1 || s.Lots != 2 || s.Up {
				t.Errorf("status is %+v", s)
			}
		})
	}
	t.Run("after a new boot the cloud has to be heard", func(t *testing.T) {
		r := newRig(t)
		r.publish(true, free(lotA, 1))
		r.start()
		r.fresh()
		r.stop()
		r.boot.Store("boot2")
		r.start()
		r.until("the topics are read", func() bool { return r.down.Status().Up })
		r.says(lotA, Expired)
		r.fresh()
		r.says(lotA, "")
	})
}

func TestDownlink_Misread(t *testing.T) {
	r := newRig(t)
	r.publish(true, free(lotA, 1), free(lotB, 1))
	r.start()
	r.fresh()
	r.says(lotA, "")
	send := func(change func(*kgo.Record)) {
		record := r.record(held(lotA, 2))
		change(record)
		if err := r.cloud.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r.produce(record)
		if err := r.cloud.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	send(func(record *kgo.Record) { record.Value = []byte(`{"lot":"what is this"}`) })
	r.says(lotA, Unreadable)
	if a := r.answer(lotA); a.Fault == "" || a.Status.Version != 1 {
		t.Errorf("answer is %+v", a)
	}
	r.publish(true, free(lotA, 1)) // not newer than what was not understood
	send(func(record *kgo.Record) { record.Key = []byte("no lot") })
	send(func(record *kgo.Record) { record.Topic = r.cfg.Kafka.Control("p1") })
	r.publish(true, held(lotB, 2))
	r.says(lotB, Why(event.ReasonOpenHold))
	r.says(lotA, Unreadable)
	r.publish(true, free(lotA, 3))
	r.says(lotA, "")
	if n := r.metric("holdfast_agent_downlink_refused_records_total"); n < 2 {
		t.Errorf("%v refused records are counted", n)
	}

	send(func(record *kgo.Record) { record.Value = nil })
	r.says(lotA, UnknownLot)
	if n := r.down.Status().Lots; n != 1 {
		t.Errorf("%d lots after one was taken out: want 1", n)
	}
}

func TestDownlink_ForeignPlant(t *testing.T) {
	r := newRig(t)
	r.start()
	record := r.record(free(lotA, 1))
	for i := range record.Headers {
		if record.Headers[i].Key == event.HeaderPlant {
			record.Headers[i].Value = []byte("p2")
		}
	}
	if err := r.cloud.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r.produce(record)
	if err := r.cloud.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r.says(lotA, Unreadable)
}

func TestDownlink_Lots(t *testing.T) {
	r := newRig(t)
	umlaut, err := event.NewLotKey("", "MAT-2", "Ä 1")
	if err != nil {
		t.Fatal(err)
	}
	r.publish(true, free(lotA, 1), free(lotB, 1), free("lot::MAT-9:L-1", 1), free(umlaut, 1))
	r.start()
	r.until("all are read", func() bool { return r.down.Status().Lots == 4 })
	first, err := r.down.Lots("", 2)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := r.down.Lots(first[1], 10)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, []event.LotKey{lotA, lotB}) || !slices.Equal(rest, []event.LotKey{umlaut, "lot::MAT-9:L-1"}) {
		t.Errorf("pages are %v and %v", first, rest)
	}
	for number, want := range map[string][]event.LotKey{"L-1": {lotA, "lot::MAT-9:L-1"}, "Ä 1": {umlaut}, "L": nil} {
		if got, err := r.down.Find(number, 10); err != nil || !slices.Equal(got, want) {
			t.Errorf("Find(%q) = %v, %v, want %v", number, got, err, want)
		}
	}
}

func TestDownlink_TopicMissing(t *testing.T) {
	r := newRig(t)
	r.cfg.Kafka.Prefix = "other"
	r.start()
	r.until("the missing topic is named", func() bool { return r.down.Status().LastError != "" })
	if s := r.down.Status(); s.Up {
		t.Errorf("status is %+v", s)
	}
}

// TestDownlink_Outage proves that answers go on without a broker, and that reading goes on when it is back.
func TestDownlink_Outage(t *testing.T) {
	r := newRig(t)
	r.every = 50 * time.Millisecond
	r.publish(true, held(lotA, 1), free(lotB, 1))
	r.start()
	r.fresh()
	r.kafka.Close()
	r.until("the loss is seen", func() bool { return !r.down.Status().Up })
	r.says(lotA, Why(event.ReasonOpenHold))
	r.says(lotB, "")
	r.up.Add(int64(maxAge))
	r.says(lotB, Expired)

	r.broker()
	r.until("the link is up again", func() bool { return r.down.Status().Up })
	r.publish(true, free(lotA, 2))
	r.fresh()
	r.says(lotA, "")
	r.says(lotB, "")
}

func TestOpen_Damaged(t *testing.T) {
	r := newRig(t)
	r.publish(true, free(lotA, 1))
	r.start()
	r.fresh()
	r.stop()
	path := filepath.Join(r.cfg.Dir, fileName)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"cut":          func() error { return os.Truncate(path, info.Size()/2) },
		"cut to a bit": func() error { return os.Truncate(path, 100) },
		"no database":  func() error { return os.WriteFile(path, make([]byte, 64<<10), 0o600) },
		"empty":        func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			r.t = t
			r.start()
			r.fresh()
			r.says(lotA, "")
			r.stop()
		})
	}
}

// TestOpen_Spoiled spoils each page of the file in turn: what is wrong is found before it is used.
func TestOpen_Spoiled(t *testing.T) {
	r := newRig(t)
	var all []event.Data
	for n := range 100 {
		all = append(all, held(event.LotKey(fmt.Sprintf("lot::MAT-1:L-%03d", n)), 1))
	}
	r.publish(true, all...)
	r.start()
	r.until("all are read", func() bool { return r.down.Status().Lots == len(all) })
	r.stop()
	path := filepath.Join(r.cfg.Dir, fileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, refused := os.Getpagesize(), 0
	for at := 0; at < len(sound); at += page {
		spoiled := slices.Clone(sound)
		for i := range page {
			spoiled[at+i] ^= 0xa5
		}
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		r.open()
		if lots := r.down.Status().Lots; lots < len(all) {
			refused++
		}
		for _, lot := range []event.LotKey{"lot::MAT-1:L-000", "lot::MAT-1:L-099"} {
			if a := r.answer(lot); a.MayMove || a.Fault != "" {
				t.Errorf("page %d: answer is %+v", at/page, a)
			}
		}
		r.stop()
	}
	if refused < 3 {
		t.Errorf("%d of %d spoiled pages were found", refused, len(sound)/page)
	}
}

func TestOpen_ErrLocked(t *testing.T) {
	r := newRig(t)
	r.open()
	d, err := Open(r.cfg, zerolog.Nop(), nil)
	if problem.CodeOf(err) != problem.QueueLocked {
		t.Errorf("got %v, want %s", err, problem.QueueLocked)
	}
	if err == nil {
		_ = d.Close()
	}
}

func TestInstant(t *testing.T) {
	for _, c := range []struct {
		name         string
		now, earlier Instant
		want         time.Duration
		ok           bool
	}{
		{"later", Instant{"a", 5}, Instant{"a", 2}, 3, true},
		{"same", Instant{"a", 5}, Instant{"a", 5}, 0, true},
		{"backwards", Instant{"a", 2}, Instant{"a", 5}, 0, false},
		{"another boot", Instant{"b", 9}, Instant{"a", 5}, 0, false},
		{"none", Instant{}, Instant{}, 0, false},
	} {
		if d, ok := c.now.since(c.earlier); d != c.want || ok != c.ok {
			t.Errorf("%s: %v, %t", c.name, d, ok)
		}
	}
	for name, clock := range map[string]func() Instant{"host": hostClock(), "process": processClock()} {
		a := clock()
		b := clock()
		if _, ok := b.since(a); !ok || a.Boot == "" {
			t.Errorf("clock of the %s goes from %+v to %+v", name, a, b)
		}
	}
	if a, b := processClock()(), processClock()(); a.Boot == b.Boot {
		t.Error("two processes have one boot")
	}
}
