package dispatch

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// decision returns what works out, from the state of now, what an effect of the attempt's kind wants.
func (a *attempt) decision() func(context.Context, quality.Effect, *connector.View) (quality.Effect, error) {
	switch a.row.Kind {
	case quality.LotUsageSet:
		return a.decideUsage
	case quality.UsageDecisionPost:
		return a.decideDisposition
	case quality.TasksGate:
		return a.decideGate
	case quality.InspectionSubmit:
		return a.decideInspection
	case quality.NoticeSend:
		return a.decideNotice
	}
	return a.decideRecord
}

// decideUsage works out what the system should enforce for the lot. Whether what is seen may be ours is the protocol's
// to say: the row was marked before a write that the system then refused for someone's change.
func (a *attempt) decideUsage(ctx context.Context, e quality.Effect, seen *connector.View) (quality.Effect, error) {
	facts, err := a.dispatcher.facts(ctx, a.row.Lot)
	if err != nil {
		return e, err
	}
	a.movedSince = facts.Lot.MovedSince()
	now := quality.Seen{System: a.row.System, Usage: seen.Usage, Ours: a.protocol.Wrote}
	if now.Plants, err = a.stockAt(ctx, &facts, seen); err != nil {
		return e, err
	}
	part := seen.Withheld()
	if part != "" {
		now.Usage = part // to free the rest of the lot is a release, too
	}
	e.Usage, a.foreign = usageOf(&facts, now, seen.Usage, a.foreign)
	wanted, foreign := e.Usage, a.foreign
	a.stands = func(f *quality.Facts) bool {
		usage, _ := usageOf(f, now, seen.Usage, foreign)
		return !quality.MoreRestrictive(usage, wanted)
	}
	a.own = quality.OwnUsage(&facts.Lot, facts.Open)
	if part != "" && e.Usage == part && quality.MoreRestrictive(part, a.own) {
		return e, ErrAsItIs // a part that must not be freed is no reason to restrict the other
	}
	return e, nil
}

// usageOf returns what a system should enforce for a lot, and what of it is someone else's doing. Hidden is what was known
// of that before: a write of our own may hide it.
func usageOf(f *quality.Facts, now quality.Seen, shown, hidden event.UsageStatus) (usage, foreign event.UsageStatus) {
	usage, foreign = f.Wanted(now), quality.ForeignUsage(&f.Lot, now)
	if foreign == "" && hidden != "" && !quality.MoreRestrictive(hidden, shown) {
		foreign = hidden
	}
	if foreign != "" && quality.MoreRestrictive(foreign, usage) {
		usage = foreign
	}
	return usage, foreign
}

// stockAt returns the plants that have stock of a lot, as far as the configuration knows the system's names for them. A
// release that did not ask one of them asks again.
func (a *attempt) stockAt(ctx context.Context, f *quality.Facts, seen *connector.View) (plants []event.PlantID, err error) {
	for _, name := range seen.Plants() {
		if id := a.dispatcher.cfg.plantOf(a.row.System, name); id != "" {
			plants = append(plants, id)
		}
	}
	if f.Lot.Release.Granted() && len(f.Unasked(plants)) > 0 {
		err = a.dispatcher.engine.AskAgain(ctx, a.row.Lot, plants)
	}
	return plants, err
}

// decideGate works out what the warehouse may do with the lot's tasks.
func (a *attempt) decideGate(ctx context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
	facts, err := a.dispatcher.facts(ctx, a.row.Lot)
	if err != nil {
		return e, err
	}
	gate := func(f *quality.Facts) quality.Gate { return quality.WantedGate(f, a.dispatcher.cfg.erpOf(f.Lot.Plant)) }
	e.Gate, a.movedSince = gate(&facts), facts.Lot.MovedSince()
	wanted := e.Gate
	a.stands = func(f *quality.Facts) bool { return gate(f) == wanted }
	return e, nil
}

// notGranted is the code of a usage decision that waits for the release of its lot.
const notGranted = "not_granted"

// decideDisposition lets a usage decision go while its disposition stands. One that frees stock needs the release's grant
// as well, right before each write: an ERP may post the stock by itself with it.
func (a *attempt) decideDisposition(ctx context.Context, e quality.Effect, seen *connector.View) (quality.Effect, error) {
	facts, err := a.dispatcher.facts(ctx, a.row.Lot)
	if err != nil {
		return e, err
	}
	d := a.disposition(&facts)
	if d == nil {
		return e, fmt.Errorf("disposition %s of an effect is not known", a.row.Object)
	}
	plants, err := a.stockAt(ctx, &facts, seen)
	if err != nil {
		return e, err
	}
	e.Decision = d.Decision
	frees := d.Decision == quality.Release || d.Decision == quality.ConditionalRelease
	a.stands = func(f *quality.Facts) bool {
		d := a.disposition(f)
		return d != nil && d.Counts() && (!frees || a.granted(f, plants))
	}
	switch {
	case !d.Counts():
		return e, fmt.Errorf("%w: the decision was superseded by %s", ErrUnwanted, d.SupersededBy)
	case frees && !a.granted(&facts, plants):
		return e, connector.Result{Outcome: event.RetryLater, Code: notGranted, Message: "the lot may not be released now", Waits: true}
	}
	return e, nil
}

// disposition returns the decision that the effect is about, nil if it is not known.
func (a *attempt) disposition(f *quality.Facts) *quality.Disposition {
	i := slices.IndexFunc(f.Dispositions, func(d quality.Disposition) bool { return string(d.ID) == a.row.Object })
	if i < 0 {
		return nil
	}
	return &f.Dispositions[i]
}

// granted tells whether the guard of a release would let the lot go now, from whatever the ERP keeps it in.
func (a *attempt) granted(f *quality.Facts, plants []event.PlantID) bool {
	if len(f.Open) > 0 || f.Evidence.Against() || !f.Grants(plants) {
		return false
	}
	from := quality.Seen{System: a.row.System, Usage: event.InInspection, Plants: plants, Ours: true}
	return f.Lot.Decision != quality.Release || f.Wanted(from) == event.Unrestricted
}

// decideRecord reads what a nonconformance's record should hold.
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

// decideInspection reads what an inspection's record should hold.
func (a *attempt) decideInspection(ctx context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
	facts, err := a.dispatcher.facts(ctx, a.row.Lot)
	if err != nil {
		return e, err
	}
	if e.Inspection = facts.InspectionRecord(event.ObjectID(a.row.Object)); e.Inspection == nil {
		err = fmt.Errorf("inspection %s of an effect is not known, or has no verdict", a.row.Object)
	}
	return e, err
}

// decideNotice works out the message from the notice of now.
func (a *attempt) decideNotice(ctx context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
	id, step := quality.ParseNoticeObject(a.row.Object)
	var notice *quality.Notice
	if err := a.dispatcher.store.View(ctx, func(tx *store.Tx) (err error) {
		notice, err = tx.Notice(id)
		return err
	}); err != nil {
		return e, err
	}
	if notice == nil {
		return e, fmt.Errorf("notice %s of an effect is not known", id)
	}
	message := notice.Message(step)
	if message == nil {
		return e, fmt.Errorf("%w: the cause of the notice is gone", ErrUnwanted)
	}
	if a.doubt.Writes > 0 {
		repeated := *message
		repeated.Reason = connector.PossibleRepeat + repeated.Reason
		message = &repeated
	}
	e.Notice = message
	return e, nil
}
