package store

import (
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Facts returns all that decides what may be done with a lot; Lot is nil-valued (empty Key) if it is not known.
func (t *Tx) Facts(key event.LotKey) (f quality.Facts, err error) {
	lot, err := t.Lot(key)
	if err != nil {
		return f, err
	}
	if lot != nil {
		f.Lot, f.Version, f.AsOf = *lot, lot.Version, lot.UpdatedAt
	}
	if f.Open, err = t.OpenHolds(key, lot); err != nil {
		return f, err
	}
	if f.Evidence.Parked, f.Evidence.Quarantined, err = t.keptOf(key); err != nil || lot == nil {
		return f, err
	}
	if f.Inspections, err = t.InspectionsOf(key); err != nil {
		return f, err
	}
	if f.Dispositions, err = t.DispositionsOf(key); err != nil {
		return f, err
	}
	if err := t.releaseFacts(&f); err != nil {
		return f, err
	}
	version, at, ok, err := t.lotStatus(key)
	if ok {
		f.Version, f.AsOf = version, at
	}
	return f, err
}

// keptOf tells whether an event of the lot is parked, or a record that names it was not understood, by the cloud or by an
// agent.
func (t *Tx) keptOf(key event.LotKey) (parked, quarantined bool, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var state DeadletterState
		err := rows.Scan(&state)
		parked = parked || state == Parked
		quarantined = quarantined || state == Quarantined
		return err
	}, `SELECT DISTINCT state FROM deadletter WHERE lot = ? AND state IN ('parked', 'quarantined')
		UNION SELECT 'quarantined' FROM gap WHERE lot = ? AND is_open = 1`, key, key)
	return parked, quarantined, err
}

// releaseFacts reads what decides about the release: plants, gaps, agents and their answers.
func (t *Tx) releaseFacts(f *quality.Facts) (err error) {
	if f.Plants, err = t.LotPlants(f.Lot.Key); err != nil {
		return err
	}
	if i, found := slices.BinarySearch(f.Plants, f.Lot.Plant); !found && f.Lot.Plant != "" {
		f.Plants = slices.Insert(f.Plants, i, f.Lot.Plant)
	}
	if f.Acceptances, err = t.AcceptancesOf(f.Lot.Key); err != nil {
		return err
	}
	if f.Ask, err = t.Ask(f.Lot.Key); err != nil {
		return err
	}
	if f.Lot.Release.State == quality.Released {
		return nil // what is missing from now on does not reach back
	}
	if f.Gaps, err = t.gapsOf(f); err != nil {
		return err
	}
	for i := range f.Gaps {
		f.Evidence.Gap = f.Evidence.Gap || f.Gaps[i].Lot == ""
	}
	for _, plant := range f.Plants {
		answers, err := t.Answers(plant)
		if err != nil {
			return err
		}
		for _, a := range answers {
			a.Accepted = slices.ContainsFunc(f.Acceptances, func(x quality.Acceptance) bool {
				return f.Ask.Barrier > 0 && x.Answers(a.Plant, a.Agent, f.Ask.Barrier)
			})
			f.Answers = append(f.Answers, a)
		}
	}
	return nil
}

// OpenHolds returns the open holds of a lot, its own and those by scope that match it, sorted by name. Lot may be nil:
// then no scope matches.
func (t *Tx) OpenHolds(key event.LotKey, lot *quality.Lot) ([]quality.Hold, error) {
	open, err := t.OpenHoldsOf(key)
	if err != nil || lot == nil {
		return open, err
	}
	scoped, err := t.OpenHoldsOf("")
	return quality.OpenOf(lot, open, scoped), err
}

// MarkStatus says that what a lot's status shows has changed. Its version grows with the clock, so that it goes on
// growing where the database is rebuilt or restored: readers keep the highest.
func (t *Tx) MarkStatus(lot event.LotKey, now time.Time) error {
	return t.exec(`INSERT INTO lot_status (lot, version, at) VALUES (?, ?, ?) ON CONFLICT (lot) DO UPDATE SET
		version = CASE WHEN excluded.version > lot_status.version THEN excluded.version ELSE lot_status.version + 1 END, at = excluded.at`,
		lot, now.UnixMicro(), text(now))
}

func (t *Tx) lotStatus(lot event.LotKey) (version int64, asOf time.Time, ok bool, err error) {
	var at string
	err = t.row(`SELECT version, at FROM lot_status WHERE lot = ?`, lot).Scan(&version, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, time.Time{}, false, nil
	}
	if err == nil {
		asOf, err = parse(at)
	}
	return version, asOf, err == nil, err
}
