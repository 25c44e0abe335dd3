package store

import (
	"database/sql"
	"errors"
	"time"
)

// SessionRow is a user who is logged in at the console.
type SessionRow struct {
	Hash    string // of the token that the browser holds; the token itself is not stored
	Name    string // of the user
	Started time.Time
	Seen    time.Time // when it was last used
}

// Session returns a session by its hash, nil if there is none.
func (t *Tx) Session(hash string) (*SessionRow, error) {
	r := SessionRow{Hash: hash}
	var started, seen string
	err := t.row(`SELECT name, started, seen FROM session WHERE hash = ?`, hash).Scan(&r.Name, &started, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r.Started, err = parse(started); err != nil {
		return nil, err
	}
	r.Seen, err = parse(seen)
	return &r, err
}

// PutSession stores a session, and forgets all that were last used before.
func (t *Tx) PutSession(r *SessionRow, before time.Time) error {
	if err := t.exec(`DELETE FROM session WHERE seen < ?`, text(before)); err != nil {
		return err
	}
	return t.exec(`INSERT INTO session (hash, name, started, seen) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET seen = excluded.seen`,
		r.Hash, r.Name, text(r.Started), text(r.Seen))
}

// DropSession ends a session.
func (t *Tx) DropSession(hash string) error {
	return t.exec(`DELETE FROM session WHERE hash = ?`, hash)
}
