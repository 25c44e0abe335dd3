package uplink

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// cloud is what the control topic says; the test sets it.
type cloud struct {
	mu      sync.Mutex // guards what follows
	control *event.ControlSet
	changed chan struct{}
	asked   func() // called when the uplink reads, before it gets the answer
}

func newCloud() *cloud { return &cloud{changed: make(chan struct{})} }

func (c *cloud) read() (*event.ControlSet, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != nil {
		c.asked()
	}
	return c.control, c.changed
}

func (c *cloud) set(control event.ControlSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = &control
	close(c.changed)
	c.changed = make(chan struct{})
}

// headRig is an uplink that hears the cloud.
func headRig(t *testing.T) (*rig, *cloud) {
	t.Helper()
	r, c := newRig(t), newCloud()
	r.uplink.cfg.Control = c.read
	return r, c
}

// heads reads the heads that are on the telemetry topic, until there are n.
func (r *rig) heads(n int) []*event.Head {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cfg.Brokers...), kgo.ConsumeTopics(r.cfg.Telemetry("p1")))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	var heads []*event.Head
	for len(heads) < n {
		fetches := client.PollFetches(r.t.Context())
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		for _, record := range fetches.Records() {
			m := event.Message{Key: record.Key, Value: record.Value}
			for _, h := range record.Headers {
				m.Headers = append(m.Headers, event.Header(h))
			}
			if !event.IsHead(m) {
				continue
			}
			h, err := event.DecodeHead(m)
			if err != nil {
				r.t.Fatal(err)
			}
			heads = append(heads, h)
		}
	}
	return heads
}

func TestUplink_Heads(t *testing.T) {
	r, cloud := headRig(t)
	reg := prometheus.NewRegistry()
	r.uplink.metrics = newMetrics(reg, r.uplink.headAge)
	r.topics("quality", "telemetry")
	r.uplink.stated = time.Now().Add(-time.Hour)
	if n := age(t, reg); n < 3600 {
		t.Errorf("head age before the first head is %v s", n)
	}
	stop := r.run()
	r.until("the uplink runs", func() bool { return r.uplink.Status().Up })
	if s := r.uplink.Status(); !s.Head.IsZero() {
		t.Fatal("a head was stated before the epoch has a record")
	}

	r.add(r.quality, 3, false)
	r.until("a head is stated with nothing asked", func() bool { return !r.uplink.Status().Head.IsZero() })
	r.until("the queue is empty", r.acked(3))
	cloud.set(event.ControlSet{Barrier: 7})
	r.until("a barrier is answered at once, with an empty queue", func() bool { return r.uplink.Status().Answered == 7 })
	before := r.uplink.Status().Head
	cloud.set(event.ControlSet{Barrier: 7, Version: 2})
	cloud.set(event.ControlSet{Barrier: 8})
	r.until("the next barrier is answered", func() bool { return r.uplink.Status().Answered == 8 })
	stop()

	heads := r.heads(3)
	if len(heads) != 3 {
		t.Fatalf("%d heads: want three, none for a record that asks nothing new", len(heads))
	}
	want := &event.Head{Plant: "p1", Agent: "gw1", Epoch: testEpoch, Prev: "none", Barrier: 7, Epochs: []event.HeadEpoch{{Epoch: testEpoch, Quality: 3}}}
	heads[1].Time = time.Time{}
	if diff := cmp.Diff(want, heads[1]); diff != "" {
		t.Errorf("head differs (-want +got):\n%s", diff)
	}
	if n := age(t, reg); n > 60 || before.IsZero() {
		t.Errorf("head age is %v s", n)
	}
}

// TestUplink_Head_AfterBegun sends records, and says nothing of what it knows before it is on disk what the sources may
// have missed: the first head has that, too.
func TestUplink_Head_AfterBegun(t *testing.T) {
	r, cloud := headRig(t)
	begun := make(chan struct{})
	r.uplink.cfg.Begun = begun
	r.topics("quality", "telemetry")
	r.add(r.quality, 3, false)
	cloud.set(event.ControlSet{Barrier: 7})
	stop := r.run()
	r.until("the queue is empty", r.acked(3))
	<-time.After(200 * time.Millisecond) // a head that should not be gets its chance
	if s := r.uplink.Status(); !s.Head.IsZero() || s.Answered != 0 {
		t.Errorf("a head was stated, which answers barrier %d", s.Answered)
	}
	r.add(r.quality, 1, false)
	close(begun)
	r.until("the barrier is answered", func() bool { return r.uplink.Status().Answered == 7 })
	stop()
	if first := r.heads(1)[0]; first.Barrier != 7 || first.Epochs[0].Quality != 4 {
		t.Errorf("the first head answers barrier %d with %+v", first.Barrier, first.Epochs)
	}
}

// age gathers the gauge of the head's age.
func age(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "holdfast_agent_uplink_head_age_seconds" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

func TestUplink_Heads_Repeated(t *testing.T) {
	r, _ := headRig(t)
	r.uplink.headEvery = 20 * time.Millisecond
	r.topics("quality", "telemetry")
	r.add(r.quality, 1, false)
	stop := r.run()
	heads := r.heads(3)
	stop()
	for _, h := range heads {
		if h.Barrier != 0 || h.Epochs[0].Quality != 1 {
			t.Errorf("head is %+v", h)
		}
	}
}

// TestUplink_Head_BarrierFirst commits a record at the very moment at which the barrier is read. The head has to count
// it: a hold that was on disk when the cloud asked is then seen. With the order turned round it would be left out.
func TestUplink_Head_BarrierFirst(t *testing.T) {
	r, cloud := headRig(t)
	r.add(r.quality, 5, false)
	r.add(r.signals, 2, false)
	cloud.set(event.ControlSet{Barrier: 9})
	cloud.asked = func() {
		r.add(r.quality, 1, true)
		r.add(r.signals, 1, false)
	}
	h, _ := r.uplink.head()
	want := []event.HeadEpoch{{Epoch: testEpoch, Quality: 6, Telemetry: 3}}
	if h.Barrier != 9 || !slices.Equal(h.Epochs, want) {
		t.Errorf("head is %+v: want barrier 9 and %+v", h, want)
	}
}

// TestUplink_Heads_Backlog proves that a head waits for no record: it goes past a queue that cannot be sent.
func TestUplink_Heads_Backlog(t *testing.T) {
	r, cloud := headRig(t)
	r.topics("quality", "telemetry")
	held := r.kafka.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: "holdfast.p1.quality.v1", Err: kerr.NotEnoughReplicas, Count: -1,
	})
	r.add(r.quality, mostInFlight+pageRecords, false)
	r.add(r.signals, 10, false)
	stop := r.run()
	r.until("the broker refuses the lane", func() bool { return held.Hits() > 0 })
	cloud.set(event.ControlSet{Barrier: 3})
	r.until("the barrier is answered all the same", func() bool { return r.uplink.Status().Answered == 3 })
	if acked := r.quality.Acked().Seq; acked != 0 {
		t.Errorf("acked is %d", acked)
	}
	held.Remove()
	r.until("the backlog is sent", r.acked(mostInFlight+pageRecords))
	stop()
	heads := r.heads(1)
	last := heads[len(heads)-1]
	if want := (event.HeadEpoch{Epoch: testEpoch, Quality: mostInFlight + pageRecords, Telemetry: 10}); last.Epochs[0] != want {
		t.Errorf("head is %+v: want %+v", last, want)
	}
}

// TestUplink_Heads_Outage proves that a head that could not be sent does not hold up the answer when the link is back.
func TestUplink_Heads_Outage(t *testing.T) {
	r, cloud := headRig(t)
	r.topics("quality", "telemetry")
	r.add(r.quality, 1, false)
	down := r.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	stop := r.run()
	r.until("the broker is asked", func() bool { return down.Hits() > 0 })
	cloud.set(event.ControlSet{Barrier: 3})
	down.Remove()
	r.until("the barrier is answered", func() bool { return r.uplink.Status().Answered == 3 })
	stop()
}

func TestUplink_Head_Epochs(t *testing.T) {
	const older, oldest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	quality := reopened(t, event.LaneQuality, map[string]int{oldest: 2, older: 3}, oldest, older)
	signals := reopened(t, event.LaneTelemetry, map[string]int{oldest: 0, older: 4}, oldest, older)
	r, cloud := headRig(t)
	r.uplink.quality, r.uplink.signals = quality, signals
	if h, _ := r.uplink.head(); h != nil {
		t.Fatalf("before the epoch's first record a head is made: %+v", h)
	}
	r.add(quality, 1, false)
	states := func(what string, want ...event.HeadEpoch) {
		t.Helper()
		h, _ := r.uplink.head()
		if diff := cmp.Diff(want, h.Epochs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	own := event.HeadEpoch{Epoch: testEpoch, Quality: 1}
	states("nothing is sent", event.HeadEpoch{Epoch: oldest, Quality: 2}, event.HeadEpoch{Epoch: older, Quality: 3, Telemetry: 4}, own)
	ack := func(lane *queue.Lane, epoch string, seq uint64) {
		t.Helper()
		if err := lane.Ack(queue.Position{Epoch: epoch, Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	ack(quality, older, 3)
	states("telemetry of the older one is left", event.HeadEpoch{Epoch: older, Quality: 3, Telemetry: 4}, own)
	ack(signals, older, 4)
	states("only this run is open", own)

	cloud.set(event.ControlSet{Epochs: []event.DecidedEpoch{{Epoch: testEpoch, Decision: event.EpochQuarantined}}})
	if h, _ := r.uplink.head(); h != nil {
		t.Errorf("a superseded gateway claims %+v", h)
	}
	cloud.set(event.ControlSet{Epochs: []event.DecidedEpoch{{Epoch: testEpoch, Decision: event.EpochAccepted}, {Epoch: older, Decision: event.EpochQuarantined}}})
	states("it was accepted", own)
}

// reopened returns a lane that went through runs with so many records each, and has begun testEpoch.
func reopened(t *testing.T, name event.Lane, records map[string]int, runs ...string) *queue.Lane {
	t.Helper()
	dir := t.TempDir()
	for _, epoch := range append(runs, testEpoch) {
		l, err := queue.Open(t.Context(), queue.Config{Dir: dir, Name: string(name), Quota: 64 << 20, KeepSent: time.Hour, AllowTmpfs: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Begin(epoch, "none"); err != nil {
			t.Fatal(err)
		}
		if epoch == testEpoch {
			t.Cleanup(func() { _ = l.Close() })
			return l
		}
		if n := records[epoch]; n > 0 {
			if _, err := l.Put(t.Context(), queue.Batch{Records: make([]queue.Record, n)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

// What the agent says about itself travels with a head, and never costs one.
func TestUplink_Head_Standing(t *testing.T) {
	r, _ := headRig(t)
	r.add(r.quality, 1, false)
	now := event.At(time.Now())
	said := &event.AgentStatus{Version: "1.4.0", Started: now, LinkSince: now, Backlog: []event.LaneBacklog{}, Sources: []event.SourceStanding{}}
	r.uplink.cfg.Standing = func() *event.AgentStatus { return said }
	if h, _ := r.uplink.head(); h == nil || h.Status != said {
		t.Errorf("head is %+v", h)
	}
	said.Version = ""
	if h, _ := r.uplink.head(); h == nil || h.Status != nil {
		t.Errorf("a status that nobody takes is stated: %+v", h)
	}
}

func TestNew_ControlIsOptional(t *testing.T) {
	r := newRig(t)
	u, err := New(Config{Kafka: r.cfg, Plant: "p1", Agent: "gw1", Now: time.Now}, r.quality, r.signals, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.add(r.quality, 1, false)
	if h, _ := u.head(); h == nil || h.Barrier != 0 {
		t.Errorf("head is %+v", h)
	}
}
