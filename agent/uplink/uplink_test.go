package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an uplink with an embedded Kafka, whose topics a test makes.
type rig struct {
	resendRig
	t       *testing.T
	kafka   *broker.Kafka
	signals *queue.Lane
	put     int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	r := &rig{t: t, kafka: k, signals: openLane(t, event.LaneTelemetry)}
	r.cfg, r.quality = kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast"}, openLane(t, event.LaneQuality)
	r.uplink, err = New(Config{Kafka: r.cfg, Plant: "p1", Agent: "gw1", Now: time.Now}, r.quality, r.signals, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) topics(which ...string) {
	r.t.Helper()
	for _, name := range which {
		if err := r.kafka.Cluster().CreateTopic("holdfast.p1."+name+".v1", 6, nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

// add stores n records of as many lots, so that they spread over the partitions.
func (r *rig) add(lane *queue.Lane, n int, urgent bool) {
	r.t.Helper()
	var b queue.Batch
	for range n {
		r.put++
		b.Records = append(b.Records, queue.Record{
			ID: fmt.Sprint("id-", r.put), At: time.Now(), Urgent: urgent, Key: fmt.Append(nil, "lot", r.put), Value: fmt.Append(nil, r.put),
			Headers: []queue.Header{{Key: event.HeaderID, Value: fmt.Append(nil, "id-", r.put)}},
		})
	}
	if _, err := lane.Put(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

// run starts the uplink; the function returned stops it and waits.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.uplink.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		ended <- nil
	}
	r.t.Cleanup(stop)
	return stop
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
			r.t.Fatalf("not within %v: %s; status is %+v", patience, what, r.uplink.Status())
		case <-tick.C:
		}
	}
}

func (r *rig) acked(seq uint64) func() bool {
	return func() bool { return r.quality.Acked().Seq == seq }
}

// sent returns the ids of the first n records of the topic of lane quality, with how often each came.
func (r *rig) sent(n int) map[string]int {
	r.t.Helper()
	ids := map[string]int{}
	for _, record := range r.read(r.t, n) {
		for _, h := range record.Headers {
			if h.Key == event.HeaderID {
				ids[string(h.Value)]++
			}
		}
	}
	return ids
}

func TestTrack_Done(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int // in which order the broker confirms records 1 to 5
		want    []uint64
	}{
		{"in order", []int{1, 2, 3, 4, 5}, []uint64{1, 2, 3, 4, 5}},
		{"the last first", []int{5, 4, 3, 2, 1}, []uint64{0, 0, 0, 0, 5}},
		{"one stays open", []int{1, 3, 4, 5}, []uint64{1, 1, 1, 1}},
		{"two partitions", []int{2, 1, 4, 3, 5}, []uint64{0, 2, 2, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.add(r.quality, 5, false)
			tr := newTrack(r.quality, event.LaneQuality, "topic")
			begun := map[int]*pending{}
			for n := 1; n <= 5; n++ {
				begun[n] = tr.begin(queue.Position{Epoch: testEpoch, Seq: uint64(n)})
			}
			for i, n := range c.answers {
				if err := tr.done(begun[n]); err != nil {
					t.Fatal(err)
				}
				if got := r.quality.Acked().Seq; got != c.want[i] {
					t.Errorf("after the answer for %d acked is %d, want %d", n, got, c.want[i])
				}
			}
		})
	}
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(time.Now)
		w.add(leastInFlight)
		freed := make(chan error, 1)
		go func() { freed <- w.room(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-freed:
			t.Fatalf("there is room beyond the window: %v", err)
		default:
		}
		w.add(-1)
		if err := <-freed; err != nil {
			t.Fatal(err)
		}
		for range 10 {
			<-time.After(time.Second) // of the bubble
			w.add(100 * mostInFlight)
			w.add(-100 * mostInFlight)
		}
		if w.limit != mostInFlight {
			t.Errorf("limit on a fast link is %d", w.limit)
		}
		<-time.After(time.Minute)
		w.add(-1)
		if w.limit != leastInFlight {
			t.Errorf("limit on a slow link is %d", w.limit)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.add(2 * mostInFlight)
		if err := w.room(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestUplink_Run(t *testing.T) {
	r := newRig(t)
	r.topics("quality", "telemetry")
	r.add(r.quality, 700, false)
	r.add(r.signals, 20, false)
	stop := r.run()
	r.until("quality is sent", r.acked(700))
	r.until("telemetry is sent", func() bool { return r.signals.Acked().Seq == 20 })
	r.until("the link is shown as up", func() bool { return r.uplink.Status().Up })
	stop()
	ids := r.sent(700)
	if len(ids) != 700 {
		t.Errorf("%d of 700 records came", len(ids))
	}
}

// TestUplink_Run_Broken lets the broker answer with errors: what it did not confirm is sent again, nothing is skipped.
func TestUplink_Run_Broken(t *testing.T) {
	for _, c := range []struct {
		name string
		err  *kerr.Error
		code problem.Code
	}{
		{"a sequence out of order", kerr.OutOfOrderSequenceNumber, problem.KafkaDataLoss},
		{"a refused record", kerr.MessageTooLarge, problem.KafkaUnreachable},
		{"a right that was taken away", kerr.TopicAuthorizationFailed, problem.KafkaRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.topics("quality", "telemetry")
			r.add(r.quality, 50, false)
			f := r.kafka.Cluster().Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Topic: "holdfast.p1.quality.v1", Partitions: []int32{2}, Err: c.err, Count: -1,
			})
			stop := r.run()
			r.until("the error is shown", func() bool { return strings.Contains(r.uplink.Status().LastError, c.err.Message) })
			if acked := r.quality.Acked().Seq; acked >= 50 {
				t.Fatalf("acked is %d: a record that was not confirmed is passed over", acked)
			}
			f.Remove()
			r.until("all is sent", r.acked(50))
			stop()
			stored := int64(0)
			for _, p := range r.kafka.Cluster().PartitionInfos("holdfast.p1.quality.v1") {
				stored += p.HighWatermark
			}
			if ids := r.sent(int(stored)); len(ids) != 50 {
				t.Errorf("%d of 50 records came", len(ids))
			}
		})
	}
}

func TestUplink_Run_TopicMissing(t *testing.T) {
	r := newRig(t)
	r.topics("quality")
	r.add(r.quality, 10, false)
	r.add(r.signals, 10, false)
	stop := r.run()
	r.until("lane quality is sent all the same", r.acked(10))
	r.until("the missing topic is named", func() bool { return strings.Contains(r.uplink.Status().LastError, "holdfast.p1.telemetry.v1") })
	if got := r.signals.Acked().Seq; got != 0 {
		t.Errorf("telemetry without a topic is acked up to %d", got)
	}
	r.topics("telemetry")
	r.until("telemetry follows", func() bool { return r.signals.Acked().Seq == 10 })
	stop()
}

func TestUplink_Run_ErrPartitions(t *testing.T) {
	r := newRig(t)
	if err := r.kafka.Cluster().CreateTopic("holdfast.p1.quality.v1", 3, nil); err != nil {
		t.Fatal(err)
	}
	r.topics("telemetry")
	r.add(r.quality, 10, false)
	stop := r.run()
	r.until("the mismatch is shown", func() bool { return strings.Contains(r.uplink.Status().LastError, "3 partitions, not 6") })
	stop()
	if got := r.quality.Acked().Seq; got != 0 {
		t.Errorf("%d records went to a topic with other partitions", got)
	}
}

// TestUplink_SendUrgent sends urgent records alone: they go ahead, and acked does not move for them.
func TestUplink_SendUrgent(t *testing.T) {
	r := newRig(t)
	r.topics("quality", "telemetry")
	r.add(r.quality, 300, false)
	r.add(r.quality, 2, true)
	r.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge})
	send := func() (context.CancelFunc, <-chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.uplink.with(ctx, r.uplink.sendUrgent) }()
		return cancel, ended
	}
	cancel, ended := send()
	if err := <-ended; !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("got %v", err)
	}
	cancel()
	if n := r.quality.Stat().Urgent; n == 0 {
		t.Fatal("a refused urgent record is forgotten")
	}
	cancel, ended = send()
	r.until("both are sent", func() bool { return r.quality.Stat().Urgent == 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if acked := r.quality.Acked().Seq; acked != 0 {
		t.Errorf("acked is %d", acked)
	}
	if ids := r.sent(2); ids["id-301"] == 0 || ids["id-302"] == 0 {
		t.Errorf("sent are %v", ids)
	}
}

// TestUplink_Run_StopsWhileFull stops the uplink while more waits than a producer takes and the broker is gone.
func TestUplink_Run_StopsWhileFull(t *testing.T) {
	r := newRig(t)
	r.topics("quality", "telemetry")
	held := r.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	defer held.Remove()
	r.add(r.quality, mostInFlight+2*pageRecords, true)
	stop := r.run()
	r.until("the broker is asked", func() bool { return held.Hits() > 0 })
	began := time.Now()
	stop()
	if d := time.Since(began); d > flushLimit+3*time.Second {
		t.Errorf("the stop took %v", d)
	}
	if acked := r.quality.Acked().Seq; acked != 0 {
		t.Errorf("acked is %d", acked)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		code problem.Code
	}{
		{kerr.TopicAuthorizationFailed, problem.KafkaRefused},
		{kerr.SaslAuthenticationFailed, problem.KafkaRefused},
		{kerr.OutOfOrderSequenceNumber, problem.KafkaDataLoss},
		{kerr.UnknownProducerID, problem.KafkaDataLoss},
		{&kgo.ErrDataLoss{}, problem.KafkaDataLoss},
		{kerr.NotLeaderForPartition, problem.KafkaUnreachable},
		{context.DeadlineExceeded, problem.KafkaUnreachable},
	} {
		if got := problem.CodeOf(classify("t", c.err)); got != c.code {
			t.Errorf("%v is %s, want %s", c.err, got, c.code)
		}
	}
}
