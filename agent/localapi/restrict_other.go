//go:build !linux

package localapi

import "syscall"

// MaxPath is how long the path of a socket may be, in bytes: macOS has room for 104 with a NUL, Windows for 108.
const MaxPath = 103

// restrict does nothing: these systems set the mode of a socket only once it has a name.
func restrict(string, string, syscall.RawConn) error { return nil }
