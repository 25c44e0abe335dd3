package agent

import (
	"syscall"
	"time"
	memory "unsafe"
)

// clockMonotonic is CLOCK_MONOTONIC of clock_gettime(2), the clock by which a service manager compares.
const clockMonotonic = 1

// sinceBoot returns the time on the host's monotonic clock; 0 = it is not told.
func sinceBoot() time.Duration {
	var t syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(memory.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}
