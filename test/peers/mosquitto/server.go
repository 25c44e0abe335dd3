//go:build unix

// Package mosquitto starts Mosquitto on loopback with the configuration that deploy/mosquitto ships. The broker ends with the
// process that started it, however that ends.
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

	"github.com/holdfast-mesh/holdfast/test/peers/host"
)

// Config says how the broker runs.
type Config struct {
	Program string // mosquitto, found in the path or with its folder
	Shipped string // path of the shipped holdfast.conf
	ACL     string // path of the access list
	// CA, Cert and Key are PEM files; Cert is for 127.0.0.1.
	CA, Cert, Key string
	// Plain leaves TLS and the access list out, so that whoever comes may do all; the rest is as shipped.
	Plain bool
}

// Server is a broker that runs.
type Server struct {
	cfg     Config
	dir     string // of its configuration, data and log
	addr    string
	user    *syscall.Credential
	process *host.Process
}

// Start starts a broker in a folder of its own, and returns when it listens.
func Start(ctx context.Context, cfg Config) (s *Server, err error) {
	s = &Server{cfg: cfg}
	if s.user, err = host.Account("mosquitto"); err != nil {
		return nil, err
	}
	if s.dir, err = host.Dir(s.user); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	ports, err := host.Ports(1)
	if err != nil {
		return err
	}
	s.addr = host.Loopback(ports[0])
	if err := s.configure(fmt.Sprint(ports[0])); err != nil {
		return err
	}
	return s.Restart(ctx)
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

// Stop ends the broker as a service manager does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Close ends the broker and removes what it kept.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // a folder left in the temporary one harms nobody
}

func (s *Server) end(sig syscall.Signal) {
	if s.process != nil {
		s.process.End(sig)
		s.process = nil
	}
}

// Restart starts the broker, which has ended, on its old data and address.
func (s *Server) Restart(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "mosquitto.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the broker has it open by itself
	cmd := exec.Command(s.cfg.Program, "-c", filepath.Join(s.dir, "mosquitto.conf"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if s.process, err = host.Start(cmd, s.user, "KILL"); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.process.Done():
			err = fmt.Errorf("it ended: %w", s.process.Err())
		case <-ctx.Done():
			s.Kill()
			err = errors.Join(ctx.Err(), err)
		case <-tick.C:
			continue
		}
		text, _ := os.ReadFile(filepath.Join(s.dir, "mosquitto.log"))     // what there is of it
		return fmt.Errorf("Mosquitto does not listen: %w\n%s", err, text) //nolint:staticcheck // a name
	}
}

// configure fills the shipped file in as its first lines tell an engineer to.
func (s *Server) configure(port string) error {
	text, err := os.ReadFile(s.cfg.Shipped)
	if err != nil {
		return err
	}
	filled := string(text)
	if s.cfg.Plain {
		filled = plain(filled)
	} else {
		for placeholder, path := range map[string]string{"<ca.pem>": s.cfg.CA, "<broker.pem>": s.cfg.Cert, "<broker.key>": s.cfg.Key, "<acl>": s.cfg.ACL} {
			own, err := s.install(path)
			if err != nil {
				return err
			}
			filled = strings.ReplaceAll(filled, placeholder, own)
		}
	}
	filled = strings.NewReplacer("<folder>", s.dir, "listener 8883", "listener "+port+" 127.0.0.1").Replace(filled)
	return os.WriteFile(filepath.Join(s.dir, "mosquitto.conf"), []byte(filled), 0o644)
}

// install copies a file to where the broker alone may read it.
func (s *Server) install(path string) (own string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	own = filepath.Join(s.dir, filepath.Base(path))
	if err := os.WriteFile(own, text, 0o600); err != nil {
		return "", err
	}
	return own, host.Give(own, s.user)
}

// plain takes out of a configuration what asks a client who it is.
func plain(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "cafile", "certfile", "keyfile", "require_certificate", "use_identity_as_username", "tls_version", "acl_file":
			continue
		case "allow_anonymous":
			line = "allow_anonymous true\n"
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}
