package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// What a trace is about.
const (
	TraceEvent = "event" // one event, what caused it and what followed
	TraceLot   = "lot"   // all events of a lot
	TraceCase  = "case"  // all events with one correlation id
)

// Trace is the way of events, hop by hop.
type Trace struct {
	ID        string        `json:"id"`
	About     string        `json:"about" enum:"event,lot,case"`
	Lot       event.LotKey  `json:"lot,omitempty"`
	Plant     event.PlantID `json:"plant,omitempty"`
	Zone      string        `json:"zone" doc:"time zone of the plant"`
	StartedAt time.Time     `json:"started_at"`
	Hops      []Hop         `json:"hops"`
}

// Stage is where on its way an event is.
type Stage string

// Stages.
const (
	StageSource  Stage = "source"  // it happened
	StageAgent   Stage = "agent"   // on the gateway's disk
	StageCloud   Stage = "cloud"   // applied, durable in the cloud
	StageTimer   Stage = "timer"   // a limit ran out
	StageAsked   Stage = "asked"   // a change in another system is wanted
	StageSettled Stage = "settled" // that change was read back, or given up
	StageWaiting Stage = "waiting" // that change is not done; At is when it is tried next
	StageKept    Stage = "kept"    // not applied, waits for a person
)

// Hop is one step of the way.
type Hop struct {
	At      time.Time       `json:"at"`
	After   float64         `json:"after_seconds" doc:"since the first hop"`
	Wait    float64         `json:"wait_seconds" doc:"since the hop before on the same way"`
	Stage   Stage           `json:"stage"`
	Where   string          `json:"where"`
	Text    string          `json:"text"`
	EventID event.ID        `json:"event_id,omitempty"`
	Outcome quality.Outcome `json:"outcome,omitempty"`
}

type traceInput struct {
	ID string `path:"id" doc:"event id, lot key, lot number, or correlation id"`
}

func (s *server) trace(ctx context.Context, in *traceInput) (*view[Trace], error) {
	w := way{trace: Trace{ID: in.ID, Hops: []Hop{}}, asked: map[string]bool{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		w.tx = tx
		if err := s.gather(ctx, tx, &w); err != nil {
			return err
		}
		return w.walk()
	})
	if err != nil {
		return nil, err
	}
	w.trace.Zone = s.zoneOf(w.trace.Plant)
	return &view[Trace]{w.trace}, nil
}

// gather finds out what the id names, and fetches the events.
func (s *server) gather(ctx context.Context, tx *store.Tx, w *way) error {
	id := w.trace.ID
	row, err := tx.InboxByID(event.ID(id))
	if err == nil {
		return s.gatherEvent(ctx, tx, w, &row)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	kept, ok, err := tx.DeadletterOfEvent(event.ID(id))
	if err != nil {
		return err
	}
	if ok && id != "" {
		w.trace.About, w.trace.Lot, w.trace.Plant = TraceEvent, kept.Lot, kept.Plant
		w.kept = []store.DeadletterRow{kept}
		return s.mustSee(ctx, w, 1)
	}
	if strings.HasPrefix(id, "lot:") {
		return s.gatherLot(ctx, tx, w, event.LotKey(id))
	}
	if w.rows, err = tx.InboxOfCase(id); err != nil || len(w.rows) > 0 {
		w.trace.About = TraceCase
		return errors.Join(err, s.sift(ctx, w))
	}
	key, err := s.find(ctx, tx, id)
	if problem.CodeOf(err) == problem.ObjectHidden {
		return problem.New(problem.ObjectHidden, "%.100q is no event, lot or correlation id", id)
	}
	if err != nil {
		return err
	}
	return s.gatherLot(ctx, tx, w, key)
}

func (s *server) gatherLot(ctx context.Context, tx *store.Tx, w *way, key event.LotKey) (err error) {
	w.trace.About, w.trace.Lot = TraceLot, key
	if w.kept, err = tx.DeadlettersOf(key); err != nil {
		return err
	}
	f, err := s.lot(ctx, tx, key)
	if problem.CodeOf(err) == problem.ObjectHidden && f.Lot.Key == "" && len(w.kept) > 0 {
		w.trace.Plant = w.kept[0].Plant
		return s.mustSee(ctx, w, len(w.kept)) // its creation is among what waits
	}
	if err != nil {
		return err
	}
	w.trace.Plant = f.Lot.Plant
	if w.rows, err = tx.InboxOfLot(key); err != nil {
		return err
	}
	w.effects, err = tx.EffectsOf(key)
	return err
}

// gatherEvent takes an event, what caused it, and what followed from it.
func (s *server) gatherEvent(ctx context.Context, tx *store.Tx, w *way, row *store.InboxRow) error {
	w.trace.About = TraceEvent
	var all []store.InboxRow
	if row.Event.Correlation != "" {
		var err error
		if all, err = tx.InboxOfCase(row.Event.Correlation); err != nil {
			return err
		}
	}
	in := map[event.ID]bool{row.Event.ID: true}
	for cause := row.Event.Causation; cause != ""; {
		in[cause] = true
		next := event.ID("")
		for i := range all {
			if all[i].Event.ID == cause && !in[all[i].Event.Causation] {
				next = all[i].Event.Causation
			}
		}
		cause = next
	}
	for i := range all { // in the order in which they were applied, so that a cause comes before what follows from it
		e := all[i].Event
		if e.ID == row.Event.ID || in[e.ID] || e.Causation != "" && in[e.Causation] {
			in[e.ID] = true
			w.rows = append(w.rows, all[i])
		}
	}
	if len(w.rows) == 0 {
		w.rows = []store.InboxRow{*row}
	}
	if lot := row.Event.Data.Concerns(); lot != "" {
		effects, err := tx.EffectsOf(lot)
		if err != nil {
			return err
		}
		w.effects = slices.DeleteFunc(effects, func(e store.EffectRow) bool { return !in[e.Cause] })
	}
	return s.sift(ctx, w)
}

// sift leaves the events that the caller may see, and names lot and plant where there is one only.
func (s *server) sift(ctx context.Context, w *way) error {
	found := len(w.rows)
	c := callerOf(ctx)
	lots, plants := map[event.LotKey]bool{}, map[event.PlantID]bool{}
	var rows []store.InboxRow
	for i := range w.rows {
		plant, err := w.plantOf(w.rows[i].Event)
		if err != nil {
			return err
		}
		if !c.sees(plant) {
			continue
		}
		rows = append(rows, w.rows[i])
		lots[w.rows[i].Event.Data.Concerns()], plants[plant] = true, true
	}
	w.rows = rows
	delete(lots, "")
	delete(plants, "")
	for lot := range lots {
		if len(lots) == 1 {
			w.trace.Lot = lot
		}
	}
	for plant := range plants {
		if len(plants) == 1 {
			w.trace.Plant = plant
		}
	}
	return s.mustSee(ctx, w, found)
}

// mustSee refuses a trace of which nothing is left for the caller.
func (s *server) mustSee(ctx context.Context, w *way, found int) error {
	c := callerOf(ctx)
	w.kept = slices.DeleteFunc(w.kept, func(r store.DeadletterRow) bool { return !c.sees(r.Plant) })
	if len(w.rows)+len(w.kept) > 0 || found == 0 {
		return nil
	}
	return hidden{w.trace.ID, problem.New(problem.ObjectHidden, "%.100q is no event, lot or correlation id", w.trace.ID)}
}
