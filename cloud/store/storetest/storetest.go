// Package storetest gives tests an empty database without the cost of its migrations, which is most of the time that a
// short test takes. It is SQLite's, or PostgreSQL's where the environment says HOLDFAST_TEST_DATABASE=postgres and names
// the folder of the server's programs in HOLDFAST_PEER_POSTGRES: the same tests judge the program on both.
//
// The migrations run once in a test process, by [store.Open]. Every database is a copy of what they made, with an id of its
// own. A test of the migrations, or one that closes its database before it ends, calls store.Open itself.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// migrated returns the content of a database that has its tables and nothing else.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "holdfast-store-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "migrated.db")
	if err := migrate(context.Background(), path); err != nil { // no test's context: the first is not the only one to need it
		return nil, fmt.Errorf("make a migrated database: %w", err)
	}
	return os.ReadFile(path)
})

// migrate makes a database and takes its id away, so that each copy gets one of its own. The last connection to close it
// leaves one file, without a log beside it.
func migrate(ctx context.Context, path string) error {
	s, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `DELETE FROM meta WHERE name = 'id'`)
	return errors.Join(err, db.Close())
}

// Open opens an empty database, in memory where the machine has room there. It is closed when the test ends.
func Open(t testing.TB) *store.Store {
	t.Helper()
	if os.Getenv("HOLDFAST_TEST_DATABASE") == "postgres" {
		return open(t, Peer(t))
	}
	return OpenAt(t, filepath.Join(dir(t), "holdfast.db"))
}

// OpenAt opens an empty SQLite database in the file at path, where nothing may stand. It is closed when the test ends.
func OpenAt(t testing.TB, path string) *store.Store {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, "sqlite:"+path)
}

func open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
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
