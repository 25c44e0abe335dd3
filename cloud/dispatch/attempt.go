package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// attempt is one try at one claimed effect.
type attempt struct {
	dispatcher *Dispatcher
	row        *store.EffectRow
	system     connector.System
	protocol   *Protocol
	own        event.UsageStatus // what our rules alone ask for, as of the last decision
	foreign    event.UsageStatus // what someone else restricted the lot to; empty = nothing
}

// run takes the effect through the write protocol and records its end. An error says that it waits.
func (a *attempt) run(ctx context.Context) error {
	if !slices.Contains(a.system.Kinds(), a.row.Kind) {
		return a.settle(ctx, workflow.Settlement{
			Outcome: event.Rejected, Wanted: string(a.row.Kind), Message: "system " + a.row.System + " has no such effect; a person has to do it there",
		})
	}
	if a.row.Priority == 0 {
		ctx = connector.First(ctx)
	}
	p := &Protocol{System: a.system, Effect: a.effect(), Mark: a.mark, Wrote: a.row.Wrote, Decide: a.decideRecord}
	a.protocol = p
	if a.row.Kind == quality.LotUsageSet {
		p.Decide = a.decideUsage
	}
	end, err := p.Run(ctx)
	a.row.Wrote = p.Wrote
	if err != nil {
		return err
	}
	return a.settle(ctx, a.settlement(p, &end))
}

// effect is what the row says; what exactly is wanted is decided later.
func (a *attempt) effect() quality.Effect {
	e := quality.Effect{
		CommandID: a.row.CommandID, Ref: quality.Reference(a.row.CommandID), Kind: a.row.Kind, System: a.row.System,
		Object: a.row.Object, Lot: a.row.Lot, Generation: a.row.Generation, Correlation: a.row.Correlation,
	}
	if e.Kind == quality.NonconformanceAdvance {
		// The record is known by the reference that it was made under.
		e.CommandID = quality.CommandID("w3", a.row.Object, "ensure", 1)
		e.Ref = quality.Reference(e.CommandID)
	}
	return e
}

// decideUsage works out what the system should enforce for the lot, from the state of now. Whether what is seen may be
// ours is the protocol's to say: the row was marked before a write that the system then refused for someone's change.
func (a *attempt) decideUsage(ctx context.Context, e quality.Effect, seen *connector.View) (quality.Effect, error) {
	facts, err := a.dispatcher.facts(ctx, a.row.Lot)
	if err != nil {
		return e, err
	}
	now := quality.Seen{System: a.row.System, Usage: seen.Usage, Ours: a.protocol.Wrote}
	e.Usage = facts.Wanted(now)
	foreign := quality.ForeignUsage(&facts.Lot, now)
	if foreign == "" && a.foreign != "" && !quality.MoreRestrictive(a.foreign, seen.Usage) {
		foreign = a.foreign // our own write hides it
	}
	if a.foreign = foreign; foreign != "" && quality.MoreRestrictive(foreign, e.Usage) {
		e.Usage = foreign
	}
	a.own = quality.OwnUsage(&facts.Lot, facts.Open)
	return e, nil
}

// decideRecord reads what a nonconformance's record should hold, from the state of now.
func (a *attempt) decideRecord(ctx context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
	err := a.dispatcher.store.View(ctx, func(tx *store.Tx) error {
		nc, err := tx.Nonconformance(event.ObjectID(a.row.Object))
		if err == nil && nc == nil {
			err = fmt.Errorf("nonconformance %s of an effect is not known", a.row.Object)
		}
		if err == nil {
			e.Record = nc.Record()
		}
		return err
	})
	return e, err
}

// errNeverFound is returned in front of a write of a document that was written often enough and is still not there.
var errNeverFound = errors.New("was written and never found")

// mark records, before a write may leave, that one may have happened. It comes after the look-up, so it is also where a
// document that never shows up is given to a person.
func (a *attempt) mark(ctx context.Context) error {
	cfg := &a.dispatcher.cfg
	if a.row.Kind.Document() && a.row.Wrote && a.row.Attempts >= MostUnknown {
		return errNeverFound
	}
	var ours bool
	err := a.dispatcher.store.Update(ctx, func(tx *store.Tx) (err error) {
		ours, err = tx.MarkWrite(a.row.ID, a.row.Owner, cfg.Now().Add(cfg.Lease))
		return err
	})
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("effect %s: %w", a.row.ID, workflow.ErrFence)
	}
	a.row.Attempts++
	a.row.Wrote = true
	return nil
}

// settlement says in the workflow's words how the effect ended.
func (a *attempt) settlement(p *Protocol, end *Ending) workflow.Settlement {
	s := workflow.Settlement{
		Outcome: end.Outcome, Wanted: string(a.row.Kind), Wrote: p.Wrote, Evidence: p.Evidence, Code: end.Result.Code,
		Message: end.Result.Message, External: end.View.Ref.ID,
	}
	if a.row.Kind == quality.LotUsageSet {
		s.Wanted, s.Own, s.Foreign, s.External = string(p.Effect.Usage), a.own, a.foreign, ""
		// A view may satisfy more than one usage; what was wanted is then what it is.
		s.Usage, s.UsageRaw = p.Effect.Usage, end.View.UsageRaw
	}
	if len(end.Found) > 1 {
		s.Code, s.Message = "duplicates", fmt.Sprintf("%d records carry the reference %s; the lowest id counts", len(end.Found), p.Effect.Ref)
	}
	return s
}

func (a *attempt) settle(ctx context.Context, s workflow.Settlement) error {
	if err := failpoint.Hit("dispatch.before_record"); err != nil {
		return err
	}
	if err := a.dispatcher.engine.Settle(ctx, a.row, s); err != nil {
		return err
	}
	a.dispatcher.metrics.outcome(a.row.System, s.Outcome)
	return nil
}
