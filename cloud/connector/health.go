package connector

import (
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Link is how a system can be reached, as its guard knows it.
type Link string

// Links. All but the first keep calls away from the system.
const (
	LinkUp        Link = "up"
	LinkProbing   Link = "probing"   // it did not answer, and one call tries whether it does again
	LinkDown      Link = "down"      // it does not answer
	LinkThrottled Link = "throttled" // it asked to be left alone
	LinkRefused   Link = "refused"   // it refused our user, which a person has to see to
)

// Health says how a system answered lately.
type Health struct {
	Link   Link
	Since  time.Time     // since when it does not answer; zero = it does, or the guard does not know
	Until  time.Time     // until when it asked to be left alone; zero = it did not
	Calls  int           // that the figures rest on: the last ones, at most [HealthCalls]
	Failed int           // of them without an answer
	Median time.Duration // of the calls
	P95    time.Duration
	Last   time.Time // when the last one ended; zero = there was none
}

// HealthCalls is how many calls a guard remembers: enough for a 95th percentile, few enough to be of now.
const HealthCalls = 200

// Health returns how the system answered lately.
func (g *Guard) Health() Health {
	h := g.calls.health()
	state := g.breaker.State()
	g.mu.Lock()
	defer g.mu.Unlock()
	h.Link = LinkUp
	switch {
	case g.refused != nil:
		h.Link = LinkRefused
	case state == gobreaker.StateOpen:
		h.Link, h.Since = LinkDown, g.down
	case state == gobreaker.StateHalfOpen:
		h.Link, h.Since = LinkProbing, g.down
	case g.until.After(g.cfg.Now()):
		h.Link, h.Until = LinkThrottled, g.until
	}
	return h
}

// calls remembers the last calls.
type calls struct {
	mu   sync.Mutex // guards all below
	took [HealthCalls]time.Duration
	bad  [HealthCalls]bool
	n    int // calls ever
	last time.Time
}

func (c *calls) add(took time.Duration, failed bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took[c.n%HealthCalls], c.bad[c.n%HealthCalls], c.last = max(took, 0), failed, now
	c.n++
}

func (c *calls) health() Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := Health{Calls: min(c.n, HealthCalls), Last: c.last}
	if h.Calls == 0 {
		return h
	}
	for _, bad := range c.bad[:h.Calls] {
		if bad {
			h.Failed++
		}
	}
	sorted := slices.Clone(c.took[:h.Calls])
	slices.Sort(sorted)
	h.Median, h.P95 = sorted[len(sorted)/2], sorted[len(sorted)*95/100]
	return h
}
