package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// HeadRow is what an agent stated about how much it has on disk.
type HeadRow struct {
	ID      int64 // of one whose seqs have not all come
	Plant   event.PlantID
	Agent   string
	Epoch   event.Epoch // of the process that stated it
	Barrier int64
	At      time.Time // when it came
	Stated  []event.HeadEpoch

	Told   time.Time          // when it was stated, by the agent's clock
	Status *event.AgentStatus // nil = the agent does not say how it stands
}

// Last returns the last seq that the head states of an epoch's lane; 0 if it states none.
func (h *HeadRow) Last(epoch event.Epoch, lane event.Lane) int64 {
	for _, s := range h.Stated {
		switch {
		case s.Epoch != epoch:
		case lane == event.LaneTelemetry:
			return int64(s.Telemetry)
		default:
			return int64(s.Quality)
		}
	}
	return 0
}

// PutHead stores the newest head of an epoch, and forgets those of the agent's former epochs of which all has come: what
// they state is stated by the epoch's closing.
func (t *Tx) PutHead(h *HeadRow) error {
	stated, err := json.Marshal(h.Stated)
	if err != nil {
		return err
	}
	var status []byte
	if h.Status != nil {
		if status, err = json.Marshal(h.Status); err != nil {
			return err
		}
	}
	if err := t.exec(`INSERT INTO head (plant, agent, epoch, barrier, at, stated, told, standing) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (plant, agent, epoch) DO UPDATE SET barrier = excluded.barrier, at = excluded.at, stated = excluded.stated,
		told = excluded.told, standing = excluded.standing`,
		h.Plant, h.Agent, h.Epoch, h.Barrier, text(h.At), string(stated), text(h.Told), string(status)); err != nil {
		return err
	}
	return t.exec(`DELETE FROM head WHERE plant = ? AND agent = ? AND epoch <> ? AND EXISTS (SELECT 1 FROM epoch e
		WHERE e.plant = head.plant AND e.agent = head.agent AND e.epoch = head.epoch AND e.closed = 1 AND e.whole = 1 AND e.superseded = 0)`,
		h.Plant, h.Agent, h.Epoch)
}

const headColumns = `plant, agent, epoch, barrier, at, stated`

func (t *Tx) heads(query string, args ...any) ([]HeadRow, error) {
	var all []HeadRow
	err := t.each(func(rows *sql.Rows) error {
		var h HeadRow
		var at, stated string
		if err := rows.Scan(&h.ID, &h.Plant, &h.Agent, &h.Epoch, &h.Barrier, &at, &stated); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(stated), &h.Stated); err != nil {
			return fmt.Errorf("decode stored head: %w", err)
		}
		var err error
		h.At, err = parse(at)
		all = append(all, h)
		return err
	}, query, args...)
	return all, err
}

// HeadsOf returns the newest head of each epoch of an agent, oldest first, without what it says about the agent.
func (t *Tx) HeadsOf(plant event.PlantID, agent string) ([]HeadRow, error) {
	return t.heads(`SELECT 0, `+headColumns+` FROM head WHERE plant = ? AND agent = ? ORDER BY at, epoch`, plant, agent)
}

// headAt returns when an agent's newest head came, zero if none did.
func (t *Tx) headAt(plant event.PlantID, agent string) (time.Time, error) {
	var at string
	if err := t.row(`SELECT COALESCE(MAX(at), '') FROM head WHERE plant = ? AND agent = ?`, plant, agent).Scan(&at); err != nil {
		return time.Time{}, err
	}
	return parse(at)
}

// OpenHeads returns the heads of an agent whose seqs have not all come, oldest first.
func (t *Tx) OpenHeads(plant event.PlantID, agent string) ([]HeadRow, error) {
	return t.heads(`SELECT id, `+headColumns+` FROM head_open WHERE plant = ? AND agent = ? ORDER BY id`, plant, agent)
}

// AddOpenHead keeps a head until its seqs have come: the oldest, which gets whole first, and the newest. Those between
// would keep an agent that states one head after the other from ever being seen whole, or grow without bound. Those of an
// earlier run of the agent count no more: what it left is stated again, or is missing from a closed epoch.
func (t *Tx) AddOpenHead(h *HeadRow) error {
	stated, err := json.Marshal(h.Stated)
	if err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM head_open WHERE plant = ? AND agent = ? AND (epoch <> ? OR id > (SELECT MIN(id) FROM head_open
		WHERE plant = ? AND agent = ? AND epoch = ?))`, h.Plant, h.Agent, h.Epoch, h.Plant, h.Agent, h.Epoch); err != nil {
		return err
	}
	return t.exec(`INSERT INTO head_open (`+headColumns+`) VALUES (?, ?, ?, ?, ?, ?)`, h.Plant, h.Agent, h.Epoch, h.Barrier, text(h.At), string(stated))
}

// DropOpenHead removes a head that is whole or does not count any more.
func (t *Tx) DropOpenHead(id int64) error { return t.exec(`DELETE FROM head_open WHERE id = ?`, id) }

// AccountedFor tells whether every seq of lane quality that a head states came, or was declared as gone: what is declared
// is a gap of its own.
func (t *Tx) AccountedFor(h *HeadRow) (bool, error) {
	for _, s := range h.Stated {
		have, err := t.accountedFor(h.Plant, h.Agent, s.Epoch, event.LaneQuality)
		if err != nil || have.Whole() < int64(s.Quality) {
			return false, err
		}
	}
	return true, nil
}

// AgentRow is what an agent was asked and told, and how far it has answered.
type AgentRow struct {
	Plant    event.PlantID
	Agent    string
	Answered int64     // highest barrier that it has answered
	Asked    int64     // newest barrier that it was asked and has not answered; 0 = none
	AskedAt  time.Time // since when
	Version  int64     // of its control record
	ToldAt   time.Time // when that was last written
	Told     string    // what it said besides how far coverage is whole, to see whether that changed
	Covered  string    // what it said about that
	Barrier  int64     // that it said
}

const agentColumns = `COALESCE(g.answered, 0), COALESCE(g.asked, 0), COALESCE(g.asked_at, ''), COALESCE(g.version, 0),
	COALESCE(g.told_at, ''), COALESCE(g.told, ''), COALESCE(g.covered, ''), COALESCE(g.barrier, 0)`

func (r *AgentRow) scan(scan func(...any) error, first ...any) error {
	var asked, told string
	if err := scan(append(first, &r.Answered, &r.Asked, &asked, &r.Version, &told, &r.Told, &r.Covered, &r.Barrier)...); err != nil {
		return err
	}
	var err error
	if r.AskedAt, err = parse(asked); err != nil {
		return err
	}
	r.ToldAt, err = parse(told)
	return err
}

// AgentRow returns an agent's row; an empty one if it was never asked or told anything.
func (t *Tx) AgentRow(plant event.PlantID, agent string) (AgentRow, error) {
	r := AgentRow{Plant: plant, Agent: agent}
	err := r.scan(t.row(`SELECT `+agentColumns+` FROM agent g WHERE plant = ? AND agent = ?`, plant, agent).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r, err
}

// PutAgent stores an agent's row.
func (t *Tx) PutAgent(r *AgentRow) error {
	return t.exec(`INSERT INTO agent (plant, agent, answered, asked, asked_at, version, told_at, told, covered, barrier)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (plant, agent) DO UPDATE SET answered = excluded.answered, asked = excluded.asked, asked_at = excluded.asked_at,
		version = excluded.version, told_at = excluded.told_at, told = excluded.told, covered = excluded.covered, barrier = excluded.barrier`,
		r.Plant, r.Agent, r.Answered, r.Asked, text(r.AskedAt), r.Version, text(r.ToldAt), r.Told, r.Covered, r.Barrier)
}

// agentsInQuestion returns the agents of a plant that have to answer before a release, with how far they have, sorted:
// those with an epoch that is not closed. One whose epochs are all closed is retired.
func (t *Tx) agentsInQuestion(plant event.PlantID) ([]AgentRow, error) {
	var all []AgentRow
	err := t.each(func(rows *sql.Rows) error {
		r := AgentRow{Plant: plant}
		err := rows.Scan(&r.Agent, &r.Answered)
		all = append(all, r)
		return err
	}, `SELECT DISTINCT e.agent, COALESCE(a.answered, 0) FROM epoch e LEFT JOIN agent a ON a.plant = e.plant AND a.agent = e.agent
		WHERE e.plant = ? AND e.closed = 0 AND e.superseded = 0 ORDER BY e.agent`, plant)
	return all, err
}

// heard tells whether any agent of a plant was ever heard of, also one that is retired by now.
func (t *Tx) heard(plant event.PlantID) (yes bool, err error) {
	err = t.row(`SELECT EXISTS (SELECT 1 FROM epoch WHERE plant = ?)`, plant).Scan(&yes)
	return yes, err
}

// Answers returns how far the agents of a plant in question have answered.
func (t *Tx) Answers(plant event.PlantID) ([]quality.Answer, error) {
	agents, err := t.agentsInQuestion(plant)
	if err != nil {
		return nil, err
	}
	var all []quality.Answer
	for i := range agents {
		a := quality.Answer{Plant: plant, Agent: agents[i].Agent, Answered: agents[i].Answered}
		if a.HeadAt, err = t.headAt(plant, a.Agent); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// LiveAgents returns all agents that are not retired.
func (t *Tx) LiveAgents() ([]AgentRow, error) {
	var all []AgentRow
	err := t.each(func(rows *sql.Rows) error {
		var r AgentRow
		err := r.scan(rows.Scan, &r.Plant, &r.Agent)
		all = append(all, r)
		return err
	}, `SELECT DISTINCT e.plant, e.agent, `+agentColumns+` FROM epoch e LEFT JOIN agent g ON g.plant = e.plant AND g.agent = e.agent
		WHERE e.closed = 0 ORDER BY e.plant, e.agent`)
	return all, err
}
