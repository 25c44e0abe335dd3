package store

import (
	"database/sql"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Codes of the alerts that are raised by other packages than workflow, which says who acts on them.
const (
	AlertTopic event.Name = "topic_unwritable" // subject: topic in Kafka
	AlertUnfit event.Name = "record_unfit"     // subject: logical topic and key of a record
)

// PutAlert raises an alert. It returns false if it is raised already.
func (t *Tx) PutAlert(a *event.Alert) (bool, error) {
	doc, err := encodeDoc(a)
	if err != nil {
		return false, err
	}
	return t.changed(`INSERT INTO alert (code, subject, since, doc) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, a.Code, a.About, text(a.Since.Time), doc)
}

// DropAlert clears an alert and returns it, nil if it was not raised.
func (t *Tx) DropAlert(code event.Name, subject string) (*event.Alert, error) {
	a, err := optional(scanDoc[event.Alert](t.row(`SELECT doc FROM alert WHERE code = ? AND subject = ?`, code, subject)))
	if err != nil || a == nil {
		return nil, err
	}
	return a, t.exec(`DELETE FROM alert WHERE code = ? AND subject = ?`, code, subject)
}

// Alerts returns the alerts that are raised, oldest first.
func (t *Tx) Alerts() ([]event.Alert, error) {
	return docs[event.Alert](t, `SELECT doc FROM alert ORDER BY since, code, subject`)
}

// AlertSubjects returns the subjects of the alerts of a code that are raised, sorted.
func (t *Tx) AlertSubjects(code event.Name) ([]string, error) {
	var all []string
	err := t.each(func(rows *sql.Rows) error {
		var s string
		err := rows.Scan(&s)
		all = append(all, s)
		return err
	}, `SELECT subject FROM alert WHERE code = ? ORDER BY subject`, code)
	return all, err
}
