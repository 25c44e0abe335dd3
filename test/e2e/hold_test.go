package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// bin is the directory of the programs under test, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(stack.WithPrograms(func(dir string) int {
		bin = dir
		return m.Run()
	}))
}

// start runs a whole stack for a test.
func start(t *testing.T, cfg stack.Config) *stack.Stack {
	t.Helper()
	cfg.SAP.AutoCreate = true
	s := build(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.StartCloud(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually polls until ok, and fails the test after limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// firstBlocked returns the first entry of a batch's book after which nothing of it is free.
func firstBlocked(entries []book.Entry) (book.Entry, bool) {
	for _, e := range entries {
		if !e.FreeAfter {
			return e, true
		}
	}
	return book.Entry{}, false
}

func publisher(t *testing.T, s *stack.Stack, name string) *plant.Publisher {
	t.Helper()
	p, err := plant.Connect(s.MQTT.URL(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func result(lot string, n int, value string, safety bool) plant.Result {
	return plant.Result{
		Record: fmt.Sprintf("%s-%06d", lot, n), Rev: 1, Lot: lot, Material: "MAT-100", Inspection: "INS-" + lot,
		Characteristic: "torque", Sample: n, Value: value, Unit: "N.m", LSL: "40", USL: "50", Safety: safety, At: plant.Stamp(time.Now()),
	}
}

// TestF17_FailedPartBlocksItsBatch is the tracer: a part fails at a press, and its batch is blocked in ERP.
func TestF17_FailedPartBlocksItsBatch(t *testing.T) {
	s := start(t, stack.Config{})
	p := publisher(t, s, "press")
	if err := p.Send(plant.TopicResult, result("L-88213", 1, "61.2", true)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "batch L-88213 is blocked in the ERP's book", func() bool {
		_, ok := firstBlocked(s.SAP.Batch("MAT-100", "L-88213"))
		return ok
	})
	eventually(t, 10*time.Second, "one nonconformance in the QMS", func() bool { return len(s.QMS.Book()) > 0 })
}
