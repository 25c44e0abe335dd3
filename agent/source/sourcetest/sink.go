// Package sourcetest is what the tests of all kinds of sources share: a queue to look into, and the running of a source.
package sourcetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// Limit bounds every wait of a test.
const Limit = 15 * time.Second

// Sink is a queue that a test looks into. The zero Sink is empty. It may be used from any goroutine.
type Sink struct {
	mu      sync.Mutex
	signals []source.Signal
	gaps    []source.Gap
	closed  []source.Closing
	cursor  []byte
	hook    func(source.Batch) error
}

// Emit is the [source.Emit] of the sink.
func (k *Sink) Emit(ctx context.Context, b source.Batch) error {
	k.mu.Lock()
	hook := k.hook
	k.mu.Unlock()
	if hook != nil {
		if err := hook(b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signals = append(k.signals, b.Signals...)
	k.gaps = append(k.gaps, b.Gaps...)
	k.closed = append(k.closed, b.Closed...)
	k.cursor = slices.Clone(b.Cursor)
	return nil
}

// SetHook has a function called before a batch is stored; its error keeps the batch out. Nil = none.
func (k *Sink) SetHook(hook func(source.Batch) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hook = hook
}

// All returns the signals in the order in which they were stored.
func (k *Sink) All() []source.Signal {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.signals)
}

// Gaps returns all gaps that were recorded, closed ones included.
func (k *Sink) Gaps() []source.Gap {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.gaps)
}

// GapsOf returns the gaps of one reason.
func (k *Sink) GapsOf(reason string) []source.Gap {
	return slices.DeleteFunc(k.Gaps(), func(g source.Gap) bool { return g.Reason != reason })
}

// Closings returns what was closed.
func (k *Sink) Closings() []source.Closing {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.closed)
}

// Unclosed returns the gaps that no closing names.
func (k *Sink) Unclosed() []source.Gap {
	closed := k.Closings()
	return slices.DeleteFunc(k.Gaps(), func(g source.Gap) bool {
		return slices.ContainsFunc(closed, func(c source.Closing) bool { return same(&c.Gap, &g) })
	})
}

// same tells whether two gaps are one.
func same(a, b *source.Gap) bool {
	return a.Item == b.Item && a.From.Equal(b.From) && a.Found.Equal(b.Found)
}

// Cursor returns the newest position.
func (k *Sink) Cursor() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.cursor)
}

// Open returns the gap of the whole source that has no end yet; nil = there is none. With the cursor it is what the next
// run of the source begins with.
func (k *Sink) Open() *source.Gap {
	for _, g := range k.Unclosed() {
		if g.Item == "" && g.To.IsZero() {
			return &g
		}
	}
	return nil
}

// Until waits for a condition.
func Until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(Limit)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", Limit, what)
		}
	}
}

// Live waits until the source reads.
func Live(t *testing.T, s source.Source) {
	t.Helper()
	Until(t, "the source is live", func() bool { return s.Status().State == source.Live })
}

// Run begins and runs a source until the test ends or the returned function is called.
func Run(t *testing.T, s source.Source, emit source.Emit) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		if err := s.Begin(ctx, emit); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Begin returned %v", err)
			}
			ended <- nil
			return
		}
		ended <- s.Run(ctx, emit)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(Limit):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(stop)
	return stop
}
