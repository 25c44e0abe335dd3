//go:build !linux && !darwin

package main

import "os"

// isTerminal is always false: there is no table on this system.
func isTerminal(*os.File) bool { return false }

// rawKeys is not written for this system: keys are read as lines.
func rawKeys(*os.File) (restore func(), ok bool) { return nil, false }

// size is what every terminal has.
func size(*os.File) (columns, rows int) { return 80, 24 }
