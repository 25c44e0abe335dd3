package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// attempt is one try at one claimed effect.
type attempt struct {
	dispatcher *Dispatcher
	row        *store.EffectRow
	target     *target
	returned   int  // how often the target had begun to answer when the attempt began
	asked      bool // the system may have been
	protocol   *Protocol
	doubt      store.Doubt // of a document that is known by its reference
	// stands tells whether what was decided last is still wanted, from what is known of the lot by then. Nil = the effect
	// frees nothing.
	stands  func(*quality.Facts) bool
	own     event.UsageStatus // what our rules alone ask for, as of the last decision
	foreign event.UsageStatus // what someone else restricted the lot to; empty = nothing

	movedSince  time.Time // since when the system is asked for what moved of the lot; zero = no release of it was taken back
	movesUnread bool      // it could not say
}

// run takes the effect through the write protocol and records its end. An error says that it waits.
func (a *attempt) run(ctx context.Context) error {
	if !slices.Contains(a.target.system.Kinds(), a.row.Kind) {
		return a.settle(ctx, a.missing())
	}
	if a.row.Priority == 0 {
		ctx = connector.First(ctx)
	}
	p := &Protocol{System: a.target.system, Effect: a.effect(), Mark: a.mark, Wrote: a.row.Wrote, Decide: a.decision()}
	a.protocol = p
	end, err := a.remember(ctx)
	if end == nil && err == nil {
		end, err = a.early(ctx)
	}
	if end != nil || err != nil {
		if err == nil {
			err = a.settle(ctx, a.settlement(p, end))
		}
		return err
	}
	a.asked = true
	ending, err := p.Run(ctx)
	a.row.Wrote = p.Wrote
	if err := a.undone(ctx); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	s := a.settlement(p, &ending)
	a.listMoves(ctx, &s, &ending)
	if err := a.settle(ctx, s); err != nil {
		return err
	}
	a.askMoves(ctx)
	return nil
}

// missing says how an effect ends that does not exist in its system: a person has to do it there. An ERP without usage
// decisions keeps no inspection lots that would need one, and a QMS without inspections owes none.
func (a *attempt) missing() workflow.Settlement {
	s := workflow.Settlement{Outcome: event.Rejected, Wanted: string(a.row.Kind), Message: "system " + a.row.System + " has no such effect; a person has to do it there"}
	switch a.row.Kind {
	case quality.UsageDecisionPost:
		s.Outcome, s.Code, s.Message = event.AlreadyApplied, noInspectionLot, "system "+a.row.System+" has no usage decisions"
	case quality.InspectionSubmit:
		s.Outcome, s.Code, s.Message = event.AlreadyApplied, notKept, "system "+a.row.System+" keeps no inspections"
	}
	return s
}

// repeatAfter is how long a notice that may have been sent waits where nobody can be asked whether it was.
const repeatAfter = 15 * time.Minute

// early ends or delays an effect for which no system has to be asked: one that is no longer wanted and was never tried,
// and a notice that may be under way.
func (a *attempt) early(ctx context.Context) (*Ending, error) {
	if !a.row.Kind.Document() {
		return nil, nil
	}
	if err := a.dispatcher.store.View(ctx, func(tx *store.Tx) (err error) {
		a.doubt, err = tx.DoubtOf(a.row.ID)
		return err
	}); err != nil {
		return nil, err
	}
	if !a.row.Wrote {
		e, err := a.protocol.Decide(ctx, a.protocol.Effect, &connector.View{})
		a.protocol.Effect = e
		if errors.Is(err, ErrUnwanted) {
			return &Ending{Outcome: event.Cancelled, Result: a.protocol.unwanted(err)}, nil
		}
		return nil, err
	}
	if wait := a.doubt.Last.Add(repeatAfter).Sub(a.dispatcher.cfg.Now()); a.protocol.blind() && wait > 0 && a.doubt.Writes < MostSent {
		return nil, connector.Result{
			Outcome: event.Unknown, Code: "possible_repeat", RetryAfter: wait, Waits: true,
			Message: "whether the message was sent is unknown and can't be looked up; it is sent once more, marked as a possible repeat",
		}
	}
	return nil, nil
}

// undone takes back the marks of writes that the system says it did not do.
func (a *attempt) undone(ctx context.Context) error {
	if a.protocol.Undone == 0 || !a.counts() {
		return nil
	}
	return a.dispatcher.store.Update(ctx, func(tx *store.Tx) error { return tx.DropDoubt(a.row.ID, int64(a.protocol.Undone)) })
}

// counts tells whether it is counted how often the effect may have been written: a document that no look-up finds.
func (a *attempt) counts() bool { return a.row.Kind.Document() && byReference(a.row.Kind) }

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

// errNeverFound is returned in front of a write of a document that was written often enough and is still not there.
var errNeverFound = errors.New("was written and never found")

// mark records, before a write may leave, that one may have happened. It comes after the look-up, so it is also where a
// document that never shows up is given to a person. In the same transaction it looks at the lot once more: what was
// accepted since the decision, a hold above all, is not written over.
func (a *attempt) mark(ctx context.Context) error {
	cfg := &a.dispatcher.cfg
	if a.counts() && a.doubt.Writes >= a.most() {
		return errNeverFound
	}
	now, ours := cfg.Now(), false
	err := a.dispatcher.store.Update(ctx, func(tx *store.Tx) (err error) {
		if err := a.allowed(tx, now); err != nil {
			return err
		}
		if err := a.still(tx); err != nil {
			return err
		}
		if ours, err = tx.MarkWrite(a.row.ID, a.row.Owner, now.Add(cfg.Lease)); err != nil || !ours || !a.counts() {
			return err
		}
		return tx.AddDoubt(a.row.ID, now)
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

// still returns [ErrMoved] where what was decided is not wanted any more.
func (a *attempt) still(tx *store.Tx) error {
	if a.stands == nil {
		return nil
	}
	f, err := tx.Facts(a.row.Lot)
	if err == nil && !a.stands(&f) {
		err = ErrMoved
	}
	return err
}

// most is how often the effect may have been written before a person decides.
func (a *attempt) most() int64 {
	if a.row.Kind == quality.NoticeSend {
		return MostSent
	}
	return MostUnknown
}

// settlement says in the workflow's words how the effect ended.
func (a *attempt) settlement(p *Protocol, end *Ending) workflow.Settlement {
	s := workflow.Settlement{
		Outcome: end.Outcome, Wanted: string(a.row.Kind), Wrote: p.Wrote, Evidence: p.Evidence, Code: end.Result.Code,
		Message: end.Result.Message, External: end.View.Ref.ID,
	}
	switch a.row.Kind {
	case quality.LotUsageSet:
		s.Wanted, s.Own, s.Foreign, s.External = string(p.Effect.Usage), a.own, a.foreign, ""
		// A view may satisfy more than one usage; what was wanted is then what it is. A stronger one that satisfies what was
		// wanted is still there, and must be known as ours when it is taken back.
		s.Usage, s.UsageRaw = p.Effect.Usage, end.View.UsageRaw
		if quality.MoreRestrictive(end.View.Usage, s.Usage) {
			s.Usage = end.View.Usage
		}
	case quality.UsageDecisionPost:
		s.Wanted = string(p.Effect.Decision)
		a.inspections(&s, end)
	case quality.TasksGate:
		s.Wanted, s.External = string(p.Effect.Gate), ""
		if end.Outcome != event.Rejected && p.Effect.Gate == quality.GateHeld {
			s.Code, s.Message = stopList(&end.View)
		}
	case quality.NoticeSend:
		if end.Outcome == event.Applied && p.blind() {
			s.Code, s.Message, s.External = "unverified", "acknowledged; the system can't be asked what it sent", p.made.ID
		}
	}
	if len(end.Found) > 1 {
		s.Code, s.Message = "duplicates", fmt.Sprintf("%d records carry the reference %s; the lowest id counts", len(end.Found), p.Effect.Ref)
	}
	return s
}

// notKept is the code of a record that its system keeps no place for.
const notKept = "not_kept"

// noInspectionLot is the code of a usage decision that was not needed.
const noInspectionLot = "no_inspection_lot"

// inspections names the inspection lots that a usage decision was posted on.
func (a *attempt) inspections(s *workflow.Settlement, end *Ending) {
	ids := make([]string, 0, len(end.View.Inspections))
	for _, i := range end.View.Inspections {
		ids = append(ids, i.ID)
	}
	s.External = strings.Join(ids, ",")
	if len(ids) == 0 && (s.Outcome == event.AlreadyApplied || s.Outcome == event.Applied) {
		s.Code, s.Message = noInspectionLot, "the ERP keeps no inspection lot for the lot"
	}
}

// stopList names the tasks that no gate holds any more: those that have started have to be stopped by a person, and what
// was picked or shipped has to be found.
func stopList(v *connector.View) (code, message string) {
	var started, done []string
	for _, t := range v.Tasks {
		name := t.ID
		if t.Kind != "" {
			name += " (" + t.Kind + ")"
		}
		if t.Order != "" {
			name += " for order " + t.Order
		}
		switch {
		case t.State == connector.TaskStarted:
			started = append(started, name)
		case t.State == connector.TaskDone && t.Kind != putaway:
			done = append(done, name)
		}
	}
	var words []string
	if len(started) > 0 {
		code = "tasks_started"
		words = append(words, "to stop by hand, started already: "+list(started))
	}
	if len(done) > 0 {
		words = append(words, "done before the hold: "+list(done))
	}
	return code, strings.Join(words, "; ")
}

// putaway is the kind of task that moves a lot nowhere but to its place.
const putaway = "putaway"

// mostNamed bounds how many tasks a message names.
const mostNamed = 50

func list(names []string) string {
	if len(names) > mostNamed {
		return strings.Join(names[:mostNamed], ", ") + fmt.Sprintf(" and %d more", len(names)-mostNamed)
	}
	return strings.Join(names, ", ")
}

// known ends an attempt that looked again at a settled effect and found what was verified then: that is no new fact.
func (a *attempt) known(ctx context.Context, s *workflow.Settlement) (known bool, err error) {
	again := a.row.Settled == a.row.Generation && (a.row.Outcome == event.Applied || a.row.Outcome == event.AlreadyApplied)
	if a.row.Kind != quality.LotUsageSet || !again || s.Outcome != event.AlreadyApplied || s.Wrote {
		return false, nil
	}
	err = a.dispatcher.store.Update(ctx, func(tx *store.Tx) error {
		lot, err := tx.Lot(a.row.Lot)
		if err != nil || lot == nil {
			return err
		}
		last, verified := lot.UsageIn(a.row.System)
		if known = verified && last.Usage == s.Usage && last.Raw == s.UsageRaw && last.Foreign == s.Foreign && told(lot, a.row.System, s); !known {
			return nil
		}
		ours, err := tx.SettleEffect(a.row, store.EffectSettled, s.Outcome, s.Code, s.Message, "", a.dispatcher.cfg.Now())
		if err == nil && !ours {
			err = fmt.Errorf("effect %s: %w", a.row.ID, workflow.ErrFence)
		}
		return err
	})
	return known, err
}

// settle records how the effect ended. What it says is lasting from then on, so that the doubt about it ends; where
// forgetting fails, nothing is wrong but a row too many.
func (a *attempt) settle(ctx context.Context, s workflow.Settlement) error {
	if err := failpoint.Hit("dispatch.before_record"); err != nil {
		return err
	}
	if known, err := a.known(ctx, &s); err != nil || known {
		return err
	}
	if err := a.dispatcher.engine.Settle(ctx, a.row, s); err != nil {
		return err
	}
	a.dispatcher.metrics.outcome(a.row.System, s.Outcome)
	if !a.counts() || a.doubt.Writes == 0 && (a.protocol == nil || !a.protocol.Wrote) {
		return nil
	}
	if err := a.dispatcher.store.Update(ctx, func(tx *store.Tx) error { return tx.ForgetDoubt(a.row.ID) }); err != nil {
		a.dispatcher.log.Warn().Err(err).Str(telemetry.KeyEffect, a.row.ID).Msg("doubt about a settled effect stays")
	}
	return nil
}
