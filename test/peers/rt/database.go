//go:build unix

package rt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"modernc.org/sqlite"
)

// Database is the file of one. It may be used beside the server: each waits for the other's lock.
type Database string

// Database returns that of the server.
func (s *Server) Database() Database { return Database(filepath.Join(s.dir, "rtdb")) }

func (d Database) open() (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+string(d)+"?_pragma=busy_timeout(10000)")
}

// Exec changes the database past RT and its rules.
func (d Database) Exec(ctx context.Context, statement string, args ...any) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement, args...)
	return errors.Join(err, db.Close())
}

// Number returns what a query counts.
func (d Database) Number(ctx context.Context, query string, args ...any) (n int, err error) {
	db, err := d.open()
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, errors.Join(err, db.Close())
}

// Save keeps the database as it is now in a new file.
func (d Database) Save(ctx context.Context, file Database) error {
	return d.Exec(ctx, `VACUUM INTO ?`, string(file))
}

// Restore brings back what [Database.Save] has kept, as a restored backup does: what came afterwards never was.
func (d Database) Restore(ctx context.Context, file Database) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		err = errors.Join(conn.Raw(func(driver any) error { return restore(driver, string(file)) }), conn.Close())
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("restore RT's database: %w", err)
	}
	return nil
}

// restorer is what the driver's connection can do.
type restorer interface {
	NewRestore(source string) (*sqlite.Backup, error)
}

func restore(driver any, file string) error {
	r, ok := driver.(restorer)
	if !ok {
		return fmt.Errorf("a connection of type %T restores nothing", driver)
	}
	b, err := r.NewRestore("file:" + file)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		more, err = b.Step(-1)
	}
	return errors.Join(err, b.Finish())
}
