package localapi

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// principal returns the user at the other end of a connection, as the kernel noted it at the connect. The file's mode
// lets only the owner and root connect; this does not rely on it.
func principal(c net.Conn) (string, error) {
	unix, ok := c.(*net.UnixConn)
	if !ok {
		return "", fmt.Errorf("connection is no unix socket but %T", c)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("ask for the caller: %w", err)
	}
	var peer *syscall.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if controlErr != nil {
		err = controlErr
	}
	if err != nil {
		return "", fmt.Errorf("ask for the caller: %w", err)
	}
	name := nameOf(strconv.FormatUint(uint64(peer.Uid), 10))
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		p := problem.New(problem.RoleRefused, "user %s is neither the agent's user nor root", name)
		p.Consequence, p.Next = "nothing was read or changed", "call it as root or as the agent's user"
		return "", p
	}
	return name, nil
}
