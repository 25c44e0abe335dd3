package mqtt

import (
	"sync"
	"time"
)

// gate bounds what is between the link and the committer, in payload bytes and in messages. While it is shut the guard reads
// no further, so that the broker's link fills instead of our memory; the link itself stays up.
type gate struct {
	limit int64 // bytes
	most  int   // messages

	mu       sync.Mutex
	held     int64
	messages int
	freed    chan struct{} // closed at the next release
}

func newGate(limit int64, most int) *gate {
	return &gate{limit: limit, most: most, freed: make(chan struct{})}
}

// enter counts a message, whose size is not known yet.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages++
}

// take counts the bytes of a message that has entered.
func (g *gate) take(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held += int64(n)
}

// release lets a message of n bytes go.
func (g *gate) release(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= int64(n)
	g.messages--
	close(g.freed)
	g.freed = make(chan struct{})
}

func (g *gate) state() (open bool, freed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held < g.limit && g.messages < g.most, g.freed
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
