//go:build linux || darwin

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// isTerminal tells whether a person sees f, or types into it.
func isTerminal(f *os.File) bool {
	var t syscall.Termios
	return ioctl(f, getTermios, unsafe.Pointer(&t))
}

// rawKeys lets a terminal hand over each key at once and unseen; Ctrl-C stays a signal, Ctrl-Z is none: a shell would be
// left with our picture. It returns what puts the terminal back, and false for a file that is no terminal.
func rawKeys(f *os.File) (restore func(), ok bool) {
	var before syscall.Termios
	if !ioctl(f, getTermios, unsafe.Pointer(&before)) {
		return nil, false
	}
	raw := before
	raw.Lflag &^= syscall.ICANON | syscall.ECHO
	raw.Cc[syscall.VMIN], raw.Cc[syscall.VTIME], raw.Cc[syscall.VSUSP] = 1, 0, noKey
	if !ioctl(f, setTermios, unsafe.Pointer(&raw)) {
		return nil, false
	}
	return func() { ioctl(f, setTermios, unsafe.Pointer(&before)) }, true
}

// size returns the columns and rows of a terminal; 80 by 24 for one that does not say.
func size(f *os.File) (columns, rows int) {
	var w struct{ rows, columns, x, y uint16 }
	if !ioctl(f, syscall.TIOCGWINSZ, unsafe.Pointer(&w)) || w.columns == 0 || w.rows == 0 {
		return 80, 24
	}
	return int(w.columns), int(w.rows)
}

func ioctl(f *os.File, request uintptr, argument unsafe.Pointer) bool {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(argument))
	return errno == 0
}
