package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

const (
	// mostSteps bounds one attempt: flag, transfer document and their way back, each with a conflict or two.
	mostSteps       = 12
	conflictsInARow = 5
)

// MostUnknown is how often a document is written whose write may have happened, and that no look-up finds, before a
// person decides. State effects go on: repeating them does no harm.
const MostUnknown = 8

// MostSent is the same for a notice: people are not told a third time.
const MostSent = 2

// ErrUnwanted is returned by Decide for an effect that is no longer wanted. It ends as cancelled, unless it is there
// already.
var ErrUnwanted = errors.New("no longer wanted")

// ErrAsItIs is returned by Decide where what is seen must stay, though it is neither what our rules ask for nor stricter.
// The effect ends with what is there.
var ErrAsItIs = errors.New("must stay as it is")

// ErrMoved is returned by Mark where what was decided is not wanted any more: no write leaves, and the effect is looked
// at and decided about anew.
var ErrMoved = errors.New("wanted otherwise by now")

// Protocol is the one way in which an effect is written: look up by our reference, read with version, decide again,
// write conditionally, read back. It knows nothing of rows and leases; one value serves one attempt.
type Protocol struct {
	System connector.System
	Effect quality.Effect
	// Decide returns what is wanted now, given what the system shows; it is asked before every write. An error other than
	// ErrUnwanted and ErrAsItIs makes the effect wait.
	Decide func(ctx context.Context, e quality.Effect, seen *connector.View) (quality.Effect, error)
	// Mark is called before a write leaves; after its error none does. It is where the decision is asked for the last time,
	// in one step with the record that a write may have happened: see [ErrMoved].
	Mark func(ctx context.Context) error

	Wrote    bool   // a write of ours may have led to what is seen; set it where one of an earlier attempt may have
	Undone   int    // marked writes that the system says it did not do
	Evidence []byte // of the last write

	acted   bool             // this attempt wrote
	doubted bool             // an earlier attempt's write may have happened
	made    event.Ref        // record that an acknowledged write of this attempt made
	told    connector.Result // of that write
}

// Ending is how an effect ended: applied, already_applied, rejected or cancelled.
type Ending struct {
	Outcome quality.Outcome
	View    connector.View
	Found   []event.Ref // records that carry the reference
	Result  connector.Result
}

// Run takes the effect to its end. An error says that it waits; it wraps a connector's Result where one said so.
func (p *Protocol) Run(ctx context.Context) (Ending, error) {
	acknowledged, before, conflicts := false, "", 0
	p.doubted = p.Wrote
	for range mostSteps {
		view, version, found, err := p.look(ctx)
		if err != nil {
			return Ending{}, err
		}
		if p.Effect, err = p.Decide(ctx, p.Effect, &view); err != nil && !errors.Is(err, ErrUnwanted) && !errors.Is(err, ErrAsItIs) {
			return Ending{}, err
		}
		switch {
		case view.Shows(&p.Effect), errors.Is(err, ErrAsItIs):
			return Ending{Outcome: p.shown(), View: view, Found: found}, nil
		case acknowledged && p.blind():
			return Ending{Outcome: event.Applied, View: view, Result: p.told}, nil
		}
		if acknowledged {
			if r, over := p.unshown(&view, before); over {
				return Ending{Outcome: event.Rejected, View: view, Found: found, Result: r}, nil
			} else if r.Outcome != "" {
				return Ending{}, r
			}
		}
		if err != nil {
			return Ending{Outcome: p.dropped(), View: view, Found: found, Result: p.unwanted(err)}, nil
		}
		before = fingerprint(&view)
		r, err := p.write(ctx, version)
		if errors.Is(err, ErrMoved) {
			acknowledged = false
			continue
		}
		if err != nil {
			return Ending{}, err
		}
		acknowledged = r.Outcome == ""
		switch r.Outcome {
		case "":
		case event.Rejected:
			return Ending{Outcome: event.Rejected, View: view, Found: found, Result: r}, nil
		case event.Conflict:
			if conflicts++; conflicts == conflictsInARow {
				return Ending{}, r
			}
		default:
			return Ending{}, r
		}
	}
	return Ending{}, connector.Result{Outcome: event.Conflict, Code: "steps", Message: "the object did not come to rest"}
}

// shown says whether this attempt led to what is seen.
func (p *Protocol) shown() quality.Outcome {
	if p.acted {
		return event.Applied
	}
	return event.AlreadyApplied
}

// blind tells whether the system can't be asked what it did: its acknowledgement is then all the proof there is.
func (p *Protocol) blind() bool {
	return p.Effect.Kind == quality.NoticeSend && p.System.Caps().Blind
}

// dropped says how an effect ends that is no longer wanted. A message that may have been read, at a system that can't be
// asked, is for a person to put right.
func (p *Protocol) dropped() quality.Outcome {
	if p.Wrote && p.blind() {
		return event.Rejected
	}
	return event.Cancelled
}

// unwanted says in words how an effect was cancelled.
func (p *Protocol) unwanted(err error) connector.Result {
	r := connector.Result{Code: "unwanted", Message: err.Error()}
	if p.Wrote {
		r.Message += "; a write of it may have happened, and no look-up finds it"
	}
	return r
}

// fingerprint is what tells whether a write changed anything.
func fingerprint(v *connector.View) string {
	return fmt.Sprint(v.Exists, v.UsageRaw, v.State, v.Ref.ID, v.Ref.ETag, v.Stock, v.Inspections, v.Gate, v.Tasks)
}

// unshown judges what an acknowledged write left: nothing changed is a refusal, half of the way goes on. A document that
// is known by its reference is made once in an attempt: one that can't be found yet is unknown, and looked up before it
// is made again. One that is acknowledged a second time and still not there is a refusal.
func (p *Protocol) unshown(v *connector.View, before string) (r connector.Result, over bool) {
	made := p.Effect.Kind.Document() && byReference(p.Effect.Kind)
	switch {
	case made && v.Kind != connector.ObjectLot && v.Exists:
		return connector.Result{Code: "reference_lost", Message: "the system did not keep the reference " + string(p.Effect.Ref), Ref: v.Ref}, true
	case made && !p.doubted && p.made.ID == "":
		return connector.Result{Outcome: event.Unknown, Code: "not_found", Message: "acknowledged, but the record can't be found yet"}, false
	case made, fingerprint(v) == before:
		return connector.Result{Code: "not_done", Message: "acknowledged, but nothing changed"}, true
	}
	return connector.Result{}, false
}

// byReference tells whether effects of a kind are found by their reference. The others are read on their lot.
func byReference(kind quality.Kind) bool {
	_, found := connector.ObjectOf(kind)
	return found
}

// look finds and reads what the effect acts on. What is not there yet is read as nothing.
func (p *Protocol) look(ctx context.Context) (v connector.View, version connector.Version, found []event.Ref, err error) {
	kind, known := connector.ObjectOf(p.Effect.Kind)
	o := connector.Object{Kind: kind, Lot: p.Effect.Lot}
	if known && !p.blind() {
		if found, err = p.System.Find(ctx, p.Effect); err != nil {
			return v, nil, nil, fmt.Errorf("find %s: %w", p.Effect.Ref, err)
		}
	}
	switch {
	case !known:
	case len(found) > 0:
		o = connector.Object{Kind: kind, ID: found[0].ID}
	case p.blind():
		return v, nil, nil, nil
	case p.made.ID != "":
		o = connector.Object{Kind: kind, ID: p.made.ID}
	case p.Effect.Kind == quality.NonconformanceAdvance:
		return v, nil, nil, connector.Result{Outcome: event.RetryLater, Code: "record_missing", Message: "the record is not there yet", Waits: true}
	case p.Effect.Kind == quality.StockTransfer: // it is made out of the lot's stock
		o.Kind = connector.ObjectLot
	default:
		return v, nil, nil, nil
	}
	if v, version, err = p.System.Read(ctx, o); err != nil {
		return v, nil, nil, fmt.Errorf("read %s: %w", o.Kind, err)
	}
	if o.ID == "" && !v.Exists {
		return v, nil, nil, connector.Result{Outcome: event.RetryLater, Code: "lot_missing", Message: "the system does not know the lot yet", Waits: true}
	}
	return v, version, found, nil
}

// write makes one conditional write. What the system says it did not do was not ours.
func (p *Protocol) write(ctx context.Context, version connector.Version) (connector.Result, error) {
	before := p.Wrote
	if err := errors.Join(p.Mark(ctx), failpoint.Hit("dispatch.before_write")); err != nil {
		return connector.Result{}, err
	}
	acted := p.acted
	p.Wrote, p.acted = true, true
	r := p.System.Write(ctx, p.Effect, version)
	if len(r.Evidence) > 0 {
		p.Evidence = r.Evidence
	}
	switch r.Outcome {
	case "":
		p.made, p.told = r.Ref, r
		return r, failpoint.Hit("dispatch.after_write")
	case event.Conflict, event.RetryLater:
		p.Wrote, p.acted = before, acted
		p.Undone++
	}
	return r, nil
}
