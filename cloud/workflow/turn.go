package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// turn is one transaction of the engine.
type turn struct {
	engine *Engine
	inputs []Input
	tx     *store.Tx
	now    time.Time
	fold   bool // the events were accepted before: what was decided about them then stands

	// What follows from these events can't be announced: the transaction was given up for them, and in this one they fail.
	unsound map[event.ID]error

	parked   map[string]bool // keys with parked records; nil = not read yet
	epochs   map[epochKey]*store.EpochRow
	coverage map[store.CoverageKey]store.Ranges

	// What has to be looked at before the end: lots, all lots of plants that ask, agents that may have answered, epochs that
	// may be whole.
	suspects    map[event.LotKey]bool
	plantsMoved map[event.PlantID]bool
	agents      map[agentKey]bool
	epochsMoved map[epochKey]bool

	newBarrier   int64             // that the lots of this turn ask by; 0 = none yet
	told         map[agentKey]bool // agents whose control record is to be written
	barrierWaits []barrierWait

	wantsEffects, wantsOutbox, wantsTimers bool
}

// barrierWait is how long a plant's agent took to answer a barrier.
type barrierWait struct {
	plant event.PlantID
	took  time.Duration
}

// decodedInput is an input's event, or why there is none.
type decodedInput struct {
	event  *event.Event
	origin event.Origin // of the record, also where the event itself is not understood
	head   *event.Head  // instead of an event
	isHead bool         // also where it is not understood
	err    error
}

func decode(in *Input) decodedInput {
	if in.Event != nil {
		err := in.Event.Seal(System)
		return decodedInput{event: in.Event, err: err}
	}
	m := &in.Message
	if event.IsHead(*m) {
		return decodeHead(in)
	}
	d := decodedInput{}
	d.origin, _ = event.DecodeOrigin(m.Header(event.HeaderAgent), m.Header(event.HeaderEpoch), m.Header(event.HeaderPrev),
		m.Header(event.HeaderLane), m.Header(event.HeaderSeq)) // a record without a valid origin has none
	e, err := event.Decode(*m)
	switch {
	case err != nil:
		d.err = undecoded(m, err)
	case e.Plant != in.Plant:
		d.err = problem.New(problem.EventForeign, "event %s: it says plant %q, its topic is that of %q", e.ID, e.Plant, in.Plant)
	case e.Origin.Agent == "":
		d.err = problem.New(problem.EventInvalid, "event %s: it has no origin", e.ID)
	default:
		d.event = e
	}
	return d
}

// undecoded names why a record was not understood: an upgrade helps where its type is not known yet.
func undecoded(m *event.Message, err error) error {
	code := problem.EventInvalid
	if errors.Is(err, event.ErrUnknownType) {
		code = problem.EventUnknown
	}
	return problem.New(code, "record %s: %w", m.Header(event.HeaderID), err)
}

// door returns P for the plant's door, C for the cloud's.
func (in *Input) door() string {
	if in.Event != nil {
		return "C"
	}
	return "P"
}

// take applies one input. Its error is one of the database: the whole transaction is given up.
func (t *turn) take(in *Input, d decodedInput) (Result, error) {
	if in.Event != nil && d.err != nil {
		return Result{Outcome: Refused, Cause: problem.Wrap(problem.EventInvalid, d.err)}, nil
	}
	if d.isHead {
		return t.takeHead(in, d)
	}
	var fork error
	// The origin of a record that claims another plant proves nothing.
	if d.origin.Agent != "" && problem.CodeOf(d.err) != problem.EventForeign {
		var err error
		if fork, err = t.register(in.Plant, d.origin); err != nil {
			return Result{}, err
		}
		t.cover(in.Plant, d.origin, in.Place.Partition)
	}
	if d.err != nil {
		return t.quarantine(in, d.event, d.err)
	}
	spec, _ := event.Lookup(d.event.Data.Type())
	if spec.Lane == event.LaneTelemetry && in.Event == nil {
		return Result{Outcome: Accepted}, nil // it changes no lot: its topic and the coverage keep it
	}
	if fork != nil && !spec.Urgent {
		return t.quarantine(in, d.event, fork)
	}
	if r, known, err := t.duplicate(in, d.event); err != nil || known {
		return r, err
	}
	if spec.Plant && !spec.Urgent {
		if r, stop, err := t.inOrder(in, d.event); err != nil || stop {
			return r, err
		}
	}
	return t.apply(in, d.event)
}

// duplicate finds an event that was accepted, or that waits, under the same id.
func (t *turn) duplicate(in *Input, e *event.Event) (Result, bool, error) {
	content, raw, known, err := t.tx.InboxHashes(e.ID)
	if err != nil {
		return Result{}, false, err
	}
	if !known {
		if content, known, err = t.tx.KeptHash(e.ID); err != nil || !known {
			return Result{}, false, err
		}
	}
	mine := e.Data.ReadBy().RawSHA256
	if content == e.ContentHash || raw != "" && raw == mine {
		// The same raw bytes under a newer mapping are one reading; the first stands.
		return Result{Outcome: Duplicate}, true, nil
	}
	r, err := t.quarantine(in, e, problem.New(problem.EventConflict,
		"event %s: it came before with content hash %.12s, now with %.12s", e.ID, content, e.ContentHash))
	return r, true, err
}

// waitsBehind is why a record waits for which nothing else is wrong. What it is about stands beside it.
const waitsBehind = "event %s: it waits behind an earlier record of the same lot or machine"

// inOrder parks an event whose key waits, or that comes after a later one of its lot from the same agent.
func (t *turn) inOrder(in *Input, e *event.Event) (Result, bool, error) {
	if t.parked == nil {
		var err error
		if t.parked, err = t.tx.ParkedKeys(); err != nil {
			return Result{}, false, err
		}
	}
	if t.parked[e.Key] {
		r, err := t.park(in, e, problem.New(problem.EventParked, waitsBehind, e.ID))
		return r, true, err
	}
	lot := e.Data.Concerns()
	if lot == "" || e.Origin.Agent == "" {
		return Result{}, false, nil
	}
	epoch, seq, ok, err := t.tx.LastOf(lot, e.Plant, e.Origin.Agent)
	if err != nil || !ok {
		return Result{}, false, err
	}
	late, err := t.before(e, epoch, seq)
	if err != nil || !late {
		return Result{}, false, err
	}
	r, err := t.park(in, e, problem.New(problem.EventLate, "event %s: seq %d came after seq %d of its lot", e.ID, e.Origin.Seq, seq))
	return r, true, err
}

// noteOrder remembers the newest place of a lot's events per agent. What came as urgent makes nothing else late, and what
// waited for its object lies before what was applied meanwhile.
func (t *turn) noteOrder(e *event.Event) error {
	spec, _ := event.Lookup(e.Data.Type())
	lot := e.Data.Concerns()
	if e.Origin.Agent == "" || spec.Urgent || lot == "" {
		return nil
	}
	epoch, seq, ok, err := t.tx.LastOf(lot, e.Plant, e.Origin.Agent)
	if err != nil {
		return err
	}
	if ok {
		if before, err := t.before(e, epoch, seq); err != nil || before {
			return err
		}
	}
	return t.tx.SetLast(lot, e.Plant, e.Origin)
}

// apply decides about an event and stores what follows, or keeps it where it can't be applied now.
func (t *turn) apply(in *Input, e *event.Event) (Result, error) {
	change, before, err := t.decide(e)
	if err == nil {
		return Result{Outcome: Accepted}, t.accept(in, e, change, before)
	}
	if errors.Is(err, errDatabase) {
		return Result{}, err
	}
	state, object, cause := verdict(e, err)
	switch state {
	case store.Waiting:
		return t.wait(in, e, cause, object)
	case store.Dead:
		return t.keep(in, e, store.Dead, cause, Refused)
	}
	return t.fail(in, e, cause)
}

// verdict says what an error of package quality makes of an event: it waits for an object, is refused, or parks its key.
func verdict(e *event.Event, err error) (state store.DeadletterState, object string, cause error) {
	if wait, ok := errors.AsType[*quality.Wait](err); ok {
		return store.Waiting, wait.Object, problem.New(problem.EventWaiting, "event %s: %w", e.ID, wait)
	}
	if refusal, ok := errors.AsType[*quality.Refusal](err); ok {
		return store.Dead, "", problem.New(problem.RuleRefused, "%w", refusal)
	}
	return store.Parked, "", problem.New(problem.EventPoison, "event %s: %w", e.ID, err)
}

// accept stores an event and what follows from it, here and for what waited for it.
func (t *turn) accept(in *Input, e *event.Event, change quality.Change, before quality.Objects) error {
	if err := t.record(in, e, change, before); err != nil {
		return err
	}
	if err := t.own(in, e); err != nil {
		return err
	}
	return t.release(change.Known)
}

// record stores an event and its change: the part of accepting it that is a fold of the inbox.
func (t *turn) record(in *Input, e *event.Event, change quality.Change, before quality.Objects) error {
	row := store.InboxRow{Event: e, Door: in.door(), Principal: in.Principal, Place: in.Place, Accepted: t.now}
	if err := t.tx.PutInbox(&row); err != nil {
		return fmt.Errorf("store event %s: %w", e.ID, err)
	}
	if err := t.noteOrder(e); err != nil {
		return err
	}
	if err := t.addPlant(e.Data.Concerns(), e.Plant); err != nil {
		return err
	}
	return t.follow(in, e, change, before)
}

// errDatabase marks an error that is no fault of the event.
var errDatabase = errors.New("database")

// decide loads what the event names and asks package quality. A panic there is the event's fault.
func (t *turn) decide(e *event.Event) (c quality.Change, o quality.Objects, err error) {
	if o, err = t.load(e); err != nil {
		return c, o, fmt.Errorf("%w: load objects of event %s: %w", errDatabase, e.ID, err)
	}
	if err := t.unsound[e.ID]; err != nil {
		return c, o, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v", p)
			t.engine.log.Error().Str("event_id", string(e.ID)).Bytes("stack", debug.Stack()).Msg("event makes its handler panic")
		}
	}()
	c, err = quality.Decide(e, o)
	return c, o, err
}

// unannounced is the error of an event from which something follows that has no valid form.
type unannounced struct {
	event event.ID
	cause error
}

func (u *unannounced) Error() string { return u.cause.Error() }
func (u *unannounced) Unwrap() error { return u.cause }

// blame tells whether the transaction failed through the fault of one event, and is to be tried again with that one
// failing: a single event must not stop its partition.
func (t *turn) blame(err error) bool {
	u, ok := errors.AsType[*unannounced](err)
	if !ok || u.event == "" || t.unsound[u.event] != nil {
		return false
	}
	if t.unsound == nil {
		t.unsound = map[event.ID]error{}
	}
	t.unsound[u.event] = u.cause
	return true
}

// own does what an event means to the engine itself.
func (t *turn) own(in *Input, e *event.Event) error {
	switch d := e.Data.(type) {
	case *event.TimerFired:
		return t.timerFired(in, e, d)
	case *event.ActRecorded:
		if err := t.enter(in, e, "act:"+string(e.ID), 1, "", nil, d); err != nil {
			return err
		}
		return t.act(in, e, d)
	}
	return nil
}

// enter writes the one ledger entry of a change.
func (t *turn) enter(in *Input, e *event.Event, object string, version int64, lot event.LotKey, was, now any) error {
	entry := store.Entry{
		At: t.now, Principal: principalOf(in, e), Act: string(e.Data.Type()), Object: object, Version: version, EventID: e.ID,
		Lot: lot, Reason: in.Reason,
	}
	var err error
	if entry.Was, err = ledgerText(was); err != nil {
		return err
	}
	if entry.Now, err = ledgerText(now); err != nil {
		return err
	}
	if err := t.tx.AddEntry(&entry); err != nil {
		return fmt.Errorf("enter %s version %d into the ledger: %w", object, version, err)
	}
	return nil
}

func ledgerText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" {
		return "", err
	}
	return string(b), nil
}

// principalOf names who did it: the person at the cloud's door, the person in the event's data, else the agent.
func principalOf(in *Input, e *event.Event) string {
	who := in.Principal
	switch d := e.Data.(type) {
	case *event.HoldPlaced:
		who = cmpOr(who, string(d.PlacedBy))
	case *event.HoldLifted:
		who = cmpOr(who, string(d.LiftedBy))
	case *event.ActRecorded:
		who = cmpOr(who, string(d.Principal))
	case *event.DispositionDecided:
		who = cmpOr(who, string(d.SignedBy))
	case *event.DispositionRevised:
		who = cmpOr(who, string(d.SignedBy))
	case *event.NonconformanceContained:
		who = cmpOr(who, string(d.By))
	case *event.NonconformanceClosed:
		who = cmpOr(who, string(d.By))
	case *event.NonconformanceVoided:
		who = cmpOr(who, string(d.By))
	case *event.EvidenceAccepted:
		who = cmpOr(who, string(d.By[0]))
	}
	if who != "" {
		return who
	}
	if e.Origin.Agent != "" {
		return string(e.Plant) + "/" + e.Origin.Agent
	}
	return System
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// touchName and its parts: a timer that works through the lots of a scope, one page at a time.
const (
	timerTouch   = "scope.touch"
	timerWaiting = "event.waiting"
	touchPage    = 200
)

// WaitLimit is how long an event waits for an object that is not known yet, before it becomes a matter for a person.
const WaitLimit = 24 * time.Hour

// timerFired does what a fired timer means to the engine itself, and removes it.
func (t *turn) timerFired(in *Input, e *event.Event, d *event.TimerFired) error {
	switch string(d.Timer) {
	case timerTouch:
		if err := t.touch(in, e, d); err != nil {
			return err
		}
	case timerWaiting:
		if err := t.giveUpWaiting(d.Object); err != nil {
			return err
		}
	case timerRedrive:
		if err := t.redriveEpochs(d); err != nil {
			return err
		}
	case timerDispatch:
		if err := t.pauseOver(d); err != nil {
			return err
		}
	}
	return t.tx.DropTimer(string(d.Timer), d.Object, d.Due.Time)
}
