package downlink

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// hostClock returns the host's time since boot, sleep included. Where the kernel does not tell it, as in some sandboxes,
// the process has a clock of its own.
func hostClock() func() Instant {
	own := processClock()
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	boot := strings.TrimSpace(string(id))
	if _, ok := uptime(); err != nil || boot == "" || !ok {
		return own
	}
	return func() Instant {
		up, ok := uptime()
		if !ok {
			return Instant{} // no instant: every age is unknown
		}
		return Instant{boot, up}
	}
}

// uptime reads the time since boot, to 10 ms.
func uptime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, false
	}
	up, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	return time.Duration(seconds * float64(time.Second)), err == nil && seconds >= 0
}
