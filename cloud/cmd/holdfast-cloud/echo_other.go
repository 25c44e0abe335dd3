//go:build !linux && !darwin && !windows

package main

import (
	"errors"
	"os"
)

// hideInput is not known for this system: a password is then read from a file.
func hideInput(*os.File) (restore func(), err error) {
	return nil, errors.New("this system is not known; use a password file")
}
