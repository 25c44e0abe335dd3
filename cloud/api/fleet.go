package api

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Hearing says how an agent is heard.
type Hearing string

// Hearings.
const (
	HearingUp     Hearing = "up"     // its newest head is the one that was due
	HearingLate   Hearing = "late"   // one head is missing
	HearingSilent Hearing = "silent" // several are
	HearingNever  Hearing = "never"  // none came yet
)

// An agent states a head every 30 s. One that is a quarter of a minute late is missing; after two minutes the alert for a
// waiting release is due, too.
const (
	lateAfter   = 45 * time.Second
	silentAfter = 2 * time.Minute
)

func hearingOf(heard, now time.Time) Hearing {
	switch age := now.Sub(heard); {
	case heard.IsZero():
		return HearingNever
	case age > silentAfter:
		return HearingSilent
	case age > lateAfter:
		return HearingLate
	}
	return HearingUp
}

// Fleet is how the plants and their agents stand.
type Fleet struct {
	At     time.Time    `json:"at"`
	Plants []FleetPlant `json:"plants"`
}

// FleetPlant is one plant.
type FleetPlant struct {
	Plant        event.PlantID `json:"plant"`
	Zone         string        `json:"zone" doc:"time zone of the plant"`
	LastAccepted time.Time     `json:"last_accepted_at,omitzero" doc:"when its newest event was accepted"`
	Lots         int64         `json:"lots"`
	Held         int64         `json:"held"`
	Gaps         int           `json:"gaps" doc:"open ones: what was not observed, was lost, or did not come"`
	Kept         int64         `json:"kept" doc:"records that wait among the dead letters"`
	Agents       []FleetAgent  `json:"agents" doc:"those in service; two of one name are two gateways that claim to be it"`
	Waits        []FleetWait   `json:"waits" doc:"what its lots' releases wait for now"`
}

// FleetWait counts the lots of a plant whose release waits for a reason.
type FleetWait struct {
	Reason string `json:"reason"`
	Lots   int64  `json:"lots"`
}

// FleetAgent is one gateway, as it last said that it stands.
type FleetAgent struct {
	AgentEpoch
	Hearing  Hearing   `json:"hearing" doc:"up, late, silent or never"`
	HeardAt  time.Time `json:"heard_at,omitzero" doc:"when its newest head came; absent = none did"`
	Answered int64     `json:"barrier_answered" doc:"highest barrier that it has answered with all that it had on disk; 0 = none"`
	Asked    int64     `json:"barrier_asked,omitempty" doc:"newest barrier that it was asked and has not answered; absent = none"`
	AskedAt  time.Time `json:"asked_at,omitzero" doc:"since when it is asked"`
	Skew     *float64  `json:"skew_seconds,omitempty" doc:"its clock against the cloud's, less the way of the head; positive = ahead"`
	// Standing is what it said itself, at HeardAt.
	Standing *event.AgentStatus `json:"standing,omitempty" doc:"absent = it does not say"`
}

type fleetInput struct {
	Plant string `query:"plant" doc:"only this plant"`
}

func (s *server) fleet(ctx context.Context, in *fleetInput) (*view[Fleet], error) {
	f := Fleet{At: s.cfg.Now().UTC(), Plants: []FleetPlant{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		if in.Plant != "" {
			if err := s.findPlant(ctx, tx, event.PlantID(in.Plant)); err != nil {
				return err
			}
		}
		var o Overview
		if err := s.plants(tx, callerOf(ctx), &o); err != nil {
			return err
		}
		kept, err := tx.CountKept()
		if err != nil {
			return err
		}
		waited, err := tx.Waited(f.At)
		if err != nil {
			return err
		}
		for i := range o.Plants {
			p := &o.Plants[i]
			if in.Plant != "" && string(p.Plant) != in.Plant {
				continue
			}
			v := FleetPlant{Plant: p.Plant, Zone: p.Zone, LastAccepted: p.LastAccepted, Lots: p.Lots, Held: p.Held, Kept: kept[p.Plant], Waits: []FleetWait{}}
			for _, w := range waited {
				if w.Plant == p.Plant && w.Lots > 0 {
					v.Waits = append(v.Waits, FleetWait{string(w.Reason), w.Lots})
				}
			}
			gaps, err := tx.GapsAt(p.Plant)
			if err != nil {
				return err
			}
			v.Gaps = len(gaps)
			if v.Agents, err = s.fleetAgents(tx, p.Plant, f.At); err != nil {
				return err
			}
			f.Plants = append(f.Plants, v)
		}
		return nil
	})
	return &view[Fleet]{f}, err
}

// fleetAgents returns the agents of a plant that are in service, by name, the newest epoch of each gateway.
func (s *server) fleetAgents(tx *store.Tx, plant event.PlantID, now time.Time) ([]FleetAgent, error) {
	all := []FleetAgent{}
	epochs, err := tx.Epochs(plant, "")
	if err != nil {
		return nil, err
	}
	standings, err := tx.Standings(plant)
	if err != nil {
		return nil, err
	}
	for i := range epochs {
		r := &epochs[i]
		if r.Successor != "" {
			continue
		}
		a := FleetAgent{}
		if a.AgentEpoch, err = s.agentEpoch(tx, r); err != nil {
			return nil, err
		}
		if a.State == EpochRetired || a.State == EpochQuarantined {
			continue // what became of it was decided
		}
		row, err := tx.AgentRow(plant, r.Agent)
		if err != nil {
			return nil, err
		}
		a.Answered, a.Asked, a.AskedAt = row.Answered, row.Asked, row.AskedAt
		if i := slices.IndexFunc(standings, func(h store.Standing) bool { return h.Agent == r.Agent && h.Epoch == r.Epoch }); i >= 0 {
			h := &standings[i]
			a.HeardAt, a.Standing = h.At, h.Status
			if !h.Told.IsZero() {
				skew := h.Told.Sub(h.At).Seconds()
				a.Skew = &skew
			}
		}
		a.Hearing = hearingOf(a.HeardAt, now)
		all = append(all, a)
	}
	return all, nil
}

// findPlant refuses a plant that does not exist for the caller.
func (s *server) findPlant(ctx context.Context, tx *store.Tx, plant event.PlantID) error {
	known, err := tx.Plants()
	if err != nil {
		return err
	}
	if _, configured := s.cfg.Zones[plant]; !configured && !slices.Contains(known, plant) || !callerOf(ctx).sees(plant) {
		return hidden{"plant:" + string(plant), problem.New(problem.ObjectHidden, "there is no plant %.60s", plant)}
	}
	return nil
}
