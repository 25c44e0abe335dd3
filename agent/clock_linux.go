package agent

import (
	"syscall"
	"time"
)

// Bits of the status of adjtimex(2).
const (
	clockLoop           = 0x0001 // STA_PLL: the kernel's own loop corrects the clock, and knows the offset
	clockUnsynchronised = 0x0040 // STA_UNSYNC: no time service keeps the clock
	clockNanoseconds    = 0x2000 // STA_NANO: the offset is in nanoseconds, else in microseconds
)

// hostTells says whether this system tells how its clock is kept.
const hostTells = true

// askHost asks the kernel.
func askHost() hostTime {
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		return hostTime{}
	}
	return judgeClock(int64(t.Status), int64(t.Offset))
}

func judgeClock(status, offset int64) hostTime {
	h := hostTime{synchronised: status&clockUnsynchronised == 0}
	if !h.synchronised || status&clockLoop == 0 {
		return h
	}
	unit := time.Microsecond
	if status&clockNanoseconds != 0 {
		unit = time.Nanosecond
	}
	left := time.Duration(offset) * unit
	h.offset = &left
	return h
}
