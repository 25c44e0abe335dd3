//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

// childAttr gives a child a process group of its own, so that a Ctrl-C reaches the demo alone, which ends its children
// in order. Agent and cloud outlive a demo that is killed; the others do not.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// endSignals end the demo. SIGHUP comes when its terminal is closed.
func endSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} }
