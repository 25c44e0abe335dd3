//go:build !linux

package main

import (
	"os"
	"syscall"
	"testing"
)

func openTerminal(t *testing.T, _, _ uint16) (person, program *os.File) {
	t.Helper()
	t.Skip("pseudo-terminals are opened on Linux only")
	return nil, nil
}

func ownTerminal() *syscall.SysProcAttr { return nil }
