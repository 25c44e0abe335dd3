// Package store keeps the cloud's state in SQL: inbox, coverage, aggregates, effects, ledger, outbox, offsets.
//
// [Store.Update] runs a function in one transaction: all of it becomes durable or nothing does. Only package workflow
// changes quality state; dispatch, ledger and outbox change their own bookkeeping. The SQL is kept portable; SQLite is
// the default, in WAL mode with synchronous=FULL, one writer and several readers.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNotFound is returned by the reading methods that name one row, where it does not exist.
var ErrNotFound = errors.New("not found")

// Store is an open database.
type Store struct {
	read *sql.DB
	db   *sql.DB // the writer's
	id   string
	lock *os.File

	mu      sync.Mutex // held by the one writing transaction; guards write
	write   *session
	readers chan *session // those that nobody uses
}

// readers is how many transactions may read at once.
const readers = 4

// Open opens the database at location, "sqlite:" and a path, creates it where it is missing, and brings its tables up
// to date. One process has an SQLite database open at a time.
func Open(ctx context.Context, location string) (*Store, error) {
	path, ok := strings.CutPrefix(location, "sqlite:")
	if !ok {
		return nil, problem.New(problem.ConfigValue, "database %q: want sqlite: and a path", location)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create directory of database: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, problem.New(problem.QueueLocked, "database %s is in use by another process: %w", path, err)
	}
	s := &Store{lock: lock, readers: make(chan *session, readers)}
	if err := s.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) (err error) {
	pragmas := "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	if err := migrate(ctx, s.db); err != nil {
		return err
	}
	if s.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	for range readers {
		r, err := newSession(ctx, s.read)
		if err != nil {
			return err
		}
		s.readers <- r
	}
	if s.write, err = newSession(ctx, s.db); err != nil {
		return err
	}
	return s.begin(ctx)
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// begin reads the database's random id, or makes it, and ends all leases: the lock says that whoever held them is dead,
// and a hold must not wait for that.
func (s *Store) begin(ctx context.Context) error {
	past := text(time.Unix(0, 0))
	return s.Update(ctx, func(t *Tx) error {
		for _, x := range []struct {
			query string
			arg   string
		}{
			{`INSERT INTO meta (name, value) VALUES ('id', ?) ON CONFLICT (name) DO NOTHING`, strings.ToLower(rand.Text()[:16])},
			{`UPDATE effect SET lease = ? WHERE state = 'leased'`, past},
			{`UPDATE lease SET expires = ?`, past},
		} {
			if err := t.exec(x.query, x.arg); err != nil {
				return err
			}
		}
		return t.row(`SELECT value FROM meta WHERE name = 'id'`).Scan(&s.id)
	})
}

// ID returns the database's random id. It is part of the Kafka group id, so that a new database starts anew.
func (s *Store) ID() string { return s.id }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// Close closes the database. Running transactions end first.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.write != nil {
		errs = append(errs, s.write.close())
	}
	for range len(s.readers) {
		errs = append(errs, (<-s.readers).close())
	}
	for _, db := range []*sql.DB{s.read, s.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Tx is one transaction: [Store.Update] gives one that writes, [Store.View] one that reads.
type Tx struct {
	ctx   context.Context
	query func(query string, args ...any) (*sql.Rows, error)
	row   func(query string, args ...any) *sql.Row
	run   func(query string, args ...any) (sql.Result, error)
}

// session is one connection with the statements that were prepared on it: parsing costs more than running. One
// transaction uses it at a time.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, stmts: map[string]*sql.Stmt{}}, nil
}

func (s *session) close() error {
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

func (s *session) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", query, err)
	}
	s.stmts[query] = st
	return st, nil
}

// end runs the statement that ends a transaction, whatever became of ctx.
func (s *session) end(ctx context.Context, statement string) error {
	st, err := s.stmt(ctx, statement)
	if err != nil {
		return err
	}
	_, err = st.ExecContext(context.WithoutCancel(ctx))
	return err
}

// begin runs the statement that begins a transaction. A statement that is cut off may have begun it all the same, and
// whoever has the session next would be in it: so it is not cut off.
func (s *session) begin(ctx context.Context, statement string) error {
	err := ctx.Err()
	if err == nil {
		var st *sql.Stmt
		if st, err = s.stmt(ctx, statement); err == nil {
			_, err = st.ExecContext(context.WithoutCancel(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

// tx returns the transaction that the session is in.
func (s *session) tx(ctx context.Context) *Tx {
	return &Tx{
		ctx: ctx,
		query: func(query string, args ...any) (*sql.Rows, error) {
			st, err := s.stmt(ctx, query)
			if err != nil {
				return nil, err
			}
			return st.QueryContext(ctx, args...)
		},
		row: func(query string, args ...any) *sql.Row {
			st, err := s.stmt(ctx, query)
			if err != nil {
				return s.conn.QueryRowContext(ctx, query, args...) // gives the same error
			}
			return st.QueryRowContext(ctx, args...)
		},
		run: func(query string, args ...any) (sql.Result, error) {
			st, err := s.stmt(ctx, query)
			if err != nil {
				return nil, err
			}
			return st.ExecContext(ctx, args...)
		},
	}
}

// Update runs f in a transaction that writes. If f returns an error, or the commit fails, nothing is changed.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write.begin(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also when f panics
			err = errors.Join(err, s.write.end(ctx, "ROLLBACK"))
		}
	}()
	if err := f(s.write.tx(ctx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := s.write.end(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

// ErrReading is returned by what would write in a transaction that reads. It tells whether there is anything to write,
// without keeping others from it.
var ErrReading = errors.New("write in a reading transaction")

// View runs f in a transaction that reads one state of the database. What would write returns [ErrReading].
func (s *Store) View(ctx context.Context, f func(*Tx) error) (err error) {
	var r *session
	select {
	case r = <-s.readers:
	case <-ctx.Done():
		return fmt.Errorf("begin: %w", ctx.Err())
	}
	defer func() { s.readers <- r }()
	if err := r.begin(ctx, "BEGIN"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end(ctx, "ROLLBACK")) }()
	tx := r.tx(ctx)
	tx.run = func(query string, _ ...any) (sql.Result, error) {
		return nil, fmt.Errorf("%w: %.60q", ErrReading, query)
	}
	return f(tx)
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.run(query, args...)
	return err
}

// changed runs a statement and tells whether it changed a row.
func (t *Tx) changed(query string, args ...any) (bool, error) {
	r, err := t.run(query, args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// each calls scan for every row.
func (t *Tx) each(scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.query(query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// timeText is the form of times in the database: UTC, fixed width, so that text order is time order.
const timeText = "2006-01-02T15:04:05.000000Z"

func text(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeText)
}

func parse(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(timeText, s)
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
