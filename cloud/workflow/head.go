package workflow

import (
	"fmt"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

type agentKey struct {
	plant event.PlantID
	agent string
}

// decodeHead reads a head. One that is not understood proves nothing and is not kept: the agent states the next within
// half a minute.
func decodeHead(in *Input) decodedInput {
	h, err := event.DecodeHead(in.Message)
	switch {
	case err != nil:
		return decodedInput{err: problem.New(problem.EventInvalid, "%w", err), isHead: true}
	case h.Plant != in.Plant:
		return decodedInput{err: problem.New(problem.EventForeign, "head of agent %s says plant %q, its topic is that of %q", h.Agent, h.Plant, in.Plant), isHead: true}
	}
	return decodedInput{head: h, isHead: true}
}

// takeHead keeps what an agent states about how much it has on disk. It registers the agent's epoch as a record does, and
// leaves no row in the inbox.
func (t *turn) takeHead(in *Input, d decodedInput) (Result, error) {
	if d.err != nil {
		return Result{Outcome: Refused, Cause: d.err}, nil
	}
	h := d.head
	fork, err := t.register(in.Plant, event.Origin{Agent: h.Agent, Epoch: h.Epoch, Prev: h.Prev, Lane: event.LaneQuality})
	if err != nil {
		return Result{}, err
	}
	row := store.HeadRow{Plant: in.Plant, Agent: h.Agent, Epoch: h.Epoch, Barrier: int64(h.Barrier), At: t.now, Stated: h.Epochs, Told: h.Time, Status: h.Status}
	if err := t.tx.PutHead(&row); err != nil {
		return Result{}, fmt.Errorf("store head of %s/%s: %w", in.Plant, h.Agent, err)
	}
	if fork != nil {
		return Result{Outcome: Refused, Cause: fork}, nil // it counts for its own epoch's end, and answers for nobody
	}
	if err := t.tx.AddOpenHead(&row); err != nil {
		return Result{}, fmt.Errorf("store head of %s/%s: %w", in.Plant, h.Agent, err)
	}
	t.hear(in.Plant, h.Agent)
	return Result{Outcome: Accepted}, nil
}

// hear notes that an agent may have answered: a head came, or records that one counts on.
func (t *turn) hear(plant event.PlantID, agent string) {
	if t.agents == nil {
		t.agents = map[agentKey]bool{}
	}
	t.agents[agentKey{plant, agent}] = true
}

// countAnswers finds the heads that are whole now, and has the lots looked at that waited for them.
func (t *turn) countAnswers() error {
	for k := range t.epochsMoved {
		whole, err := t.tx.MarkWhole(k.plant, k.agent, k.epoch, t.now)
		if err != nil {
			return err
		}
		found, err := t.foundAgain(k)
		if err != nil {
			return err
		}
		if whole || found {
			t.move(k.plant, "")
		}
	}
	for k := range t.agents {
		if err := t.answered(k); err != nil {
			return err
		}
	}
	return nil
}

// foundAgain tells whether something of an epoch that was declared as gone came in this transaction after all.
func (t *turn) foundAgain(k epochKey) (bool, error) {
	lost, err := t.tx.LossesOf(k.plant, k.agent, k.epoch)
	if err != nil || len(lost) == 0 {
		return false, err
	}
	for key, came := range t.coverage {
		if key.Plant == k.plant && key.Agent == k.agent && key.Epoch == k.epoch && key.Lane == event.LaneQuality && came.Meets(lost) {
			return true, nil
		}
	}
	return false, nil
}

// answered counts the heads of an agent that are whole now.
func (t *turn) answered(k agentKey) error {
	open, err := t.tx.OpenHeads(k.plant, k.agent)
	if err != nil {
		return err
	}
	best := int64(-1)
	for i := range open {
		h := &open[i]
		row, err := t.epoch(epochKey{k.plant, k.agent, h.Epoch})
		if err != nil {
			return err
		}
		if row == nil || row.Superseded {
			if err := t.tx.DropOpenHead(h.ID); err != nil {
				return err
			}
			continue
		}
		whole, err := t.tx.AccountedFor(h)
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		best = max(best, h.Barrier)
		if err := t.tx.DropOpenHead(h.ID); err != nil {
			return err
		}
	}
	if best <= 0 {
		return nil
	}
	return t.noteAnswer(k, best)
}

func (t *turn) noteAnswer(k agentKey, barrier int64) error {
	row, err := t.tx.AgentRow(k.plant, k.agent)
	if err != nil || row.Answered >= barrier {
		return err
	}
	before := row.Answered
	row.Answered = barrier
	if row.Asked > 0 && row.Asked <= barrier {
		t.barrierWaits = append(t.barrierWaits, barrierWait{k.plant, t.now.Sub(row.AskedAt)})
		row.Asked = 0
	}
	if err := t.tx.PutAgent(&row); err != nil {
		return err
	}
	lots, err := t.tx.LotsAnswered(k.plant, before, barrier)
	for _, lot := range lots {
		t.suspect(lot)
	}
	return err
}
