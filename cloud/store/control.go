package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	// wantedAfter is how long seqs that an agent has stated may be on their way before they are wanted again.
	wantedAfter = 5 * time.Second
	// coveredEpochs is how many of an agent's epochs, the newest, are told how far they are covered.
	coveredEpochs = 10
	// mostWanted bounds the ranges of one record; what comes fills them, and the next ones follow.
	mostWanted = 200
)

// Control is an agent's control record as it would be written now, with digests that tell whether it says anything new.
type Control struct {
	Set           event.ControlSet
	Digest        string // of all but version and how far coverage is whole
	CoveredDigest string // of how far coverage is whole
}

// Control returns an agent's control record of now.
func (t *Tx) Control(plant event.PlantID, agent string, now time.Time) (c Control, err error) {
	c.Set = event.ControlSet{Agent: event.AgentID(agent), Wanted: []event.Wanted{}, Covered: []event.Covered{}, Epochs: []event.DecidedEpoch{}}
	c.Set.Provenance.Source = "holdfast"
	row, err := t.AgentRow(plant, agent)
	if err != nil {
		return c, err
	}
	c.Set.Version = row.Version
	if c.Set.Barrier, err = t.Barrier(); err != nil {
		return c, err
	}
	if err := t.controlEpochs(plant, agent, now, &c.Set); err != nil {
		return c, err
	}
	if c.CoveredDigest, err = digest(c.Set.Covered); err != nil {
		return c, err
	}
	c.Digest, err = digest([]any{c.Set.Wanted, c.Set.Epochs}) // a barrier is told by those who ask
	return c, err
}

func digest(v any) (string, error) {
	b, err := json.Marshal(v)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), err
}

// controlEpochs fills in what concerns the agent's epochs, the newest first.
func (t *Tx) controlEpochs(plant event.PlantID, agent string, now time.Time, set *event.ControlSet) error {
	epochs, err := t.Epochs(plant, agent)
	if err != nil {
		return err
	}
	decisions, err := t.EpochDecisions(plant, agent)
	if err != nil {
		return err
	}
	open, err := t.OpenHeads(plant, agent)
	if err != nil {
		return err
	}
	for i := len(epochs) - 1; i >= 0; i-- {
		r := &epochs[i]
		if d, ok := decisions[r.Epoch]; ok {
			set.Epochs = append(set.Epochs, event.DecidedEpoch{Epoch: r.Epoch, Decision: d.Decision, Reason: d.Reason})
		} else if r.Superseded {
			set.Epochs = append(set.Epochs, event.DecidedEpoch{
				Epoch: r.Epoch, Decision: event.EpochQuarantined, Reason: "another gateway continues the same queue, and nobody decided which one goes on",
			})
		}
		if len(epochs)-i > coveredEpochs {
			continue
		}
		for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
			if err := t.controlLane(r, lane, now, open, set); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tx) controlLane(r *EpochRow, lane event.Lane, now time.Time, open []HeadRow, set *event.ControlSet) error {
	have, err := t.accountedFor(r.Plant, r.Agent, r.Epoch, lane)
	if err != nil {
		return err
	}
	set.Covered = append(set.Covered, event.Covered{Epoch: r.Epoch, Lane: lane, Seq: have.Whole()})
	last := int64(0)
	if r.Closed {
		end, err := t.endOf(r)
		if err != nil {
			return err
		}
		if now.Sub(end) >= wantedAfter {
			last = r.Closing(lane)
		}
	}
	for i := range open {
		if now.Sub(open[i].At) >= wantedAfter {
			last = max(last, open[i].Last(r.Epoch, lane))
		}
	}
	for _, x := range have.Missing(last) {
		if len(set.Wanted) < mostWanted {
			set.Wanted = append(set.Wanted, event.Wanted{Epoch: r.Epoch, Lane: lane, FromSeq: x.From, ToSeq: x.To})
		}
	}
	return nil
}

// SilentAgent is an agent that lots have waited for too long.
type SilentAgent struct {
	Plant  event.PlantID
	Agent  string
	Lots   int64
	Since  time.Time // when the first of them asked
	HeadAt time.Time // when its newest head came; zero = never
}

// Subject names the agent in alerts.
func (s *SilentAgent) Subject() string { return string(s.Plant) + "/" + s.Agent }

// Silent returns the agents that have not answered a lot's question since before.
func (t *Tx) Silent(before time.Time) ([]SilentAgent, error) {
	type key struct {
		plant event.PlantID
		agent string
	}
	found := map[key]*SilentAgent{}
	var all []SilentAgent
	var order []key
	err := t.each(func(rows *sql.Rows) error {
		var plant event.PlantID
		var agent, at, head, lot string
		if err := rows.Scan(&plant, &agent, &at, &head, &lot); err != nil {
			return err
		}
		asked, err := parse(at)
		if err != nil {
			return err
		}
		k := key{plant, agent}
		s := found[k]
		if s == nil {
			s = &SilentAgent{Plant: plant, Agent: agent, Since: asked}
			found[k] = s
			order = append(order, k)
			if s.HeadAt, err = parse(head); err != nil {
				return err
			}
		}
		s.Lots++
		if asked.Before(s.Since) {
			s.Since = asked
		}
		return nil
	}, `SELECT DISTINCT e.plant, e.agent, a.at, COALESCE((SELECT MAX(h.at) FROM head h WHERE h.plant = e.plant AND h.agent = e.agent), ''), a.lot
		FROM ask a CROSS JOIN lot_plant p CROSS JOIN epoch e LEFT JOIN agent g ON g.plant = e.plant AND g.agent = e.agent
		WHERE a.granted = 0 AND a.barrier > 0 AND a.at <= ? AND p.lot = a.lot AND e.plant = p.plant AND e.closed = 0 AND e.superseded = 0
		AND COALESCE(g.answered, 0) < a.barrier
		AND NOT EXISTS (SELECT 1 FROM acceptance x WHERE x.lot = a.lot AND x.agent = e.agent AND x.plant = e.plant AND x.barrier >= a.barrier)
		ORDER BY e.plant, e.agent`, text(before))
	for _, k := range order {
		all = append(all, *found[k])
	}
	return all, err
}
