package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Overview is the state of everything in a few figures.
type Overview struct {
	At          time.Time        `json:"at"`
	Plants      []PlantOverview  `json:"plants"`
	Effects     []EffectOverview `json:"effects"`
	LastHold    *HoldLatency     `json:"last_hold,omitempty" doc:"the open hold that was verified in an ERP last"`
	Deadletters map[string]int64 `json:"deadletters" doc:"open records by code"`
	Outbox      int64            `json:"outbox" doc:"messages that wait to be sent"`
}

// PlantOverview is one plant.
type PlantOverview struct {
	Plant        event.PlantID `json:"plant"`
	Zone         string        `json:"zone"`
	LastEventAt  time.Time     `json:"last_event_at,omitzero" doc:"source time of the event accepted last"`
	LastAccepted time.Time     `json:"last_accepted_at,omitzero"`
	Lots         int64         `json:"lots"`
	Held         int64         `json:"held"`
}

// EffectOverview counts the effects of one system and kind.
type EffectOverview struct {
	System    string                    `json:"system"`
	Kind      quality.Kind              `json:"kind"`
	Outcomes  map[quality.Outcome]int64 `json:"outcomes" doc:"settled ones by outcome"`
	Waiting   int64                     `json:"waiting"`
	Exception int64                     `json:"exception" doc:"those that need a person"`
	OldestAt  time.Time                 `json:"oldest_at,omitzero" doc:"when the oldest waiting one was asked for"`
	Last      quality.Outcome           `json:"last,omitempty" doc:"outcome of the last attempt at the oldest waiting one"`
}

// HoldLatency says how long a hold took from its source to the ERP.
type HoldLatency struct {
	Hold       event.ObjectID `json:"hold"`
	Lot        event.LotKey   `json:"lot"`
	Reason     string         `json:"reason"`
	PlacedAt   time.Time      `json:"placed_at" doc:"source time"`
	EnforcedAt time.Time      `json:"enforced_at" doc:"when the ERP was read to enforce it"`
	Seconds    float64        `json:"seconds"`
}

func (s *server) overview(ctx context.Context, _ *struct{}) (*view[Overview], error) {
	o := Overview{At: s.cfg.Now().UTC(), Plants: []PlantOverview{}, Effects: []EffectOverview{}}
	c := callerOf(ctx)
	err := s.read(ctx, func(tx *store.Tx) (err error) {
		if err = s.plants(tx, c, &o); err != nil {
			return err
		}
		if err = lastHold(tx, c, &o); err != nil || !c.seesAll() {
			return err // what follows is about all plants together
		}
		counts, err := tx.CountOutcomes()
		if err != nil {
			return err
		}
		o.Effects = effectsOverview(counts)
		if o.Deadletters, err = tx.CountDeadletters(); err != nil {
			return err
		}
		o.Outbox, err = tx.CountOutbox()
		return err
	})
	return &view[Overview]{o}, err
}

func (s *server) plants(tx *store.Tx, c *Caller, o *Overview) error {
	lots, err := tx.CountLots()
	if err != nil {
		return err
	}
	heldLots, err := tx.HeldLots()
	if err != nil {
		return err
	}
	held := map[event.PlantID]int64{}
	for _, plant := range heldLots {
		held[plant]++
	}
	known, err := tx.Plants()
	if err != nil {
		return err
	}
	all := map[event.PlantID]bool{}
	for _, p := range slices.AppendSeq(known, maps.Keys(s.cfg.Zones)) {
		all[p] = true
	}
	for _, p := range slices.Sorted(maps.Keys(all)) {
		if !c.sees(p) {
			continue
		}
		last, err := tx.LastArrival(p)
		if err != nil {
			return err
		}
		o.Plants = append(o.Plants, PlantOverview{p, s.zoneOf(p), last.Time, last.Accepted, lots[p], held[p]})
	}
	return nil
}

func lastHold(tx *store.Tx, c *Caller, o *Overview) error {
	h, err := tx.NewestEnforced()
	if err != nil || h == nil {
		return err
	}
	lot, err := tx.Lot(h.Lot)
	if err != nil || lot == nil || !c.sees(lot.Plant) {
		return err
	}
	o.LastHold = &HoldLatency{h.ID, h.Lot, h.Reason, h.PlacedAt, h.EnforcedAt, h.EnforcedAt.Sub(h.PlacedAt).Seconds()}
	return nil
}

func effectsOverview(counts []store.OutcomeCount) []EffectOverview {
	all := []EffectOverview{}
	for _, c := range counts {
		if n := len(all); n == 0 || all[n-1].System != c.System || all[n-1].Kind != c.Kind {
			all = append(all, EffectOverview{System: c.System, Kind: c.Kind, Outcomes: map[quality.Outcome]int64{}})
		}
		e := &all[len(all)-1]
		switch c.State {
		case store.EffectSettled:
			e.Outcomes[c.Outcome] += c.Count
		case store.EffectException:
			e.Exception += c.Count
		default:
			e.Waiting += c.Count
			if e.OldestAt.IsZero() || c.Oldest.Before(e.OldestAt) {
				e.OldestAt, e.Last = c.Oldest, c.Outcome
			}
		}
	}
	return all
}
