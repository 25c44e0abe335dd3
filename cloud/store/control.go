package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
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
	decisions, err := t.EpochDecisions(plant, agent)
	if err != nil {
		return err
	}
	epochs, err := t.epochsWhere(`plant = ? AND agent = ? AND (superseded = 1
		OR epoch IN (SELECT epoch FROM epoch_decision WHERE plant = ? AND agent = ?)
		OR epoch IN (SELECT epoch FROM epoch WHERE plant = ? AND agent = ? ORDER BY first_seen DESC, epoch DESC LIMIT ?))`,
		plant, agent, plant, agent, plant, agent, coveredEpochs)
	if err != nil {
		return err
	}
	open, err := t.OpenHeads(plant, agent)
	if err != nil {
		return err
	}
	have, err := t.accounts(plant, agent, epochs[max(0, len(epochs)-coveredEpochs):])
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
			if err := t.controlLane(r, lane, have[laneKey{r.Epoch, lane}], now, open, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// laneKey names a lane of one of an agent's epochs.
type laneKey struct {
	epoch event.Epoch
	lane  event.Lane
}

// accounts returns the seqs of at most coveredEpochs epochs of an agent that came, or that it declared as gone.
func (t *Tx) accounts(plant event.PlantID, agent string, epochs []EpochRow) (map[laneKey]Ranges, error) {
	args := []any{plant, agent}
	for i := range coveredEpochs { // one statement for any number of them
		epoch := event.Epoch("")
		if i < len(epochs) {
			epoch = epochs[i].Epoch
		}
		args = append(args, epoch)
	}
	these := `plant = ? AND agent = ? AND epoch IN (?` + strings.Repeat(", ?", coveredEpochs-1) + `)`
	have := map[laneKey]Ranges{}
	if err := t.each(func(rows *sql.Rows) error {
		var k laneKey
		var s string
		if err := rows.Scan(&k.epoch, &k.lane, &s); err != nil {
			return err
		}
		r, err := ParseRanges(s)
		have[k] = have[k].Unite(r)
		return err
	}, `SELECT epoch, lane, ranges FROM coverage WHERE `+these, args...); err != nil {
		return nil, err
	}
	lost, err := docs[quality.Gap](t, `SELECT doc FROM gap WHERE `+these+` AND kind = 'loss'`, args...)
	for i := range lost {
		k := laneKey{lost[i].Epoch, lost[i].Lane}
		have[k] = have[k].Add(lost[i].FromSeq, lost[i].ToSeq)
	}
	return have, err
}

func (t *Tx) controlLane(r *EpochRow, lane event.Lane, have Ranges, now time.Time, open []HeadRow, set *event.ControlSet) error {
	set.Covered = append(set.Covered, event.Covered{Epoch: r.Epoch, Lane: lane, Seq: have.Whole()})
	last := int64(0)
	if r.Closed && len(have.Missing(r.Closing(lane))) > 0 {
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

// question is what a lot waits for an agent's answer to.
type question struct {
	lot     event.LotKey
	barrier int64
	at      string
}

// Silent returns the agents that have not answered a lot's question since before.
func (t *Tx) Silent(before time.Time) ([]SilentAgent, error) {
	asked, err := t.questions(before)
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	accepted, err := t.acceptedAnswers()
	if err != nil {
		return nil, err
	}
	var all []SilentAgent
	for _, a := range slices.Sorted(maps.Keys(asked)) {
		agents, err := t.agentsInQuestion(a)
		if err != nil {
			return nil, err
		}
		for _, r := range agents {
			s, err := t.silent(&r, asked[a], accepted)
			if err != nil {
				return nil, err
			}
			if s.Lots > 0 {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// silent counts the questions that an agent has not answered, and that nobody answered for it.
func (t *Tx) silent(r *AgentRow, asked []question, accepted map[string]int64) (s SilentAgent, err error) {
	s = SilentAgent{Plant: r.Plant, Agent: r.Agent}
	since := ""
	for _, q := range asked {
		if q.barrier <= r.Answered || len(accepted) > 0 && accepted[acceptedBy(q.lot, r.Plant, r.Agent)] >= q.barrier {
			continue
		}
		if s.Lots++; since == "" || q.at < since {
			since = q.at
		}
	}
	if s.Lots == 0 {
		return s, nil
	}
	if s.Since, err = parse(since); err != nil {
		return s, err
	}
	s.HeadAt, err = t.headAt(r.Plant, r.Agent)
	return s, err
}

// questions returns what lots have asked since before and still wait for, by plant.
func (t *Tx) questions(before time.Time) (map[event.PlantID][]question, error) {
	asked := map[event.PlantID][]question{}
	err := t.each(func(rows *sql.Rows) error {
		var plant event.PlantID
		var q question
		err := rows.Scan(&plant, &q.lot, &q.barrier, &q.at)
		asked[plant] = append(asked[plant], q)
		return err
	}, `SELECT p.plant, a.lot, a.barrier, a.at FROM ask a CROSS JOIN lot_plant p
		WHERE a.granted = 0 AND a.barrier > 0 AND a.at <= ? AND p.lot = a.lot`, text(before))
	return asked, err
}

func acceptedBy(lot event.LotKey, plant event.PlantID, agent string) string {
	return string(lot) + "#" + string(plant) + "/" + agent
}

// acceptedAnswers returns up to which barrier persons have signed for an agent's answer to a lot that asks.
func (t *Tx) acceptedAnswers() (map[string]int64, error) {
	signed := map[string]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var lot event.LotKey
		var plant event.PlantID
		var agent string
		var barrier int64
		err := rows.Scan(&lot, &plant, &agent, &barrier)
		k := acceptedBy(lot, plant, agent)
		signed[k] = max(signed[k], barrier)
		return err
	}, `SELECT x.lot, x.plant, x.agent, x.barrier FROM ask a CROSS JOIN acceptance x
		WHERE a.granted = 0 AND a.barrier > 0 AND x.lot = a.lot AND x.agent <> ''`)
	return signed, err
}
