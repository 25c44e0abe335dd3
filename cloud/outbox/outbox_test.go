package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bench is a store, a broker and the means to read what was published.
type bench struct {
	t     *testing.T
	store *store.Store
	kafka *broker.Kafka
	cfg   kafka.Config
	clock time.Time
	alarm alarm
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := storetest.Open(t)
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	b := &bench{t: t, store: s, kafka: k, cfg: kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast", CreateTopics: true}, clock: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), alarm: alarm{}}
	for _, specs := range [][]kafka.Spec{b.cfg.PlantSpecs("p1"), b.cfg.PlantSpecs("p2"), b.cfg.CloudSpecs()} {
		if err := b.cfg.Ensure(t.Context(), specs, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bench) publisher(owner string) *Publisher {
	b.t.Helper()
	p, err := New(Config{
		Kafka: b.cfg, Owner: owner, ERP: func(event.PlantID) string { return "s4" }, Now: func() time.Time { return b.clock }, Alarm: b.alarm,
	}, b.store, zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.drop)
	return p
}

// change stores a lot in a version and marks its status, as the workflow does.
func (b *bench) change(version int64) {
	b.t.Helper()
	lot := quality.Lot{Key: "lot::M:1", Version: version, Plant: "p1", Material: "M", UpdatedAt: b.clock, Cause: event.NaturalID("p1", "mes1", []string{"1"}, event.TypeLotCreated, 0)}
	b.update(func(tx *store.Tx) error {
		if err := tx.PutLot(&lot); err != nil {
			return err
		}
		return tx.MarkOutbox("lot-status/p1", string(lot.Key))
	})
}

func (b *bench) update(f func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) waiting() (n int64) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) { n, err = tx.CountOutbox(); return err }); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func publish(t *testing.T, p *Publisher, want int) {
	t.Helper()
	if n, _, err := p.publish(t.Context()); err != nil || n != want {
		t.Fatalf("published %d, %v: want %d", n, err, want)
	}
}

// read returns n committed records of a topic.
func (b *bench) read(topic string, n int) (all []*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cfg.Brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	if len(all) != n {
		b.t.Fatalf("%d records, want %d", len(all), n)
	}
	return all
}

func version(t *testing.T, r *kgo.Record) int64 {
	t.Helper()
	d, err := event.DecodeData(event.TypeLotStatusUpdated, r.Value)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*event.LotStatusUpdated).Version
}

func TestPublisher_Marks(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	for v := range int64(5) {
		b.change(v + 1)
	}
	publish(t, p, 1)
	b.change(6)
	publish(t, p, 1)
	publish(t, p, 0)
	var got []int64
	for _, r := range b.read("holdfast.p1.lot-status.v1", 2) {
		got = append(got, version(t, r))
	}
	if fmt.Sprint(got) != "[5 6]" {
		t.Errorf("versions sent are %v: want one for five changes, and the state of now last", got)
	}
	t.Run("a mark whose lot is gone sends nothing and does not stop the rest", func(t *testing.T) {
		b.update(func(tx *store.Tx) error { return tx.MarkOutbox("lot-status/p1", "lot::M:none") })
		b.change(7)
		publish(t, p, 2)
		if n := b.waiting(); n != 0 {
			t.Errorf("%d rows wait", n)
		}
	})
}

// TestPublisher_ChangeWhileSending changes a lot after its state was read and before its mark is dropped.
func TestPublisher_ChangeWhileSending(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	b.change(1)
	changed := false
	observer := b.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1, When: func(kmsg.Request) bool {
		if !changed {
			changed = true
			b.change(2)
		}
		return true
	}})
	publish(t, p, 1)
	observer.Remove()
	if !changed || b.waiting() != 1 {
		t.Fatalf("changed %t, %d rows wait: the change is forgotten", changed, b.waiting())
	}
	publish(t, p, 1)
	if all := b.read("holdfast.p1.lot-status.v1", 2); version(t, all[1]) != 2 {
		t.Errorf("the last record is version %d", version(t, all[1]))
	}
}

func TestPublisher_Messages(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	send := func(topic string) event.Message {
		m := event.Message{Key: []byte("k"), Value: []byte(`{"n":1}`), Headers: []event.Header{{Key: "ce_id", Value: []byte(topic)}}}
		b.update(func(tx *store.Tx) error { return tx.PutOutbox(topic, m) })
		return m
	}
	for _, topic := range []string{"effect", "deadletter", "audit"} {
		m := send(topic)
		publish(t, p, 1)
		r := b.read("holdfast."+topic+".v1", 1)[0]
		if string(r.Value) != string(m.Value) || string(r.Headers[0].Value) != topic {
			t.Errorf("%s got %+v", topic, r)
		}
	}
}

func TestPublisher_Fence(t *testing.T) {
	b := newBench(t)
	former, next := b.publisher("a"), b.publisher("b")
	b.change(1)
	publish(t, former, 1)
	b.change(2)
	t.Run("nobody else publishes under the lease", func(t *testing.T) {
		publish(t, next, 0)
	})
	b.clock = b.clock.Add(leaseLength)
	publish(t, next, 1)
	t.Run("the former holder cannot write", func(t *testing.T) {
		// As if it had stood still between taking the lease and sending.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := former.send(ctx, []outgoing{{record: &kgo.Record{Topic: "holdfast.p1.lot-status.v1", Key: []byte("lot::M:1"), Value: []byte("stale")}}}); err == nil {
			t.Error("it wrote")
		}
	})
	if all := b.read("holdfast.p1.lot-status.v1", 2); version(t, all[1]) != 2 {
		t.Errorf("the last record is %s", all[1].Value)
	}
	t.Run("and takes the lease back with a new producer once it is free", func(t *testing.T) {
		b.change(3)
		b.clock = b.clock.Add(leaseLength)
		publish(t, former, 1)
	})
}

func TestPublisher_Run(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	b.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidTxnState})
	b.change(1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	r := b.read("holdfast.p1.lot-status.v1", 1) // a failed transaction is sent again by a new producer
	cancel()
	if err := <-ended; err != nil || version(t, r[0]) != 1 {
		t.Errorf("ended with %v, version %d", err, version(t, r[0]))
	}
}
