package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

const (
	testEpoch = "0123456789abcdef0123456789abcdef"
	patience  = 20 * time.Second
)

// resendRig is an uplink that does not run, with an embedded Kafka: only what is sent again is ever sent.
type resendRig struct {
	uplink  *Uplink
	quality *queue.Lane
	cfg     kafka.Config
}

func newResendRig(t *testing.T) *resendRig {
	t.Helper()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	r := &resendRig{cfg: kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast"}, quality: openLane(t, event.LaneQuality)}
	admin := r.cfg
	admin.CreateTopics = true
	if err := admin.Ensure(t.Context(), admin.PlantSpecs("p1"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	r.uplink, err = New(Config{Kafka: r.cfg, Plant: "p1", Agent: "gw1", Now: time.Now}, r.quality, openLane(t, event.LaneTelemetry), zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openLane(t *testing.T, name event.Lane) *queue.Lane {
	t.Helper()
	l, err := queue.Open(t.Context(), queue.Config{Dir: t.TempDir(), Name: string(name), Quota: 64 << 20, KeepSent: time.Hour, AllowTmpfs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close lane: %v", err)
		}
	})
	if err := l.Begin(testEpoch, "none"); err != nil {
		t.Fatal(err)
	}
	return l
}

// put stores n records and confirms the first acked of them.
func (r *resendRig) put(t *testing.T, n int, acked uint64) {
	t.Helper()
	var b queue.Batch
	for i := range n {
		b.Records = append(b.Records, queue.Record{ID: fmt.Sprint("id-", i), At: time.Now(), Key: []byte("lot"), Value: fmt.Append(nil, i),
			Headers: []queue.Header{{Key: event.HeaderID, Value: fmt.Append(nil, "id-", i)}}})
	}
	if _, err := r.quality.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := r.quality.Ack(queue.Position{Epoch: testEpoch, Seq: acked}); err != nil {
		t.Fatal(err)
	}
}

func TestUplink_Resend(t *testing.T) {
	r := newResendRig(t)
	r.put(t, 20, 15)
	type step struct{ sent, total int64 }
	var steps []step
	n, err := r.uplink.Resend(t.Context(), event.LaneQuality, queue.Range{FromSeq: 6}, 1000, func(sent, total int64) { steps = append(steps, step{sent, total}) })
	if err != nil || n != 10 {
		t.Fatalf("%d sent, %v: want 10, the confirmed ones of 6 to 20", n, err)
	}
	if len(steps) != 10 || steps[9].total != 10 || steps[9].sent > 10 {
		t.Errorf("progress is %v", steps)
	}
	if acked := r.quality.Acked(); acked.Seq != 15 {
		t.Errorf("acked is %d: it moved", acked.Seq)
	}
	for i, record := range r.read(t, 10) {
		want := map[string]string{event.HeaderID: fmt.Sprint("id-", i+5), event.HeaderAgent: "gw1", event.HeaderEpoch: testEpoch, event.HeaderLane: "quality", event.HeaderSeq: fmt.Sprint(i + 6)}
		for _, h := range record.Headers {
			if text, ok := want[h.Key]; ok && text == string(h.Value) {
				delete(want, h.Key)
			}
		}
		if len(want) > 0 || !bytes.Equal(record.Value, fmt.Append(nil, i+5)) {
			t.Errorf("record %d lacks %v, value %s", i, want, record.Value)
		}
	}
}

// read returns the first n records of the topic; all have one key, so they come in order.
func (r *resendRig) read(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cfg.Brokers...), kgo.ConsumeTopics(r.cfg.Quality("p1")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// TestUplink_Resend_Yields gives live traffic a backlog: nothing is sent again until it is gone.
func TestUplink_Resend_Yields(t *testing.T) {
	r := newResendRig(t)
	r.put(t, yieldBeyond+11, 10)
	var sent int64
	ended := make(chan error, 1)
	go func() {
		var err error
		sent, err = r.uplink.Resend(t.Context(), event.LaneQuality, queue.Range{ToSeq: 10}, 1000, func(int64, int64) {
			if d := r.quality.Stat().Depth; d > yieldBeyond {
				t.Errorf("a record went before %d of live traffic", d)
			}
		})
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("ended with %d sent, %v, while live traffic waits", sent, err)
	case <-time.After(2 * yieldPause):
	}
	if err := r.quality.Ack(queue.Position{Epoch: testEpoch, Seq: 11}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || sent != 10 {
		t.Errorf("%d sent, %v: want 10", sent, err)
	}
}

func TestUplink_Resend_ErrCanceled(t *testing.T) {
	r := newResendRig(t)
	r.put(t, 10, 10)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := r.uplink.Resend(ctx, event.LaneQuality, queue.Range{}, 1, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) || n > 1 {
		t.Errorf("%d sent, %v: want at most 1 and %v", n, err, context.Canceled)
	}
}
