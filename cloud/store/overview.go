package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Plants returns the plants of which something is known: an agent or a lot.
func (t *Tx) Plants() ([]event.PlantID, error) {
	var all []event.PlantID
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		err := rows.Scan(&p)
		all = append(all, p)
		return err
	}, `SELECT plant FROM epoch UNION SELECT plant FROM lot WHERE plant <> '' ORDER BY plant`)
	return all, err
}

// Arrival is the newest accepted event of a plant.
type Arrival struct {
	Time     time.Time // of the fact at its source
	Accepted time.Time
}

// LastArrival returns a plant's newest accepted event; its times are zero if there is none among the newest 10,000
// events of all plants.
func (t *Tx) LastArrival(plant event.PlantID) (a Arrival, err error) {
	var at, accepted string
	err = t.row(`SELECT time, accepted FROM inbox WHERE plant = ? AND pos > (SELECT COALESCE(MAX(pos), 0) FROM inbox) - 10000
		ORDER BY pos DESC LIMIT 1`, plant).Scan(&at, &accepted)
	if errors.Is(err, sql.ErrNoRows) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if a.Time, err = parse(at); err != nil {
		return a, err
	}
	a.Accepted, err = parse(accepted)
	return a, err
}

// CountLots counts the lots by plant.
func (t *Tx) CountLots() (map[event.PlantID]int64, error) {
	counts := map[event.PlantID]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		var n int64
		err := rows.Scan(&p, &n)
		counts[p] = n
		return err
	}, `SELECT plant, COUNT(*) FROM lot GROUP BY plant`)
	return counts, err
}

// HeldLots returns the lots that have an open hold, their own or one by scope, with their plant.
func (t *Tx) HeldLots() (map[event.LotKey]event.PlantID, error) {
	held := map[event.LotKey]event.PlantID{}
	if err := t.each(func(rows *sql.Rows) error {
		var key event.LotKey
		var plant event.PlantID
		err := rows.Scan(&key, &plant)
		held[key] = plant
		return err
	}, `SELECT DISTINCT h.lot, l.plant FROM hold h JOIN lot l ON l.key = h.lot WHERE h.is_open = 1`); err != nil {
		return nil, err
	}
	scoped, err := t.OpenHoldsOf("")
	for i := range scoped {
		if err := t.heldByScope(held, scoped[i].Scope); err != nil {
			return nil, err
		}
	}
	return held, err
}

const scopePage = 500

func (t *Tx) heldByScope(held map[event.LotKey]event.PlantID, scope *event.Scope) error {
	after := event.LotKey("")
	for {
		lots, err := t.LotsInScope(scope, after, scopePage)
		if err != nil {
			return err
		}
		for i := range lots {
			if quality.Matches(scope, &lots[i]) {
				held[lots[i].Key] = lots[i].Plant
			}
		}
		if len(lots) < scopePage {
			return nil
		}
		after = lots[len(lots)-1].Key
	}
}

// OutcomeCount says how many effects of a system and kind are in a state, by the outcome of their last attempt.
type OutcomeCount struct {
	System  string
	Kind    quality.Kind
	State   EffectState
	Outcome quality.Outcome // empty = not tried since it was asked for
	Count   int64
	Oldest  time.Time // Asked of the oldest
}

// CountOutcomes counts effects by system, kind, state and outcome.
func (t *Tx) CountOutcomes() ([]OutcomeCount, error) {
	var all []OutcomeCount
	err := t.each(func(rows *sql.Rows) error {
		var c OutcomeCount
		var oldest string
		err := rows.Scan(&c.System, &c.Kind, &c.State, &c.Outcome, &c.Count, &oldest)
		if err == nil {
			c.Oldest, err = parse(oldest)
		}
		all = append(all, c)
		return err
	}, `SELECT system, kind, state, outcome, COUNT(*), MIN(asked) FROM effect GROUP BY system, kind, state, outcome
		ORDER BY system, kind, state, outcome`)
	return all, err
}

// NewestEnforced returns the lot's hold that was verified in an ERP last, nil if there is none among the newest 2,000 changes.
func (t *Tx) NewestEnforced() (*quality.Hold, error) {
	var newest *quality.Hold
	err := t.each(func(rows *sql.Rows) error {
		var doc string
		if err := rows.Scan(&doc); err != nil || newest != nil {
			return err
		}
		h := new(quality.Hold)
		if err := json.Unmarshal([]byte(doc), h); err != nil {
			return fmt.Errorf("decode hold of the ledger: %w", err)
		}
		if h.Open() && !h.EnforcedAt.IsZero() {
			newest = h
		}
		return nil
	}, `SELECT now FROM ledger WHERE id > (SELECT COALESCE(MAX(id), 0) FROM ledger) - 2000 AND object LIKE '%@lot:%' ORDER BY id DESC`)
	return newest, err
}
