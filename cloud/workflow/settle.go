package workflow

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Settlement is how a claimed effect ended.
type Settlement struct {
	Outcome  quality.Outcome // applied, already_applied, rejected or cancelled
	Wanted   string          // what was wanted, in words
	Usage    event.UsageStatus
	UsageRaw string
	Own      event.UsageStatus // what our rules alone asked for
	Foreign  event.UsageStatus // what someone else restricted the lot to; empty = nothing
	Wrote    bool              // a write of ours led there
	External string            // id of the record in the system
	// Moved is what the system says to have moved of the lot since MovedSince; zero = it was not asked.
	Moved      []event.Movement
	MovedSince time.Time
	Code       string // the vendor's
	Message    string
	Evidence   []byte // JSON; goes to the ledger
}

// Settle ends a claimed effect: its row, the event that says so with all that follows, and the evidence in the ledger,
// in one transaction. It returns [ErrFence] if the lease went to another dispatcher.
func (e *Engine) Settle(ctx context.Context, row *store.EffectRow, s Settlement) error {
	data := &event.EffectSettled{
		MayLot: event.MayLot{Lot: row.Lot}, CommandID: event.Name(row.CommandID), EffectRef: event.Name(quality.Reference(row.CommandID)),
		Kind: event.Name(row.Kind), System: event.Name(row.System), Object: row.Object, Wanted: s.Wanted, Outcome: s.Outcome,
		Usage: s.Usage, UsageRaw: s.UsageRaw, Own: s.Own, Foreign: s.Foreign, Wrote: s.Wrote, ExternalRef: s.External, Attempts: row.Attempts,
		Code: s.Code, Message: s.Message, Moved: s.Moved,
	}
	if !s.MovedSince.IsZero() {
		data.MovedSince = event.At(s.MovedSince)
	}
	ev := e.own(data, row.ID, strconv.FormatInt(row.Generation, 10), strconv.FormatInt(row.Attempts, 10), strconv.FormatInt(e.now().UnixNano(), 10))
	ev.Causation, ev.Correlation = row.Cause, row.Correlation
	if err := ev.Seal(System); err != nil {
		return fmt.Errorf("settle %s: %w", row.ID, err)
	}
	in := &Input{Event: ev}
	t := &turn{}
	return e.commit(ctx, t, func() error {
		state := store.EffectSettled
		if s.Outcome == event.Rejected {
			state = store.EffectException
		}
		ok, err := t.tx.SettleEffect(row, state, s.Outcome, s.Code, s.Message, s.External, t.now)
		if err != nil {
			return fmt.Errorf("settle %s: %w", row.ID, err)
		}
		if !ok {
			return fmt.Errorf("settle %s: %w", row.ID, ErrFence)
		}
		t.wantsEffects = true // what waited for the same lot may go now
		if row.Kind == quality.UsageDecisionPost {
			if err := t.tx.WakeBehind(row, t.now); err != nil { // the stock, which waits for the decision
				return fmt.Errorf("settle %s: %w", row.ID, err)
			}
		}
		if _, err := t.apply(in, ev); err != nil {
			return err
		}
		if err := t.announceEvent(TopicEffect, ev); err != nil {
			return err
		}
		return t.evidence(row, ev, s)
	})
}

// evidence enters the settlement itself, with what the system answered.
func (t *turn) evidence(row *store.EffectRow, ev *event.Event, s Settlement) error {
	entry := store.Entry{
		At: t.now, Principal: System, Act: string(ev.Data.Type()), Object: "settled:" + string(ev.ID), Version: 1, EventID: ev.ID,
		Lot: row.Lot, Was: string(s.Evidence), Now: string(ev.Value),
	}
	return t.tx.AddEntry(&entry)
}

func (t *turn) announceEvent(topic string, ev *event.Event) error {
	t.wantsOutbox = true
	return t.tx.PutOutbox(topic, ev.Message())
}
