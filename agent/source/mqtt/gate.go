package mqtt

import (
	"sync"
	"time"
)

// gate bounds the payload bytes between the library and the committer. While it is shut the guard reads no further, so
// that the broker's link fills instead of our memory; the link itself stays up.
type gate struct {
	limit int64 // bytes

	mu    sync.Mutex
	held  int64
	freed chan struct{} // closed at the next release
}

func newGate(limit int64) *gate { return &gate{limit: limit, freed: make(chan struct{})} }

func (g *gate) take(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += int64(n)
}

func (g *gate) release(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= int64(n)
	close(g.freed)
	g.freed = make(chan struct{})
}

func (g *gate) state() (open bool, freed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held < g.limit, g.freed
}

// wait waits until the gate is open, the time is over, or closed is closed. It tells whether reading may go on.
func (g *gate) wait(atMost time.Duration, closed <-chan struct{}) bool {
	open, freed := g.state()
	if open {
		return true
	}
	t := time.NewTimer(atMost)
	defer t.Stop()
	for !open {
		select {
		case <-freed:
			open, freed = g.state()
		case <-closed:
			return true // the next read says why
		case <-t.C:
			return false
		}
	}
	return true
}
