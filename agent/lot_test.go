package agent

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// say publishes an event of the cloud to this plant.
func (r *rig) say(data event.Data) {
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
	client := must(kgo.NewClient(kgo.SeedBrokers(r.cfg.Kafka.Brokers...)))(r.t)
	defer client.Close()
	if err := client.ProduceSync(r.t.Context(), record).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func statusOf(lot event.LotKey, version int64, reasons ...event.MoveReason) *event.LotStatusUpdated {
	s := &event.LotStatusUpdated{
		OfLot: event.OfLot{Lot: lot}, Version: version, Disposition: "release", OpenHolds: []event.OpenHold{}, MayMove: len(reasons) == 0,
		Reasons: append([]event.MoveReason{}, reasons...), AsOf: event.At(time.Now()), Cause: "n-32a482b26791ea8c88f3e8e225202ab4",
		Usage: []event.SystemUsage{{System: "erp1", Usage: event.Unrestricted, Raw: "01", VerifiedAt: event.At(time.Now())}},
	}
	if slices.Contains(reasons, event.ReasonOpenHold) {
		s.OpenHolds = []event.OpenHold{{HoldID: "hold:mes1:H-1", HoldKind: event.HoldSafety, Reason: "torque", PlacedAt: s.AsOf}}
	}
	return s
}

// control is a control record with what change sets.
func control(version int64, change func(*event.ControlSet)) *event.ControlSet {
	c := &event.ControlSet{Agent: "gw1", Version: version, Wanted: []event.Wanted{}, Covered: []event.Covered{}, Epochs: []event.DecidedEpoch{}}
	if change != nil {
		change(c)
	}
	return c
}

// heardAgain makes the cloud be heard: control records until one counts.
func (r *rig) heardAgain() {
	r.t.Helper()
	version := int64(r.agent.downlink.Status().Version)
	r.until("the cloud is heard", func() bool {
		version++
		r.say(control(version, nil))
		r.until("the record is read", func() bool { return r.agent.downlink.Status().Version == uint64(version) })
		return r.agent.downlink.Status().AgeKnown
	})
}

func (r *rig) lot(name string) localapi.Lot {
	r.t.Helper()
	return must(r.client.Lot(r.t.Context(), name))(r.t)
}

func codes(l localapi.Lot) string {
	var all []string
	for _, why := range l.Why {
		all = append(all, why.Code)
	}
	return strings.Join(all, " ")
}

func TestAgent_Lot(t *testing.T) {
	r := newRig(t)
	const key = "lot::MAT-100:L-88213"
	if l := r.lot(key); l.MayMove || codes(l) != "unknown_lot" {
		t.Errorf("an unknown lot: %+v", l)
	}
	r.say(statusOf(key, 1))
	r.say(statusOf("lot::MAT-200:L-2", 1, event.ReasonOpenHold, event.ReasonGap))
	r.heardAgain()
	r.until("the status is read", func() bool { return r.agent.downlink.Status().Lots == 2 })
	l := r.lot("L-88213") // by its number
	if !l.MayMove || l.Lot != key || l.Plant != "p1" || l.ExpiresIn <= 0 || l.Disposition != "release" || len(l.Usage) != 1 || len(l.Why) != 0 {
		t.Errorf("a released lot: %+v", l)
	}
	held := r.lot("L-2")
	if held.MayMove || codes(held) != "open_hold gap" || !strings.Contains(held.Why[0].Text, "torque (safety, hold:mes1:H-1)") || held.ExpiresIn != 0 {
		t.Errorf("a held lot: %+v", held)
	}

	// What this plant records counts at once, and until the cloud has taken it in: that Kafka has it is not enough.
	r.result("1", "61.2")
	r.drained()
	if l := r.lot(key); l.MayMove || codes(l) != localapi.ReasonLocal || !strings.Contains(l.Why[0].Text, "quality.safety.failed.v1") {
		t.Errorf("a lot whose part just failed: %+v", l)
	}
	if l := r.lot("lot::MAT-100:L-404"); codes(l) != "unknown_lot" {
		t.Errorf("another lot: %+v", l)
	}
	page := must(r.client.Lots(r.t.Context(), ""))(t)
	if len(page.Lots) != 2 || page.Next != "" || codes(page.Lots[0]) != localapi.ReasonLocal || page.Lots[1].Lot != "lot::MAT-200:L-2" {
		t.Errorf("list is %+v", page)
	}
	if rest := must(r.client.Lots(r.t.Context(), key))(t); len(rest.Lots) != 1 {
		t.Errorf("behind the first: %+v", rest)
	}

	_, seq := r.agent.quality.Last()
	version := int64(r.agent.downlink.Status().Version)
	r.say(control(version+1, func(c *event.ControlSet) {
		c.Covered = []event.Covered{{Epoch: r.agent.epoch, Lane: event.LaneQuality, Seq: int64(seq) - 1}}
	}))
	r.until("it is read", func() bool { return r.agent.downlink.Status().Version == uint64(version+1) })
	if l := r.lot(key); l.MayMove {
		t.Errorf("the cloud has all but the last record: %+v", l)
	}
	r.say(control(version+2, func(c *event.ControlSet) {
		c.Covered = []event.Covered{{Epoch: r.agent.epoch, Lane: event.LaneQuality, Seq: int64(seq)}}
	}))
	r.until("the cloud has taken it in", func() bool { return r.lot(key).MayMove })
}

// TestOperator_TakenIn goes through what the cloud may say of three runs, of which the newest is this one.
func TestOperator_TakenIn(t *testing.T) {
	const first, second = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	r := newRig(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{first, second, pipelineEpoch} {
		l := must(queue.Open(t.Context(), queue.Config{Dir: r.cfg.laneDir(event.LaneQuality), Name: "quality", Quota: 64 << 20, KeepSent: time.Hour, AllowTmpfs: true}))(t)
		r.agent.quality = l
		if err := l.Begin(run, "none"); err != nil {
			t.Fatal(err)
		}
		must(l.Put(t.Context(), queue.Batch{Records: make([]queue.Record, 5)}))(t)
		if run != pipelineEpoch {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer func() { _ = r.agent.quality.Close() }()
	const whole, none = math.MaxUint64, uint64(0)
	for _, c := range []struct {
		name    string
		acked   queue.Position
		covered []event.Covered
		want    [3]uint64 // of the three runs
	}{
		{"nothing is known", queue.Position{Epoch: first, Seq: 2}, nil, [3]uint64{none, none, none}},
		{"the first is named", queue.Position{Epoch: first, Seq: 2}, []event.Covered{{Epoch: first, Lane: "quality", Seq: 2}}, [3]uint64{2, none, none}},
		{"another lane says nothing", queue.Position{Epoch: first, Seq: 2}, []event.Covered{{Epoch: first, Lane: "telemetry", Seq: 9}}, [3]uint64{none, none, none}},
		{"a newer one is named, the first is not sent", queue.Position{Epoch: first, Seq: 3}, []event.Covered{{Epoch: second, Lane: "quality", Seq: 4}}, [3]uint64{3, 4, none}},
		{"a newer one is named, the first is sent", queue.Position{Epoch: second, Seq: 1}, []event.Covered{{Epoch: second, Lane: "quality", Seq: 1}}, [3]uint64{whole, 1, none}},
		{"a newer one and the first are named, of which nothing came", queue.Position{Epoch: second, Seq: 1},
			[]event.Covered{{Epoch: first, Lane: "quality"}, {Epoch: second, Lane: "quality", Seq: 1}}, [3]uint64{none, 1, none}},
		{"this run is named", queue.Position{Epoch: pipelineEpoch, Seq: 1}, []event.Covered{{Epoch: pipelineEpoch, Lane: "quality", Seq: 1}}, [3]uint64{whole, whole, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := r.agent.quality.Ack(c.acked); err != nil {
				t.Fatal(err)
			}
			got := takenIn(r.agent.quality, control(1, func(set *event.ControlSet) { set.Covered = c.covered }))
			for i, run := range []string{first, second, pipelineEpoch} {
				if seq := got(run); seq != c.want[i] {
					t.Errorf("run %d is taken in up to %d, want %d", i+1, seq, c.want[i])
				}
			}
		})
	}
}

func TestAgent_Lot_Names(t *testing.T) {
	r := newRig(t)
	r.say(statusOf("lot::MAT-1:L-7", 1))
	r.say(statusOf("lot::MAT-2:L-7", 1))
	r.until("both are read", func() bool { return r.agent.downlink.Status().Lots == 2 })
	if _, err := r.client.Lot(t.Context(), "L-7"); problem.CodeOf(err) != problem.Usage || !strings.Contains(err.Error(), "lot::MAT-2:L-7") {
		t.Errorf("a number of two lots gives %v", err)
	}
	if _, err := r.client.Lot(t.Context(), "lot:MAT-2"); problem.CodeOf(err) != problem.Usage {
		t.Errorf("a broken key gives %v", err)
	}
	if _, err := r.client.Lot(t.Context(), ""); problem.CodeOf(err) != problem.Usage {
		t.Errorf("no name gives %v", err)
	}
	if l := r.lot("L-404"); l.Lot != "L-404" || codes(l) != "unknown_lot" {
		t.Errorf("an unknown number: %+v", l)
	}
}

// TestAgent_Asked lets the cloud ask: the answer has what was on disk, what it misses comes again, and a decision
// against this gateway is shown.
func TestAgent_Asked(t *testing.T) {
	r := newRig(t)
	r.result("1", "45.1")
	r.drained()
	r.say(control(1, func(c *event.ControlSet) { c.Barrier = 5 }))
	r.until("the barrier is answered", func() bool { return must(r.client.Status(t.Context()))(t).Uplink.Answered == 5 })
	heads := r.heads(5)
	last := heads[len(heads)-1]
	_, seq := r.agent.quality.Last()
	if last.Epoch != r.agent.epoch || last.Epochs[len(last.Epochs)-1].Quality != seq {
		t.Errorf("head is %+v, lane quality reaches %d", last, seq)
	}

	before := len(r.read(int(seq)))
	r.say(control(2, func(c *event.ControlSet) {
		c.Barrier = 5
		c.Wanted = []event.Wanted{{Epoch: r.agent.epoch, Lane: event.LaneQuality, FromSeq: 1, ToSeq: 1}}
	}))
	r.until("the epoch's first record is sent again", func() bool {
		n := int64(0)
		for _, p := range r.kafka.Cluster().PartitionInfos(r.cfg.Kafka.Quality("p1")) {
			n += p.HighWatermark
		}
		return n == int64(before+1)
	})

	if s := must(r.client.Status(t.Context()))(t); s.Downlink.Superseded != "" || s.Downlink.Barrier != 5 {
		t.Errorf("downlink is %+v", s.Downlink)
	}
	r.say(control(3, func(c *event.ControlSet) {
		c.Barrier = 6
		c.Epochs = []event.DecidedEpoch{{Epoch: r.agent.epoch, Decision: event.EpochQuarantined, Reason: "a second gateway"}}
	}))
	r.until("it is shown as superseded", func() bool { return must(r.client.Status(t.Context()))(t).Downlink.Superseded == "a second gateway" })
	if s := must(r.client.Status(t.Context()))(t); s.Uplink.Answered != 5 {
		t.Errorf("a superseded gateway claims %d", s.Uplink.Answered)
	}
}

// heads reads the heads of the telemetry topic up to the one that answers a barrier.
func (r *rig) heads(barrier uint64) []*event.Head {
	r.t.Helper()
	client := must(kgo.NewClient(kgo.SeedBrokers(r.cfg.Kafka.Brokers...), kgo.ConsumeTopics(r.cfg.Kafka.Telemetry("p1"))))(r.t)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var all []*event.Head
	for len(all) == 0 || all[len(all)-1].Barrier < barrier {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		for _, record := range fetches.Records() {
			m := event.Message{Key: record.Key, Value: record.Value}
			for _, h := range record.Headers {
				m.Headers = append(m.Headers, event.Header(h))
			}
			if event.IsHead(m) {
				all = append(all, must(event.DecodeHead(m))(r.t))
			}
		}
	}
	return all
}

// TestAgent_DownlinkDamaged cuts the copy of lot status: it is set aside, and read anew.
func TestAgent_DownlinkDamaged(t *testing.T) {
	r := newRig(t)
	r.say(statusOf("lot::MAT-1:L-0", 1))
	r.until("it is read", func() bool { return r.agent.downlink.Status().Lots == 1 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(string(r.cfg.Data), "downlink.db")
	if err := os.Truncate(path, int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	r.agent = New(r.cfg, r.agent.mapper, zerolog.Nop())
	r.start()
	r.until("it is read anew", func() bool { return r.agent.downlink.Status().Lots == 1 })
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Errorf("the damaged file is not kept: %v", err)
	}
}
