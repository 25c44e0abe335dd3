package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestInspect(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	t.Run("OK", func(t *testing.T) {
		before := listing(t, dir)
		s, damages, err := Inspect(t.Context(), testConfig(dir))
		if err != nil || len(damages) > 0 {
			t.Fatalf("Inspect = %v, %v", damages, err)
		}
		if s.Depth != uint64(len(put)-100) || s.Acked != (Position{"e1", 100}) || !s.Oldest.Equal(put[100].At) || s.Urgent != 130 {
			t.Errorf("stat %+v", s)
		}
		diff(t, "files", before, listing(t, dir))
	})
	t.Run("Damaged", func(t *testing.T) {
		work := copyDir(t, dir)
		path := segmentFiles(t, work)[0]
		if err := os.Truncate(path, 10_000); err != nil {
			t.Fatal(err)
		}
		before := listing(t, work)
		s, damages, err := Inspect(t.Context(), testConfig(work))
		if err != nil || len(damages) == 0 || damages[0].File != filepath.Base(path) || s.Depth == 0 {
			t.Errorf("Inspect = %+v, %+v, %v", s, damages, err)
		}
		diff(t, "files", before, listing(t, work))
	})
	t.Run("ErrLocked", func(t *testing.T) {
		work := copyDir(t, dir)
		openLane(t, testConfig(work))
		_, _, err := Inspect(t.Context(), testConfig(work))
		code(t, err, problem.QueueLocked)
	})
	t.Run("ErrMissing", func(t *testing.T) {
		missing := filepath.Join(dir, "none")
		if _, _, err := Inspect(t.Context(), testConfig(missing)); err == nil {
			t.Error("Inspect of a missing directory succeeded")
		}
		if _, err := os.Stat(missing); err == nil {
			t.Error("Inspect made the directory")
		}
	})
}

func TestLane_Stat(t *testing.T) {
	cfg := testConfig(t.TempDir())
	now := noon
	cfg.Clock = func() time.Time { return now }
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraffic(noon)
	tr.received(noon.Add(30*time.Second), 600, 60_000)
	tr.sent(noon.Add(90*time.Second), 300)
	for _, c := range []struct {
		after time.Duration
		want  flow
	}{
		{100 * time.Second, flow{6, 3, 600}},
		{10 * time.Minute, flow{1, 0.5, 100}},
		{24 * time.Hour, flow{}},
	} {
		if got := tr.rate(noon.Add(c.after)); got != c.want {
			t.Errorf("rate after %v = %+v, want %+v", c.after, got, c.want)
		}
	}
	if s := l.Stat(); s.Depth != 0 || s.FullIn != 0 || s.DrainIn != 0 || !s.Oldest.IsZero() {
		t.Errorf("stat of an empty lane %+v", s)
	}
	closeLane(t, l)
}

func TestLane_Metrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, name := range []string{"quality", "telemetry"} {
		cfg := testConfig(t.TempDir())
		cfg.Name, cfg.Metrics = name, registry
		l := beginLane(t, cfg, "e1")
		putBatch(t, l, testRecord(1), urgentRecord(2))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		for _, m := range f.Metric {
			fmt.Fprintf(&text, "%s{%s} %v\n", f.GetName(), m.Label[0].GetValue(), max(m.GetGauge().GetValue(), m.GetCounter().GetValue(), float64(m.GetHistogram().GetSampleCount())))
		}
	}
	for _, line := range []string{
		"holdfast_agent_queue_size_events{quality} 2", "holdfast_agent_queue_size_events{telemetry} 2",
		"holdfast_agent_queue_urgent_size_events{quality} 1", "holdfast_agent_queue_received_events_total{quality} 2",
		"holdfast_agent_queue_sync_seconds{quality} 1",
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("no %q in\n%s", line, text.String())
		}
	}
}

func TestOpen_RefusesMemory(t *testing.T) {
	dir := fastDir(t)
	memory, err := onMemory(dir)
	if err != nil || !memory {
		t.Skipf("no memory file system here: %v", err)
	}
	cfg := testConfig(dir)
	cfg.AllowTmpfs = false
	_, err = Open(t.Context(), cfg)
	code(t, err, problem.ConfigValue)
}

// TestLane_SystemSpace asks the operating system for the free space.
func TestLane_SystemSpace(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Free = nil
	l := beginLane(t, cfg, "e1")
	putRecords(t, l, 1, 1)
}

func Example() {
	dir, err := os.MkdirTemp("", "lane")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	lane, err := Open(ctx, Config{Dir: dir, Name: "quality", Quota: 64 << 20, AllowTmpfs: true})
	if err != nil {
		panic(err)
	}
	if err := lane.Begin("5f0c", ""); err != nil {
		panic(err)
	}
	if _, err := lane.Put(ctx, Batch{Records: []Record{{ID: "torque-4711", Value: []byte(`{"lot":"L-88213"}`)}}}); err != nil {
		panic(err) // not stored: the source is not acknowledged
	}
	records, err := lane.Next(ctx, Position{}, 0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(records[0].Epoch, records[0].Seq, records[0].ID)
	if err := lane.Ack(records[0].Position()); err != nil { // the broker has it
		panic(err)
	}
	fmt.Println(lane.Stat().Depth, "unsent")
	if err := lane.Close(); err != nil {
		panic(err)
	}
	// Output:
	// 5f0c 1 torque-4711
	// 0 unsent
}
