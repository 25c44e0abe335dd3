package store

import (
	"database/sql"
	"errors"
	"time"
)

// Feed is where a system's feed of changes stands.
type Feed struct {
	Cursor string    // of the connector; empty = the beginning
	Full   time.Time // when the last whole pass over everything ended; zero = never
}

// FeedOf returns where a system's feed stands; zero if it was never read.
func (t *Tx) FeedOf(system string) (f Feed, err error) {
	var full string
	err = t.row(`SELECT cursor, full_pass FROM feed WHERE system = ?`, system).Scan(&f.Cursor, &full)
	if errors.Is(err, sql.ErrNoRows) {
		return Feed{}, nil
	}
	if err != nil {
		return Feed{}, err
	}
	f.Full, err = parse(full)
	return f, err
}

// PutFeed stores where a system's feed stands.
func (t *Tx) PutFeed(system string, f Feed) error {
	return t.exec(`INSERT INTO feed (system, cursor, full_pass) VALUES (?, ?, ?)
		ON CONFLICT (system) DO UPDATE SET cursor = excluded.cursor, full_pass = excluded.full_pass`, system, f.Cursor, text(f.Full))
}

// Unread is an object of a feed that became no event, and why. It is tried again until it does.
type Unread struct {
	System string
	Kind   string // as the connector names it
	Object string // the system's own id
	Lot    string // lot key; empty = it names none that is understood
	Reason string
	Since  time.Time
	Tried  time.Time
}

// PutUnread keeps an object that became no event; its first time stands. It tells whether this is the first time.
func (t *Tx) PutUnread(u *Unread) (first bool, err error) {
	first, err = t.changed(`INSERT INTO feed_unread (system, kind, object, lot, reason, since, tried) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (system, kind, object) DO NOTHING`, u.System, u.Kind, u.Object, u.Lot, u.Reason, text(u.Since), text(u.Tried))
	if err != nil || first {
		return first, err
	}
	return false, t.exec(`UPDATE feed_unread SET lot = ?, reason = ?, tried = ? WHERE system = ? AND kind = ? AND object = ?`,
		u.Lot, u.Reason, text(u.Tried), u.System, u.Kind, u.Object)
}

// DropUnread forgets an object that became an event. It returns false if it was not kept.
func (t *Tx) DropUnread(system, kind, object string) (bool, error) {
	return t.changed(`DELETE FROM feed_unread WHERE system = ? AND kind = ? AND object = ?`, system, kind, object)
}

// UnreadOf returns at most limit objects of a system that became no event, those first that were not tried for the longest
// time. An empty system means all.
func (t *Tx) UnreadOf(system string, limit int) (all []Unread, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var u Unread
		var since, tried string
		err := rows.Scan(&u.System, &u.Kind, &u.Object, &u.Lot, &u.Reason, &since, &tried)
		if err == nil {
			u.Since, err = parse(since)
		}
		if err == nil {
			u.Tried, err = parse(tried)
		}
		all = append(all, u)
		return err
	}, `SELECT system, kind, object, lot, reason, since, tried FROM feed_unread WHERE ? IN ('', system) ORDER BY tried, system, kind, object LIMIT ?`,
		system, limit)
	return all, err
}

// CountUnread counts the objects of a system that became no event.
func (t *Tx) CountUnread(system string) (n int64, err error) {
	err = t.row(`SELECT COUNT(*) FROM feed_unread WHERE system = ?`, system).Scan(&n)
	return n, err
}
