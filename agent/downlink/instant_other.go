//go:build !linux

package downlink

// hostClock is the process's own here: after a restart of the agent an age is not known.
func hostClock() func() Instant { return processClock() }
