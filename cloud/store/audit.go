package store

import (
	"database/sql"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// EntryQuery says which ledger entries are looked for; the zero value takes all.
type EntryQuery struct {
	Principal string
	Act       string // event type, or an act that a person did
	Object    string
	Lot       event.LotKey
	From, To  time.Time // from and with, to and without
	Text      string    // in the reason, the object or the act, without regard to case
}

// FindEntries returns at most limit entries with ids from low to high, both among them: oldest first, or newest first.
// Bounded ids bound the work: the ledger has no index by who or what, since each would cost every write.
func (t *Tx) FindEntries(q EntryQuery, low, high int64, newest bool, limit int) ([]Sealed, error) {
	where, args := []string{"l.id BETWEEN ? AND ?"}, []any{low, high}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Principal != "" {
		add("l.principal = ?", q.Principal)
	}
	if q.Act != "" {
		add("(l.act = ? OR l.act = 'agent.act.recorded.v1' AND l.now LIKE ? ESCAPE '!')", q.Act, `%"act":"`+like(q.Act)+`"%`)
	}
	if q.Object != "" {
		add("l.object = ?", q.Object)
	}
	if q.Lot != "" {
		add("l.lot = ?", q.Lot)
	}
	if !q.From.IsZero() {
		add("l.at >= ?", text(q.From))
	}
	if !q.To.IsZero() {
		add("l.at < ?", text(q.To))
	}
	if q.Text != "" {
		words := "%" + like(strings.ToLower(q.Text)) + "%"
		add("(LOWER(l.reason) LIKE ? ESCAPE '!' OR LOWER(l.object) LIKE ? ESCAPE '!' OR LOWER(l.act) LIKE ? ESCAPE '!')", words, words, words)
	}
	order := "l.id"
	if newest {
		order = "l.id DESC"
	}
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id WHERE `+strings.Join(where, " AND ")+
		` ORDER BY `+order+` LIMIT ?`, append(args, limit)...)
}

// like makes a text one that LIKE takes as it is, with ! as the escape.
func like(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}

// EntryIDs returns the lowest and the highest id of the ledger's entries; 0 = there is none.
func (t *Tx) EntryIDs() (low, high int64, err error) {
	err = t.row(`SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) FROM ledger`).Scan(&low, &high)
	return low, high, err
}

// EntriesAbout returns an object's entries, oldest first.
func (t *Tx) EntriesAbout(object string) ([]Sealed, error) {
	return t.sealed(`SELECT `+sealedColumns+` FROM ledger l LEFT JOIN seal s ON s.ledger_id = l.id WHERE l.object = ? ORDER BY l.version`, object)
}

// CountUnsealed counts the entries that have no place yet.
func (t *Tx) CountUnsealed() (n int64, err error) {
	err = t.row(`SELECT COUNT(*) FROM ledger WHERE id > (SELECT COALESCE(MAX(ledger_id), 0) FROM seal)`).Scan(&n)
	return n, err
}

// SealAt returns the hash of the entry at a place of the chain; ok is false if the chain has no such place.
func (t *Tx) SealAt(place int64) (hash string, ok bool, err error) {
	err = t.each(func(rows *sql.Rows) error { ok = true; return rows.Scan(&hash) }, `SELECT hash FROM seal WHERE place = ?`, place)
	return hash, ok, err
}
