package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Run is the work of one equipment on one lot. It binds what was not observed there to the lot.
type Run struct {
	ID        event.ObjectID    `json:"id"`
	Lot       event.LotKey      `json:"lot"`
	Version   int64             `json:"version"`
	Plant     event.PlantID     `json:"plant"`
	Equipment event.EquipmentID `json:"equipment"`
	WorkOrder event.ObjectID    `json:"work_order,omitempty"`
	From      time.Time         `json:"from,omitzero"` // zero = its start was not seen
	To        time.Time         `json:"to,omitzero"`   // zero = it goes on, or its end was not seen
	UpdatedAt time.Time         `json:"updated_at"`
	Cause     event.ID          `json:"cause"`
}

// Name names one run of one lot in ledger and store.
func (r *Run) Name() string { return string(r.ID) + "@" + string(r.Lot) }

// runStarted does not wait for its lot: what it says about the equipment holds for a lot that is created later, too.
func runStarted(e *event.Event, d *event.RunStarted, o Objects) (Change, error) {
	return runNoted(e, &d.Run, o, func(r *Run) { r.From = d.At.Time })
}

func runEnded(e *event.Event, d *event.RunEnded, o Objects) (Change, error) {
	return runNoted(e, &d.Run, o, func(r *Run) { r.To = d.At.Time })
}

func runNoted(e *event.Event, d *event.Run, o Objects, note func(*Run)) (Change, error) {
	r := Run{ID: d.RunID, Lot: d.Lot, Plant: e.Plant, Equipment: d.Equipment, WorkOrder: d.WorkOrder}
	if o.Run != nil {
		r = *o.Run
	}
	note(&r)
	r.UpdatedAt, r.Cause = o.Now, e.ID
	return Change{Runs: []Run{r}, Known: []string{string(r.ID)}}, nil
}
