//go:build unix

// Package postgres starts a PostgreSQL server of its own on loopback, with databases that durability tests may believe:
// fsync and synchronous_commit stay on. The server ends with the process that started it, however that ends.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-mesh/holdfast/test/peers/host"
)

// Server is a server that runs.
type Server struct {
	bin, dir string
	port     int
	user     *syscall.Credential // PostgreSQL refuses to run as root
	process  *host.Process
}

// Start makes a cluster with the programs in bin, in a folder of its own, and starts it.
func Start(ctx context.Context, bin string) (s *Server, err error) {
	s = &Server{bin: bin}
	if s.user, err = host.Account("postgres"); err != nil {
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
	s.port = ports[0]
	data := filepath.Join(s.dir, "data")
	if out, err := s.command(ctx, "initdb", "-D", data, "-U", "holdfast", "--auth=trust", "--encoding=UTF8", "--locale=C").CombinedOutput(); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster: %w\n%s", err, bytes.TrimSpace(out))
	}
	if err := s.launch(data); err != nil {
		return err
	}
	return s.await(ctx)
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.user}
	return cmd
}

// launch starts the server. Once we are no more it ends at once, with its children, as after a crash.
func (s *Server) launch(data string) error {
	log, err := os.Create(filepath.Join(s.dir, "postgres.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has it open by itself
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", "",
		"-c", "max_connections=200", "-c", "log_min_messages=warning")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	s.process, err = host.Start(cmd, s.user, "QUIT")
	return err
}

// URL returns the address of database name, "postgres" being the one that is always there.
func (s *Server) URL(name string) string {
	return fmt.Sprintf("postgres://holdfast@%s/%s?sslmode=disable", host.Loopback(s.port), name)
}

// Create makes a database as a copy of another one that nobody has open, or an empty one for the template "", and returns
// its URL.
func (s *Server) Create(ctx context.Context, name, template string) (url string, err error) {
	args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "holdfast"}
	if template != "" {
		args = append(args, "-T", template)
	}
	if out, err := s.command(ctx, "createdb", append(args, name)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("create database %s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return s.URL(name), nil
}

// Close ends the server at once, as a crash would, and removes what it kept.
func (s *Server) Close() {
	if s.process != nil {
		s.process.End(syscall.SIGQUIT)
	}
	_ = os.RemoveAll(s.dir) // a folder left in the temporary one harms nobody
}

func (s *Server) await(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.command(ctx, "pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)).Run()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(s.dir, "postgres.log")) // what there is of it
			return fmt.Errorf("PostgreSQL was not ready in time: %w\n%s", errors.Join(ctx.Err(), err), text)
		case <-tick.C:
		}
	}
}
