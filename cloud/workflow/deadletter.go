package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// quarantine keeps a record that is not understood. An urgent one puts a hold on what its key names: it may have been
// the one that forbids.
func (t *turn) quarantine(in *Input, e *event.Event, cause error) (Result, error) {
	if id := in.Message.Header(event.HeaderID); id != "" {
		// The second copy of an urgent record, or one that the agent sent again, is the same matter.
		if known, err := t.tx.QuarantinedBefore(event.ID(id), in.Message.Value); err != nil || known {
			return Result{Outcome: Duplicate}, err
		}
	}
	r, err := t.keep(in, e, store.Quarantined, cause, Quarantined)
	if err != nil || in.Event != nil || !urgentType(in.Message.Header(event.HeaderType)) {
		return r, err
	}
	return r, t.holdKey(in, r, cause)
}

// fail parks an event whose handler fails, and its key with it.
func (t *turn) fail(in *Input, e *event.Event, cause error) (Result, error) {
	r, err := t.park(in, e, cause)
	if spec, _ := event.Lookup(e.Data.Type()); err != nil || !spec.Urgent {
		return r, err
	}
	return r, t.holdKey(in, r, cause)
}

func (t *turn) park(in *Input, e *event.Event, cause error) (Result, error) {
	if t.parked == nil {
		var err error
		if t.parked, err = t.tx.ParkedKeys(); err != nil {
			return Result{}, err
		}
	}
	t.parked[e.Key] = true
	return t.keep(in, e, store.Parked, cause, Parked)
}

// wait keeps an event until the object that it names is known.
func (t *turn) wait(in *Input, e *event.Event, cause error, object string) (Result, error) {
	r, err := t.keepFor(in, e, store.Waiting, cause, Waiting, object)
	if err != nil {
		return r, err
	}
	t.wantsTimers = true
	return r, t.tx.PutTimer(quality.Timer{
		Name: timerWaiting, Object: strconv.FormatInt(r.Deadletter, 10), Due: t.now.Add(WaitLimit),
	})
}

func (t *turn) keep(in *Input, e *event.Event, state store.DeadletterState, cause error, outcome Outcome) (Result, error) {
	return t.keepFor(in, e, state, cause, outcome, "")
}

// keepFor stores a record whole, announces it, and lets its lot's status show it.
func (t *turn) keepFor(in *Input, e *event.Event, state store.DeadletterState, cause error, outcome Outcome, object string) (Result, error) {
	row := store.DeadletterRow{
		State: state, Key: string(in.Message.Key), Plant: in.Plant, EventID: event.ID(in.Message.Header(event.HeaderID)),
		EventType: event.Type(in.Message.Header(event.HeaderType)), Code: string(problem.CodeOf(cause)), Cause: cause.Error(),
		Object: object, Attempts: 1, Door: in.door(), Principal: in.Principal, Place: in.Place, At: t.now, Updated: t.now,
		Message: in.Message,
	}
	if e != nil {
		row.Message = e.Message()
		row.Key, row.Lot, row.EventID, row.EventType = e.Key, e.Data.Concerns(), e.ID, e.Data.Type()
	} else if lot := event.LotKey(row.Key); validLot(lot) {
		row.Lot = lot
	}
	if err := t.tx.AddDeadletter(&row); err != nil {
		return Result{}, fmt.Errorf("keep record %s: %w", row.EventID, err)
	}
	r := Result{Outcome: outcome, Deadletter: row.ID, Cause: cause}
	if state == store.Waiting {
		t.suspect(row.Lot) // a decision that waits keeps a release back
		return r, nil      // not yet a matter for a person
	}
	parked := &event.DeadletterParked{Deadletter: deadletterData(&row, System, "")}
	if err := t.announce(TopicDeadletter, parked, e, "deadletter", strconv.FormatInt(row.ID, 10)); err != nil {
		return r, err
	}
	return r, t.restate(&row)
}

// restate lets everybody see that something of a lot waits, or no longer does. The lot itself stays as it is: what was not
// applied is no part of it.
func (t *turn) restate(row *store.DeadletterRow) error {
	t.move(row.Plant, row.Lot)
	if row.Lot == "" {
		return nil
	}
	return t.restateLot(row.Lot, row.Plant, row.State.Open())
}

// restateLot tells the plants and the warehouse that something about a lot is not known, or known again.
func (t *turn) restateLot(key event.LotKey, plant event.PlantID, restricts bool) error {
	lot, err := t.tx.Lot(key)
	if err != nil || lot == nil {
		return err
	}
	if wms := t.plant(lot.Plant).WMS; wms != "" {
		i := quality.Intent{Kind: quality.TasksGate, System: wms, Object: string(key), Lot: key, Urgent: restricts}
		if err := t.want(&event.Event{ID: lot.Cause}, i, lot.Version); err != nil {
			return err
		}
	}
	if !restricts {
		if err := t.loosen(lot); err != nil {
			return err
		}
	}
	return t.markStatus(lot, plant)
}

// loosen has the ERPs looked at that enforce more than the lot's own facts ask for: something that was not understood may
// have kept them from less. A lot that is to be free asks for that by itself.
func (t *turn) loosen(lot *quality.Lot) error {
	open, err := t.tx.OpenHolds(lot.Key, lot)
	if err != nil {
		return err
	}
	own := quality.OwnUsage(lot, open)
	for _, u := range lot.Usage {
		if own == event.Unrestricted || u.Foreign != "" || !quality.MoreRestrictive(u.Usage, own) {
			continue
		}
		i := quality.Intent{Kind: quality.LotUsageSet, System: u.System, Object: string(lot.Key), Lot: lot.Key}
		if err := t.want(&event.Event{ID: lot.Cause}, i, lot.Version); err != nil {
			return err
		}
	}
	return nil
}

// holdKey places a hold of kind system on the lot or scope that a record's key names: fail closed.
func (t *turn) holdKey(in *Input, kept Result, cause error) error {
	key := string(in.Message.Key)
	data := &event.HoldPlaced{
		HoldID: event.ObjectID("hold:holdfast:deadletter-" + strconv.FormatInt(kept.Deadletter, 10)), HoldKind: event.HoldSystem,
		Reason: "an urgent record was not understood: " + cause.Error(), PlacedBy: System, PlacedAt: event.At(t.now),
		Authority: event.AuthorityQuality,
	}
	switch {
	case validLot(event.LotKey(key)):
		data.Lot = event.LotKey(key)
	case strings.HasPrefix(key, "scope:"):
		parts := strings.SplitN(key, ":", 3)
		if len(parts) != 3 {
			return nil
		}
		value, err := url.PathUnescape(parts[2])
		if err != nil {
			return nil // no scope of ours is written so
		}
		data.Scope = &event.Scope{Kind: event.ScopeKind(parts[1]), Value: event.Name(value), Plant: in.Plant}
	default:
		return nil
	}
	e := t.engine.own(data, "hold", strconv.FormatInt(kept.Deadletter, 10))
	e.Plant = in.Plant
	if err := e.Seal(System); err != nil {
		return nil // the key names nothing that could be held
	}
	_, err := t.apply(&Input{Event: e}, e)
	return err
}

func validLot(k event.LotKey) bool {
	_, _, _, err := k.Parts()
	return err == nil
}

// urgentType tells whether a type, also one of a version that is not known, belongs to an urgent family.
func urgentType(name string) bool {
	for _, t := range []event.Type{event.TypeHoldPlaced, event.TypeNonconformanceOpened, event.TypeSafetyFailed} {
		if t.Family() == event.Type(name).Family() {
			return true
		}
	}
	return false
}

// release applies what waited for objects that are known now.
func (t *turn) release(objects []string) error {
	for _, object := range objects {
		rows, err := t.tx.WaitingFor(object)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := t.tx.CancelTimer(timerWaiting, strconv.FormatInt(rows[i].ID, 10)); err != nil {
				return err
			}
			if _, err := t.again(&rows[i], System, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// again applies a kept record. If it is not applied it stays in the list, with the new cause.
func (t *turn) again(row *store.DeadletterRow, by, reason string) (Result, error) {
	in, e, err := inputOf(row)
	if err != nil {
		return t.stay(row, err, row.State)
	}
	if _, _, known, err := t.tx.InboxHashes(e.ID); err != nil || known {
		return Result{Outcome: Duplicate}, errors.Join(err, t.close(row, store.Redriven, by, reason, e))
	}
	change, before, err := t.decide(e)
	if errors.Is(err, errDatabase) {
		return Result{}, err
	}
	if err != nil {
		state, object, cause := verdict(e, err)
		row.Object = object
		return t.stay(row, cause, state)
	}
	in.Principal, in.Reason = cmpOr(row.Principal, in.Principal), reason
	if err := t.accept(in, e, change, before); err != nil {
		return Result{}, err
	}
	return Result{Outcome: Accepted}, t.close(row, store.Redriven, by, reason, e)
}

// inputOf makes a kept record an input again. Its error is a problem.
func inputOf(row *store.DeadletterRow) (*Input, *event.Event, error) {
	e, err := event.Decode(row.Message)
	if err != nil {
		return nil, nil, undecoded(&row.Message, err)
	}
	in := &Input{Plant: row.Plant, Place: row.Place, Principal: row.Principal, Message: row.Message}
	switch {
	case row.Door == "C":
		in.Event = e
	case e.Plant != row.Plant:
		return nil, nil, problem.New(problem.EventForeign, "event %s: it says plant %q, its topic is that of %q", e.ID, e.Plant, row.Plant)
	case e.Origin.Agent == "":
		return nil, nil, problem.New(problem.EventInvalid, "event %s: it has no origin", e.ID)
	}
	return in, e, nil
}

func (t *turn) stay(row *store.DeadletterRow, cause error, state store.DeadletterState) (Result, error) {
	row.State, row.Code, row.Cause, row.Updated = state, string(problem.CodeOf(cause)), cause.Error(), t.now
	row.Attempts++
	outcome := map[store.DeadletterState]Outcome{
		store.Waiting: Waiting, store.Dead: Refused, store.Parked: Parked, store.Quarantined: Quarantined,
	}[state]
	return Result{Outcome: outcome, Deadletter: row.ID, Cause: cause}, t.tx.UpdateDeadletter(row)
}

// close ends a record's wait and says so in ledger and topic.
func (t *turn) close(row *store.DeadletterRow, state store.DeadletterState, by, reason string, e *event.Event) error {
	waited := row.State == store.Waiting
	row.State, row.Updated = state, t.now
	if err := t.tx.UpdateDeadletter(row); err != nil || waited {
		return err // what only waited for its object was never a matter for a person
	}
	var data event.Data
	switch d := deadletterData(row, by, reason); state {
	case store.Replaced:
		data = &event.DeadletterReplaced{Deadletter: d}
	case store.Dropped:
		data = &event.DeadletterDropped{Deadletter: d}
	default:
		data = &event.DeadletterRedriven{Deadletter: d}
	}
	in := &Input{Principal: by, Reason: reason}
	id := strconv.FormatInt(row.ID, 10)
	if err := t.announce(TopicDeadletter, data, e, "deadletter", id, string(state)); err != nil {
		return err
	}
	act := t.engine.own(data, "deadletter", id, string(state))
	if err := t.enter(in, act, "deadletter:"+id, row.Attempts+1, row.Lot, nil, data); err != nil {
		return err
	}
	return t.restate(row)
}

func deadletterData(row *store.DeadletterRow, by, reason string) event.Deadletter {
	return event.Deadletter{
		MayLot: event.MayLot{Lot: row.Lot}, DeadletterID: row.ID, EventID: string(row.EventID), EventType: string(row.EventType),
		Key: cmpOr(row.Key, "none"), Code: event.Name(row.Code), Cause: row.Cause, Attempts: row.Attempts, By: event.Name(by), Reason: reason,
		RawBase64: base64.StdEncoding.EncodeToString(row.Message.Value),
	}
}

// giveUpWaiting makes an event that waited too long a matter for a person.
func (t *turn) giveUpWaiting(object string) error {
	id, err := strconv.ParseInt(object, 10, 64)
	if err != nil {
		return fmt.Errorf("timer of waiting event %q: %w", object, err)
	}
	row, err := t.tx.Deadletter(id)
	if err != nil || row.State != store.Waiting {
		return err
	}
	row.State, row.Updated = store.Dead, t.now
	return t.tx.UpdateDeadletter(&row)
}

// Redrive applies a kept record again. For a parked one it works through its whole key in order, and stops at the first
// that fails again; live events of the key queue behind until the list is empty.
func (e *Engine) Redrive(ctx context.Context, id int64, principal, reason string) ([]Result, error) {
	var results []Result
	t := &turn{}
	err := e.commit(ctx, t, func() error {
		results = nil
		row, err := t.tx.Deadletter(id)
		if err != nil {
			return err
		}
		if !row.State.Open() {
			return problem.New(problem.RuleRefused, "dead letter %d is closed: %s", id, row.State)
		}
		rows := []store.DeadletterRow{row}
		if row.State == store.Parked {
			if rows, err = t.tx.ParkedOf(row.Key); err != nil {
				return err
			}
		}
		for i := range rows {
			r, err := t.again(&rows[i], principal, reason)
			if err != nil {
				return err
			}
			results = append(results, r)
			if r.Outcome != Accepted && r.Outcome != Duplicate {
				break
			}
		}
		return nil
	})
	return results, err
}

// Fix puts a corrected event in the place of a kept one: the same type and lot, new data. The original closes as
// replaced and stays readable; the correction takes its place in the order of its key and waits for a redrive.
func (e *Engine) Fix(ctx context.Context, id int64, value []byte, principal, reason string) (fixed int64, err error) {
	t := &turn{}
	err = e.commit(ctx, t, func() error {
		row, err := t.tx.Deadletter(id)
		if err != nil {
			return err
		}
		if !row.State.Open() {
			return problem.New(problem.RuleRefused, "dead letter %d is closed: %s", id, row.State)
		}
		ev, err := e.correction(&row, value, principal)
		if err != nil {
			return problem.Wrap(problem.EventInvalid, err)
		}
		fixed, err = t.replace(&row, ev, principal, reason)
		return err
	})
	return fixed, err
}

// ActDeadletterDrop is the act by which persons drop a record that was kept. Make it by [DropDeadletter].
const ActDeadletterDrop = "deadletter.drop"

// Particulars of the act, besides the signatures.
const (
	detailDeadletter = "deadletter"
	detailRaw        = "raw_sha256"
)

// signersOfDrop is how many persons it takes, whatever a plant's policy says about gaps: what is dropped is never applied.
const signersOfDrop = 2

// DropDeadletter returns the act of dropping a kept record: it is never applied, and what waited behind it, a release
// above all, goes on without it. The record itself stays, whole, with who dropped it and why. Raw is the hash of its
// value: persons sign for these bytes. Who and why is for the caller to add, with the signatures of two persons.
func DropDeadletter(id int64, raw event.Hash) *event.ActRecorded {
	n := strconv.FormatInt(id, 10)
	return &event.ActRecorded{Act: ActDeadletterDrop, About: "deadletter:" + n, Detail: map[string]string{detailDeadletter: n, detailRaw: string(raw)}}
}

// RawHash returns the hash of a kept record's value.
func RawHash(value []byte) event.Hash {
	sum := sha256.Sum256(value)
	return event.Hash(hex.EncodeToString(sum[:]))
}

// dropLetter closes a kept record that is never to be applied. The next copy of it is a duplicate.
func (t *turn) dropLetter(in *Input, e *event.Event, d *event.ActRecorded) error {
	id, err := strconv.ParseInt(d.Detail[detailDeadletter], 10, 64)
	if err != nil {
		return problem.New(problem.Usage, "dead letter %.40q: %w", d.Detail[detailDeadletter], err)
	}
	row, err := t.tx.Deadletter(id)
	switch {
	case err != nil:
		return err
	case !row.State.Open():
		return problem.New(problem.RuleRefused, "dead letter %d is closed: %s", id, row.State)
	case RawHash(row.Message.Value) != event.Hash(d.Detail[detailRaw]):
		return problem.New(problem.StateMoved, "dead letter %d holds other bytes than those that were signed for", id)
	case len(SignersOf(d)) < signersOfDrop:
		return problem.New(problem.RuleRefused, "it takes the signatures of %d persons to drop a record", signersOfDrop)
	}
	if row.State == store.Waiting {
		if err := t.tx.CancelTimer(timerWaiting, strconv.FormatInt(id, 10)); err != nil {
			return err
		}
		row.State = store.Dead // from here on it is a matter that persons decided
	}
	t.parked = nil // its key may wait no more
	return t.close(&row, store.Dropped, principalOf(in, e), d.Reason, e)
}

func (e *Engine) correction(row *store.DeadletterRow, value []byte, principal string) (*event.Event, error) {
	data, err := event.DecodeData(row.EventType, value)
	if err != nil {
		return nil, err
	}
	if key := data.Subject(); row.Key != "" && key != row.Key {
		return nil, fmt.Errorf("the correction is about %q, the original about %q", key, row.Key)
	}
	ev := e.own(data, "fix", strconv.FormatInt(row.ID, 10), principal)
	data.ReadBy().Source = event.Name("fix by " + principal)
	ev.Plant = row.Plant
	if row.EventID != "" {
		ev.Causation = row.EventID
	}
	if t, err := event.ParseTime(row.Message.Header(event.HeaderTime)); err == nil {
		ev.Time = t.Time
	}
	return ev, ev.Seal(System)
}

func (t *turn) replace(row *store.DeadletterRow, ev *event.Event, principal, reason string) (int64, error) {
	next := store.DeadletterRow{
		Ord: row.Ord, State: row.State, Key: ev.Key, Lot: ev.Data.Concerns(), Plant: row.Plant, EventID: ev.ID, EventType: ev.Data.Type(),
		Code: row.Code, Cause: "corrected by " + principal + ", waits for redrive", Object: row.Object, Door: "C", Principal: principal,
		At: t.now, Updated: t.now, Message: ev.Message(),
	}
	if err := t.tx.AddDeadletter(&next); err != nil {
		return 0, err
	}
	row.ReplacedBy = ev.ID
	return next.ID, t.close(row, store.Replaced, principal, reason, ev)
}
