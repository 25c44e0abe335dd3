package store

import (
	"database/sql"
	"errors"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// RetiredRow is an agent out of service.
type RetiredRow struct {
	Plant     event.PlantID
	Agent     string
	Principal string
	Reason    string
	At        time.Time
}

// Retired returns who retired an agent and why, nil if it is in service.
func (t *Tx) Retired(plant event.PlantID, agent string) (*RetiredRow, error) {
	r := RetiredRow{Plant: plant, Agent: agent}
	var at string
	err := t.row(`SELECT principal, reason, at FROM retired WHERE plant = ? AND agent = ?`, plant, agent).Scan(&r.Principal, &r.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.At, err = parse(at)
	return &r, err
}

// PutRetired takes an agent out of service.
func (t *Tx) PutRetired(r *RetiredRow) error {
	return t.exec(`INSERT INTO retired (plant, agent, principal, reason, at) VALUES (?, ?, ?, ?, ?)`, r.Plant, r.Agent, r.Principal, r.Reason, text(r.At))
}

// DropRetired puts an agent back into service.
func (t *Tx) DropRetired(plant event.PlantID, agent string) error {
	return t.exec(`DELETE FROM retired WHERE plant = ? AND agent = ?`, plant, agent)
}

// CountRetired counts the agents out of service by plant.
func (t *Tx) CountRetired() (map[event.PlantID]int64, error) {
	counts := map[event.PlantID]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		var n int64
		err := rows.Scan(&p, &n)
		counts[p] = n
		return err
	}, `SELECT plant, COUNT(*) FROM retired GROUP BY plant`)
	return counts, err
}

// SignedFor returns the seqs of an epoch's lane quality that never came and that persons signed for.
func (t *Tx) SignedFor(plant event.PlantID, agent string, epoch event.Epoch) (Ranges, error) {
	var s string
	err := t.row(`SELECT ranges FROM signed_for WHERE plant = ? AND agent = ? AND epoch = ?`, plant, agent, epoch).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseRanges(s)
}

// PutSignedFor adds seqs that persons signed for.
func (t *Tx) PutSignedFor(plant event.PlantID, agent string, epoch event.Epoch, more Ranges) error {
	have, err := t.SignedFor(plant, agent, epoch)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO signed_for (plant, agent, epoch, ranges) VALUES (?, ?, ?, ?)
		ON CONFLICT (plant, agent, epoch) DO UPDATE SET ranges = excluded.ranges`, plant, agent, epoch, have.Unite(more).String())
}

// AccountFor returns the seqs of an epoch's lane quality that came, that its agent declared as gone, or that persons signed
// for.
func (t *Tx) AccountFor(plant event.PlantID, agent string, epoch event.Epoch) (Ranges, error) {
	return t.accountedFor(plant, agent, epoch, event.LaneQuality)
}
