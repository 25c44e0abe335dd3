package localapi

import "syscall"

// MaxPath is how long the path of a socket may be, in bytes: the system has room for 108 with a NUL.
const MaxPath = 107

// restrict gives the socket its mode before it has a name, so that there is no moment at which others can connect.
func restrict(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) })
	if controlErr != nil {
		return controlErr
	}
	return err
}
