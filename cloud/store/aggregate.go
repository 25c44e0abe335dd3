package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func scanDoc[T any](row interface{ Scan(...any) error }) (*T, error) {
	var doc []byte
	if err := row.Scan(&doc); err != nil {
		return nil, notFound(err)
	}
	v := new(T)
	if err := json.Unmarshal(doc, v); err != nil {
		return nil, fmt.Errorf("decode stored object: %w", err)
	}
	return v, nil
}

func docs[T any](t *Tx, query string, args ...any) ([]T, error) {
	var all []T
	err := t.each(func(rows *sql.Rows) error {
		v, err := scanDoc[T](rows)
		if err == nil {
			all = append(all, *v)
		}
		return err
	}, query, args...)
	return all, err
}

// optional turns a missing row into nil.
func optional[T any](v *T, err error) (*T, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func encodeDoc(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// Lot returns a lot, nil if it is not known.
func (t *Tx) Lot(key event.LotKey) (*quality.Lot, error) {
	return optional(scanDoc[quality.Lot](t.row(`SELECT doc FROM lot WHERE key = ?`, key)))
}

// PutLot stores a lot.
func (t *Tx) PutLot(l *quality.Lot) error {
	doc, err := encodeDoc(l)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO lot (key, version, plant, material, supplier, sublot, equipment, release, release_since, doc)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET version = excluded.version, plant = excluded.plant, material = excluded.material,
		supplier = excluded.supplier, sublot = excluded.sublot, equipment = excluded.equipment, release = excluded.release,
		release_since = excluded.release_since, doc = excluded.doc`,
		l.Key, l.Version, l.Plant, l.Material, l.Supplier, l.Sublot, l.Equipment, l.Release.State, text(l.Release.Since), doc)
}

// LotsAfter returns at most limit lots behind a key, in the order of keys.
func (t *Tx) LotsAfter(after event.LotKey, limit int) ([]quality.Lot, error) {
	return docs[quality.Lot](t, `SELECT doc FROM lot WHERE key > ? ORDER BY key LIMIT ?`, after, limit)
}

// LotsByNumber returns at most limit lots whose number, as the master system writes it, is number.
func (t *Tx) LotsByNumber(number string, limit int) ([]quality.Lot, error) {
	key, err := event.NewLotKey("", "any", number)
	if err != nil {
		return nil, nil // no lot can have such a number
	}
	end := string(key)[strings.LastIndexByte(string(key), ':'):]
	// All keys are gone through, but not what stands beside them.
	return docs[quality.Lot](t, `SELECT doc FROM lot WHERE key IN (SELECT key FROM lot WHERE substr(key, length(key) - length(?) + 1) = ?
		ORDER BY key LIMIT ?) ORDER BY key`, end, end, limit)
}

// LotsInScope returns at most limit lots behind a key that may lie in the scope; [quality.Matches] decides.
func (t *Tx) LotsInScope(s *event.Scope, after event.LotKey, limit int) ([]quality.Lot, error) {
	column, err := scopeColumn(s.Kind)
	if err != nil {
		return nil, err
	}
	return docs[quality.Lot](t, `SELECT doc FROM lot WHERE `+column+` = ? AND key > ? ORDER BY key LIMIT ?`, s.Value, after, limit)
}

// Hold returns a hold, nil if it is not known. The lot of a hold by scope is empty.
func (t *Tx) Hold(id event.ObjectID, lot event.LotKey) (*quality.Hold, error) {
	return optional(scanDoc[quality.Hold](t.row(`SELECT doc FROM hold WHERE id = ? AND lot = ?`, id, lot)))
}

// PutHold stores a hold.
func (t *Tx) PutHold(h *quality.Hold) error {
	doc, err := encodeDoc(h)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO hold (id, lot, version, is_open, doc) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id, lot) DO UPDATE SET version = excluded.version, is_open = excluded.is_open, doc = excluded.doc`,
		h.ID, h.Lot, h.Version, flag(h.Open()), doc)
}

// HoldsOf returns a lot's own holds, open and lifted, sorted by id.
func (t *Tx) HoldsOf(lot event.LotKey) ([]quality.Hold, error) {
	return docs[quality.Hold](t, `SELECT doc FROM hold WHERE lot = ? ORDER BY id`, lot)
}

// OpenHoldsOf returns a lot's own open holds, sorted by id. For the lot "" it returns the open holds by scope.
func (t *Tx) OpenHoldsOf(lot event.LotKey) ([]quality.Hold, error) {
	return docs[quality.Hold](t, `SELECT doc FROM hold WHERE lot = ? AND is_open = 1 ORDER BY id`, lot)
}

// Nonconformance returns a nonconformance, nil if it is not known.
func (t *Tx) Nonconformance(id event.ObjectID) (*quality.Nonconformance, error) {
	return optional(scanDoc[quality.Nonconformance](t.row(`SELECT doc FROM nonconformance WHERE id = ?`, id)))
}

// NonconformancesOf returns a lot's nonconformances, sorted by id.
func (t *Tx) NonconformancesOf(lot event.LotKey) ([]quality.Nonconformance, error) {
	return docs[quality.Nonconformance](t, `SELECT n.doc FROM nonconformance_lot l JOIN nonconformance n ON n.id = l.id
		WHERE l.lot = ? ORDER BY n.id`, lot)
}

// PutNonconformance stores a nonconformance.
func (t *Tx) PutNonconformance(n *quality.Nonconformance) error {
	doc, err := encodeDoc(n)
	if err != nil {
		return err
	}
	open := n.State != quality.NCClosed && n.State != quality.NCVoided
	if err := t.exec(`INSERT INTO nonconformance (id, version, is_open, doc) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, is_open = excluded.is_open, doc = excluded.doc`,
		n.ID, n.Version, flag(open), doc); err != nil {
		return err
	}
	for _, lot := range n.Lots {
		if err := t.exec(`INSERT INTO nonconformance_lot (id, lot) VALUES (?, ?) ON CONFLICT DO NOTHING`, n.ID, lot); err != nil {
			return err
		}
	}
	return nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
