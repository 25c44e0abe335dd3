//go:build unix

// Package mosquitto starts Mosquitto on loopback with the configuration that deploy/mosquitto ships.
package mosquitto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Config says how the broker runs.
type Config struct {
	Program string // mosquitto, found in the path or with its folder
	Dir     string // for its data, configuration and log
	Shipped string // path of the shipped holdfast.conf
	ACL     string // path of the access list
	// CA, Cert and Key are PEM files; Cert is for 127.0.0.1.
	CA, Cert, Key string
	// Plain leaves TLS and the access list out, so that whoever comes may do all; the rest is as shipped.
	Plain bool
	// User runs the broker; nil = the present one.
	User *syscall.Credential
}

// Server is a broker that runs.
type Server struct {
	cfg     Config
	addr    string
	process *exec.Cmd
	done    chan struct{}
}

// Start starts a broker and returns when it listens.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, addr: addr}
	if err := s.configure(); err != nil {
		return nil, err
	}
	return s, s.Restart(ctx)
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.addr }

// URL returns the address as agents write it.
func (s *Server) URL() string {
	if s.cfg.Plain {
		return "tcp://" + s.addr
	}
	return "ssl://" + s.addr
}

// Kill ends the broker by SIGKILL: what it had not written is gone.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Close ends the broker as a service manager does.
func (s *Server) Close() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(sig) // it may have ended by itself
	<-s.done
	s.process = nil
}

// Restart starts the broker, which has ended, on its old data and address.
func (s *Server) Restart(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.cfg.Dir, "mosquitto.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.cfg.Program, "-c", filepath.Join(s.cfg.Dir, "mosquitto.conf"))
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.cfg.Dir, log, log, &syscall.SysProcAttr{Credential: s.cfg.User}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start Mosquitto: %w", err), log.Close())
	}
	done := make(chan struct{})
	s.process, s.done = cmd, done
	go func() { // ends with the process
		_ = cmd.Wait() // how it ended stands in its log
		_ = log.Close()
		close(done)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-done:
			err = errors.New("it ended")
		case <-ctx.Done():
			s.Kill()
			err = ctx.Err()
		case <-tick.C:
			continue
		}
		text, _ := os.ReadFile(filepath.Join(s.cfg.Dir, "mosquitto.log")) // what there is of it
		return fmt.Errorf("Mosquitto does not listen: %w\n%s", err, text) //nolint:staticcheck // a name
	}
}

// configure fills the shipped file in as its first lines tell an engineer to.
func (s *Server) configure() error {
	text, err := os.ReadFile(s.cfg.Shipped)
	if err != nil {
		return err
	}
	if u := s.cfg.User; u != nil {
		if err := os.Chown(s.cfg.Dir, int(u.Uid), int(u.Gid)); err != nil {
			return err
		}
	}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	filled := strings.NewReplacer("<folder>", s.cfg.Dir, "<ca.pem>", s.cfg.CA, "<broker.pem>", s.cfg.Cert, "<broker.key>", s.cfg.Key,
		"<acl>", s.cfg.ACL, "listener 8883", "listener "+port+" 127.0.0.1").Replace(string(text))
	if s.cfg.Plain {
		var kept []string
		for line := range strings.Lines(filled) {
			key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch key {
			case "cafile", "certfile", "keyfile", "require_certificate", "use_identity_as_username", "tls_version", "acl_file":
				continue
			case "allow_anonymous":
				line = "allow_anonymous true\n"
			}
			kept = append(kept, line)
		}
		filled = strings.Join(kept, "")
	}
	return os.WriteFile(filepath.Join(s.cfg.Dir, "mosquitto.conf"), []byte(filled), 0o644)
}

// freeAddr finds an address that was free a moment ago: the broker takes no port 0.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
