package store

import (
	"database/sql"
	"errors"
	"time"
)

// DispatchOff says that nothing is written to a system, or to any.
type DispatchOff struct {
	System    string // empty = all
	Since     time.Time
	Until     time.Time // when it ends by itself; zero = when a person says so
	Restored  bool      // the database was restored: what it asks for may have been done in the life that it does not know
	Principal string
	Reason    string
}

// Covers tells whether nothing is written to a system at a time.
func (o *DispatchOff) Covers(system string, now time.Time) bool {
	return (o.System == "" || o.System == system) && (o.Until.IsZero() || now.Before(o.Until))
}

// DispatchOffs returns what keeps the dispatcher from writing, that for all systems first. What has ended by itself may be
// among it until it is removed.
func (t *Tx) DispatchOffs() ([]DispatchOff, error) {
	var all []DispatchOff
	err := t.each(func(rows *sql.Rows) error {
		var o DispatchOff
		var since, until string
		err := rows.Scan(&o.System, &since, &until, &o.Restored, &o.Principal, &o.Reason)
		if err == nil {
			o.Since, err = parse(since)
		}
		if err == nil {
			o.Until, err = parse(until)
		}
		all = append(all, o)
		return err
	}, `SELECT system, since, until, restored, principal, reason FROM dispatch_off ORDER BY system`)
	return all, err
}

// PutDispatchOff turns dispatch off for a system, or for all; a newer one for the same system takes its place.
func (t *Tx) PutDispatchOff(o *DispatchOff) error {
	return t.exec(`INSERT INTO dispatch_off (system, since, until, restored, principal, reason) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (system)
		DO UPDATE SET since = excluded.since, until = excluded.until, restored = excluded.restored, principal = excluded.principal, reason = excluded.reason`,
		o.System, text(o.Since), text(o.Until), flag(o.Restored), o.Principal, o.Reason)
}

// DropDispatchOff turns dispatch on again, as far as it was turned off under the same name. It returns false if it was not.
func (t *Tx) DropDispatchOff(system string) (bool, error) {
	return t.changed(`DELETE FROM dispatch_off WHERE system = ?`, system)
}

// metaDoubtful is the row of meta that [Tx.Doubtful] reads.
const metaDoubtful = "doubtful"

// Doubtful returns the time before which an effect that was asked for may have been carried out in a life that the database
// does not remember: when dispatch was turned on after a restore. Zero if the database was never restored.
func (t *Tx) Doubtful() (time.Time, error) {
	var at string
	err := t.row(`SELECT value FROM meta WHERE name = ?`, metaDoubtful).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return parse(at)
}

// SetDoubtful stores what [Tx.Doubtful] returns.
func (t *Tx) SetDoubtful(at time.Time) error {
	return t.exec(`INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, metaDoubtful, text(at))
}

// OpenEffects returns the effects of a system that wait, oldest first; an empty system means all.
func (t *Tx) OpenEffects(system string) ([]EffectRow, error) {
	return t.effects(`SELECT `+effectColumns+` FROM effect WHERE state IN ('due', 'leased') AND ? IN ('', system) ORDER BY asked, id`, system)
}
