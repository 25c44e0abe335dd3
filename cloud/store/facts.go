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

// keptOf tells whether an event of the lot is parked, or a record that names it was not understood, by the cloud, by an
// agent, or by who follows the systems that decide about lots.
func (t *Tx) keptOf(key event.LotKey) (parked, quarantined bool, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var state DeadletterState
		err := rows.Scan(&state)
		parked = parked || state == Parked
		quarantined = quarantined || state == Quarantined
		return err
	}, `SELECT DISTINCT state FROM deadletter WHERE lot = ? AND state IN ('parked', 'quarantined')
		UNION SELECT 'quarantined' FROM gap WHERE lot = ? AND is_open = 1
		UNION SELECT 'quarantined' FROM feed_unread WHERE lot = ? AND kind = 'decision'`, key, key, key)
	if err != nil || parked {
		return parked, quarantined, err
	}
	parked, err = t.forbidden(key)
	return parked, quarantined, err
}

// forbidden tells whether a decision about the lot that does not simply release it was signed and not applied: it waits
// for the one whose place it takes, or a rule refused it. A refused one counts until it is put right, or until one that
// was signed later is applied: who signed that has seen it.
func (t *Tx) forbidden(key event.LotKey) (bool, error) {
	rows, err := t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE lot = ? AND state IN ('waiting', 'dead')
		AND event_type IN (?, ?)`, key, event.TypeDispositionDecided, event.TypeDispositionRevised)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	applied, err := t.DispositionsOf(key)
	return slices.ContainsFunc(rows, func(r DeadletterRow) bool {
		d := decisionIn(r.Message)
		later := func(x quality.Disposition) bool { return x.DecidedAt.After(d.DecidedAt.Time) }
		switch {
		case d == nil:
			return true
		case r.State == Dead && slices.ContainsFunc(applied, later):
			return false
		}
		return d.Decision != quality.Release
	}), err
}

// decisionIn returns the decision that a message is, nil if it can't be told.
func decisionIn(m event.Message) *event.Disposition {
	data, err := event.DecodeData(event.Type(m.Header(event.HeaderType)), m.Value)
	if err != nil {
		return nil
	}
	switch d := data.(type) {
	case *event.DispositionDecided:
		return &d.Disposition
	case *event.DispositionRevised:
		return &d.Disposition
	}
	return nil
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
		f.Evidence.Late, err = t.late(f)
		return err // what is missing from now on does not reach back
	}
	if f.Gaps, err = t.gapsOf(f); err != nil {
		return err
	}
	for i := range f.Gaps {
		f.Evidence.Gap = f.Evidence.Gap || f.Gaps[i].Lot == ""
	}
	f.Answers, err = t.answersOf(f)
	return err
}

// late tells whether something came after the release that an ERP has to wait for which does not show it yet. A lot of one
// plant has one ERP, and that shows it.
func (t *Tx) late(f *quality.Facts) (bool, error) {
	if len(f.Plants) < 2 {
		return false, nil
	}
	gaps, err := t.gapsOf(f)
	if err != nil || slices.ContainsFunc(gaps, func(g quality.Gap) bool { return g.Lot == "" }) {
		return err == nil, err
	}
	answers, err := t.answersOf(f)
	return slices.ContainsFunc(answers, func(a quality.Answer) bool { return !a.Has(f.Lot.Release.Barrier) }), err
}

// answersOf returns the agents in question of a lot, with how far they have answered and whether persons have signed for
// the answer to what the lot asks, or asked for its release. A plant in question of whose agents none was ever heard of is
// no plant without holds: it is an agent without a name, which does not answer.
func (t *Tx) answersOf(f *quality.Facts) (all []quality.Answer, err error) {
	barrier := f.Ask.Barrier
	if f.Lot.Release.Granted() {
		barrier = f.Lot.Release.Barrier
	}
	for _, plant := range f.Plants {
		answers, err := t.Answers(plant)
		if err != nil {
			return nil, err
		}
		if len(answers) == 0 {
			heard, err := t.heard(plant)
			if err != nil {
				return nil, err
			}
			if !heard {
				answers = []quality.Answer{{Plant: plant}}
			}
		}
		for _, a := range answers {
			a.Accepted = slices.ContainsFunc(f.Acceptances, func(x quality.Acceptance) bool {
				return barrier > 0 && x.Answers(a.Plant, a.Agent, barrier)
			})
			all = append(all, a)
		}
	}
	return all, nil
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
