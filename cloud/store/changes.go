package store

import (
	"database/sql"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Mark says up to where changes were seen: the newest ledger entry, the newest event of the inbox, and beside them, since
// they leave neither, the newest record that was kept and the time of the newest head.
type Mark struct {
	Ledger, Inbox, Letter int64
	Head                  string
}

// Newest returns the mark of now.
func (t *Tx) Newest() (m Mark, err error) {
	err = t.row(`SELECT (SELECT COALESCE(MAX(id), 0) FROM ledger), (SELECT COALESCE(MAX(pos), 0) FROM inbox),
		(SELECT COALESCE(MAX(id), 0) FROM deadletter), (SELECT COALESCE(MAX(at), '') FROM head)`).Scan(&m.Ledger, &m.Inbox, &m.Letter, &m.Head)
	return m, err
}

// ChangedLots returns the lots of which something came behind a mark, in no order. What belongs to no lot gives "".
func (t *Tx) ChangedLots(m Mark) (map[event.LotKey]bool, error) {
	lots := map[event.LotKey]bool{}
	err := t.each(func(rows *sql.Rows) error {
		var lot event.LotKey
		err := rows.Scan(&lot)
		lots[lot] = true
		return err
	}, `SELECT lot FROM ledger WHERE id > ? UNION SELECT lot FROM inbox WHERE pos > ? UNION SELECT lot FROM deadletter WHERE id > ?`,
		m.Ledger, m.Inbox, m.Letter)
	return lots, err
}
