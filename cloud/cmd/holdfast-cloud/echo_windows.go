package main

import (
	"os"
	"syscall"
)

// enableEcho is ENABLE_ECHO_INPUT of a console's mode.
const enableEcho = 0x4

// hideInput lets a console not show what is typed. It returns what puts the console back.
func hideInput(f *os.File) (restore func(), err error) {
	console := syscall.Handle(f.Fd())
	var before uint32
	if err := syscall.GetConsoleMode(console, &before); err != nil {
		return nil, err
	}
	set := func(mode uint32) error {
		call := syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleMode")
		if ok, _, err := call.Call(uintptr(console), uintptr(mode)); ok == 0 {
			return err
		}
		return nil
	}
	if err := set(before &^ enableEcho); err != nil {
		return nil, err
	}
	return func() { _ = set(before) }, nil // a console that is gone needs nothing
}
