package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const pipelineEpoch = "0123456789abcdef0123456789abcdef"

// line is a pipeline over two lanes of its own, without an agent around it.
type line struct {
	*pipeline
	t        testing.TB
	registry *prometheus.Registry
}

func newLine(t testing.TB, quota int64) *line {
	t.Helper()
	cfg, mapper, err := Load("testdata/press.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	a := New(cfg, mapper, zerolog.Nop())
	a.quality, a.signals = pipelineLane(t, t.TempDir(), event.LaneQuality, quota), pipelineLane(t, t.TempDir(), event.LaneTelemetry, quota)
	return &line{pipeline: newPipeline(a), t: t, registry: a.registry}
}

func pipelineLane(t testing.TB, dir string, name event.Lane, quota int64) *queue.Lane {
	t.Helper()
	cfg := queue.Config{Dir: dir, Name: string(name), Quota: quota, AllowTmpfs: true}
	if name == event.LaneQuality {
		cfg.Reserve = 1 << 20
	}
	l, err := queue.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close lane: %v", err)
		}
	})
	if err := l.Begin(pipelineEpoch, string(event.NoPrev)); err != nil {
		t.Fatal(err)
	}
	return l
}

// pressMessage is what the press sends.
func pressMessage(record, value string) source.Signal {
	payload := fmt.Sprintf(`{"record":%q,"rev":1,"lot":"L-88213","material":"MAT-100","inspection":"INS-7731","characteristic":"torque","sample":4,`+
		`"value":%q,"unit":"N.m","lsl":"40","usl":"50","safety":true,"at":"2026-11-24T06:30:00.125Z"}`, record, value)
	return source.Signal{
		Source: "press", System: "mes1", Transport: "mqtt", Ref: "acme/p1/stamping/press4/result", Kind: source.KindMessage, Raw: []byte(payload),
		Quality: source.Uncertain, Arrived: time.Now(), Clock: source.ClockState{Synchronised: true},
	}
}

func (l *line) mustEmit(b source.Batch) {
	l.t.Helper()
	b.Source = "press"
	if err := l.emit(l.t.Context(), b); err != nil {
		l.t.Fatal(err)
	}
}

// types returns the types of a lane's records in order.
func (l *line) types(lane *queue.Lane) (all []string) {
	l.t.Helper()
	if err := lane.Scan(l.t.Context(), queue.Range{}, func(r queue.Record) error {
		for _, h := range r.Headers {
			if h.Key == event.HeaderType {
				all = append(all, string(h.Value))
			}
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	return all
}

func (l *line) counter(name string) (sum float64) {
	l.t.Helper()
	families, err := l.registry.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

const (
	recorded    = string(event.TypeCharacteristicRecorded)
	unsafe      = string(event.TypeSafetyFailed)
	quarantined = string(event.TypeRecordQuarantined)
	gapped      = string(event.TypeGapRecorded)
)

func (l *line) want(types ...string) {
	l.t.Helper()
	if got := l.types(l.quality); strings.Join(got, " ") != strings.Join(types, " ") {
		l.t.Errorf("lane quality holds %v, want %v", got, types)
	}
}

func TestPipeline_Emit(t *testing.T) {
	t.Run("one message is its events, durable with the cursor", func(t *testing.T) {
		l := newLine(t, 64<<20)
		l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "61.2")}, Cursor: []byte("7")})
		l.want(recorded, unsafe)
		if got := string(l.quality.Cursors()["press"]); got != "7" {
			t.Errorf("cursor is %q", got)
		}
		if n := l.quality.Stat().Urgent; n != 1 {
			t.Errorf("%d records are urgent", n)
		}
	})
	t.Run("a redelivered message is counted, not stored", func(t *testing.T) {
		l := newLine(t, 64<<20)
		for range 3 {
			l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.1")}})
		}
		l.want(recorded)
		if n := l.counter("holdfast_agent_repeated_events_total"); n != 2 {
			t.Errorf("%v are counted", n)
		}
	})
	t.Run("the same record with another value goes on: the cloud judges it", func(t *testing.T) {
		l := newLine(t, 64<<20)
		l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.1")}})
		l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.2")}})
		l.want(recorded, recorded)
	})
	t.Run("a message that is not understood does not stop the batch", func(t *testing.T) {
		l := newLine(t, 64<<20)
		l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.1"), pressMessage("2", "n/a"), pressMessage("3", "45.3")}})
		l.want(recorded, quarantined, recorded)
		if got := l.quarantined(); len(got) != 1 || got[0].Source != "press" {
			t.Errorf("status shows %+v", got)
		}
	})
	t.Run("a gap is an event of lane quality", func(t *testing.T) {
		l := newLine(t, 64<<20)
		from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
		l.mustEmit(source.Batch{Gaps: []source.Gap{{Item: "torque", From: from, To: from.Add(time.Minute), Reason: string(event.GapDisconnect)}}})
		l.want(gapped)
	})
	t.Run("nothing read leaves nothing", func(t *testing.T) {
		l := newLine(t, 64<<20)
		l.mustEmit(source.Batch{})
		l.want()
	})
}

// TestPipeline_Emit_NotStored lets a put fail: nothing of the batch may stay in memory, since its records are read again
// and have to meet what they met before.
func TestPipeline_Emit_NotStored(t *testing.T) {
	l := newLine(t, 64<<20)
	mapper, errs := mapping.Compile([]mapping.Config{
		{Name: "tag", Version: 1, From: mapping.From{Topic: "tag"}, Remember: []mapping.Remember{{Tag: `"lot"`, Value: "p.lot"}}},
	}, mapping.Options{Plant: "p1", Agent: "gw1"})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	l.mapper = mapper
	signal := func(topic, payload string) source.Signal {
		s := pressMessage("1", "45.1")
		s.Ref, s.Raw = topic, []byte(payload)
		return s
	}
	l.mustEmit(source.Batch{Signals: []source.Signal{signal("tag", `{"lot":"L-1"}`)}})
	kept := string(l.quality.Cursors()["state:press"])
	if err := l.quality.Close(); err != nil {
		t.Fatal(err)
	}
	b := source.Batch{
		Source: "press", Signals: []source.Signal{signal("tag", `{"lot":"L-2"}`), signal("unknown", "{}")},
		Gaps: []source.Gap{{From: time.Now().Add(-time.Minute), To: time.Now(), Reason: source.GapDisconnect}},
	}
	if err := l.emit(t.Context(), b); !errors.Is(err, queue.ErrClosed) {
		t.Fatalf("got %v", err)
	}
	text, err := json.Marshal(l.feed("press").state.Changes("press"))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != kept || !strings.Contains(kept, "L-1") {
		t.Errorf("remembered is %s, on disk is %s", text, kept)
	}
	if len(l.quarantined()) != 0 || l.counter("holdfast_agent_gap_events_total") != 0 || l.counter("holdfast_agent_quarantined_events_total") != 0 {
		t.Error("what is not on disk is shown and counted")
	}
}

// TestPipeline_Closing proves that a closing names the gap that was recorded.
func TestPipeline_Closing(t *testing.T) {
	l := newLine(t, 64<<20)
	from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	g := source.Gap{
		Equipment: "press4", Item: "torque", From: from, To: from.Add(time.Minute), Reason: source.GapSequenceJump,
		FromSeq: 5, ToSeq: 7, Missing: 3, Items: []string{"ns=2;s=torque"},
	}
	l.mustEmit(source.Batch{Gaps: []source.Gap{g}, Closed: []source.Closing{{Gap: g, Reason: "history", Filled: 3}}})
	l.want(gapped, string(event.TypeGapClosed))
	var all []event.Data
	if err := l.quality.Scan(t.Context(), queue.Range{}, func(r queue.Record) error {
		typ := event.TypeGapRecorded
		if len(all) > 0 {
			typ = event.TypeGapClosed
		}
		d, err := event.DecodeData(typ, r.Value)
		all = append(all, d)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	recorded, closed := all[0].(*event.GapRecorded), all[1].(*event.GapClosed)
	if recorded.GapID != closed.GapID || closed.Filled != 3 || closed.Reason != "history" || recorded.FromSeq != 5 || recorded.ToSeq != 7 || len(recorded.Items) != 1 {
		t.Errorf("recorded %+v, closed %+v", recorded, closed)
	}
	if l.counter("holdfast_agent_gap_events_total") != 1 || l.counter("holdfast_agent_gap_closed_events_total") != 1 {
		t.Error("they are not counted")
	}
}

// TestPipeline_GapReasons proves that each reason a source may give is one of the contract.
func TestPipeline_GapReasons(t *testing.T) {
	l := newLine(t, 64<<20)
	for i, reason := range []string{
		source.GapDisconnect, source.GapWatchdog, source.GapServerRestart, source.GapConnectorCrash, source.GapAgentRestart, source.GapQueueOverflow,
		source.GapEventOverflow, source.GapBackpressure, source.GapSequenceJump, source.GapSequenceReset, source.GapTorn, source.GapStatusChange,
		source.GapItemMissing, source.GapTrustRefused, source.GapSessionLost, source.GapSequenceMissing, source.GapClockStep, source.GapFileRotated,
	} {
		at := time.Date(2026, 11, 24, 6, i, 0, 0, time.UTC)
		if err := l.emit(t.Context(), source.Batch{Source: "press", Gaps: []source.Gap{{From: at, To: at, Reason: reason}}}); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// TestPipeline_Take gives events that can't be encoded: their payload is in quarantine, once.
func TestPipeline_Take(t *testing.T) {
	l := newLine(t, 64<<20)
	sig := pressMessage("1", "45.1")
	bad := func() *event.Event {
		return &event.Event{ID: "no id", Source: "/p1/mes1", Time: time.Now(), Plant: "p1", Data: &event.CharacteristicRecorded{}}
	}
	var out batch
	if err := l.take(&out, l.feed("press"), &sig, mapping.Result{Events: []*event.Event{bad(), bad()}}); err != nil {
		t.Fatal(err)
	}
	if err := l.put(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	l.want(quarantined)
}

func TestPipeline_Rebuild(t *testing.T) {
	l := newLine(t, 64<<20)
	l.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.1")}})
	again := &line{pipeline: &pipeline{
		plant: l.plant, agent: l.agent, mapper: l.mapper, quality: l.quality, signals: l.signals, now: l.now, log: l.log, metrics: l.metrics,
		feeds: map[string]*feed{},
	}, t: t, registry: l.registry}
	if err := again.rebuild(); err != nil {
		t.Fatal(err)
	}
	again.mustEmit(source.Batch{Signals: []source.Signal{pressMessage("1", "45.1"), pressMessage("2", "45.1")}})
	again.want(recorded, recorded)
}

func TestRecent(t *testing.T) {
	var r recent
	id := func(n int) event.ID { return event.ID(fmt.Sprint(n)) }
	for n := range recentIDs + 10 {
		r.add(id(n), "raw")
		r.add(id(n), "raw")
	}
	for _, c := range []struct {
		name string
		n    int
		raw  event.Hash
		want bool
	}{
		{"the newest", recentIDs + 9, "raw", true},
		{"the oldest that is kept", 10, "raw", true},
		{"one that made room", 9, "raw", false},
		{"the same id from other bytes", 100, "other", false},
		{"no bytes are no reading", 100, "", false},
	} {
		if got := r.has(id(c.n), c.raw); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
	if len(r.set) != recentIDs || len(r.ring) != recentIDs {
		t.Errorf("%d and %d are kept", len(r.set), len(r.ring))
	}
}

func bulk(n int) queue.Batch {
	return queue.Batch{Records: []queue.Record{{ID: fmt.Sprint("bulk-", n), At: time.Now(), Value: make([]byte, 32<<10)}}}
}

// TestPipeline_PutQuality fills the lane: a source waits, nothing is shed, and goes on when there is room.
func TestPipeline_PutQuality(t *testing.T) {
	l := newLine(t, 2<<20)
	ctx, cancel := context.WithCancel(t.Context())
	stored, ended := 0, make(chan error, 1)
	go func() {
		for {
			if err := l.putQuality(ctx, bulk(stored)); err != nil {
				ended <- err
				return
			}
			stored++
		}
	}()
	deadline := time.After(patience)
	for l.counter("holdfast_agent_queue_full_waiting_sources") == 0 {
		select {
		case err := <-ended:
			t.Fatalf("a full lane gives %v", err)
		case <-deadline:
			t.Fatal("the lane does not fill")
		case <-time.After(time.Millisecond):
		}
	}
	_, full := l.quality.Last()
	if err := l.quality.Ack(queue.Position{Epoch: pipelineEpoch, Seq: full}); err != nil {
		t.Fatal(err)
	}
	for {
		if _, now := l.quality.Last(); now > full {
			break
		}
		select {
		case <-deadline:
			t.Fatal("it does not go on with room")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if got := l.counter("holdfast_agent_queue_full_waits_total"); got == 0 {
		t.Error("the wait was not counted")
	}
	if got := l.counter("holdfast_agent_queue_full_waiting_sources"); got != 0 {
		t.Errorf("%v sources wait after the end", got)
	}
	if got := l.quality.Stat(); got.Shed != 0 {
		t.Errorf("%d records of lane quality were shed", got.Shed)
	}
}

// TestPipeline_PutSignals overfills the lane: the oldest go, and each shed interval is an event before it is gone.
func TestPipeline_PutSignals(t *testing.T) {
	l := newLine(t, 2<<20)
	for n := 0; l.signals.Stat().Shed == 0 || n < 200; n++ {
		if n == 2000 {
			t.Fatal("nothing is shed")
		}
		if err := l.putSignals(t.Context(), bulk(n)); err != nil {
			t.Fatal(err)
		}
	}
	next, count := int64(1), int64(0)
	if err := l.quality.Scan(t.Context(), queue.Range{}, func(r queue.Record) error {
		d, err := event.DecodeData(event.TypeLossRecorded, r.Value)
		if err != nil {
			return err
		}
		loss := d.(*event.LossRecorded)
		if loss.FromSeq != next || loss.Cause != event.LossShed || loss.Lane != event.LaneTelemetry || loss.Epoch != pipelineEpoch {
			t.Errorf("loss is %+v, want one from %d", loss, next)
		}
		next, count = loss.ToSeq+1, count+loss.Count
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if shed := l.signals.Stat().Shed; count != int64(shed) || next != int64(shed)+1 {
		t.Errorf("losses name %d records up to %d, %d were shed", count, next-1, shed)
	}
}

func TestPipeline_QuarantineSaysWhatCameBefore(t *testing.T) {
	l := newLine(t, 64<<20)
	const told = "2026-11-24T06:30:00.125Z" // of the message before
	garbled := func(raw string) source.Signal {
		s := pressMessage("1", "61.2")
		s.Raw = []byte(raw)
		return s
	}
	before := func() (all []string) {
		if err := l.quality.Scan(t.Context(), queue.Range{}, func(r queue.Record) error {
			d, err := event.DecodeData(event.TypeRecordQuarantined, r.Value)
			if err != nil {
				return nil //nolint:nilerr // of another type
			}
			all = append(all, d.ReadBy().NotBefore.String())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	l.mustEmit(source.Batch{Signals: []source.Signal{garbled("{1"), pressMessage("2", "45"), garbled("{2")}})
	l.mustEmit(source.Batch{Signals: []source.Signal{garbled("{3")}})
	l.feeds = map[string]*feed{} // the agent starts anew
	if err := l.rebuild(); err != nil {
		t.Fatal(err)
	}
	l.mustEmit(source.Batch{Signals: []source.Signal{garbled("{4")}})
	if got, want := before(), []string{"", told, told, told}; !slices.Equal(got, want) {
		t.Errorf("quarantined after %q, want %q", got, want)
	}
}

// BenchmarkPipeline_Emit reports what a message of 400 bytes costs from the source to the disk, in batches as the MQTT source
// gathers them.
func BenchmarkPipeline_Emit(b *testing.B) {
	const batch = 500
	l := newLine(b, 1<<40)
	signals := make([]source.Signal, batch)
	record := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range signals {
			record++
			signals[i] = pressMessage(strconv.Itoa(record), "45.10")
			signals[i].Raw = append(signals[i].Raw[:len(signals[i].Raw)-1], fmt.Sprintf(`,"tool":"TW-07","program":"PRG-021","cycle_ms":%d,"operator":%q}`, 900+i, strings.Repeat("o", 100))...)
		}
		l.mustEmit(source.Batch{Signals: signals})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(record), "ns/event")
	if n := l.counter("holdfast_agent_quarantined_events_total"); n > 0 {
		b.Errorf("%v messages were quarantined", n)
	}
}
