package store

import (
	"database/sql"
	"errors"
	"time"
)

// Doubt says how often an effect may have been written without anyone knowing.
type Doubt struct {
	Writes int64
	Last   time.Time // zero = never
}

// DoubtOf returns the doubt about an effect; zero if there is none.
func (t *Tx) DoubtOf(effect string) (d Doubt, err error) {
	var last string
	err = t.row(`SELECT writes, last FROM doubt WHERE effect = ?`, effect).Scan(&d.Writes, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return Doubt{}, nil
	}
	if err != nil {
		return Doubt{}, err
	}
	d.Last, err = parse(last)
	return d, err
}

// AddDoubt counts one write before it leaves.
func (t *Tx) AddDoubt(effect string, at time.Time) error {
	return t.exec(`INSERT INTO doubt (effect, writes, last) VALUES (?, 1, ?)
		ON CONFLICT (effect) DO UPDATE SET writes = doubt.writes + 1, last = excluded.last`, effect, text(at))
}

// DropDoubt takes back writes that the system says it did not do.
func (t *Tx) DropDoubt(effect string, writes int64) error {
	return t.exec(`UPDATE doubt SET writes = CASE WHEN writes > ? THEN writes - ? ELSE 0 END WHERE effect = ?`, writes, writes, effect)
}

// ForgetDoubt ends the doubt about an effect that was settled. One that a person makes due again begins anew.
func (t *Tx) ForgetDoubt(effect string) error {
	return t.exec(`DELETE FROM doubt WHERE effect = ?`, effect)
}
