package agent

import "syscall"

// clockUnsynchronised is STA_UNSYNC of adjtimex(2): no time service keeps the clock.
const clockUnsynchronised = 0x0040

// synchronised asks the kernel.
func synchronised() bool {
	var t syscall.Timex
	_, err := syscall.Adjtimex(&t)
	return err == nil && t.Status&clockUnsynchronised == 0
}
