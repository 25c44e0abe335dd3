package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
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

	parked   map[string]bool // keys with parked records; nil = not read yet
	epochs   map[epochKey]*store.EpochRow
	coverage map[store.CoverageKey]store.Ranges

	wantsEffects, wantsOutbox, wantsTimers bool
}

// decodedInput is an input's event, or why there is none.
type decodedInput struct {
	event  *event.Event
	origin event.Origin // of the record, also where the event itself is not understood
	err    error
}

func decode(in *Input) decodedInput {
	if in.Event != nil {
		err := in.Event.Seal(System)
		return decodedInput{event: in.Event, err: err}
	}
	m := &in.Message
	d := decodedInput{}
	d.origin, _ = event.DecodeOrigin(m.Header(event.HeaderAgent), m.Header(event.HeaderEpoch), m.Header(event.HeaderPrev),
		m.Header(event.HeaderLane), m.Header(event.HeaderSeq)) // a record without a valid origin has none
	e, err := event.Decode(*m)
	switch {
	case err != nil:
		d.err = undecoded(m, err)
	case e.Plant != in.Plant:
		d.err = problem.New(problem.EventForeign, "event %s says plant %q, its topic is that of %q", e.ID, e.Plant, in.Plant)
	case e.Origin.Agent == "":
		d.err = problem.New(problem.EventInvalid, "event %s has no origin", e.ID)
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
	if fork != nil && !spec.Urgent {
		return t.quarantine(in, d.event, fork)
	}
	if spec.Lane == event.LaneTelemetry && in.Event == nil {
		return Result{Outcome: Accepted}, nil // it changes no lot: its topic and the coverage keep it
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
		if content, known, err = t.tx.OpenDeadletterHash(e.ID); err != nil || !known {
			return Result{}, false, err
		}
	}
	mine := e.Data.ReadBy().RawSHA256
	if content == e.ContentHash || raw != "" && raw == mine {
		// The same raw bytes under a newer mapping are one reading; the first stands.
		return Result{Outcome: Duplicate}, true, nil
	}
	r, err := t.quarantine(in, e, problem.New(problem.EventConflict,
		"event %s came before with content hash %.12s, now with %.12s", e.ID, content, e.ContentHash))
	return r, true, err
}

// inOrder parks an event whose key waits, or that comes after a later one of its lot from the same agent.
func (t *turn) inOrder(in *Input, e *event.Event) (Result, bool, error) {
	if t.parked == nil {
		var err error
		if t.parked, err = t.tx.ParkedKeys(); err != nil {
			return Result{}, false, err
		}
	}
	if t.parked[e.Key] {
		r, err := t.park(in, e, problem.New(problem.EventParked, "event %s waits behind another of %s", e.ID, e.Key))
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
	r, err := t.park(in, e, problem.New(problem.EventLate, "event %s (seq %d) came after seq %d of its lot", e.ID, e.Origin.Seq, seq))
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

// accept stores an event and what follows from it.
func (t *turn) accept(in *Input, e *event.Event, change quality.Change, before quality.Objects) error {
	row := store.InboxRow{Event: e, Door: in.door(), Principal: in.Principal, Place: in.Place, Accepted: t.now}
	if err := t.tx.PutInbox(&row); err != nil {
		return fmt.Errorf("store event %s: %w", e.ID, err)
	}
	if err := t.noteOrder(e); err != nil {
		return err
	}
	if err := t.follow(in, e, change, before); err != nil {
		return err
	}
	if err := t.own(in, e); err != nil {
		return err
	}
	return t.release(change.Known)
}

// errDatabase marks an error that is no fault of the event.
var errDatabase = errors.New("database")

// decide loads what the event names and asks package quality. A panic there is the event's fault.
func (t *turn) decide(e *event.Event) (c quality.Change, o quality.Objects, err error) {
	if o, err = t.load(e); err != nil {
		return c, o, fmt.Errorf("%w: load objects of event %s: %w", errDatabase, e.ID, err)
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

func (t *turn) load(e *event.Event) (o quality.Objects, err error) {
	o.Now = t.now
	n := quality.Names(e)
	if n.Lot != "" {
		if o.Lot, err = t.tx.Lot(n.Lot); err != nil {
			return o, err
		}
		if o.Open, err = t.tx.OpenHolds(n.Lot, o.Lot); err != nil {
			return o, err
		}
		if o.Nonconformances, err = t.tx.NonconformancesOf(n.Lot); err != nil {
			return o, err
		}
	}
	if n.Hold != "" {
		if o.Hold, err = t.tx.Hold(n.Hold, n.Lot); err != nil {
			return o, err
		}
	}
	if n.Nonconformance != "" {
		if o.Nonconformance, err = t.tx.Nonconformance(n.Nonconformance); err != nil {
			return o, err
		}
	}
	if e.Causation != "" {
		if _, _, o.CauseSeen, err = t.tx.InboxHashes(e.Causation); err != nil {
			return o, err
		}
	}
	o.Plant = t.plantOf(e, o.Lot, o.Nonconformance)
	o.Material = t.materialOf(e)
	return o, nil
}

func (t *turn) plantOf(e *event.Event, lot *quality.Lot, nc *quality.Nonconformance) quality.Plant {
	id := e.Plant
	switch {
	case id != "":
	case lot != nil:
		id = lot.Plant
	case nc != nil:
		id = nc.Plant
	}
	if p, ok := t.engine.cfg.Plants[id]; ok {
		return p
	}
	// A plant that the configuration does not name: with one ERP for all, that one is meant; holds must not get lost.
	return t.engine.cfg.Plants[""]
}

func (t *turn) materialOf(e *event.Event) quality.Material {
	d, ok := e.Data.(*event.LotCreated)
	if !ok {
		return quality.Material{}
	}
	if m, ok := t.engine.cfg.Materials[string(d.Material)]; ok {
		return m
	}
	return quality.Material{InspectionRequired: true}
}

// follow stores a change: objects with their next version and one ledger entry each, effects, timers, outbox.
func (t *turn) follow(in *Input, e *event.Event, c quality.Change, before quality.Objects) error {
	generation := int64(0)
	if c.Lot != nil {
		if before.Lot != nil {
			c.Lot.Version = before.Lot.Version
		}
		c.Lot.Version++
		generation = c.Lot.Version
		if err := t.tx.PutLot(c.Lot); err != nil {
			return fmt.Errorf("store lot %s: %w", c.Lot.Key, err)
		}
		if err := t.enter(in, e, string(c.Lot.Key), c.Lot.Version, c.Lot.Key, before.Lot, c.Lot); err != nil {
			return err
		}
		if err := t.markStatus(c.Lot, e.Plant); err != nil {
			return err
		}
	}
	for i := range c.Holds {
		if err := t.putHold(in, e, &c.Holds[i]); err != nil {
			return err
		}
	}
	for i := range c.Nonconformances {
		if err := t.putNonconformance(in, e, &c.Nonconformances[i]); err != nil {
			return err
		}
	}
	return t.followUp(e, c, generation)
}

func (t *turn) putHold(in *Input, e *event.Event, h *quality.Hold) error {
	was, err := t.tx.Hold(h.ID, h.Lot)
	if err != nil {
		return err
	}
	if was != nil {
		h.Version = was.Version
	}
	h.Version++
	if err := t.tx.PutHold(h); err != nil {
		return fmt.Errorf("store hold %s: %w", h.Name(), err)
	}
	return t.enter(in, e, h.Name(), h.Version, h.Lot, was, h)
}

func (t *turn) putNonconformance(in *Input, e *event.Event, n *quality.Nonconformance) error {
	was, err := t.tx.Nonconformance(n.ID)
	if err != nil {
		return err
	}
	if was != nil {
		n.Version = was.Version
	}
	n.Version++
	if err := t.tx.PutNonconformance(n); err != nil {
		return fmt.Errorf("store nonconformance %s: %w", n.ID, err)
	}
	return t.enter(in, e, string(n.ID), n.Version, n.Lots[0], was, n)
}

func (t *turn) followUp(e *event.Event, c quality.Change, generation int64) error {
	for _, i := range c.Intents {
		if err := t.want(e, i, generation); err != nil {
			return err
		}
	}
	for _, x := range c.Timers {
		t.wantsTimers = true
		if err := t.tx.PutTimer(x); err != nil {
			return err
		}
	}
	for _, x := range c.Cancel {
		if err := t.tx.CancelTimer(x.Name, x.Object); err != nil {
			return err
		}
	}
	if c.Touch == nil {
		return nil
	}
	return t.startTouch(&c.Holds[0])
}

// own does what an event means to the engine itself.
func (t *turn) own(in *Input, e *event.Event) error {
	switch d := e.Data.(type) {
	case *event.TimerFired:
		return t.timerFired(in, e, d)
	case *event.ActRecorded:
		return t.enter(in, e, "act:"+string(e.ID), 1, "", nil, d)
	}
	return nil
}

// want makes an effect due and announces it.
func (t *turn) want(e *event.Event, i quality.Intent, generation int64) error {
	t.wantsEffects = true
	if err := t.tx.WantEffect(i, generation, e, t.now); err != nil {
		return fmt.Errorf("want %s of %s: %w", i.Kind, i.Object, err)
	}
	command := i.CommandID
	if command == "" {
		command = quality.CommandID("w2", i.Object, "usage", generation)
	}
	return t.announce(TopicEffect, &event.EffectRequested{
		MayLot: event.MayLot{Lot: i.Lot}, CommandID: event.Name(command), EffectRef: event.Name(quality.Reference(command)),
		Kind: event.Name(i.Kind), System: event.Name(i.System), Object: i.Object, Wanted: string(i.Kind),
	}, e, command)
}

// announce puts an event of the cloud into the outbox.
func (t *turn) announce(topic string, data event.Data, cause *event.Event, key ...string) error {
	ev := t.engine.own(data, key...)
	ev.Time, ev.Recorded = t.now, t.now
	if cause != nil {
		ev.Causation, ev.Correlation = cause.ID, cause.Correlation
	}
	if err := ev.Seal(System); err != nil {
		return fmt.Errorf("announce %s: %w", data.Type(), err)
	}
	t.wantsOutbox = true
	return t.tx.PutOutbox(topic, ev.Message())
}

// markStatus says that a lot's status is to be sent to all who follow it.
func (t *turn) markStatus(lot *quality.Lot, plant event.PlantID) error {
	t.wantsOutbox = true
	topics := []string{TopicLotStatus}
	for _, p := range []event.PlantID{lot.Plant, plant} {
		if topic := TopicLotStatus + "/" + string(p); p != "" && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	for _, topic := range topics {
		if err := t.tx.MarkOutbox(topic, string(lot.Key)); err != nil {
			return err
		}
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
	waitLimit    = 24 * time.Hour
)

// startTouch asks for all lots of a hold's scope to be looked at again.
func (t *turn) startTouch(h *quality.Hold) error {
	t.wantsTimers = true
	object := fmt.Sprintf("%s#%d#", h.ID, h.Version)
	return t.tx.PutTimer(quality.Timer{Name: timerTouch, Object: object, Due: t.now})
}

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
	}
	return t.tx.DropTimer(string(d.Timer), d.Object, d.Due.Time)
}

// touch raises the version of one page of lots that a scope matches, makes their effects due, and goes on behind them.
func (t *turn) touch(in *Input, e *event.Event, d *event.TimerFired) error {
	id, rest, _ := strings.Cut(d.Object, "#")
	version, after, _ := strings.Cut(rest, "#")
	h, err := t.tx.Hold(event.ObjectID(id), "")
	if err != nil || h == nil {
		return err
	}
	lots, err := t.tx.LotsInScope(h.Scope, event.LotKey(after), touchPage)
	if err != nil {
		return err
	}
	for i := range lots {
		if quality.Matches(h.Scope, &lots[i]) {
			if err := t.touchLot(in, e, &lots[i]); err != nil {
				return err
			}
		}
	}
	if len(lots) < touchPage {
		return nil
	}
	t.wantsTimers = true
	next := fmt.Sprintf("%s#%s#%s", id, version, lots[len(lots)-1].Key)
	return t.tx.PutTimer(quality.Timer{Name: timerTouch, Object: next, Due: t.now})
}

func (t *turn) touchLot(in *Input, e *event.Event, lot *quality.Lot) error {
	open, err := t.tx.OpenHolds(lot.Key, lot)
	if err != nil {
		return err
	}
	o := quality.Objects{Now: t.now, Lot: lot, Open: open, Plant: t.plantOf(e, lot, nil)}
	return t.follow(in, e, quality.Touched(e, o), o)
}
