package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Place is where a record was read: a Kafka topic for the plant's door, none for the cloud's.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// InboxRow is an accepted event.
type InboxRow struct {
	Pos       int64
	Event     *event.Event
	Door      string // P or C
	Principal string // who, for the cloud's door
	Place     Place
	Accepted  time.Time
}

// PutInbox stores an accepted event.
func (t *Tx) PutInbox(r *InboxRow) error {
	e := r.Event
	headers, err := encodeHeaders(e.Message().Headers)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO inbox (id, type, key, lot, plant, door, principal, agent, epoch, lane, seq, topic, part, off, time,
		recorded, accepted, hash, raw_sha256, correlation, causation, headers, value)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.Data.Type(), e.Key, e.Data.Concerns(), e.Plant, r.Door, r.Principal, e.Origin.Agent, e.Origin.Epoch,
		e.Origin.Lane, int64(e.Origin.Seq), r.Place.Topic, r.Place.Partition, r.Place.Offset, text(e.Time), text(e.Recorded),
		text(r.Accepted), e.ContentHash, e.Data.ReadBy().RawSHA256, e.Correlation, e.Causation, headers, e.Value)
}

// InboxHashes returns content hash and raw hash of an accepted event; ok is false if its id is not known.
func (t *Tx) InboxHashes(id event.ID) (content, raw event.Hash, ok bool, err error) {
	err = t.row(`SELECT hash, raw_sha256 FROM inbox WHERE id = ?`, id).Scan(&content, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", false, nil
	}
	return content, raw, err == nil, err
}

const inboxColumns = `pos, key, door, principal, topic, part, off, accepted, headers, value`

// InboxOfLot returns the accepted events of a lot in the order in which they were applied.
func (t *Tx) InboxOfLot(lot event.LotKey) ([]InboxRow, error) {
	return t.inbox(`SELECT `+inboxColumns+` FROM inbox WHERE lot = ? ORDER BY pos`, lot)
}

// InboxAfter returns at most limit accepted events behind a position, in the order in which they were applied.
func (t *Tx) InboxAfter(pos int64, limit int) ([]InboxRow, error) {
	return t.inbox(`SELECT `+inboxColumns+` FROM inbox WHERE pos > ? ORDER BY pos LIMIT ?`, pos, limit)
}

// InboxByID returns one accepted event.
func (t *Tx) InboxByID(id event.ID) (InboxRow, error) {
	rows, err := t.inbox(`SELECT `+inboxColumns+` FROM inbox WHERE id = ?`, id)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return InboxRow{}, err
	}
	return rows[0], nil
}

// InboxOfCase returns the accepted events with a correlation id.
func (t *Tx) InboxOfCase(correlation string) ([]InboxRow, error) {
	return t.inbox(`SELECT `+inboxColumns+` FROM inbox WHERE correlation = ? ORDER BY pos`, correlation)
}

func (t *Tx) inbox(query string, args ...any) ([]InboxRow, error) {
	var all []InboxRow
	err := t.each(func(rows *sql.Rows) error {
		var r InboxRow
		var accepted string
		var m event.Message
		var headers []byte
		err := rows.Scan(&r.Pos, &m.Key, &r.Door, &r.Principal, &r.Place.Topic, &r.Place.Partition, &r.Place.Offset, &accepted, &headers, &m.Value)
		if err != nil {
			return err
		}
		if m.Headers, err = decodeHeaders(headers); err != nil {
			return err
		}
		if r.Accepted, err = parse(accepted); err != nil {
			return err
		}
		if r.Event, err = event.Decode(m); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	}, query, args...)
	return all, err
}

func encodeHeaders(headers []event.Header) ([]byte, error) { return json.Marshal(headers) }

func decodeHeaders(b []byte) (headers []event.Header, err error) {
	err = json.Unmarshal(b, &headers)
	return headers, err
}

// MoveOffset moves the next offset of a partition from one value to another. It returns false if another process moved
// it: the caller rolls back and stops. A partition without a stored offset is at 0.
func (t *Tx) MoveOffset(topic string, partition int32, from, to int64) (bool, error) {
	if from == 0 {
		return t.changed(`INSERT INTO kafka_offset (topic, part, next) VALUES (?, ?, ?)
			ON CONFLICT (topic, part) DO UPDATE SET next = excluded.next WHERE kafka_offset.next = 0`, topic, partition, to)
	}
	return t.changed(`UPDATE kafka_offset SET next = ? WHERE topic = ? AND part = ? AND next = ?`, to, topic, partition, from)
}

// Offset returns the next offset of a partition, 0 if none is stored.
func (t *Tx) Offset(topic string, partition int32) (next int64, err error) {
	err = t.row(`SELECT next FROM kafka_offset WHERE topic = ? AND part = ?`, topic, partition).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return next, err
}

// LastOf returns the newest place from which an event of a lot was applied, per agent; ok is false if there is none.
func (t *Tx) LastOf(lot event.LotKey, plant event.PlantID, agent string) (epoch event.Epoch, seq int64, ok bool, err error) {
	err = t.row(`SELECT epoch, seq FROM lot_origin WHERE lot = ? AND plant = ? AND agent = ?`, lot, plant, agent).Scan(&epoch, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, false, nil
	}
	return epoch, seq, err == nil, err
}

// SetLast stores the newest place from which an event of a lot was applied.
func (t *Tx) SetLast(lot event.LotKey, plant event.PlantID, o event.Origin) error {
	return t.exec(`INSERT INTO lot_origin (lot, plant, agent, epoch, seq) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (lot, plant, agent) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq`, lot, plant, o.Agent, o.Epoch, int64(o.Seq))
}
