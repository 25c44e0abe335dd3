package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// CountParkedLots counts the lots that have a parked record.
func (t *Tx) CountParkedLots() (n int64, err error) {
	err = t.row(`SELECT COUNT(DISTINCT lot) FROM deadletter WHERE state = 'parked' AND lot <> ''`).Scan(&n)
	return n, err
}

// OldestHolds returns when the oldest open hold of each plant's lots was placed. One by scope counts at the plant that it
// names, else at each plant that may have a lot of it.
func (t *Tx) OldestHolds() (map[event.PlantID]time.Time, error) {
	oldest := map[event.PlantID]time.Time{}
	note := func(plant event.PlantID, placed time.Time) {
		if was, ok := oldest[plant]; !ok || placed.Before(was) {
			oldest[plant] = placed
		}
	}
	if err := t.each(func(rows *sql.Rows) error {
		var plant event.PlantID
		var doc []byte
		if err := rows.Scan(&plant, &doc); err != nil {
			return err
		}
		var h quality.Hold
		if err := json.Unmarshal(doc, &h); err != nil {
			return fmt.Errorf("decode stored hold: %w", err)
		}
		note(plant, h.PlacedAt)
		return nil
	}, `SELECT l.plant, h.doc FROM hold h JOIN lot l ON l.key = h.lot WHERE h.is_open = 1`); err != nil {
		return nil, err
	}
	scoped, err := t.OpenHoldsOf("")
	for i := range scoped {
		plants := []event.PlantID{scoped[i].Scope.Plant}
		if plants[0] == "" {
			if plants, err = t.plantsOfScope(scoped[i].Scope); err != nil {
				return nil, err
			}
		}
		for _, plant := range plants {
			note(plant, scoped[i].PlacedAt)
		}
	}
	return oldest, err
}

// plantsOfScope returns the plants that have a lot which may lie in the scope.
func (t *Tx) plantsOfScope(s *event.Scope) ([]event.PlantID, error) {
	column, err := scopeColumn(s.Kind)
	if err != nil {
		return nil, err
	}
	var plants []event.PlantID
	err = t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		err := rows.Scan(&p)
		plants = append(plants, p)
		return err
	}, `SELECT DISTINCT plant FROM lot WHERE `+column+` = ?`, s.Value)
	return plants, err
}

func scopeColumn(kind event.ScopeKind) (string, error) {
	column, ok := map[event.ScopeKind]string{
		event.ScopeMaterial: "material", event.ScopeSupplier: "supplier", event.ScopeSublot: "sublot", event.ScopeEquipment: "equipment",
	}[kind]
	if !ok {
		return "", fmt.Errorf("scope kind %q is not known", kind)
	}
	return column, nil
}

// CountHoles counts, by plant, the intervals of seqs of lane quality that lie in front of one that came, of the epochs that
// go on: records that are under way, or that Kafka has lost. What closed epochs lack is a gap, see [Tx.GapsAt].
func (t *Tx) CountHoles() (map[event.PlantID]int64, error) {
	type key struct {
		plant event.PlantID
		agent string
		epoch event.Epoch
	}
	covered := map[key]Ranges{}
	if err := t.each(func(rows *sql.Rows) error {
		var k key
		var s string
		if err := rows.Scan(&k.plant, &k.agent, &k.epoch, &s); err != nil {
			return err
		}
		r, err := ParseRanges(s)
		for _, x := range r {
			covered[k] = covered[k].Add(x.From, x.To)
		}
		return err
	}, `SELECT c.plant, c.agent, c.epoch, c.ranges FROM epoch e JOIN coverage c ON c.plant = e.plant AND c.agent = e.agent AND c.epoch = e.epoch
		WHERE e.closed = 0 AND e.superseded = 0 AND c.lane = ?`, event.LaneQuality); err != nil {
		return nil, err
	}
	holes := map[event.PlantID]int64{}
	for k, r := range covered {
		holes[k.plant] += int64(len(r.Missing(r.Max())))
	}
	return holes, nil
}

// CountUndecided counts, by plant, the epochs whose records are kept until a person decides.
func (t *Tx) CountUndecided() (map[event.PlantID]int64, error) {
	counts := map[event.PlantID]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		var n int64
		err := rows.Scan(&p, &n)
		counts[p] = n
		return err
	}, `SELECT e.plant, COUNT(*) FROM epoch e LEFT JOIN epoch_decision d ON d.plant = e.plant AND d.agent = e.agent AND d.epoch = e.epoch
		WHERE e.superseded = 1 AND d.decision IS NULL GROUP BY e.plant`)
	return counts, err
}
