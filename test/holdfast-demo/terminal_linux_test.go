package main

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal returns the two ends of a pseudo-terminal: where a person sits, and what a program gets.
func openTerminal(t *testing.T, columns, rows uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var number, unlock int32
	window := struct{ rows, columns, x, y uint16 }{rows: rows, columns: columns}
	if !ioctl(person, syscall.TIOCGPTN, unsafe.Pointer(&number)) || !ioctl(person, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)) ||
		!ioctl(person, syscall.TIOCSWINSZ, unsafe.Pointer(&window)) {
		t.Skip("no pseudo-terminal: the kernel refuses its set-up")
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return person, program
}

// ownTerminal makes a program's standard input the terminal that controls it.
func ownTerminal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true, Setctty: true} }
