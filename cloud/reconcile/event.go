package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// unfit says why an object can't become an event, however often it is read as it is.
type unfit struct{ why string }

func (u *unfit) Error() string { return u.why }

func unfitf(format string, args ...any) error { return &unfit{fmt.Sprintf(format, args...)} }

// input makes an input of what a view shows; nil = it says nothing new.
func (f *follower) input(ctx context.Context, v *connector.View) (*workflow.Input, error) {
	switch {
	case v.Kind == connector.ObjectDecision && v.Disposition != nil:
		return f.decision(ctx, v)
	case v.Kind == connector.ObjectAllocation && v.Allocation != nil:
		return f.allocation(ctx, v)
	case v.Kind == connector.ObjectLot:
		return f.lot(ctx, v)
	}
	return nil, nil // records are looked up where they are needed
}

// decision makes an event of a decision that was signed, if it is not known as it is, after reading it again at its
// system.
func (f *follower) decision(ctx context.Context, v *connector.View) (*workflow.Input, error) {
	if d := v.Disposition; d.SignedBy == "" || d.DecidedAt.IsZero() {
		return nil, nil // a draft decides nothing
	}
	if in, err := f.decided(ctx, v); err == nil {
		if known, err := f.recorded(ctx, in.Event); err != nil || known {
			return nil, err
		}
	}
	again, _, err := f.feed.System.Read(ctx, connector.Object{Kind: connector.ObjectDecision, ID: v.ID})
	switch {
	case err != nil && refused(err), err == nil && (!again.Exists || again.Disposition == nil):
		return nil, &unfit{unreadable(err).Error()}
	case err != nil:
		return nil, fmt.Errorf("read decision %s again: %w", v.ID, err)
	}
	if d := again.Disposition; d.SignedBy == "" || d.DecidedAt.IsZero() {
		return nil, unfitf("the list shows a signature by %s, the decision itself has none", v.Disposition.SignedBy)
	}
	in, err := f.decided(ctx, &again)
	if err != nil {
		return nil, err
	}
	if known, err := f.recorded(ctx, in.Event); err != nil || known {
		return nil, err
	}
	return in, nil
}

// decided makes the event of a decision. One that was signed again in its own record supersedes itself: each signature
// is a decision of its own.
func (f *follower) decided(ctx context.Context, v *connector.View) (*workflow.Input, error) {
	d := v.Disposition
	switch {
	case d.Decision == "":
		return nil, unfitf("the mapping has no decision for %q", d.Raw)
	case v.Lot == "":
		return nil, unfitf("it names no lot that is understood")
	case strings.TrimSpace(d.Reason) == "":
		return nil, unfitf("it was signed without a reason")
	}
	said := event.Disposition{
		OfLot: event.OfLot{Lot: v.Lot}, Decision: event.Decision(d.Decision), SignedBy: event.Name(d.SignedBy), Reason: d.Reason,
		DecidedAt: event.At(d.DecidedAt), Condition: d.Condition,
	}
	var err error
	if said.DispositionID, err = f.dispositionID(v.ID, d.Version); err != nil {
		return nil, &unfit{err.Error()}
	}
	if said.Q, err = f.quantity(ctx, v.Lot, d.Q); err != nil {
		return nil, err
	}
	supersedes, err := f.superseded(ctx, v)
	if err != nil {
		return nil, err
	}
	var data event.Data
	traced := f.traced(v)
	if supersedes == "" {
		data = &event.DispositionDecided{Disposition: said, Traced: traced}
	} else {
		data = &event.DispositionRevised{Disposition: said, Supersedes: supersedes, Traced: traced}
	}
	in := f.cloudEvent(data, d.DecidedAt, v.ID, strconv.FormatInt(d.Version, 10))
	in.Principal, in.Reason = d.SignedBy, d.Reason
	return in, nil
}

// dispositionID names a decision: the record, and from its second signature on which one.
func (f *follower) dispositionID(id string, version int64) (event.ObjectID, error) {
	if version > 1 {
		id += ".r" + strconv.FormatInt(version, 10)
	}
	return event.NewObjectID("disposition", f.feed.ID, id)
}

// superseded returns the decision whose place one takes: the one that it names, else the last known signature in its own
// record; empty = none.
func (f *follower) superseded(ctx context.Context, v *connector.View) (event.ObjectID, error) {
	d := v.Disposition
	// Of the record that it names the newest known signature is meant.
	id, below := d.Supersedes, int64(maxSignatures)
	if id == "" {
		id, below = v.ID, min(d.Version, maxSignatures)
	}
	for version := below - 1; version >= 1; version-- {
		known, err := f.knownDecision(ctx, id, version)
		if err != nil {
			return "", err
		}
		if known {
			return f.dispositionID(id, version)
		}
	}
	if d.Supersedes == "" {
		return "", nil
	}
	return "", unfitf("the decision whose place it takes, %s, is not known yet", d.Supersedes)
}

// maxSignatures bounds how many signatures of one record are looked for.
const maxSignatures = 32

// quantity returns what a decision is about: all of the lot where it does not say.
func (f *follower) quantity(ctx context.Context, key event.LotKey, q event.Quantity) (event.Quantity, error) {
	if q.Value != "" {
		return q, nil
	}
	var lot *quality.Lot
	if err := f.deps.Store.View(ctx, func(tx *store.Tx) (err error) { lot, err = tx.Lot(key); return err }); err != nil {
		return q, err
	}
	if lot == nil || lot.Q.Value == "" {
		return q, unfitf("it is on a whole lot, %s, that is not known yet", key)
	}
	return lot.Q, nil
}

// knownDecision tells whether a signature was taken in, or waits for a person.
func (f *follower) knownDecision(ctx context.Context, id string, version int64) (known bool, err error) {
	key := []string{id, strconv.FormatInt(version, 10)}
	err = f.deps.Store.View(ctx, func(tx *store.Tx) error {
		for _, typ := range []event.Type{event.TypeDispositionDecided, event.TypeDispositionRevised} {
			id := event.NaturalID("", f.feed.ID, key, typ, 0)
			_, _, ok, err := tx.InboxHashes(id)
			if err == nil && !ok {
				_, ok, err = tx.DeadletterOfEvent(id)
			}
			if err != nil {
				return err
			}
			known = known || ok
		}
		return nil
	})
	return known, err
}

// recorded tells whether the event was accepted or is kept with the content that it has. With another one it is given to
// the engine, which keeps it apart.
func (f *follower) recorded(ctx context.Context, e *event.Event) (known bool, err error) {
	if e.Seal(workflow.System) != nil {
		return false, nil // the engine says why
	}
	err = f.deps.Store.View(ctx, func(tx *store.Tx) error {
		hash, _, ok, err := tx.InboxHashes(e.ID)
		if err != nil || ok && hash == e.ContentHash {
			known = ok
			return err
		}
		row, ok, err := tx.DeadletterOfEvent(e.ID)
		known = ok && event.Hash(row.Message.Header(event.HeaderHash)) == e.ContentHash
		return err
	})
	return known, err
}

// allocation makes an event of what an order line counts on.
func (f *follower) allocation(ctx context.Context, v *connector.View) (*workflow.Input, error) {
	a := v.Allocation
	if v.Lot == "" {
		return nil, unfitf("it names no lot that is understood")
	}
	data := &event.AllocationChanged{
		OfLot: event.OfLot{Lot: v.Lot}, Order: event.Name(a.Order), Line: event.Name(a.Line), Customer: event.Name(a.Customer), Q: a.Q,
		PromisedAt: event.At(a.PromisedAt), Traced: f.traced(v),
	}
	at := v.ChangedAt
	if at.IsZero() {
		at = f.deps.Now()
	}
	in := f.cloudEvent(data, at, v.ID, a.Version)
	if known, err := f.recorded(ctx, in.Event); err != nil || known {
		return nil, err
	}
	return in, nil
}

// errBusy is returned for a lot while an effect on its usage is under way: the dispatcher reads the lot itself, and what
// it verifies is what a view has to be compared with.
var errBusy = errors.New("an effect on the lot's usage is under way")

// lot makes an event of a usage that is not what was last verified. It returns [errBusy] where that can't be told yet.
func (f *follower) lot(ctx context.Context, v *connector.View) (*workflow.Input, error) {
	var lot *quality.Lot
	busy := false
	if err := f.deps.Store.View(ctx, func(tx *store.Tx) (err error) {
		if lot, err = tx.Lot(v.Lot); err != nil || lot == nil {
			return err
		}
		row, err := tx.Effect(strings.Join([]string{string(quality.LotUsageSet), f.feed.ID, string(v.Lot)}, "|"))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		busy = row.State == store.EffectDue || row.State == store.EffectLeased
		return err
	}); err != nil || lot == nil {
		return nil, err
	}
	if busy {
		return nil, errBusy
	}
	last, verified := lot.UsageIn(f.feed.ID)
	usage := v.Usage
	if part := v.Withheld(); part != "" {
		usage = part
	}
	if !v.Exists || !verified || v.Is(last.Usage) || usage == last.Usage {
		return nil, nil
	}
	at := v.ChangedAt
	if at.IsZero() {
		at = f.deps.Now()
	}
	data := &event.LotStatusChanged{
		OfLot: event.OfLot{Lot: v.Lot}, System: event.Name(f.feed.ID), Usage: usage, Raw: v.UsageRaw, ObservedAt: event.At(at), Traced: f.traced(v),
	}
	// Seen again while the lot is the same for us, it is the same fact.
	return f.cloudEvent(data, at, string(v.Lot), string(usage), v.UsageRaw, strconv.FormatInt(lot.Version, 10)), nil
}

func (f *follower) traced(v *connector.View) event.Traced {
	return event.Traced{Provenance: event.Provenance{Source: event.Name(f.feed.ID), Item: string(v.Kind) + " " + objectID(v), Transport: "api"}}
}

// cloudEvent returns an event of the cloud's door with a natural key of the system.
func (f *follower) cloudEvent(data event.Data, at time.Time, key ...string) *workflow.Input {
	return &workflow.Input{Event: &event.Event{
		ID: event.NaturalID("", f.feed.ID, key, data.Type(), 0), Source: "/" + f.feed.ID, Time: at, Recorded: f.deps.Now(), Data: data,
	}}
}
