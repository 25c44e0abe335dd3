package store

import (
	"database/sql"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Letter is a kept record without its bytes, which may be many: what a list that counts needs.
type Letter struct {
	DeadletterRow // without Message
}

// EachOpenLetter calls visit with every record that waits, by id. It reads row by row: there may be many.
func (t *Tx) EachOpenLetter(visit func(*Letter) error) error {
	return t.each(func(rows *sql.Rows) error {
		var l Letter
		var at, updated string
		err := rows.Scan(&l.ID, &l.State, &l.Key, &l.Lot, &l.Plant, &l.EventID, &l.EventType, &l.Code, &l.Cause, &l.Object, &l.Attempts, &at, &updated)
		if err == nil {
			l.At, err = parse(at)
		}
		if err == nil {
			l.Updated, err = parse(updated)
		}
		if err != nil {
			return err
		}
		return visit(&l)
	}, `SELECT id, state, key, lot, plant, event_id, event_type, code, cause, object, attempts, at, updated FROM deadletter
		WHERE state IN ('quarantined', 'dead', 'parked', 'waiting') ORDER BY id`)
}

// ReplacedLetter returns the id of the record whose correction is the event; 0 = it corrects none.
func (t *Tx) ReplacedLetter(correction event.ID) (id int64, err error) {
	err = t.each(func(rows *sql.Rows) error { return rows.Scan(&id) },
		`SELECT id FROM deadletter WHERE state = 'replaced' AND replaced_by = ? ORDER BY id LIMIT 1`, correction)
	return id, err
}
