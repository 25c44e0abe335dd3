package store

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
)

// state lists what is a fold of the inbox: every aggregate, in the order of its key. Coverage, heads, questions, effects and
// what waits as a dead letter are not: they come from what is not in the inbox, or not alone.
var state = []struct{ kind, query string }{
	{"acceptance", `SELECT id, doc FROM acceptance ORDER BY 1`},
	{"allocation", `SELECT lot || ' ' || name, doc FROM allocation ORDER BY 1`},
	{"certificate", `SELECT id || '@' || lot, doc FROM certificate ORDER BY 1`},
	{"disposition", `SELECT lot || ' ' || id, doc FROM disposition ORDER BY 1`},
	{"gap", `SELECT id, doc FROM gap ORDER BY 1`},
	{"hold", `SELECT id || '@' || lot, doc FROM hold ORDER BY 1`},
	{"inspection", `SELECT lot || ' ' || id, doc FROM inspection ORDER BY 1`},
	{"lot", `SELECT key, doc FROM lot ORDER BY 1`},
	{"lot_plant", `SELECT lot || ' ' || plant, '' FROM lot_plant ORDER BY 1`},
	{"nonconformance", `SELECT id, doc FROM nonconformance ORDER BY 1`},
	{"notice", `SELECT id, doc FROM notice ORDER BY 1`},
	{"run", `SELECT lot || ' ' || id, doc FROM run ORDER BY 1`},
}

// CountInbox returns how many events were accepted.
func (t *Tx) CountInbox() (n int64, err error) {
	err = t.row(`SELECT COUNT(*) FROM inbox`).Scan(&n)
	return n, err
}

// Dump writes all aggregates in one order, a line each: two databases with the same state give the same bytes.
func (t *Tx) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, x := range state {
		if err := t.each(func(rows *sql.Rows) error {
			var key, doc string
			if err := rows.Scan(&key, &doc); err != nil {
				return err
			}
			_, err := fmt.Fprintf(b, "%s %s %s\n", x.kind, key, doc)
			return err
		}, x.query); err != nil {
			return err
		}
	}
	return b.Flush()
}
