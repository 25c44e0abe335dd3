package store

import (
	"database/sql"
	"errors"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// EpochDecisionRow is a decision about an epoch, with who decided and why.
type EpochDecisionRow struct {
	Plant     event.PlantID
	Agent     string
	Epoch     event.Epoch
	Decision  event.EpochDecision
	Principal string
	Reason    string
	At        time.Time
}

// EpochDecisionOf returns the decision about an epoch, nil if nobody has decided.
func (t *Tx) EpochDecisionOf(plant event.PlantID, agent string, epoch event.Epoch) (*EpochDecisionRow, error) {
	r := EpochDecisionRow{Plant: plant, Agent: agent, Epoch: epoch}
	var at string
	err := t.row(`SELECT decision, principal, reason, at FROM epoch_decision WHERE plant = ? AND agent = ? AND epoch = ?`, plant, agent, epoch).
		Scan(&r.Decision, &r.Principal, &r.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.At, err = parse(at)
	return &r, err
}

// EpochDecisions returns the decisions about an agent's epochs, by epoch. An empty plant means all agents.
func (t *Tx) EpochDecisions(plant event.PlantID, agent string) (map[event.Epoch]EpochDecisionRow, error) {
	where := `? IN ('', plant) AND ? IN ('', agent)`
	if plant != "" && agent != "" {
		where = `plant = ? AND agent = ?`
	}
	all := map[event.Epoch]EpochDecisionRow{}
	err := t.each(func(rows *sql.Rows) error {
		var r EpochDecisionRow
		var at string
		err := rows.Scan(&r.Plant, &r.Agent, &r.Epoch, &r.Decision, &r.Principal, &r.Reason, &at)
		if err == nil {
			r.At, err = parse(at)
		}
		all[r.Epoch] = r
		return err
	}, `SELECT plant, agent, epoch, decision, principal, reason, at FROM epoch_decision WHERE `+where, plant, agent)
	return all, err
}

// PutEpochDecision stores a decision; a newer one about the same epoch takes its place.
func (t *Tx) PutEpochDecision(r *EpochDecisionRow) error {
	return t.exec(`INSERT INTO epoch_decision (plant, agent, epoch, decision, principal, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (plant, agent, epoch) DO UPDATE SET decision = excluded.decision, principal = excluded.principal,
		reason = excluded.reason, at = excluded.at`, r.Plant, r.Agent, r.Epoch, r.Decision, r.Principal, r.Reason, text(r.At))
}

// DropEpochDecision takes a decision back, where a newer gateway makes the matter one for a person again.
func (t *Tx) DropEpochDecision(plant event.PlantID, agent string, epoch event.Epoch) error {
	return t.exec(`DELETE FROM epoch_decision WHERE plant = ? AND agent = ? AND epoch = ?`, plant, agent, epoch)
}

// QuarantinedOf returns at most limit records of a plant that are in quarantine with a code, behind an id, in the order
// in which they came.
func (t *Tx) QuarantinedOf(plant event.PlantID, code string, after int64, limit int) ([]DeadletterRow, error) {
	return t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE state = 'quarantined' AND plant = ? AND code = ? AND id > ?
		ORDER BY id LIMIT ?`, plant, code, after, limit)
}

// EpochBefore returns the epoch that an epoch is the successor of; empty = none is known.
func (t *Tx) EpochBefore(plant event.PlantID, agent string, epoch event.Epoch) (before event.Epoch, err error) {
	err = t.row(`SELECT epoch FROM epoch WHERE plant = ? AND agent = ? AND successor = ? ORDER BY first_seen DESC LIMIT 1`, plant, agent, epoch).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return before, err
}
