package store

import (
	"database/sql"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// StageCount says how many lots of a plant are in a release state.
type StageCount struct {
	State quality.ReleaseState
	Plant event.PlantID
	Count int64
}

// CountStages counts lots by release state and plant, sorted.
func (t *Tx) CountStages() ([]StageCount, error) {
	var all []StageCount
	err := t.each(func(rows *sql.Rows) error {
		var c StageCount
		err := rows.Scan(&c.State, &c.Plant, &c.Count)
		all = append(all, c)
		return err
	}, `SELECT release, plant, COUNT(*) FROM lot GROUP BY release, plant ORDER BY release, plant`)
	return all, err
}

// BoardPlace is a lot's place in its column of the board.
type BoardPlace struct {
	Since time.Time
	Key   event.LotKey
}

// StageLots returns the places of at most limit lots in a release state behind a place, those first that are there
// longest. Plant "" means all plants; the zero place is in front of all.
func (t *Tx) StageLots(state quality.ReleaseState, plant event.PlantID, after BoardPlace, limit int) ([]BoardPlace, error) {
	return t.places(`SELECT release_since, key FROM lot WHERE release = ? AND (release_since, key) > (?, ?) AND (? = '' OR plant = ?)
		ORDER BY release_since, key LIMIT ?`, state, text(after.Since), after.Key, plant, plant, limit)
}

// NewestLots is [Tx.StageLots] in the other direction: those first that came last. The zero place is behind all.
func (t *Tx) NewestLots(state quality.ReleaseState, plant event.PlantID, before BoardPlace, limit int) ([]BoardPlace, error) {
	end := text(before.Since)
	if end == "" {
		end = "9" // behind all years
	}
	return t.places(`SELECT release_since, key FROM lot WHERE release = ? AND (release_since, key) < (?, ?) AND (? = '' OR plant = ?)
		ORDER BY release_since DESC, key DESC LIMIT ?`, state, end, before.Key, plant, plant, limit)
}

func (t *Tx) places(query string, args ...any) ([]BoardPlace, error) {
	var all []BoardPlace
	err := t.each(func(rows *sql.Rows) error {
		var p BoardPlace
		var since string
		err := rows.Scan(&since, &p.Key)
		if err == nil {
			p.Since, err = parse(since)
		}
		all = append(all, p)
		return err
	}, query, args...)
	return all, err
}
