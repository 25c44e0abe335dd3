package main

import (
	"os"
	"syscall"
)

// childAttr gives a child a process group of its own, so that a Ctrl-C reaches the demo alone, which ends its children
// in order. Agent and cloud outlive a demo that is killed; the others do not.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// endSignals end the demo; Windows sends SIGTERM when the console is closed.
func endSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
