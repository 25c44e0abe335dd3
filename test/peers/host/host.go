//go:build unix

// Package host gives servers of others what they need of this machine: a user of their own where root starts them, a folder,
// free ports on loopback, and an end together with the process that started them, however that ends.
package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// prefix is that of all folders. Behind it stands the id of the process that made the folder.
const prefix = "holdfast-peer-"

// Account returns as whom a server runs where we are root: the first of the users that the machine has, else nobody. Where we
// are not root it is nil, which is ourselves.
func Account(names ...string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue // the next one
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, fmt.Errorf("find a user for a server that must not run as root: this machine has none of %q, nor nobody", names)
}

// Dir makes a folder of the given user's; nil = ours. It also removes what processes that were killed have left behind.
func Dir(as *syscall.Credential) (string, error) {
	clean()
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", err
	}
	return dir, Give(dir, as)
}

// clean removes the folders of processes that are gone.
func clean() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is well-formed
	for _, dir := range old {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(name); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // the next one tries again
		}
	}
}

// Give makes files a user's; nil leaves them ours.
func Give(path string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	return os.Chown(path, int(as.Uid), int(as.Gid))
}

// Servers get ports below those that systems give to whoever connects somewhere, on Linux from 32768 on: one of these that is
// free now may belong to any client a moment later.
const firstPort, lastPort = 15000, 32000

// Ports returns free ports of loopback, for servers that have to know their port before they open it.
func Ports(n int) (ports []int, err error) {
	for try := 0; len(ports) < n; try++ {
		l, err := net.Listen("tcp", Loopback(firstPort+rand.IntN(lastPort-firstPort)))
		switch {
		case err == nil:
			defer func() { _ = l.Close() }() // all at the end, so that none comes twice
			ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		case try > 100*n:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}

// Loopback returns the address of a port of Ports.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
