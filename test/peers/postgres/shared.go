//go:build unix

package postgres

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// Shared returns one server for all tests of a process, which the first caller starts. It ends with the process.
var Shared = func() func(bin string) (*Server, error) {
	var once sync.Once
	var server *Server
	var err error
	return func(bin string) (*Server, error) {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			server, err = Start(ctx, bin)
		})
		return server, err
	}
}()

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
