package store

import (
	"database/sql"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// OutboxRow is a message to send, or a mark that a key of a compacted topic changed.
type OutboxRow struct {
	ID      int64
	Topic   string
	Key     string
	Changes int64          // of a mark: how often the key changed since the mark was made
	Message *event.Message // nil for a mark: the state of now is sent
}

// PutOutbox asks for a message to be sent.
func (t *Tx) PutOutbox(topic string, m event.Message) error {
	headers, err := encodeHeaders(m.Headers)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO outbox (topic, key, headers, value) VALUES (?, ?, ?, ?)`, topic, string(m.Key), headers, m.Value)
}

// MarkOutbox says that a key of a compacted topic changed. A mark that waits already is enough; it counts the change, so
// that a publisher that has read the state before it does not remove the mark.
func (t *Tx) MarkOutbox(topic, key string) error {
	return t.exec(`INSERT INTO outbox (topic, key) VALUES (?, ?) ON CONFLICT (topic, key) WHERE value IS NULL
		DO UPDATE SET changes = outbox.changes + 1`, topic, key)
}

// OutboxExcept names rows that are not to be returned: those of topics that can't be written, and those that can't be sent
// themselves. Up to [MostExcept] of each are looked at.
type OutboxExcept struct {
	Topics []string
	IDs    []int64
}

// MostExcept bounds both lists of an [OutboxExcept], so that one statement serves for any number of them.
const MostExcept = 64

// sql returns the condition that rows meet that are not excepted, and its arguments.
func (x OutboxExcept) sql() (where string, args []any) {
	for i := range MostExcept {
		topic := ""
		if i < len(x.Topics) {
			topic = x.Topics[i]
		}
		args = append(args, topic)
	}
	for i := range MostExcept {
		id := int64(0)
		if i < len(x.IDs) {
			id = x.IDs[i]
		}
		args = append(args, id)
	}
	list := `?` + strings.Repeat(", ?", MostExcept-1)
	return `topic NOT IN (` + list + `) AND id NOT IN (` + list + `)`, args
}

// Outbox returns at most limit rows, oldest first, but for those of control records and those that are excepted.
func (t *Tx) Outbox(limit int, except OutboxExcept) ([]OutboxRow, error) {
	where, args := except.sql()
	return t.outbox(`topic NOT LIKE 'control/%' AND `+where+` ORDER BY id LIMIT ?`, append(args, limit)...)
}

// OutboxControl returns at most limit rows of control records that are not excepted, oldest first: of the plants of which
// no lot status waits behind the row with the id after. What an agent reads in a control record is as new as its lot
// status.
func (t *Tx) OutboxControl(after int64, limit int, except OutboxExcept) ([]OutboxRow, error) {
	where, args := except.sql()
	return t.outbox(`topic >= 'control/' AND topic < 'control0' AND value IS NULL AND NOT EXISTS (SELECT 1 FROM outbox s
		WHERE s.topic = 'lot-status/' || substr(o.topic, length('control/') + 1) AND s.value IS NULL AND s.id > ?) AND `+where+`
		ORDER BY id LIMIT ?`, append(append([]any{after}, args...), limit)...)
}

func (t *Tx) outbox(where string, args ...any) ([]OutboxRow, error) {
	var all []OutboxRow
	err := t.each(func(rows *sql.Rows) error {
		var r OutboxRow
		var headers, value []byte
		if err := rows.Scan(&r.ID, &r.Topic, &r.Key, &r.Changes, &headers, &value); err != nil {
			return err
		}
		if value != nil {
			h, err := decodeHeaders(headers)
			if err != nil {
				return err
			}
			r.Message = &event.Message{Key: []byte(r.Key), Headers: h, Value: value}
		}
		all = append(all, r)
		return nil
	}, `SELECT id, topic, key, changes, headers, value FROM outbox o WHERE `+where, args...)
	return all, err
}

// DropOutbox removes a row that was sent, unless its key changed since the row was read.
func (t *Tx) DropOutbox(r *OutboxRow) error {
	return t.exec(`DELETE FROM outbox WHERE id = ? AND changes = ?`, r.ID, r.Changes)
}

// CountOutbox returns how many rows wait.
func (t *Tx) CountOutbox() (n int64, err error) {
	err = t.row(`SELECT COUNT(*) FROM outbox`).Scan(&n)
	return n, err
}

// TakeLease takes or keeps a named lease. It returns false while another owner has it. The fence grows with each change
// of owner.
func (t *Tx) TakeLease(name, owner string, now time.Time, length time.Duration) (fence int64, ok bool, err error) {
	ok, err = t.changed(`INSERT INTO lease (name, owner, fence, expires) VALUES (?, ?, 1, ?)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires = excluded.expires,
		fence = CASE lease.owner WHEN excluded.owner THEN lease.fence ELSE lease.fence + 1 END
		WHERE lease.owner = excluded.owner OR lease.expires <= ?`, name, owner, text(now.Add(length)), text(now))
	if err != nil || !ok {
		return 0, false, err
	}
	err = t.row(`SELECT fence FROM lease WHERE name = ?`, name).Scan(&fence)
	return fence, err == nil, err
}
