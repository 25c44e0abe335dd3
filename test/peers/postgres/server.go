//go:build unix

// Package postgres starts a PostgreSQL server of its own on loopback, with databases that durability tests may believe:
// fsync and synchronous_commit stay on. The server ends with the process that started it, however that ends.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Server is a server that runs.
type Server struct {
	bin, dir string
	port     int
	user     *syscall.Credential
	guard    *exec.Cmd
	life     io.Closer // its end is the server's
}

// guard runs a server until its input ends, which is when who started it closes it, or is no more. The signal is that for
// an end at once, as a crash would be; nobody reads the data afterwards.
const guard = `"$@" </dev/null & server=$!
(cat >/dev/null; kill -QUIT $server 2>/dev/null) <&3 & watch=$!
wait $server
kill $watch 2>/dev/null`

// Start makes a cluster in dir with the programs in bin and starts it. PostgreSQL refuses to run as root: user says as
// whom it runs then; nil = as we do.
func Start(ctx context.Context, bin, dir string, user *syscall.Credential) (s *Server, err error) {
	s = &Server{bin: bin, dir: dir, user: user}
	if user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			return nil, err
		}
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if out, err := s.command(ctx, "initdb", "-D", data, "-U", "holdfast", "--auth=trust", "--encoding=UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a PostgreSQL cluster: %w\n%s", err, bytes.TrimSpace(out))
	}
	if err := s.launch(data); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.await(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.user}
	return cmd
}

// launch starts the server under its guard.
func (s *Server) launch(data string) error {
	log, err := os.Create(filepath.Join(s.dir, "postgres.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has it open by itself
	input, life, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }() // as it has this
	s.guard = exec.Command("sh", "-c", guard, "sh", filepath.Join(s.bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", "",
		"-c", "max_connections=200", "-c", "log_min_messages=warning")
	s.guard.Dir, s.guard.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.user, Setpgid: true}
	s.guard.Stdout, s.guard.Stderr, s.guard.ExtraFiles, s.life = log, log, []*os.File{input}, life
	return s.guard.Start()
}

// URL returns the address of database name, "postgres" being the one that is always there.
func (s *Server) URL(name string) string {
	return fmt.Sprintf("postgres://holdfast@127.0.0.1:%d/%s?sslmode=disable", s.port, name)
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

// Close ends the server at once, as a crash would; nobody reads its data afterwards.
func (s *Server) Close() {
	_ = s.life.Close()
	_ = s.guard.Wait() // a server that is ended this way says that it was
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

// freePort finds a port that was free a moment ago: PostgreSQL takes no port 0.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
