package intake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second
	topic    = "holdfast.p1.quality.v1"
)

// bench is a store with its engine, a broker, and a plant that sends lots.
type bench struct {
	t        *testing.T
	path     string // of the database
	store    *store.Store
	registry *prometheus.Registry // of the newest intake
	engine   *workflow.Engine
	kafka    *broker.Kafka
	cfg      kafka.Config
	producer *kgo.Client
	sent     int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.db")
	s := storetest.OpenAt(t, path)
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	b := &bench{t: t, path: path, store: s, kafka: k, cfg: kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast", CreateTopics: true}}
	if err := b.cfg.Ensure(t.Context(), b.cfg.PlantSpecs("p1"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	b.engine = workflow.New(s, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{"p1": {ID: "p1"}}, Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, time.Now, zerolog.Nop(), nil)
	if b.producer, err = kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.producer.Close)
	return b
}

// send puts n lots into partitions in turn.
func (b *bench) send(n int, partitions ...int32) {
	b.t.Helper()
	b.sendOf("p1", n, partitions...)
}

// sendOf puts n lots of a plant into partitions of its topic in turn.
func (b *bench) sendOf(plant event.PlantID, n int, partitions ...int32) {
	b.t.Helper()
	for range n {
		b.sent++
		data := &event.LotCreated{
			OfLot: event.OfLot{Lot: event.LotKey(fmt.Sprint("lot::M:", b.sent))}, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1",
			Traced: event.Traced{Provenance: event.Provenance{Source: "mes", RawSHA256: event.Hash(strings.Repeat("a", 64))}},
		}
		e := &event.Event{
			ID:     event.NaturalID(string(plant), "mes1", []string{fmt.Sprint(b.sent)}, data.Type(), 0),
			Source: "/" + string(plant) + "/mes1", Time: time.Now(), Recorded: time.Now(), Plant: plant, Data: data,
			Origin: event.Origin{Agent: "gw1", Epoch: event.Epoch(strings.Repeat("1", 32)), Prev: event.NoPrev, Lane: event.LaneQuality, Seq: uint64(b.sent)},
		}
		if err := e.Seal("gw1"); err != nil {
			b.t.Fatal(err)
		}
		m := e.Message()
		r := &kgo.Record{Topic: b.cfg.Quality(string(plant)), Partition: partitions[b.sent%len(partitions)], Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if err := b.producer.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// offsets reads the store's.
func (b *bench) offsets(ctx context.Context, topic string, partition int32) (next int64, err error) {
	err = b.store.View(ctx, func(tx *store.Tx) (err error) { next, err = tx.Offset(topic, partition); return err })
	return next, err
}

// move sets an offset as another process does.
func (b *bench) move(partition int32, from, to int64) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), func(tx *store.Tx) error {
		moved, err := tx.MoveOffset(topic, partition, from, to)
		if err == nil && !moved {
			err = errors.New("offset did not move")
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) intake(offsets Offsets, batch int) *Intake {
	b.t.Helper()
	b.registry = prometheus.NewRegistry()
	i, err := New(Config{Kafka: b.cfg, Group: "holdfast-" + b.store.ID(), Instance: "a", Batch: batch}, b.engine, offsets, zerolog.Nop(), b.registry)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

// run starts an intake; the function returned stops it and returns what Run returned.
func (b *bench) run(i *Intake) (stop func() error) {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	var err error
	done := false
	stop = func() error {
		cancel()
		if !done {
			err, done = <-ended, true
		}
		return err
	}
	b.t.Cleanup(func() { _ = stop() })
	return stop
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			b.t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

func (b *bench) inbox() (rows []store.InboxRow) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) { rows, err = tx.InboxAfter(0, 1000); return err }); err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// whole tells that each event sent is in the inbox once, and that the coverage has no hole.
func (b *bench) whole() {
	b.t.Helper()
	seen := map[event.ID]bool{}
	for _, r := range b.inbox() {
		if seen[r.Event.ID] {
			b.t.Errorf("event %s stands twice", r.Event.ID)
		}
		seen[r.Event.ID] = true
	}
	if len(seen) != b.sent {
		b.t.Errorf("%d events in the inbox, %d were sent", len(seen), b.sent)
	}
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		r, err := tx.Coverage("p1", "gw1", event.Epoch(strings.Repeat("1", 32)), event.LaneQuality)
		if missing := r.Missing(int64(b.sent)); len(missing) > 0 {
			b.t.Errorf("coverage lacks %s", missing)
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

func TestIntake_Run(t *testing.T) {
	b := newBench(t)
	b.send(30, 0, 1, 2)
	stop := b.run(b.intake(b.offsets, 4))
	b.until("all are in", func() bool { return len(b.inbox()) == 30 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.whole()
	t.Run("a restart goes on at the stored offsets", func(t *testing.T) {
		b.send(5, 1)
		stop := b.run(b.intake(b.offsets, 4))
		b.until("the rest is in", func() bool { return len(b.inbox()) == 35 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		b.whole()
		next, err := b.offsets(t.Context(), topic, 1)
		if err != nil || next != 15 {
			t.Errorf("offset of partition 1 is %d, %v", next, err)
		}
	})
}

// TestIntake_Run_TopicMadeLater starts before a person has made the topics of a plant: they are named until they are there, and
// their records are in soon after that.
func TestIntake_Run_TopicMadeLater(t *testing.T) {
	b := newBench(t)
	specs := b.cfg.PlantSpecs("p2")
	b.registry = prometheus.NewRegistry()
	i, err := New(Config{Kafka: b.cfg, Group: "g", Instance: "a", Topics: append(b.cfg.PlantSpecs("p1"), specs...)}, b.engine, b.offsets, zerolog.Nop(), b.registry)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(i.Missing()); n != 8 {
		t.Errorf("%d topics are missing before any was looked for, want all 8", n)
	}
	stop := b.run(i)
	b.until("only those of the new plant are missing", func() bool {
		missing := i.Missing()
		return len(missing) == 4 && strings.Contains(missing[0], "topic holdfast.p2.quality.v1 is missing (E-2103)")
	})
	for n := range specs {
		if err := b.cfg.Ensure(t.Context(), specs[n:n+1], zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
	}
	b.sendOf("p2", 3, 0)
	began := time.Now()
	b.until("all are found", func() bool {
		select {
		case <-i.Found():
			return len(i.Missing()) == 0
		default:
			return false
		}
	})
	b.until("all are in", func() bool { return len(b.inbox()) == 3 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the new plant was heard after %s", took)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestIntake_Run_Head(t *testing.T) {
	b := newBench(t)
	b.send(3, 0)
	head := event.Head{
		Plant: "p1", Agent: "gw1", Epoch: event.Epoch(strings.Repeat("1", 32)), Prev: event.NoPrev, Time: time.Now(), Barrier: 5,
		Epochs: []event.HeadEpoch{{Epoch: event.Epoch(strings.Repeat("1", 32)), Quality: 3}},
	}
	foreign := head
	foreign.Plant = "p2"
	for _, h := range []event.Head{foreign, head} {
		m := h.Message()
		r := &kgo.Record{Topic: strings.Replace(topic, ".quality.", ".telemetry.", 1), Partition: 0, Key: m.Key, Value: m.Value}
		for _, x := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: x.Key, Value: x.Value})
		}
		if err := b.producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	stop := b.run(b.intake(b.offsets, 4))
	answered := func() (n int64) {
		if err := b.store.View(t.Context(), func(tx *store.Tx) error {
			row, err := tx.AgentRow("p1", "gw1")
			n = row.Answered
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	b.until("the head has answered", func() bool { return answered() == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.whole() // a head leaves no row
	var kept []store.DeadletterRow
	if err := b.store.View(t.Context(), func(tx *store.Tx) (err error) { kept, err = tx.Deadletters(0, 10, true); return err }); err != nil || len(kept) != 0 {
		t.Errorf("kept %d records, %v", len(kept), err)
	}
}

func TestIntake_Run_ErrFence(t *testing.T) {
	b := newBench(t)
	b.send(1, 0)
	i := b.intake(b.offsets, 10)
	stop := b.run(i)
	b.until("the first is in", func() bool { return len(b.inbox()) == 1 })
	b.move(0, 1, 7) // another process took the partition
	b.send(1, 0)
	b.until("it stops", func() bool {
		select {
		case <-i.client.Context().Done():
			return true
		default:
			return false
		}
	})
	if err := stop(); problem.CodeOf(err) != problem.OffsetFence {
		t.Errorf("ended with %v", err)
	}
	if n := len(b.inbox()); n != 1 {
		t.Errorf("%d events in the inbox: a fenced record was applied", n)
	}
}

// Of two copies that were given one instance name the newer one goes on, and the other one says why it ends.
func TestIntake_Run_ErrSameInstance(t *testing.T) {
	b := newBench(t)
	b.send(1, 0)
	older := b.intake(b.offsets, 10)
	stopOlder := b.run(older)
	b.until("the first is in", func() bool { return len(b.inbox()) == 1 })
	stopNewer := b.run(b.intake(b.offsets, 10))
	b.until("the older one ends", func() bool {
		select {
		case <-older.client.Context().Done():
			return true
		default:
			return false
		}
	})
	if err := stopOlder(); problem.CodeOf(err) != problem.OffsetFence || !strings.Contains(err.Error(), "instance") {
		t.Errorf("the older one ended with %v", err)
	}
	b.send(1, 0)
	b.until("the newer one goes on", func() bool { return len(b.inbox()) == 2 })
	if err := stopNewer(); err != nil {
		t.Error(err)
	}
}

// alter runs statements beside the store, as a database does that fails or is repaired.
func (b *bench) alter(statements ...string) {
	b.t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range statements {
		_, bad := db.ExecContext(b.t.Context(), s)
		err = errors.Join(err, bad)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// TestIntake_Run_DatabaseFails lets the transactions of one partition fail for a while: its records come again, none is
// lost or doubled, and the other partition does not wait for it.
func TestIntake_Run_DatabaseFails(t *testing.T) {
	b := newBench(t)
	b.send(12, 0, 1)
	const broken = ` ON kafka_offset WHEN NEW.part = 1 BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END`
	b.alter(`CREATE TRIGGER broken_insert BEFORE INSERT`+broken, `CREATE TRIGGER broken_update BEFORE UPDATE`+broken)
	stop := b.run(b.intake(b.offsets, 3))
	b.until("the other partition is in", func() bool { return len(b.inbox()) == 6 })
	b.send(4, 0)
	b.until("it goes on", func() bool { return len(b.inbox()) == 10 })
	b.alter(`DROP TRIGGER broken_insert`, `DROP TRIGGER broken_update`)
	b.until("all are in", func() bool { return len(b.inbox()) == 16 })
	b.whole()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestIntake_Run_OffsetsFail starts while the database does not answer for the stored offsets.
func TestIntake_Run_OffsetsFail(t *testing.T) {
	b := newBench(t)
	b.send(6, 0, 1)
	failures := 0
	b.run(b.intake(func(ctx context.Context, topic string, partition int32) (int64, error) {
		if failures++; failures < 3 {
			return 0, errors.New("database is locked")
		}
		return b.offsets(ctx, topic, partition)
	}, 3))
	b.until("all are in", func() bool { return len(b.inbox()) == 6 })
	b.whole()
}

// stopped returns what the metric shows for the topic.
func (b *bench) stopped() (shown float64) {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "holdfast_cloud_intake_stopped" {
			shown = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return shown
}

func TestIntake_Run_OutOfRange(t *testing.T) {
	b := newBench(t)
	b.move(0, 0, 500)
	b.send(6, 0, 1)
	i := b.intake(b.offsets, 3)
	stop := b.run(i)
	b.until("the other partition is in", func() bool { return len(b.inbox()) == 3 })
	b.until("the halt is shown", func() bool { return b.stopped() == 1 })
	b.send(2, 1)
	b.until("the other partition goes on", func() bool { return len(b.inbox()) == 5 })
	if next, err := b.offsets(t.Context(), topic, 0); err != nil || next != 500 {
		t.Errorf("offset of the halted partition is %d, %v: nothing may move it", next, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if b.stopped() != 0 {
		t.Error("a partition that this process does not have is still shown as halted")
	}
	// What the text of E-6101 says to do.
	b.alter(`UPDATE kafka_offset SET next = 0 WHERE topic = '` + topic + `' AND part = 0`)
	stop = b.run(b.intake(b.offsets, 3))
	b.until("the partition goes on", func() bool { return len(b.inbox()) == 8 })
	b.whole()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestIntake_Judge(t *testing.T) {
	b := newBench(t)
	i := b.intake(b.offsets, 3)
	defer i.client.CloseAllowingRebalance()
	for _, c := range []struct {
		name  string
		err   error
		code  problem.Code // of what is returned; "" = nothing
		halts bool
	}{
		{"out of range halts", kerr.OffsetOutOfRange, "", true},
		{"a topic that was deleted halts", kerr.UnknownTopicOrPartition, "", true},
		{"a topic that was made anew halts", kerr.UnknownTopicID, "", true},
		{"the end of the program is no error", context.Canceled, "", false},
		{"anything else passes", kerr.NotLeaderForPartition, problem.KafkaUnreachable, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := place{topic, 3}
			if err := i.judge(p, c.err); (err == nil) != (c.code == "") || err != nil && problem.CodeOf(err) != c.code {
				t.Errorf("got %v", err)
			}
			if i.halted[p] != c.halts || (b.stopped() == 1) != c.halts {
				t.Errorf("halted is %t, shown as %v", i.halted[p], b.stopped())
			}
			i.moved(p, 1)
			if i.halted[p] || b.stopped() != 0 {
				t.Error("it moves and is still shown as halted")
			}
		})
	}
}
