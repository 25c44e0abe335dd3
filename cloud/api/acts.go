package api

import (
	"sync"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// acts are the changes being worked on. Two calls with one Idempotency-Key at a time would make two events with one id
// and two times, which is a conflict; so the second is sent away.
type acts struct {
	mu   sync.Mutex // guards busy
	busy map[event.ID]bool
}

func (a *acts) begin(id event.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[id] {
		return false
	}
	if a.busy == nil {
		a.busy = map[event.ID]bool{}
	}
	a.busy[id] = true
	return true
}

func (a *acts) end(id event.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, id)
}
