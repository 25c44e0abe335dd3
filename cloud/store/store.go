// Package store keeps the cloud's state in SQL: inbox, coverage, aggregates, effects, ledger, outbox, offsets.
//
// [Store.Update] runs a function in one transaction: all of it becomes durable or nothing does. Only package workflow
// changes quality state; dispatch, ledger and outbox change their own bookkeeping. The SQL is the same for two databases:
//
//   - SQLite, in WAL mode with synchronous=FULL, is one process's own: a lock beside the file keeps a second one out.
//   - PostgreSQL is shared by several copies of the program. What they do at once is kept apart by offsets that move by
//     compare-and-set, by leases with fences and, for the time in which one has lost its connection, by nothing else: see
//     [Store.Run].
//
// On both, transactions that write follow one another, so that the numbers of rows grow in the order of commits: who reads
// on behind a number never passes over one that is committed later.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// ErrNotFound is returned by the reading methods that name one row, where it does not exist.
var ErrNotFound = errors.New("not found")

// Store is an open database.
type Store struct {
	dialect *dialect
	read    *sql.DB
	db      *sql.DB // the writer's
	id      string
	owner   string
	lock    *os.File // of an SQLite database
	life    *session // shows the other copies that this one lives; nil where there are none

	mu      sync.Mutex // held by the one writing transaction of this process; guards write
	write   *session
	readers chan *session // those that nobody uses
}

// readers is how many transactions may read at once.
const readers = 4

// Config says where a database is.
type Config struct {
	URL      string        // "sqlite:" and a path, or "postgres://user@host/name"
	Password config.Secret // of PostgreSQL's user; zero = none is needed
}

// Open opens a database that wants no password. See [Config.Open].
func Open(ctx context.Context, url string) (*Store, error) { return Config{URL: url}.Open(ctx) }

// Open opens the database, creates an SQLite one where it is missing, and brings its tables up to date. A PostgreSQL
// database has to exist, with no other tables in it.
func (c Config) Open(ctx context.Context) (*Store, error) {
	s := &Store{owner: strings.ToLower(rand.Text()[:12]), readers: make(chan *session, readers)}
	var err error
	if path, ok := strings.CutPrefix(c.URL, sqliteScheme); ok {
		s.dialect, err = &sqlite, s.openSQLite(ctx, path)
	} else {
		s.dialect, err = &postgres, s.openPostgres(ctx, c)
	}
	if err == nil {
		err = s.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", c.URL, err), s.Close())
	}
	return s, nil
}

// begin connects, and reads the database's random id, or makes it. Where nobody else can have it open it ends all leases:
// whoever held them is dead, and a hold must not wait for that.
func (s *Store) begin(ctx context.Context) (err error) {
	for range readers {
		r, err := newSession(ctx, s.read, s.dialect.read)
		if err != nil {
			return err
		}
		s.readers <- r
	}
	if s.write, err = newSession(ctx, s.db, s.dialect.write); err != nil {
		return err
	}
	return s.Update(ctx, func(t *Tx) error {
		if err := t.exec(`INSERT INTO meta (name, value) VALUES ('id', ?) ON CONFLICT (name) DO NOTHING`, strings.ToLower(rand.Text()[:16])); err != nil {
			return err
		}
		if !s.Shared() {
			if err := t.endLeases(); err != nil {
				return err
			}
		}
		return t.row(`SELECT value FROM meta WHERE name = 'id'`).Scan(&s.id)
	})
}

// ID returns the database's random id. It is part of the Kafka group id, so that a new database starts anew.
func (s *Store) ID() string { return s.id }

// Owner returns a random name for this process's leases. It is another one at each start.
func (s *Store) Owner() string { return s.owner }

// Shared tells whether other copies of the program may have the database open, too.
func (s *Store) Shared() bool { return s.lock == nil }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// Close gives back what this process has in hand and closes the database. Running transactions end first.
func (s *Store) Close() error {
	s.giveBack()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, x := range []*session{s.write, s.life} {
		if x != nil {
			errs = append(errs, x.close())
		}
	}
	for range len(s.readers) {
		errs = append(errs, (<-s.readers).close())
	}
	for _, db := range []*sql.DB{s.read, s.db} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Tx is one transaction: [Store.Update] gives one that writes, [Store.View] one that reads.
type Tx struct {
	ctx   context.Context
	query func(query string, args ...any) (*sql.Rows, error)
	row   func(query string, args ...any) *sql.Row
	run   func(query string, args ...any) (sql.Result, error)
}

// Update runs f in a transaction that writes. If f returns an error, or the commit fails, nothing is changed; where the
// connection breaks during the commit, whether it is, is unknown. An error of a statement fails the transaction, whatever
// f makes of it.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := s.dialect.bound(ctx)
	defer cancel()
	if err := s.write.begin(ctx); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also when f panics
			err = errors.Join(err, s.write.end(ctx, "ROLLBACK"))
		}
	}()
	tx := s.write.tx(ctx)
	if err := f(tx); err != nil {
		return err
	}
	if err := cmp.Or(s.write.failed, ctx.Err()); err != nil {
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
	if err := r.begin(ctx); err != nil {
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
