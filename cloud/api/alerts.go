package api

import (
	"context"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Alert is something that a person has to see to. It ends by itself when its cause is over.
type Alert struct {
	Code     string    `json:"code"`
	Subject  string    `json:"subject" doc:"what it is about: a lot, an agent, a system, a topic"`
	Since    time.Time `json:"since"`
	Owner    string    `json:"owner" doc:"who acts on it"`
	NextStep string    `json:"next_step"`
	Detail   string    `json:"detail"`
}

// AlertList is the alerts that are raised, oldest first.
type AlertList struct {
	Alerts []Alert `json:"alerts"`
}

func (s *server) alerts(ctx context.Context, _ *struct{}) (*view[AlertList], error) {
	list := AlertList{Alerts: []Alert{}}
	c := callerOf(ctx)
	err := s.read(ctx, func(tx *store.Tx) error {
		all, err := tx.Alerts()
		if err != nil {
			return err
		}
		for i := range all {
			a := &all[i]
			sees, err := seesAlert(tx, c, a.About)
			if err != nil {
				return err
			}
			if sees {
				list.Alerts = append(list.Alerts, Alert{string(a.Code), a.About, a.Since.Time, string(a.Owner), a.NextStep, a.Detail})
			}
		}
		return nil
	})
	return &view[AlertList]{list}, err
}

// seesAlert tells whether a caller sees an alert: of one plant only what is about its lots and agents.
func seesAlert(tx *store.Tx, c *Caller, subject string) (bool, error) {
	if c.seesAll() {
		return true, nil
	}
	if _, key, ok := strings.Cut("@"+subject, "@lot:"); ok { // a lot, or an order line and its lot
		lot, err := tx.Lot(event.LotKey("lot:" + key))
		return lot != nil && c.sees(lot.Plant), err
	}
	plant, _, ok := strings.Cut(subject, "/")
	return ok && event.CheckPlant(plant) == nil && c.sees(event.PlantID(plant)), nil
}
