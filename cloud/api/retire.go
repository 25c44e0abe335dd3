package api

import (
	"context"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// AgentRest is what would be missing for good if an agent were retired now.
type AgentRest struct {
	Plant    event.PlantID `json:"plant"`
	Agent    string        `json:"agent"`
	Zone     string        `json:"zone" doc:"time zone of the plant"`
	Missing  string        `json:"missing,omitempty" doc:"seqs of lane quality that never came, by epoch; absent = none"`
	HeadAt   time.Time     `json:"head_at,omitzero" doc:"when its newest statement of what it has on disk came; absent = it never stated it"`
	Asked    bool          `json:"asked" doc:"it has not answered a question that was put to it"`
	InNumber int           `json:"signers" doc:"how many persons sign for the rest"`
}

// RetireRequest asks for an agent to be retired.
type RetireRequest struct {
	Reason  string   `json:"reason" maxLength:"4000" doc:"why"`
	Missing string   `json:"missing,omitempty" maxLength:"4000" doc:"what the signers have read to be missing; another by now is refused"`
	Signers []Signer `json:"signers,omitempty" maxItems:"3" doc:"persons who sign for what is not known; none = it has to answer, and nothing may be missing"`
}

type agentInput struct {
	Plant string `path:"plant"`
	Agent string `path:"agent"`
}

type retireInput struct {
	Plant          string `path:"plant"`
	Agent          string `path:"agent"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           RetireRequest
}

// Retired is an agent that went out of service.
type Retired struct {
	Plant      event.PlantID     `json:"plant"`
	Agent      string            `json:"agent"`
	Answered   bool              `json:"answered" doc:"all that it had on disk when it was asked is here"`
	Missing    string            `json:"missing,omitempty" doc:"seqs of lane quality that persons signed for"`
	Signatures []event.Signature `json:"signatures"`
}

// retireOutput is who was retired. Repeated tells that the same act was done before.
type retireOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     Retired
}

// meaningRetired is what a signature under a retirement means (21 CFR 11.50).
const meaningRetired = "approval: lots may be released without what is not known of this agent"

const (
	// answerWithin is how long an agent that is to be retired is waited for; it has read a question within a second.
	answerWithin = 6 * time.Second
	answerEvery  = 100 * time.Millisecond
)

// seesAgent refuses an agent of a plant that the caller may not see as one that does not exist.
func (s *server) seesAgent(ctx context.Context, plant event.PlantID, agent string) error {
	c := callerOf(ctx)
	if c.sees(plant) {
		return nil
	}
	s.record(ctx, c, "access.hidden", string(plant)+"/"+agent, "the agent belongs to a plant that the caller may not see")
	return problem.New(problem.ObjectHidden, "there is no agent %.60s/%.60s", plant, agent)
}

func (s *server) agentRest(ctx context.Context, in *agentInput) (*view[AgentRest], error) {
	plant := event.PlantID(in.Plant)
	if err := s.seesAgent(ctx, plant, in.Agent); err != nil {
		return nil, err
	}
	r := AgentRest{Plant: plant, Agent: in.Agent, Zone: s.zoneOf(plant), InNumber: s.cfg.signersOf(plant)}
	var err error
	if r.Missing, err = s.engine.Missing(ctx, plant, in.Agent); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		row, err := tx.AgentRow(plant, in.Agent)
		if err != nil {
			return err
		}
		r.Asked = row.Asked > 0
		heads, err := tx.HeadsOf(plant, in.Agent)
		if n := len(heads); n > 0 {
			r.HeadAt = heads[n-1].At
		}
		return err
	})
	return &view[AgentRest]{r}, err
}

// retire asks the agent once more, and retires it when all that it then had on disk is here. What is not known otherwise,
// persons sign for.
func (s *server) retire(ctx context.Context, in *retireInput) (*retireOutput, error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	plant := event.PlantID(in.Plant)
	if err := s.seesAgent(ctx, plant, in.Agent); err != nil {
		return nil, err
	}
	again, err := s.retiredBefore(ctx, in)
	if again != nil || err != nil {
		return again, err
	}
	var users []*store.UserRow
	if len(in.Body.Signers) > 0 {
		if users, err = s.signers(ctx, plant, in.Body.Signers, s.cfg.signersOf(plant)); err != nil {
			return nil, err
		}
	}
	var rest workflow.Rest
	if rest.Answered, err = s.answers(ctx, plant, in.Agent); err != nil {
		return nil, err
	}
	if rest.Missing, err = s.engine.Missing(ctx, plant, in.Agent); err != nil {
		return nil, err
	}
	switch {
	case len(users) == 0 && !rest.Whole():
		return nil, workflow.RestRefused(plant, in.Agent, rest)
	case len(users) > 0 && strings.TrimSpace(in.Body.Missing) != rest.Missing:
		return nil, problem.New(problem.StateMoved, "agent %s/%s lacks %q by now, what was signed for is %q", plant, in.Agent, rest.Missing, in.Body.Missing)
	}
	c := callerOf(ctx)
	data := workflow.RetireAgent(plant, in.Agent, rest)
	data.Principal, data.Reason = event.Name(c.Principal), in.Body.Reason
	e := s.newEvent(c, in.IdempotencyKey, data)
	out := &retireOutput{Body: Retired{Plant: plant, Agent: in.Agent, Answered: rest.Answered, Missing: rest.Missing}}
	if out.Body.Signatures, err = sign(data, e.Time, meaningRetired, users); err != nil {
		return nil, err
	}
	out.Repeated, err = s.act(ctx, e, users)
	return out, err
}

// retiredBefore returns what the same act did before, nil if it was not done: an agent that is retired can't be asked again.
func (s *server) retiredBefore(ctx context.Context, in *retireInput) (*retireOutput, error) {
	data := workflow.RetireAgent(event.PlantID(in.Plant), in.Agent, workflow.Rest{})
	out := &retireOutput{Repeated: true, Body: Retired{Plant: event.PlantID(in.Plant), Agent: in.Agent, Signatures: []event.Signature{}}}
	if in.IdempotencyKey == "" {
		return nil, nil
	}
	known, err := s.known(ctx, s.newEvent(callerOf(ctx), in.IdempotencyKey, data).ID, func(was event.Data) bool {
		old, ok := was.(*event.ActRecorded)
		if !ok || old.Act != data.Act || old.About != data.About || old.Reason != in.Body.Reason {
			return false
		}
		rest := workflow.RestOf(old)
		out.Body.Answered, out.Body.Missing = rest.Answered, rest.Missing
		return true
	})
	if err != nil || !known {
		return nil, err
	}
	return out, nil
}

// answers puts a question to an agent, and tells whether all that it then had on disk is here in time.
func (s *server) answers(ctx context.Context, plant event.PlantID, agent string) (bool, error) {
	barrier, err := s.engine.Question(ctx, plant, agent)
	if err != nil {
		return false, err
	}
	over, tick := time.NewTimer(s.cfg.AnswerWithin), time.NewTicker(answerEvery)
	defer over.Stop()
	defer tick.Stop()
	for {
		answered := false
		if err := s.read(ctx, func(tx *store.Tx) error {
			row, err := tx.AgentRow(plant, agent)
			answered = row.Answered >= barrier
			return err
		}); err != nil || answered {
			return answered, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-over.C:
			return false, nil
		case <-tick.C:
		}
	}
}
