package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	peer "github.com/holdfast-mesh/holdfast/test/peers/postgres"
)

// peerEnv names the folder of PostgreSQL's programs.
const peerEnv = "HOLDFAST_PEER_POSTGRES"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener opens an empty database, which is closed when the test ends.
type opener func(*testing.T) *Store

// onEach runs a test on each kind of database: all of them keep the same promises.
func onEach(t *testing.T, f func(t *testing.T, open opener)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, openFile) })
	t.Run("postgres", func(t *testing.T) { f(t, openPeer(t)) })
}

// openPeer returns what opens a database of the server that the environment names.
func openPeer(t *testing.T) opener {
	t.Helper()
	bin := os.Getenv(peerEnv)
	if bin == "" {
		t.Skipf("PEER SKIPPED name=postgres reason=%s is not set: it names the folder of PostgreSQL's programs", peerEnv)
	}
	return func(t *testing.T) *Store {
		t.Helper()
		s, err := Open(t.Context(), createPeer(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// peerServer returns the server that all tests share.
func peerServer(t *testing.T) *peer.Server {
	t.Helper()
	openPeer(t) // skips without one
	server, err := peer.Shared(os.Getenv(peerEnv))
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// copies has the databases that the tests get.
var copies = sync.OnceValues(func() (*peer.Copies, error) {
	server, err := peer.Shared(os.Getenv(peerEnv))
	return &peer.Copies{Server: server, Make: func(ctx context.Context, url string) error {
		s, err := Open(ctx, url)
		if err != nil {
			return err
		}
		return errors.Join(s.Close(), server.SQL(ctx, url, `DELETE FROM meta`))
	}}, err
})

// createPeer makes an empty database with its tables and returns its URL.
func createPeer(t *testing.T) string {
	t.Helper()
	all, err := copies()
	if err != nil {
		t.Fatal(err)
	}
	url, err := all.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// migrated returns the content of an empty SQLite database. The migrations run once: they take longer than most tests.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "holdfast-store-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "migrated.db")
	s, err := Open(context.Background(), "sqlite:"+path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// openFile opens an empty SQLite database. Tests of what a new one is call openAt.
func openFile(t *testing.T) *Store {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "holdfast.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
