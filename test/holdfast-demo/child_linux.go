package main

import (
	"os"
	"syscall"
)

// childAttr gives a child a process group of its own, so that a Ctrl-C reaches the demo alone, which ends its children
// in order; and lets it die with the demo, should that be killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// endSignals end the demo. SIGHUP comes when its terminal is closed.
func endSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} }
