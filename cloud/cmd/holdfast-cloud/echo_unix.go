//go:build linux || darwin

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// hideInput lets a terminal not show what is typed. It returns what puts the terminal back.
func hideInput(f *os.File) (restore func(), err error) {
	var before syscall.Termios
	if err := ioctl(f, getTermios, &before); err != nil {
		return nil, err
	}
	hidden := before
	hidden.Lflag &^= syscall.ECHO
	if err := ioctl(f, setTermios, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = ioctl(f, setTermios, &before) }, nil // a terminal that is gone needs nothing
}

func ioctl(f *os.File, request uintptr, t *syscall.Termios) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(t))); errno != 0 {
		return errno
	}
	return nil
}
