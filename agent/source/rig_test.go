package source

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// desk is a supervised source without a protocol: a test says what its connections do. It runs on fake time.
type desk struct {
	*Supervisor
	mu       sync.Mutex
	batches  []Batch
	restored atomic.Int64
	hook     func(Batch) error
}

// newDesk returns one that has last seen something at the time at which the test began.
func newDesk(t *testing.T, grace time.Duration, change func(*Deps)) *desk {
	t.Helper()
	d := &desk{}
	deps := Deps{ID: "press", Plant: "p1", Agent: "gw1", Equipment: "press4", Rand: func() float64 { return 0 }, Cursor: []byte("1")}
	if change != nil {
		change(&deps)
	}
	if err := deps.Fill(); err != nil {
		t.Fatal(err)
	}
	seen := time.Now()
	d.Supervisor = NewSupervisor(deps, Rules{
		Transport: "desk", Address: "desk://", Waits: "it waits", Grace: grace,
		From:    func(string) (time.Time, bool) { return seen, deps.Cursor != nil },
		Cursor:  func(*Batch) []byte { return []byte("2") },
		Restore: func() { d.restored.Add(1) },
	})
	return d
}

func (d *desk) emit(_ context.Context, b Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hook != nil {
		if err := d.hook(b); err != nil {
			return err
		}
	}
	d.batches = append(d.batches, b)
	return nil
}

func (d *desk) setHook(hook func(Batch) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

func (d *desk) gaps() (all []Gap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.batches {
		all = append(all, b.Gaps...)
	}
	return all
}

func (d *desk) closed() (all []Closing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.batches {
		all = append(all, b.Closed...)
	}
	return all
}

func (d *desk) stored() []Batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.batches)
}

// run runs lives in the background until the test ends.
func (d *desk) run(t *testing.T, live func(context.Context) Ending) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { d.Run(ctx, d.emit, live) })
	stop = func() { cancel(); done.Wait() }
	t.Cleanup(stop)
	return stop
}
