package api

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// EpochState says what becomes of what an epoch sends.
type EpochState string

// Epoch states.
const (
	EpochCurrent     EpochState = "current"     // it is applied
	EpochUndecided   EpochState = "undecided"   // it is kept until a person decides; urgent records apply
	EpochQuarantined EpochState = "quarantined" // it is kept; a person decided for another gateway
	EpochRetired     EpochState = "retired"     // its agent is out of service; what it sends is kept, urgent records apply
	EpochApplying    EpochState = "applying"    // it was accepted, and what was kept of it is being applied
)

// AgentEpoch is the newest epoch of a gateway. An agent has more than one while two gateways claim to be it.
type AgentEpoch struct {
	Plant     event.PlantID `json:"plant"`
	Agent     string        `json:"agent"`
	Epoch     event.Epoch   `json:"epoch" doc:"one run of the agent's process"`
	State     EpochState    `json:"state" doc:"current, undecided, quarantined, retired or applying"`
	Since     time.Time     `json:"since" doc:"when its first record came"`
	Zone      string        `json:"zone" doc:"time zone of the plant"`
	Quality   int64         `json:"quality_seq" doc:"last seq of lane quality that came"`
	Telemetry int64         `json:"telemetry_seq" doc:"last seq of lane telemetry that came"`
	DecidedBy string        `json:"decided_by,omitempty"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	Reason    string        `json:"reason,omitempty" doc:"why it was decided so"`
}

// AgentList is the agents by their newest epochs.
type AgentList struct {
	Agents []AgentEpoch `json:"agents"`
}

type agentsInput struct {
	Plant string `query:"plant" doc:"only agents of this plant"`
}

// DecisionRequest decides about an epoch.
type DecisionRequest struct {
	Decision event.EpochDecision `json:"decision" enum:"accepted,quarantined"`
	Reason   string              `json:"reason" maxLength:"4000" doc:"why"`
}

type decisionInput struct {
	Plant          string `path:"plant"`
	Agent          string `path:"agent"`
	Epoch          string `path:"epoch"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           DecisionRequest
}

// epochOutput is the epoch as it is now. Repeated tells that the same act was done before.
type epochOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     AgentEpoch
}

func (s *server) agents(ctx context.Context, in *agentsInput) (*view[AgentList], error) {
	list := AgentList{Agents: []AgentEpoch{}}
	c := callerOf(ctx)
	err := s.read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Epochs(event.PlantID(in.Plant), "")
		if err != nil {
			return err
		}
		for i := range rows {
			// What has a successor is shown by that.
			if r := &rows[i]; c.sees(r.Plant) && r.Successor == "" {
				e, err := s.agentEpoch(tx, r)
				if err != nil {
					return err
				}
				list.Agents = append(list.Agents, e)
			}
		}
		return nil
	})
	return &view[AgentList]{list}, err
}

func (s *server) agentEpoch(tx *store.Tx, r *store.EpochRow) (AgentEpoch, error) {
	e := AgentEpoch{Plant: r.Plant, Agent: r.Agent, Epoch: r.Epoch, State: EpochCurrent, Since: r.FirstSeen, Zone: s.zoneOf(r.Plant)}
	for lane, last := range map[event.Lane]*int64{event.LaneQuality: &e.Quality, event.LaneTelemetry: &e.Telemetry} {
		covered, err := tx.Coverage(r.Plant, r.Agent, r.Epoch, lane)
		if err != nil {
			return e, err
		}
		*last = covered.Max()
	}
	d, err := tx.EpochDecisionOf(r.Plant, r.Agent, r.Epoch)
	if err != nil {
		return e, err
	}
	if d != nil {
		e.DecidedBy, e.DecidedAt, e.Reason = d.Principal, d.At, d.Reason
	}
	switch {
	case d != nil && d.Decision == event.EpochQuarantined:
		e.State = EpochQuarantined
		retired, err := tx.Retired(r.Plant, r.Agent)
		if err != nil {
			return e, err
		}
		if retired != nil {
			e.State = EpochRetired
		}
	case d != nil && r.Superseded:
		e.State = EpochApplying
	case r.Superseded:
		e.State = EpochUndecided
	}
	return e, nil
}

func (s *server) decideEpoch(ctx context.Context, in *decisionInput) (*epochOutput, error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	c, plant, epoch := callerOf(ctx), event.PlantID(in.Plant), event.Epoch(in.Epoch)
	data := workflow.DecideEpoch(plant, in.Agent, epoch, in.Body.Decision)
	data.Principal, data.Reason = event.Name(c.Principal), in.Body.Reason
	if !c.sees(plant) {
		s.record(ctx, c, "access.hidden", data.About, "the agent belongs to a plant that the caller may not see")
		return nil, problem.New(problem.ObjectHidden, "there is no agent %.60s/%.60s", plant, in.Agent)
	}
	repeated, err := s.apply(ctx, s.newEvent(c, in.IdempotencyKey, data), in.Body.Reason, "", func(was event.Data) bool {
		old, ok := was.(*event.ActRecorded)
		return ok && old.About == data.About && old.Reason == data.Reason && old.Detail["decision"] == data.Detail["decision"]
	})
	if err != nil {
		return nil, err
	}
	out := &epochOutput{Repeated: repeated}
	err = s.read(ctx, func(tx *store.Tx) error {
		row, err := tx.Epoch(plant, in.Agent, epoch)
		if err == nil && row == nil {
			err = store.ErrNotFound
		}
		if err == nil {
			out.Body, err = s.agentEpoch(tx, row)
		}
		return err
	})
	return out, err
}
