package sap_test

import (
	"sync"
	"time"
)

// clock is a clock of the simulated system that moves by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Add(-time.Hour)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// tick lets two seconds go by, so that a lot's version moves.
func (c *clock) tick() { c.forward(2 * time.Second) }

// hour lets an hour go by, which brings the clock to the present.
func (c *clock) hour() { c.forward(time.Hour) }

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
