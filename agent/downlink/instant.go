package downlink

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// Instant is a point on a clock that no one sets. Two instants can be compared only within one boot.
type Instant struct {
	Boot string        `json:"boot"` // which run of the clock; "" = no instant
	Up   time.Duration `json:"up"`   // since the start of that run, nanoseconds
}

// since returns the time from earlier to i; ok is false where it cannot be told.
func (i Instant) since(earlier Instant) (d time.Duration, ok bool) {
	if i.Boot == "" || i.Boot != earlier.Boot || i.Up < earlier.Up {
		return 0, false
	}
	return i.Up - earlier.Up, true
}

// processClock returns a clock that runs from now until the end of the process, for hosts that tell no boot.
func processClock() func() Instant {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it ends the program rather than fail
	boot, start := hex.EncodeToString(id[:]), time.Now()
	return func() Instant { return Instant{boot, time.Since(start)} }
}
