package store

import (
	"database/sql"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// DeadletterState says what a record that was not applied waits for.
type DeadletterState string

// Dead letter states. The first four are open.
const (
	Quarantined DeadletterState = "quarantined" // not understood
	Dead        DeadletterState = "dead"        // refused by a rule
	Parked      DeadletterState = "parked"      // failed, or waits behind one that failed
	Waiting     DeadletterState = "waiting"     // for an object that is not known yet
	Redriven    DeadletterState = "redriven"
	Replaced    DeadletterState = "replaced"
	Dropped     DeadletterState = "dropped"
)

// Open tells whether the record still waits.
func (s DeadletterState) Open() bool {
	return s == Quarantined || s == Dead || s == Parked || s == Waiting
}

// DeadletterRow is a record that was not applied, whole.
type DeadletterRow struct {
	ID         int64
	Ord        int64 // order within its key; the record that replaces another takes its place
	State      DeadletterState
	Key        string
	Lot        event.LotKey
	Plant      event.PlantID
	EventID    event.ID
	EventType  event.Type
	Code       string
	Cause      string
	Object     string // that it waits for
	Attempts   int64
	Door       string
	Principal  string
	Place      Place
	ReplacedBy event.ID
	At         time.Time
	Updated    time.Time
	Message    event.Message
}

const deadletterColumns = `id, ord, state, key, lot, plant, event_id, event_type, code, cause, object, attempts, door, principal, topic, part, off,
	replaced_by, at, updated, headers, value`

// AddDeadletter stores a record that was not applied and fills in its ID. An Ord of 0 puts it at the end of its key.
func (t *Tx) AddDeadletter(r *DeadletterRow) error {
	headers, err := encodeHeaders(r.Message.Headers)
	if err != nil {
		return err
	}
	value := r.Message.Value
	if value == nil {
		value = []byte{} // the column is not null: a record without value is kept as an empty one
	}
	err = t.row(`INSERT INTO deadletter (ord, state, key, lot, plant, event_id, event_type, code, cause, object, attempts, door, principal,
		topic, part, off, replaced_by, at, updated, headers, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		r.Ord, r.State, r.Key, r.Lot, r.Plant, r.EventID, r.EventType, r.Code, r.Cause, r.Object, r.Attempts, r.Door, r.Principal,
		r.Place.Topic, r.Place.Partition, r.Place.Offset, r.ReplacedBy, text(r.At), text(r.Updated), headers, value).Scan(&r.ID)
	if err != nil || r.Ord != 0 {
		return err
	}
	r.Ord = r.ID
	return t.exec(`UPDATE deadletter SET ord = id WHERE id = ?`, r.ID)
}

// UpdateDeadletter stores state, cause, attempts and what replaced a record.
func (t *Tx) UpdateDeadletter(r *DeadletterRow) error {
	return t.exec(`UPDATE deadletter SET state = ?, code = ?, cause = ?, object = ?, attempts = ?, replaced_by = ?, updated = ? WHERE id = ?`,
		r.State, r.Code, r.Cause, r.Object, r.Attempts, r.ReplacedBy, text(r.Updated), r.ID)
}

func (t *Tx) deadletters(query string, args ...any) ([]DeadletterRow, error) {
	var all []DeadletterRow
	err := t.each(func(rows *sql.Rows) error {
		var r DeadletterRow
		var at, updated string
		var headers []byte
		err := rows.Scan(&r.ID, &r.Ord, &r.State, &r.Key, &r.Lot, &r.Plant, &r.EventID, &r.EventType, &r.Code, &r.Cause, &r.Object,
			&r.Attempts, &r.Door, &r.Principal, &r.Place.Topic, &r.Place.Partition, &r.Place.Offset, &r.ReplacedBy, &at, &updated,
			&headers, &r.Message.Value)
		if err != nil {
			return err
		}
		r.Message.Key = []byte(r.Key)
		if r.Message.Headers, err = decodeHeaders(headers); err != nil {
			return err
		}
		if r.At, err = parse(at); err != nil {
			return err
		}
		r.Updated, err = parse(updated)
		all = append(all, r)
		return err
	}, query, args...)
	return all, err
}

// Deadletter returns one record.
func (t *Tx) Deadletter(id int64) (DeadletterRow, error) {
	rows, err := t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE id = ?`, id)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return DeadletterRow{}, err
	}
	return rows[0], nil
}

// Deadletters returns at most limit open records behind an id, or all records if closed is set.
func (t *Tx) Deadletters(after int64, limit int, closed bool) ([]DeadletterRow, error) {
	query := `SELECT ` + deadletterColumns + ` FROM deadletter WHERE id > ?`
	if !closed {
		query += ` AND state IN ('quarantined', 'dead', 'parked', 'waiting')`
	}
	return t.deadletters(query+` ORDER BY id LIMIT ?`, after, limit)
}

// ParkedOf returns the parked records of a key in order.
func (t *Tx) ParkedOf(key string) ([]DeadletterRow, error) {
	return t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE state = 'parked' AND key = ? ORDER BY ord, id`, key)
}

// WaitingFor returns the records that wait for an object, in order.
func (t *Tx) WaitingFor(object string) ([]DeadletterRow, error) {
	return t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE object = ? AND state = 'waiting' ORDER BY ord, id`, object)
}

// DeadlettersOf returns a lot's open records.
func (t *Tx) DeadlettersOf(lot event.LotKey) ([]DeadletterRow, error) {
	return t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE lot = ? AND state IN ('quarantined', 'dead', 'parked', 'waiting') ORDER BY id`, lot)
}

// KeptHash returns the content hash header of a record with this event id that waits, or that persons dropped: what they
// decided about does not come up again with its next copy. Ok is false if there is none.
func (t *Tx) KeptHash(id event.ID) (hash event.Hash, ok bool, err error) {
	rows, err := t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE event_id = ? AND state IN ('parked', 'waiting', 'dropped') LIMIT 1`, id)
	if err != nil || len(rows) == 0 {
		return "", false, err
	}
	return event.Hash(rows[0].Message.Header(event.HeaderHash)), true, nil
}

// DeadletterOfEvent returns the newest record that was kept under an event id; ok is false if there is none.
func (t *Tx) DeadletterOfEvent(id event.ID) (r DeadletterRow, ok bool, err error) {
	rows, err := t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE event_id = ? ORDER BY id DESC LIMIT 1`, id)
	if err != nil || len(rows) == 0 {
		return r, false, err
	}
	return rows[0], true, nil
}

// QuarantinedBefore tells whether the same bytes under the same event id are in quarantine already, or were dropped.
func (t *Tx) QuarantinedBefore(id event.ID, value []byte) (known bool, err error) {
	err = t.row(`SELECT EXISTS (SELECT 1 FROM deadletter WHERE event_id = ? AND state IN ('quarantined', 'dropped') AND value = ?)`, id, value).Scan(&known)
	return known, err
}

// ParkedKeys returns all keys that have parked records.
func (t *Tx) ParkedKeys() (map[string]bool, error) {
	keys := map[string]bool{}
	err := t.each(func(rows *sql.Rows) error {
		var key string
		err := rows.Scan(&key)
		keys[key] = true
		return err
	}, `SELECT DISTINCT key FROM deadletter WHERE state = 'parked'`)
	return keys, err
}

// CountDeadletters counts open records by code.
func (t *Tx) CountDeadletters() (map[string]int64, error) {
	counts := map[string]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var code string
		var n int64
		err := rows.Scan(&code, &n)
		counts[code] = n
		return err
	}, `SELECT code, COUNT(*) FROM deadletter WHERE state IN ('quarantined', 'dead', 'parked', 'waiting') GROUP BY code`)
	return counts, err
}
