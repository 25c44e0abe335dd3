package agent

import (
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// clockAge is how long what the host said about its clock is believed.
const clockAge = 10 * time.Second

// clock tells whether the host's clock is synchronised. Order never depends on it; times are marked by it.
type clock struct {
	mu    sync.Mutex // guards what follows
	asked time.Time
	last  source.ClockState
}

func (c *clock) state() source.ClockState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.asked.IsZero() || now.Sub(c.asked) >= clockAge {
		c.asked, c.last = now, source.ClockState{Synchronised: synchronised()}
	}
	return c.last
}
