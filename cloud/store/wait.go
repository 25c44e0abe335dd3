package store

import (
	"database/sql"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// WaitRow says since when a lot's release waits for a reason at a plant.
type WaitRow struct {
	Plant  event.PlantID
	Reason quality.WaitKind
	Since  time.Time
}

// Same tells whether two rows are about the same reason at the same plant.
func (r WaitRow) Same(other WaitRow) bool { return r.Plant == other.Plant && r.Reason == other.Reason }

// WaitsOf returns what a lot's release waits for, as last worked out.
func (t *Tx) WaitsOf(lot event.LotKey) ([]WaitRow, error) {
	var all []WaitRow
	err := t.each(func(rows *sql.Rows) error {
		var r WaitRow
		var since string
		err := rows.Scan(&r.Plant, &r.Reason, &since)
		if err == nil {
			r.Since, err = parse(since)
		}
		all = append(all, r)
		return err
	}, `SELECT plant, reason, since FROM release_wait WHERE lot = ? ORDER BY plant, reason`, lot)
	return all, err
}

// AddWait notes that a lot's release waits.
func (t *Tx) AddWait(lot event.LotKey, r WaitRow) error {
	return t.exec(`INSERT INTO release_wait (lot, plant, reason, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, lot, r.Plant, r.Reason, text(r.Since))
}

// EndWait notes that a lot's release no longer waits for a reason, and adds up how long it did.
func (t *Tx) EndWait(lot event.LotKey, r WaitRow, now time.Time) error {
	if err := t.exec(`DELETE FROM release_wait WHERE lot = ? AND plant = ? AND reason = ?`, lot, r.Plant, r.Reason); err != nil {
		return err
	}
	return t.exec(`INSERT INTO release_waited (plant, reason, micros) VALUES (?, ?, ?) ON CONFLICT (plant, reason)
		DO UPDATE SET micros = release_waited.micros + excluded.micros`, r.Plant, r.Reason, max(0, now.Sub(r.Since).Microseconds()))
}

// Waited says how many lots wait for a reason at a plant now, and how long lots have waited for it, ever.
type Waited struct {
	Plant  event.PlantID
	Reason quality.WaitKind
	Lots   int64
	Total  time.Duration // of waits that ended and of those that go on
}

// Waited returns what releases wait for, and waited for, by plant and reason.
func (t *Tx) Waited(now time.Time) ([]Waited, error) {
	var all []Waited
	if err := t.each(func(rows *sql.Rows) error {
		var w Waited
		var micros int64
		err := rows.Scan(&w.Plant, &w.Reason, &micros)
		w.Total = time.Duration(micros) * time.Microsecond
		all = append(all, w)
		return err
	}, `SELECT plant, reason, SUM(micros) FROM (SELECT plant, reason, micros FROM release_waited
		UNION ALL SELECT plant, reason, 0 FROM release_wait) x GROUP BY plant, reason ORDER BY plant, reason`); err != nil {
		return nil, err
	}
	err := t.each(func(rows *sql.Rows) error {
		var plant event.PlantID
		var reason quality.WaitKind
		var since string
		if err := rows.Scan(&plant, &reason, &since); err != nil {
			return err
		}
		from, err := parse(since)
		for i := range all {
			if all[i].Plant == plant && all[i].Reason == reason {
				all[i].Lots++
				all[i].Total += max(0, now.Sub(from))
			}
		}
		return err
	}, `SELECT plant, reason, since FROM release_wait`)
	return all, err
}
