package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const sqliteScheme = "sqlite:"

var sqlite = dialect{goose: goose.DialectSQLite3, folder: "sqlite", write: []string{"BEGIN IMMEDIATE"}, read: []string{"BEGIN"}}

// openSQLite opens the file at path and creates it where it is missing. One process has it open at a time.
func (s *Store) openSQLite(ctx context.Context, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create directory of database: %w", err)
	}
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return problem.New(problem.QueueLocked, "it is in use by another process: %w", err)
	}
	pragmas := "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	if err := sqlite.migrate(ctx, s.db); err != nil {
		return err
	}
	s.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	return err
}
