package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// probeLimit bounds the question whether another agent answers on the socket. A local one answers in microseconds.
const probeLimit = time.Second

// Listen returns a listener on the unix socket at path, of mode 0600. A socket on which nobody answers is left over
// from a process that was killed, and is replaced; a file that is no socket is not. Closing the listener removes it.
func Listen(path string) (net.Listener, error) {
	if len(path) > MaxPath {
		return nil, problem.New(problem.ConfigValue, "socket %s: the path has %d bytes, %d are possible: use a shorter data directory", path, len(path), MaxPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	cfg := net.ListenConfig{Control: restrict}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	// Where restrict can't set the mode before the file exists, it is set now; the directory is the owner's alone.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("restrict socket: %w", err), l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for socket: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return problem.New(problem.ConfigFile, "%s is no socket: it is not replaced", path)
	}
	if c, err := net.DialTimeout("unix", path, probeLimit); err == nil {
		_ = c.Close() // it said all it was asked
		return problem.New(problem.QueueLocked, "another agent answers on %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove socket that nobody answers on: %w", err)
	}
	return nil
}
