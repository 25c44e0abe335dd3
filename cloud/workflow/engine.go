// Package workflow is the only way that quality state changes. [Engine.Apply] takes events of both doors in one SQL
// transaction: inbox, coverage, the lot, its holds and nonconformances, the wanted effects, the ledger and the outbox
// become durable together with the Kafka offset, or nothing does. What to change is decided by package quality, which
// is pure.
//
// Guarantees: an event counts once, by its id; the same id with another content is quarantined; events of a lot apply
// in order, except that urgent ones, which only ever restrict, never wait; a record that fails parks its key and
// nothing else; a record that is not understood is kept whole; an urgent one that fails puts a hold of kind system on
// what its key names.
//
// A lot is released in the order inspected, decided, asked, granted, verified. The grant stands for this: every agent in
// question has stated how much it has on disk, after the question, and all of that is here; nothing of the lot waits or
// was not understood; no open gap touches it. It is taken back by whatever comes between. No clock decides about it.
package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// System is the name under which the cloud's own facts have their ids.
const System = "holdfast"

// Logical topics of the outbox; the publisher knows their names in Kafka. A plant's lot status is
// TopicLotStatus + "/" + plant.
const (
	TopicLotStatus  = "lot-status"
	TopicEffect     = "effect"
	TopicDeadletter = "deadletter"
	TopicAlert      = "alert"
	TopicControl    = "control" // a plant's is TopicControl + "/" + plant; the key is the agent
)

// Config is what the engine knows about plants and materials.
type Config struct {
	Plants    map[event.PlantID]quality.Plant
	Materials map[string]quality.Material // a material that is missing wants an inspection
	// CoverageMaxAge is how long an agent may be silent while a release waits for it, before a person is told; 0 = 2 min.
	// Nothing else depends on it.
	CoverageMaxAge time.Duration
}

// Engine applies events to the store.
type Engine struct {
	store    *store.Store
	cfg      Config
	now      func() time.Time
	log      zerolog.Logger
	metrics  *metrics
	arrivals *arrivals

	attention *attention // agents whose control record may say something new

	effects  chan struct{} // an effect may be due
	outgoing chan struct{} // the outbox may have a row
	timers   chan struct{} // the next timer may be another one
}

// New returns an engine on an open store. Now is the clock; reg may be nil.
func New(s *store.Store, cfg Config, now func() time.Time, log zerolog.Logger, reg prometheus.Registerer) *Engine {
	e := &Engine{
		store: s, cfg: cfg, now: now, log: log, metrics: newMetrics(reg), arrivals: &arrivals{start: now(), at: map[event.PlantID]time.Time{}},
		attention: &attention{agents: map[agentKey]*regard{}},
		effects:   make(chan struct{}, 1), outgoing: make(chan struct{}, 1), timers: make(chan struct{}, 1),
	}
	e.register(reg)
	return e
}

// Effects receives after a commit that may have made an effect due. It has one reader.
func (e *Engine) Effects() <-chan struct{} { return e.effects }

// Outgoing receives after a commit that may have put something into the outbox. It has one reader.
func (e *Engine) Outgoing() <-chan struct{} { return e.outgoing }

// Input is one record or event to apply.
type Input struct {
	// Message is a record of a plant's topic, Plant and Place where it was read; Plant is that of the topic.
	Message event.Message
	Plant   event.PlantID
	Place   store.Place

	// Event is an event of the cloud's door, instead of Message.
	Event     *event.Event
	Principal string // who, for the cloud's door; empty = Holdfast itself
	Reason    string // why, as the principal says
	// IfVersion refuses the event, with [problem.StateMoved], where its lot has another version by the time it is applied;
	// 0 = any. An event that was applied before is a duplicate whatever the lot has become.
	IfVersion int64
}

// Offset moves the next offset of a partition in the transaction of its records.
type Offset struct {
	Topic     string
	Partition int32
	From, To  int64
}

// ErrFence is returned when another process moved the offset, or took the lease, that the transaction relied on. Nothing
// was changed; the caller stops working on it.
var ErrFence = errors.New("another process took over")

// Outcome says what became of an input.
type Outcome string

// Outcomes.
const (
	Accepted    Outcome = "accepted"
	Duplicate   Outcome = "duplicate"
	Quarantined Outcome = "quarantined"
	Parked      Outcome = "parked"
	Waiting     Outcome = "waiting"
	Refused     Outcome = "refused"
)

// Result says what became of one input.
type Result struct {
	Outcome    Outcome
	Deadletter int64 // id of the record kept, if it was not applied
	Cause      error // why it was not applied
}

// Apply takes inputs in order, in one transaction with the offsets of the partitions that they come from (nil = none). A
// result stands for each input. After an error nothing was changed; all inputs may be given again.
func (e *Engine) Apply(ctx context.Context, inputs []Input, offsets []Offset) ([]Result, error) {
	decoded := make([]decodedInput, len(inputs))
	for i := range inputs {
		decoded[i] = decode(&inputs[i])
	}
	results := make([]Result, len(inputs))
	t := &turn{engine: e, inputs: inputs}
	take := func() error {
		for _, offset := range offsets {
			moved, err := t.tx.MoveOffset(offset.Topic, offset.Partition, offset.From, offset.To)
			if err != nil {
				return fmt.Errorf("move offset of %s/%d: %w", offset.Topic, offset.Partition, err)
			}
			if !moved {
				return fmt.Errorf("offset of %s/%d is no longer %d: %w", offset.Topic, offset.Partition, offset.From, ErrFence)
			}
		}
		for i := range inputs {
			cause, err := t.moved(&inputs[i])
			if err == nil && cause != nil {
				results[i] = Result{Outcome: Refused, Cause: cause}
				continue
			}
			if err == nil {
				results[i], err = t.take(&inputs[i], decoded[i])
			}
			if err != nil {
				return err
			}
		}
		return t.flushCoverage()
	}
	err := e.commit(ctx, t, take)
	for t.blame(err) {
		err = e.commit(ctx, t, take)
	}
	if err != nil {
		return nil, err
	}
	e.metrics.count(inputs, decoded, results, t.now)
	e.arrivals.note(inputs, t.now)
	return results, nil
}

// moved returns why an input's condition on the version of its lot does not hold, nil where it does.
func (t *turn) moved(in *Input) (cause, err error) {
	if in.IfVersion == 0 || in.Event == nil {
		return nil, nil
	}
	if _, _, known, err := t.tx.InboxHashes(in.Event.ID); err != nil || known {
		return nil, err
	}
	key := in.Event.Data.Concerns()
	lot, err := t.tx.Lot(key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read version of lot %s: %w", key, err)
	case lot == nil:
		return problem.New(problem.StateMoved, "there is no lot %q, the request is about version %d of it", key, in.IfVersion), nil
	case lot.Version != in.IfVersion:
		return problem.New(problem.StateMoved, "lot %s has version %d, the request is about version %d", key, lot.Version, in.IfVersion), nil
	}
	return nil, nil
}

// commit runs f in one writing transaction of the turn and wakes those who wait for what it did.
func (e *Engine) commit(ctx context.Context, t *turn, f func() error) error {
	err := e.store.Update(ctx, func(tx *store.Tx) error {
		// A transaction that is tried again starts with nothing.
		*t = turn{engine: e, inputs: t.inputs, unsound: t.unsound, fold: t.fold, tx: tx, now: event.At(e.now()).Truncate(time.Microsecond)}
		if err := f(); err != nil {
			return err
		}
		return t.finish()
	})
	if err != nil {
		return err
	}
	e.metrics.waited(t.barrierWaits)
	e.attention.note(t.heardOf())
	if t.wantsEffects {
		wake(e.effects)
	}
	if t.wantsOutbox {
		wake(e.outgoing)
	}
	if t.wantsTimers {
		wake(e.timers)
	}
	return nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// own returns an event of the cloud itself; its natural key is what makes the fact one.
func (e *Engine) own(data event.Data, key ...string) *event.Event {
	data.ReadBy().Source = System
	now := e.now()
	return &event.Event{
		ID: event.NaturalID("", System, key, data.Type(), 0), Source: "/" + System, Time: now, Recorded: now, Data: data,
	}
}
