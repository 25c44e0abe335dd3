package api

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Health says how a system answered lately. The zero Health is that of one that was not called yet.
type Health struct {
	Link   string    `json:"link,omitempty" doc:"up, probing, down, throttled or refused; absent = not known"`
	Since  time.Time `json:"since,omitzero" doc:"since when it does not answer"`
	Until  time.Time `json:"until,omitzero" doc:"until when it asked to be left alone"`
	Calls  int       `json:"calls" doc:"that the figures rest on: the last ones"`
	Failed int       `json:"failed" doc:"of them without an answer"`
	Median float64   `json:"median" doc:"seconds that a call takes"`
	P95    float64   `json:"p95" doc:"seconds that 95 of 100 calls take at the most"`
	LastAt time.Time `json:"last_at,omitzero" doc:"when the last one ended"`
}

// Links of a system that keep every call away from it.
const (
	LinkDown    = "down"
	LinkRefused = "refused"
)

// answers tells whether calls reach the system.
func (h *Health) answers() bool { return h.Link != LinkDown && h.Link != LinkRefused }

// SystemDetail is one system, what waits for it, and how it answers.
type SystemDetail struct {
	System
	Off        []Off      `json:"off" doc:"what keeps its effects from being carried out"`
	Health     Health     `json:"health"`
	Ages       []AgeCount `json:"ages" doc:"effects that wait, by age"`
	Unknown    int        `json:"unknown" doc:"effects that wait of which a write may have happened"`
	Exceptions int        `json:"exceptions" doc:"effects that a person has to see to"`
}

// AgeCount counts what waits between two ages.
type AgeCount struct {
	From  int64 `json:"from" doc:"seconds"`
	To    int64 `json:"to,omitempty" doc:"seconds; absent = any"`
	Count int   `json:"count"`
}

// ages returns the spans by which what waits is counted: what is normal, what people notice, what the alarm of holds is
// about, a shift, more than a day.
func ages() []AgeCount {
	return []AgeCount{{0, 60, 0}, {60, 300, 0}, {300, 3600, 0}, {3600, 86400, 0}, {86400, 0, 0}}
}

type systemInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *server) showSystem(ctx context.Context, in *systemInput) (*view[SystemDetail], error) {
	if err := s.seesSystem(ctx, in.ID); err != nil {
		return nil, err
	}
	d, now := SystemDetail{Off: []Off{}, Health: s.cfg.Systems[in.ID](), Ages: ages()}, s.cfg.Now()
	var since []time.Time
	for _, a := range d.Ages {
		if a.To > 0 {
			since = append(since, now.Add(-time.Duration(a.To)*time.Second))
		}
	}
	err := s.read(ctx, func(tx *store.Tx) error {
		offs, err := tx.DispatchOffs()
		if err != nil {
			return err
		}
		for i := range offs {
			if offs[i].Covers(in.ID, now) {
				d.Off = append(d.Off, offView(&offs[i]))
			}
		}
		waiting, err := tx.CountWaiting(in.ID, since)
		if err != nil {
			return err
		}
		d.System = s.system(in.ID, offs, waiting, now)
		for i := range waiting {
			d.Ages[waiting[i].Span].Count += waiting[i].Count
			if waiting[i].Unknown {
				d.Unknown += waiting[i].Count
			}
		}
		d.Exceptions, err = tx.CountStuck(in.ID)
		return err
	})
	return &view[SystemDetail]{d}, err
}

// seesSystem hides systems that do not exist, and all of them from a caller of some plants only: what a system does for
// others is not for this caller.
func (s *server) seesSystem(ctx context.Context, id string) error {
	switch {
	case s.cfg.Systems[id] == nil:
		return problem.New(problem.ObjectHidden, "there is no system %.60s", id)
	case !callerOf(ctx).seesAll():
		return hidden{"system:" + id, problem.New(problem.ObjectHidden, "there is no system %.60s", id)}
	}
	return nil
}

// SystemEffect is an effect on a system, and the lot that it is about.
type SystemEffect struct {
	Effect
	Lot         event.LotKey  `json:"lot,omitempty"`
	Plant       event.PlantID `json:"plant,omitempty"`
	Zone        string        `json:"zone" doc:"time zone of the plant"`
	Restricting bool          `json:"restricting,omitempty" doc:"until it is done the lot is not held there"`
}

// SystemEffects lists effects on a system: those that restrict a lot first, then the oldest.
type SystemEffects struct {
	Effects []SystemEffect `json:"effects"`
	More    bool           `json:"more,omitempty" doc:"there are more than the limit"`
}

type systemEffectsInput struct {
	ID    string `path:"id" maxLength:"64"`
	What  string `query:"what" enum:"waiting,unknown,exception" default:"waiting" doc:"waiting, those of them with an unknown outcome, or those that a person has to see to"`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
}

func (s *server) systemEffects(ctx context.Context, in *systemEffectsInput) (*view[SystemEffects], error) {
	if err := s.seesSystem(ctx, in.ID); err != nil {
		return nil, err
	}
	out := SystemEffects{Effects: []SystemEffect{}}
	q := store.EffectQuery{System: in.ID, States: []store.EffectState{store.EffectDue, store.EffectLeased}, Unknown: in.What == "unknown", Limit: in.Limit + 1}
	if in.What == "exception" {
		q.States = []store.EffectState{store.EffectException}
	}
	err := s.read(ctx, func(tx *store.Tx) error {
		rows, err := tx.FindEffects(q)
		if err != nil {
			return err
		}
		if out.More = len(rows) > in.Limit; out.More {
			rows = rows[:in.Limit]
		}
		for i := range rows {
			e := SystemEffect{Effect: effectView(&rows[i]), Lot: rows[i].Lot, Restricting: rows[i].Priority == 0}
			lot, err := tx.Lot(rows[i].Lot)
			if err != nil {
				return err
			}
			if lot != nil {
				e.Plant = lot.Plant
			}
			e.Zone = s.zoneOf(e.Plant)
			out.Effects = append(out.Effects, e)
		}
		return nil
	})
	return &view[SystemEffects]{out}, err
}
