//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// prefix is that of the folders that [Shared] makes. They are named after the process that they serve.
const prefix = "holdfast-postgres-"

// Shared returns one server for all tests of a process, which the first caller starts. Its folder is removed by the next
// process that starts one, once this one is gone.
var Shared = func() func(bin string) (*Server, error) {
	var once sync.Once
	var server *Server
	var err error
	return func(bin string) (*Server, error) {
		once.Do(func() { server, err = startShared(bin) })
		return server, err
	}
}()

func startShared(bin string) (*Server, error) {
	clean()
	as, err := Unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := Start(ctx, bin, dir, as)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return server, nil
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

// SQL runs statements in a database.
func (s *Server) SQL(ctx context.Context, url, statements string) error {
	out, err := s.command(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statements, url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %.80q: %w\n%s", statements, err, bytes.TrimSpace(out))
	}
	return nil
}

// Copies makes databases that are all copies of one, which is made when the first copy is wanted.
type Copies struct {
	Server *Server
	Make   func(ctx context.Context, url string) error // fills the one that is copied, and leaves it closed

	mu   sync.Mutex // guards made
	made int
}

// New makes another copy and returns its URL.
func (c *Copies) New(ctx context.Context) (url string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const first = "original"
	if c.made == 0 {
		if url, err = c.Server.Create(ctx, first, ""); err == nil {
			err = c.Make(ctx, url)
		}
		if err != nil {
			return "", err
		}
	}
	c.made++
	return c.Server.Create(ctx, fmt.Sprintf("copy%d", c.made), first)
}

// Unprivileged returns as whom a server runs where we are root, nil where we are not.
func Unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find a user for PostgreSQL, which does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(nobody.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}
