package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// session is one connection with the statements that were prepared on it: parsing costs more than running. One
// transaction uses it at a time.
type session struct {
	db    *sql.DB
	start []string // statements that begin a transaction
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	// broken tells that the connection is gone, or may be in a transaction still: another one takes its place.
	broken bool
	failed error // of a statement of the transaction that runs
}

func newSession(ctx context.Context, db *sql.DB, start []string) (*session, error) {
	s := &session{db: db, start: start}
	return s, s.connect(ctx)
}

func (s *session) connect(ctx context.Context) (err error) {
	s.stmts = map[string]*sql.Stmt{}
	s.conn, err = s.db.Conn(ctx)
	s.broken = err != nil
	return err
}

// close gives the connection back. One that is broken is thrown away, so that nobody gets it, and what it says to that is
// of no use.
func (s *session) close() error {
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	if s.conn == nil {
		return nil
	}
	if s.broken {
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool drops a connection of which it hears that
		return nil
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// renew takes another connection.
func (s *session) renew(ctx context.Context) error {
	s.broken = true
	_ = s.close() // never fails for a broken one
	return s.connect(ctx)
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

// endLimit bounds the begin and the end of a transaction, which nobody may cancel, where the database has vanished.
const endLimit = 30 * time.Second

// end runs the statement that ends a transaction, whatever became of ctx. After an error nobody knows what state the
// connection is in.
func (s *session) end(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	st, err := s.stmt(ctx, statement)
	if err == nil {
		_, err = st.ExecContext(ctx)
	}
	s.broken = s.broken || err != nil
	return err
}

// begin begins a transaction, on another connection where this one turns out to be broken: nothing has been done on it yet.
func (s *session) begin(ctx context.Context) error {
	err := ctx.Err()
	if err == nil && !s.broken {
		if err = s.tryBegin(ctx); err == nil {
			return nil
		}
	}
	if ctx.Err() == nil {
		if err = s.renew(ctx); err == nil {
			err = s.tryBegin(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

// tryBegin runs the statements that begin a transaction. One that is cut off may have begun it all the same, and whoever has
// the session next would be in it: so none is cut off, and after one that failed the connection is not used again.
func (s *session) tryBegin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	s.failed = nil
	for _, statement := range s.start {
		st, err := s.stmt(ctx, statement)
		if err == nil {
			_, err = st.ExecContext(ctx)
		}
		if err != nil {
			s.broken = true
			return err
		}
	}
	return nil
}

// tx returns the transaction that the session is in.
func (s *session) tx(ctx context.Context) *Tx {
	note := func(err error) {
		if s.failed == nil {
			s.failed = err
		}
	}
	return &Tx{
		ctx: ctx,
		query: func(query string, args ...any) (*sql.Rows, error) {
			st, err := s.stmt(ctx, query)
			if err != nil {
				note(err)
				return nil, err
			}
			rows, err := st.QueryContext(ctx, args...)
			note(err)
			return rows, err
		},
		row: func(query string, args ...any) *sql.Row {
			st, err := s.stmt(ctx, query)
			if err != nil {
				note(err)
				return s.conn.QueryRowContext(ctx, query, args...) // gives an error, too
			}
			row := st.QueryRowContext(ctx, args...)
			note(row.Err())
			return row
		},
		run: func(query string, args ...any) (sql.Result, error) {
			st, err := s.stmt(ctx, query)
			if err != nil {
				note(err)
				return nil, err
			}
			result, err := st.ExecContext(ctx, args...)
			note(err)
			return result, err
		},
	}
}
