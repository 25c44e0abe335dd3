package store

import (
	"database/sql"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
)

// PutTimer sets a timer; one of the same name and object is replaced.
func (t *Tx) PutTimer(x quality.Timer) error {
	return t.exec(`INSERT INTO timer (name, object, lot, due) VALUES (?, ?, ?, ?)
		ON CONFLICT (name, object) DO UPDATE SET lot = excluded.lot, due = excluded.due`, x.Name, x.Object, x.Lot, text(x.Due))
}

// PutTimerOnce sets a timer unless one of the same name and object is set.
func (t *Tx) PutTimerOnce(x quality.Timer) error {
	return t.exec(`INSERT INTO timer (name, object, lot, due) VALUES (?, ?, ?, ?) ON CONFLICT (name, object) DO NOTHING`, x.Name, x.Object, x.Lot, text(x.Due))
}

// CancelTimer removes a timer; one that is not set is no error.
func (t *Tx) CancelTimer(name, object string) error {
	return t.exec(`DELETE FROM timer WHERE name = ? AND object = ?`, name, object)
}

// DropTimer removes a timer that fired, unless it was set anew for another time.
func (t *Tx) DropTimer(name, object string, due time.Time) error {
	return t.exec(`DELETE FROM timer WHERE name = ? AND object = ? AND due = ?`, name, object, text(due))
}

// Timers returns at most limit timers, next first.
func (t *Tx) Timers(limit int) ([]quality.Timer, error) {
	return t.timers(`SELECT name, object, lot, due FROM timer ORDER BY due, name, object LIMIT ?`, limit)
}

// TimersNamed returns at most limit timers that have one of the names, next first.
func (t *Tx) TimersNamed(limit int, names ...string) ([]quality.Timer, error) {
	args := make([]any, 0, len(names)+1)
	for _, n := range names {
		args = append(args, n)
	}
	return t.timers(`SELECT name, object, lot, due FROM timer WHERE name IN (?`+strings.Repeat(", ?", len(names)-1)+`)
		ORDER BY due, name, object LIMIT ?`, append(args, limit)...)
}

func (t *Tx) timers(query string, args ...any) ([]quality.Timer, error) {
	var all []quality.Timer
	err := t.each(func(rows *sql.Rows) error {
		var x quality.Timer
		var due string
		err := rows.Scan(&x.Name, &x.Object, &x.Lot, &due)
		if err == nil {
			x.Due, err = parse(due)
		}
		all = append(all, x)
		return err
	}, query, args...)
	return all, err
}
