package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Standing is what an agent's newest head of one epoch says about the agent.
type Standing struct {
	Plant  event.PlantID
	Agent  string
	Epoch  event.Epoch
	At     time.Time          // when the head came
	Told   time.Time          // when it was stated, by the agent's clock; zero = before that was kept
	Status *event.AgentStatus // nil = the agent does not say
}

// Standings returns the newest head of each epoch of a plant's agents. An empty plant means all.
func (t *Tx) Standings(plant event.PlantID) ([]Standing, error) {
	var all []Standing
	err := t.each(func(rows *sql.Rows) error {
		var s Standing
		var at, told, text string
		if err := rows.Scan(&s.Plant, &s.Agent, &s.Epoch, &at, &told, &text); err != nil {
			return err
		}
		if text != "" {
			s.Status = new(event.AgentStatus)
			if err := json.Unmarshal([]byte(text), s.Status); err != nil {
				return fmt.Errorf("decode stored status of agent %s/%s: %w", s.Plant, s.Agent, err)
			}
		}
		var err error
		if s.At, err = parse(at); err == nil {
			s.Told, err = parse(told)
		}
		all = append(all, s)
		return err
	}, `SELECT plant, agent, epoch, at, told, standing FROM head WHERE ? IN ('', plant) ORDER BY plant, agent, epoch`, plant)
	return all, err
}

// CountKept counts, by plant, the records that wait for a person or for what they name.
func (t *Tx) CountKept() (map[event.PlantID]int64, error) {
	counts := map[event.PlantID]int64{}
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		var n int64
		err := rows.Scan(&p, &n)
		counts[p] = n
		return err
	}, `SELECT plant, COUNT(*) FROM deadletter WHERE state IN ('quarantined', 'dead', 'parked', 'waiting') GROUP BY plant`)
	return counts, err
}
