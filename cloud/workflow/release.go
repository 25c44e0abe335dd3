package workflow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// A release is granted in two steps. What a lot's own events say stands in the lot, which is a fold of the inbox: from
// the moment that it is decided and not held, it asks. Whether it may ask and who has answered depends on what is not in
// the inbox, or not alone: gaps in coverage, records that were not applied, heads. The engine looks at that at the end of
// each transaction that may have moved it, and says what it found by a timer that is due at once. The timer's event is
// the row of the inbox that grants the release, or takes it back. What happens between the two is seen again right
// before the write to the ERP, by [quality.Facts.Wanted].

// suspect has the lot looked at, at the end of the transaction.
func (t *turn) suspect(lot event.LotKey) {
	if t.suspects == nil {
		t.suspects = map[event.LotKey]bool{}
	}
	if lot != "" {
		t.suspects[lot] = true
	}
}

// move has a lot looked at, or where it is not known all lots of a plant that ask.
func (t *turn) move(plant event.PlantID, lot event.LotKey) {
	if lot != "" {
		t.suspect(lot)
		return
	}
	if t.plantsMoved == nil {
		t.plantsMoved = map[event.PlantID]bool{}
	}
	t.plantsMoved[plant] = true
}

// addPlant notes that a plant has an event or stock of a lot. One that a grant does not cover takes it back.
func (t *turn) addPlant(lot event.LotKey, plant event.PlantID) error {
	if lot == "" || plant == "" {
		return nil
	}
	fresh, err := t.tx.AddLotPlant(lot, plant)
	if fresh {
		t.suspect(lot)
	}
	return err
}

// finish works out what the transaction means for releases.
func (t *turn) finish() error {
	if err := t.countAnswers(); err != nil {
		return fmt.Errorf("count answers: %w", err)
	}
	for _, plant := range slices.Sorted(maps.Keys(t.plantsMoved)) {
		lots, err := t.tx.AskingLots(plant)
		if err != nil {
			return fmt.Errorf("find lots of %s that ask: %w", plant, err)
		}
		for _, lot := range lots {
			t.suspect(lot)
		}
	}
	for _, lot := range slices.Sorted(maps.Keys(t.suspects)) {
		if err := t.examine(lot); err != nil {
			return fmt.Errorf("examine release of lot %s: %w", lot, err)
		}
	}
	return nil
}

// examine looks at what a lot's release waits for, and moves it on.
func (t *turn) examine(key event.LotKey) error {
	f, err := t.tx.Facts(key)
	if err != nil || f.Lot.Key == "" {
		return err
	}
	asked := f.Ask
	switch f.Lot.Release.State {
	case quality.Asking:
		err = t.ask(&f)
	case quality.Releasing:
		err = t.confirm(&f)
	default:
		if f.Ask != (quality.Ask{}) {
			err = t.tx.DropAsk(key)
		}
	}
	if err != nil {
		return err
	}
	changed, err := t.noteWaits(&f)
	if err != nil {
		return err
	}
	if changed || asked.Barrier != f.Ask.Barrier {
		return t.markStatus(&f.Lot, "")
	}
	return nil
}

// ask puts the lot's question to the agents once nothing speaks against the release, and grants it when all have
// answered. What comes between takes the question back: it is asked anew.
func (t *turn) ask(f *quality.Facts) error {
	put := func(barrier int64) error {
		if f.Ask.Round == f.Lot.Release.Round && f.Ask.Barrier == barrier {
			return nil
		}
		f.Ask = quality.Ask{Barrier: barrier, Round: f.Lot.Release.Round, At: t.now}
		return t.tx.PutAsk(f.Lot.Key, f.Ask, false)
	}
	if f.Evidence.Against() || len(f.Open) > 0 {
		return put(0)
	}
	if !f.Asked() {
		barrier, err := t.barrier()
		if err != nil {
			return err
		}
		if err := put(barrier); err != nil {
			return err
		}
	}
	if f.Answered() {
		others := slices.DeleteFunc(slices.Clone(f.Plants), func(p event.PlantID) bool { return p == f.Lot.Plant })
		return t.tell(quality.TimerAnswered, quality.ReleaseTimer{Lot: f.Lot.Key, Barrier: f.Ask.Barrier, Round: f.Ask.Round, Plants: others})
	}
	for _, a := range f.Answers {
		if a.Agent != "" && !a.Has(f.Ask.Barrier) {
			if err := t.question(a.Plant, a.Agent, f.Ask.Barrier); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirm takes a grant back that no longer holds before the lot is free.
func (t *turn) confirm(f *quality.Facts) error {
	barrier := f.Lot.Release.Barrier
	if f.Ask.Round != f.Lot.Release.Round || f.Ask.Barrier != barrier {
		f.Ask = quality.Ask{Barrier: barrier, Round: f.Lot.Release.Round, At: t.now}
	}
	if err := t.tx.PutAsk(f.Lot.Key, f.Ask, true); err != nil {
		return err
	}
	reason := ""
	switch {
	case f.Evidence.Parked:
		reason = "parked"
	case f.Evidence.Quarantined:
		reason = "quarantine"
	case f.Evidence.Gap:
		reason = "gap"
	case !f.Grants(nil):
		reason = "unasked" // a plant or an agent that was not in question before
	default:
		return nil
	}
	return t.tell(quality.TimerWithdrawn, quality.ReleaseTimer{Lot: f.Lot.Key, Barrier: barrier, Round: f.Lot.Release.Round, Reason: reason})
}

// tell sets a timer that is due at once: its event is what the inbox remembers.
func (t *turn) tell(name string, r quality.ReleaseTimer) error {
	t.wantsTimers = true
	return t.tx.PutTimerOnce(quality.Timer{Name: name, Object: r.String(), Lot: r.Lot, Due: t.now})
}

// barrier returns the number that all lots of this transaction ask by.
func (t *turn) barrier() (int64, error) {
	if t.newBarrier != 0 {
		return t.newBarrier, nil
	}
	// The clock of now, also where events are applied with the times at which they were accepted first: the number has to
	// be above all that agents have ever read.
	n, err := t.tx.NextBarrier(t.engine.now())
	t.newBarrier = n
	return n, err
}

// noteWaits keeps since when a release that only waits for others does so, and for what. It tells whether that changed.
func (t *turn) noteWaits(f *quality.Facts) (changed bool, err error) {
	was, err := t.tx.WaitsOf(f.Lot.Key)
	if err != nil {
		return false, err
	}
	var now []store.WaitRow
	if f.Decided() {
		for _, w := range f.Waits(t.plant(f.Lot.Plant).ERP) {
			row := store.WaitRow{Plant: w.Plant, Reason: w.Kind, Since: t.now}
			if row.Plant == "" {
				row.Plant = f.Lot.Plant
			}
			if !slices.ContainsFunc(now, row.Same) {
				now = append(now, row)
			}
		}
	}
	for _, row := range was {
		if !slices.ContainsFunc(now, row.Same) {
			changed = true
			if err := t.tx.EndWait(f.Lot.Key, row, t.now); err != nil {
				return false, err
			}
		}
	}
	for _, row := range now {
		if !slices.ContainsFunc(was, row.Same) {
			changed = true
			if err := t.tx.AddWait(f.Lot.Key, row); err != nil {
				return false, err
			}
		}
	}
	return changed, nil
}

// AskAgain takes a lot's grant back where an ERP has stock of it at plants that were not asked, and asks them, too. A
// release that no longer stands is left alone, and so is one that is verified in the plant's ERP already: what is free
// there may go anywhere.
func (e *Engine) AskAgain(ctx context.Context, lot event.LotKey, plants []event.PlantID) error {
	t := &turn{}
	return e.commit(ctx, t, func() error {
		f, err := t.tx.Facts(lot)
		if err != nil {
			return err
		}
		unasked := f.Unasked(plants)
		if f.Lot.Release.State == quality.Released {
			unasked = slices.DeleteFunc(unasked, func(p event.PlantID) bool {
				usage, verified := f.Lot.UsageIn(t.plant(p).ERP)
				return verified && usage.Usage == event.Unrestricted
			})
		}
		if len(unasked) == 0 || !f.Lot.Release.Granted() {
			return nil
		}
		slices.Sort(unasked)
		return t.tell(quality.TimerWithdrawn, quality.ReleaseTimer{
			Lot: lot, Barrier: f.Lot.Release.Barrier, Round: f.Lot.Release.Round, Reason: "stock", Plants: slices.Compact(unasked),
		})
	})
}
