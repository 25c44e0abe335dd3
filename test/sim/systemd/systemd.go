//go:build unix

// Package systemd plays the service manager to a program that speaks sd_notify: it listens and keeps what it heard.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Socket is where a manager listens.
type Socket struct {
	conn *net.UnixConn
	path string
}

// Listen listens at path, which must be short enough for a socket.
func Listen(path string) (*Socket, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &Socket{conn: conn, path: path}, nil
}

// Close stops listening.
func (s *Socket) Close() error {
	return errors.Join(s.conn.Close(), ignoreMissing(os.Remove(s.path)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Environment is what the manager leaves in the environment of a service with a watchdog of this time; 0 = with none.
func (s *Socket) Environment(watchdog time.Duration) []string {
	env := []string{"NOTIFY_SOCKET=" + s.path}
	if watchdog > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(watchdog.Microseconds(), 10))
	}
	return env
}

// LookupEnv looks a name up in that environment.
func (s *Socket) LookupEnv(watchdog time.Duration) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, line := range s.Environment(watchdog) {
			if key, value, _ := strings.Cut(line, "="); key == name {
				return value, true
			}
		}
		return "", false
	}
}

// Hear returns the next message that has text in it, and passes over others. When ctx ends first, its error quotes what was
// heard instead.
func (s *Socket) Hear(ctx context.Context, text string) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 64<<10)
	var others []string
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			return "", fmt.Errorf("the service manager did not hear %q, but %q: %w", text, others, errors.Join(ctx.Err(), err))
		}
		if said := string(buffer[:n]); strings.Contains(said, text) {
			return said, nil
		}
		others = append(others, string(buffer[:n]))
	}
}
