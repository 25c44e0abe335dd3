package store

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
)

// state lists what is a fold of the inbox: every aggregate, in the order of its key. Coverage, heads, questions, effects and
// what waits as a dead letter are not: they come from what is not in the inbox, or not alone.
const state = `SELECT 'lot', key, doc FROM lot
	UNION ALL SELECT 'hold', id || '@' || lot, doc FROM hold
	UNION ALL SELECT 'nonconformance', id, doc FROM nonconformance
	UNION ALL SELECT 'inspection', lot || ' ' || id, doc FROM inspection
	UNION ALL SELECT 'disposition', lot || ' ' || id, doc FROM disposition
	UNION ALL SELECT 'run', lot || ' ' || id, doc FROM run
	UNION ALL SELECT 'gap', id, doc FROM gap
	UNION ALL SELECT 'certificate', id || '@' || lot, doc FROM certificate
	UNION ALL SELECT 'acceptance', id, doc FROM acceptance
	UNION ALL SELECT 'allocation', lot || ' ' || name, doc FROM allocation
	UNION ALL SELECT 'notice', id, doc FROM notice
	UNION ALL SELECT 'lot_plant', lot || ' ' || plant, '' FROM lot_plant
	ORDER BY 1, 2`

// CountInbox returns how many events were accepted.
func (t *Tx) CountInbox() (n int64, err error) {
	err = t.row(`SELECT COUNT(*) FROM inbox`).Scan(&n)
	return n, err
}

// Dump writes all aggregates in one order, a line each: two databases with the same state give the same bytes.
func (t *Tx) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	if err := t.each(func(rows *sql.Rows) error {
		var kind, key, doc string
		if err := rows.Scan(&kind, &key, &doc); err != nil {
			return err
		}
		_, err := fmt.Fprintf(b, "%s %s %s\n", kind, key, doc)
		return err
	}, state); err != nil {
		return err
	}
	return b.Flush()
}
