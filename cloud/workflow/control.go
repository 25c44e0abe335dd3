package workflow

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// What an agent is told, and how often. The record is always whole, so that a mark is enough: the publisher writes the
// state of now.
const (
	// signOfLife is half of the minute after which an agent's offline answers begin to age.
	signOfLife = 30 * time.Second
	// coveredAfter bounds how often an agent is told of coverage alone, which grows with every record.
	coveredAfter = 10 * time.Second
)

// question asks an agent by the newest barrier.
func (t *turn) question(plant event.PlantID, agent string, barrier int64) error {
	k := agentKey{plant, agent}
	if t.told[k] {
		return nil
	}
	row, err := t.tx.AgentRow(plant, agent)
	if err != nil {
		return err
	}
	if row.Asked == 0 {
		row.Asked, row.AskedAt = barrier, t.now
	}
	if row.Barrier >= barrier {
		return t.tx.PutAgent(&row) // it was told: its answer is on its way
	}
	return t.inform(&row)
}

// inform has an agent's control record written anew.
func (t *turn) inform(row *store.AgentRow) error {
	k := agentKey{row.Plant, row.Agent}
	if t.told == nil {
		t.told = map[agentKey]bool{}
	}
	t.told[k] = true
	set, err := t.tx.Control(row.Plant, row.Agent, t.now)
	if err != nil {
		return fmt.Errorf("work out control record of %s/%s: %w", row.Plant, row.Agent, err)
	}
	// The version grows with the clock, so that it goes on growing where the database is rebuilt: readers keep the highest.
	row.Version = max(row.Version+1, t.now.UnixMicro())
	row.ToldAt, row.Told, row.Covered, row.Barrier = t.now, set.Digest, set.CoveredDigest, set.Set.Barrier
	t.wantsOutbox = true
	if err := t.tx.PutAgent(row); err != nil {
		return err
	}
	return t.tx.MarkOutbox(TopicControl+"/"+string(row.Plant), row.Agent)
}

// remind has the control records written that are due.
func (t *turn) remind() error {
	agents, err := t.tx.LiveAgents()
	if err != nil {
		return err
	}
	for i := range agents {
		due, err := t.due(&agents[i])
		if err == nil && due {
			err = t.inform(&agents[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// due tells whether an agent's control record is to be written: for what it says, for coverage, or as a sign of life.
func (t *turn) due(row *store.AgentRow) (bool, error) {
	age := t.now.Sub(row.ToldAt)
	if age >= signOfLife || age < 0 { // the clock was set back
		return true, nil
	}
	set, err := t.tx.Control(row.Plant, row.Agent, t.now)
	if err != nil {
		return false, err
	}
	return set.Digest != row.Told || age >= coveredAfter && set.CoveredDigest != row.Covered, nil
}
