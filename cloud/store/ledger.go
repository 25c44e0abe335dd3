package store

import (
	"database/sql"
	"errors"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Entry is one line of the audit ledger: who changed what, from what to what, why, because of which event.
type Entry struct {
	ID        int64
	At        time.Time
	Principal string // person, or agent as {plant}/{agent}; never empty
	Act       string // event type, or what a person did
	Object    string
	Version   int64 // of the object; (object, version) is unique
	EventID   event.ID
	Lot       event.LotKey
	Reason    string
	Was       string // JSON; empty = did not exist
	Now       string // JSON
}

// AddEntry appends to the ledger.
func (t *Tx) AddEntry(e *Entry) error {
	return t.exec(`INSERT INTO ledger (at, principal, act, object, version, event_id, lot, reason, was, now)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		text(e.At), e.Principal, e.Act, e.Object, e.Version, e.EventID, e.Lot, e.Reason, e.Was, e.Now)
}

// Sealed is an entry with the place and hashes that the sealer gave it; Place is 0 for one that is not sealed yet.
type Sealed struct {
	Entry
	Place int64
	Prev  string
	Hash  string
}

const sealedColumns = `l.id, l.at, l.principal, l.act, l.object, l.version, l.event_id, l.lot, l.reason, l.was, l.now,
	COALESCE(s.place, 0), COALESCE(s.prev, ''), COALESCE(s.hash, '')`

func (t *Tx) sealed(query string, args ...any) ([]Sealed, error) {
	var all []Sealed
	err := t.each(func(rows *sql.Rows) error {
		var e Sealed
		var at string
		err := rows.Scan(&e.ID, &at, &e.Principal, &e.Act, &e.Object, &e.Version, &e.EventID, &e.Lot, &e.Reason, &e.Was, &e.Now,
			&e.Place, &e.Prev, &e.Hash)
		if err == nil {
			e.At, err = parse(at)
		}
		all = append(all, e)
		return err
	}, query, args...)
	return all, err
}

// Unsealed returns at most limit entries that have no place yet, in the order of their ids.
func (t *Tx) Unsealed(limit int) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id
		WHERE l.id > (SELECT COALESCE(MAX(ledger_id), 0) FROM seal) ORDER BY l.id LIMIT ?`, limit)
}

// SealedAfter returns at most limit sealed entries behind a place, in the order of the chain.
func (t *Tx) SealedAfter(place int64, limit int) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM seal s JOIN ledger l ON l.id = s.ledger_id WHERE s.place > ? ORDER BY s.place LIMIT ?`, place, limit)
}

// EntriesOf returns a lot's entries, sealed or not, oldest first.
func (t *Tx) EntriesOf(lot event.LotKey) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id WHERE l.lot = ? ORDER BY l.id`, lot)
}

// Entries returns at most limit entries behind an id, sealed or not, oldest first.
func (t *Tx) Entries(after int64, limit int) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id WHERE l.id > ? ORDER BY l.id LIMIT ?`, after, limit)
}

// EntriesAfter returns at most limit of a lot's entries behind an id, sealed or not, oldest first.
func (t *Tx) EntriesAfter(lot event.LotKey, after int64, limit int) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id WHERE l.lot = ? AND l.id > ? ORDER BY l.id LIMIT ?`,
		lot, after, limit)
}

// PutSeal gives an entry its place in the chain.
func (t *Tx) PutSeal(place, ledgerID int64, prev, hash string) error {
	return t.exec(`INSERT INTO seal (place, ledger_id, prev, hash) VALUES (?, ?, ?, ?)`, place, ledgerID, prev, hash)
}

// ChainHead returns place and hash of the newest sealed entry; 0 and "" if there is none.
func (t *Tx) ChainHead() (place int64, hash string, err error) {
	err = t.row(`SELECT place, hash FROM seal ORDER BY place DESC LIMIT 1`).Scan(&place, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return place, hash, err
}

// Checkpoint is a signed statement of the chain's head.
type Checkpoint struct {
	Place int64
	At    time.Time
	Note  string // the signed text
}

// PutCheckpoint stores a checkpoint.
func (t *Tx) PutCheckpoint(c Checkpoint) error {
	return t.exec(`INSERT INTO checkpoint (place, at, note) VALUES (?, ?, ?)`, c.Place, text(c.At), c.Note)
}

// LastCheckpoint returns the newest checkpoint; its Place is 0 if there is none.
func (t *Tx) LastCheckpoint() (c Checkpoint, err error) {
	var at string
	err = t.row(`SELECT place, at, note FROM checkpoint ORDER BY place DESC LIMIT 1`).Scan(&c.Place, &at, &c.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return Checkpoint{}, nil
	}
	if err == nil {
		c.At, err = parse(at)
	}
	return c, err
}

// CheckpointsAfter returns at most limit checkpoints behind a place, oldest first.
func (t *Tx) CheckpointsAfter(place int64, limit int) (all []Checkpoint, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var c Checkpoint
		var at string
		err := rows.Scan(&c.Place, &at, &c.Note)
		if err == nil {
			c.At, err = parse(at)
		}
		all = append(all, c)
		return err
	}, `SELECT place, at, note FROM checkpoint WHERE place > ? ORDER BY place LIMIT ?`, place, limit)
	return all, err
}
