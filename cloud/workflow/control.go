package workflow

import (
	"fmt"
	"maps"
	"sync"
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
	fresh := row.Asked == 0
	if fresh {
		row.Asked, row.AskedAt = barrier, t.now
	}
	switch {
	case row.Barrier < barrier:
		return t.inform(&row)
	case fresh:
		return t.tx.PutAgent(&row) // it was told: its answer is on its way
	}
	return nil
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

// remind has the control records of agents written.
func (t *turn) remind(agents []agentKey) error {
	for _, k := range agents {
		row, err := t.tx.AgentRow(k.plant, k.agent)
		if err == nil {
			err = t.inform(&row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overdue returns the agents whose control record is to be written as a sign of life, and of those looked at the ones
// whose record says something new. Later says when to look again at those whose record may say more by then.
func (t *turn) overdue(look map[agentKey]bool) (due []agentKey, later map[agentKey]time.Time, err error) {
	agents, err := t.tx.LiveAgents()
	if err != nil {
		return nil, nil, err
	}
	later = map[agentKey]time.Time{}
	for i := range agents {
		row := &agents[i]
		k := agentKey{row.Plant, row.Agent}
		age := t.now.Sub(row.ToldAt)
		if age >= signOfLife || age < 0 { // the clock was set back
			due = append(due, k)
			continue
		}
		if !look[k] {
			continue
		}
		set, err := t.tx.Control(row.Plant, row.Agent, t.now)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("work out control record of %s/%s: %w", row.Plant, row.Agent, err)
		case set.Digest != row.Told, age >= coveredAfter && set.CoveredDigest != row.Covered:
			due = append(due, k)
		case set.CoveredDigest != row.Covered:
			later[k] = row.ToldAt.Add(coveredAfter)
		}
	}
	return due, later, nil
}

// settleAfter is when an agent that was heard of is looked at a second time: what it stated and did not send is then
// wanted again.
const settleAfter = 6 * time.Second

// attention is which agents' control records may say something new: those that were heard of since they were looked at.
// One is looked at soon after it was heard of, a while after that, and then not before it is heard of again, so that
// one that sends all the time is not looked at each time.
type attention struct {
	mu     sync.Mutex // guards agents
	agents map[agentKey]*regard
}

// regard is when an agent is to be looked at.
type regard struct {
	next  time.Time // zero = at once
	again bool      // it was heard of since the look before
}

// note says that agents were heard of. It comes after the commit, so that a look that follows sees what they sent.
func (a *attention) note(agents map[agentKey]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range agents {
		if r := a.agents[k]; r != nil {
			r.again = true
		} else {
			a.agents[k] = &regard{again: true}
		}
	}
}

// take returns the agents that are to be looked at now. Each is looked at once more if it was heard of.
func (a *attention) take(now time.Time) map[agentKey]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	look := map[agentKey]bool{}
	for k, r := range a.agents {
		switch {
		case r.next.After(now) && r.next.Sub(now) <= settleAfter+coveredAfter: // else the clock was set back
			continue
		case r.again:
			r.next, r.again = now.Add(settleAfter), false
		default:
			delete(a.agents, k)
		}
		look[k] = true
	}
	return look
}

// put has agents looked at by the given times, if they are not sooner.
func (a *attention) put(later map[agentKey]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, at := range later {
		if a.agents[k] == nil {
			a.agents[k] = &regard{next: at}
		}
	}
}

// heardOf returns the agents that a transaction has changed something about.
func (t *turn) heardOf() map[agentKey]bool {
	all := maps.Clone(t.agents)
	if all == nil {
		all = map[agentKey]bool{}
	}
	for k := range t.coverage {
		all[agentKey{k.Plant, k.Agent}] = true
	}
	return all
}
