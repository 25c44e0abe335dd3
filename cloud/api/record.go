package api

import (
	"context"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxResults bounds how many results of a lot are shown: the newest.
const maxResults = 1000

// Record is what was inspected, measured and decided about a lot.
type Record struct {
	Lot          event.LotKey      `json:"lot"`
	Wanted       event.UsageStatus `json:"wanted" doc:"usage that holds, disposition and material ask an ERP to enforce"`
	Inspections  []Inspection      `json:"inspections"`
	Dispositions []Disposition     `json:"dispositions" doc:"in the order in which they were decided"`
	Results      []Result          `json:"results" doc:"in the order in which they came, the newest 1,000 at most"`
	More         bool              `json:"more,omitempty" doc:"there are older results"`
}

// Inspection is one inspection of a lot.
type Inspection struct {
	ID          event.ObjectID          `json:"id"`
	Plant       event.PlantID           `json:"plant,omitempty"`
	Type        event.InspectionType    `json:"type"`
	State       quality.InspectionState `json:"state"`
	Verdict     event.Verdict           `json:"verdict,omitempty"`
	SpecRev     string                  `json:"spec_rev,omitempty"`
	DueAt       time.Time               `json:"due_at,omitzero"`
	CompletedAt time.Time               `json:"completed_at,omitzero"`
	Results     int64                   `json:"results" doc:"that the verdict rests on"`
	Late        bool                    `json:"late,omitempty" doc:"its verdict came when the lot was decided about"`
}

// Disposition is one signed decision about a lot or a part of it.
type Disposition struct {
	ID           event.ObjectID   `json:"id"`
	Decision     quality.Decision `json:"decision"`
	Quantity     event.Quantity   `json:"quantity"`
	SignedBy     string           `json:"signed_by"`
	Reason       string           `json:"reason"`
	Condition    string           `json:"condition,omitempty"`
	DecidedAt    time.Time        `json:"decided_at"`
	SupersededBy event.ObjectID   `json:"superseded_by,omitempty" doc:"absent = it counts"`
}

// Result is one measured or judged characteristic, or a defect found.
type Result struct {
	EventID        event.ID          `json:"event_id"`
	Characteristic string            `json:"characteristic"`
	Sample         int64             `json:"sample,omitempty"`
	Value          string            `json:"value"`
	Unit           event.Unit        `json:"unit,omitempty"`
	Lower          event.Decimal     `json:"lower,omitempty" doc:"limit; absent = none"`
	Upper          event.Decimal     `json:"upper,omitempty" doc:"limit; absent = none"`
	Target         event.Decimal     `json:"target,omitempty"`
	Evaluation     event.Evaluation  `json:"evaluation"`
	Safety         bool              `json:"safety,omitempty" doc:"it was reported as a failed safety characteristic"`
	Defect         bool              `json:"defect,omitempty"`
	Equipment      event.EquipmentID `json:"equipment,omitempty"`
	Inspection     event.ObjectID    `json:"inspection,omitempty"`
	Operator       string            `json:"operator,omitempty"`
	MeasuredAt     time.Time         `json:"measured_at"`
	Plant          event.PlantID     `json:"plant,omitempty"`
}

func (s *server) lotRecord(ctx context.Context, in *lotInput) (*view[Record], error) {
	r := Record{Lot: event.LotKey(in.Key), Inspections: []Inspection{}, Dispositions: []Disposition{}, Results: []Result{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		f, err := s.lot(ctx, tx, r.Lot)
		if err != nil {
			return err
		}
		r.Wanted = quality.OwnUsage(&f.Lot, f.Open)
		for i := range f.Inspections {
			r.Inspections = append(r.Inspections, inspectionView(&f.Inspections[i]))
		}
		for i := range f.Dispositions {
			r.Dispositions = append(r.Dispositions, dispositionView(&f.Dispositions[i]))
		}
		rows, err := tx.ResultsOf(r.Lot, maxResults+1)
		if len(rows) > maxResults {
			r.More, rows = true, rows[1:]
		}
		for i := range rows {
			r.Results = append(r.Results, resultView(rows[i].Event))
		}
		return err
	})
	return &view[Record]{r}, err
}

func inspectionView(i *quality.Inspection) Inspection {
	return Inspection{
		ID: i.ID, Plant: i.Plant, Type: i.Type, State: i.State, Verdict: i.Verdict, SpecRev: i.SpecRev, DueAt: i.Due, CompletedAt: i.CompletedAt,
		Results: i.Results, Late: i.Late,
	}
}

func dispositionView(d *quality.Disposition) Disposition {
	return Disposition{
		ID: d.ID, Decision: d.Decision, Quantity: d.Q, SignedBy: d.SignedBy, Reason: d.Reason, Condition: d.Condition, DecidedAt: d.DecidedAt,
		SupersededBy: d.SupersededBy,
	}
}

func resultView(e *event.Event) Result {
	r := Result{EventID: e.ID, Plant: e.Plant, MeasuredAt: e.Time}
	switch d := e.Data.(type) {
	case *event.CharacteristicRecorded:
		r.Characteristic, r.Sample, r.Value, r.Unit = string(d.Characteristic), d.SampleNo, string(d.Value), d.Unit
		r.Lower, r.Upper, r.Target, r.Evaluation = d.LSL, d.USL, d.Target, d.Evaluation
		r.Equipment, r.Inspection, r.Operator, r.MeasuredAt = d.Equipment, d.InspectionID, string(d.Operator), d.MeasuredAt.Time
	case *event.SafetyFailed:
		r.Characteristic, r.Value, r.Unit, r.Safety = string(d.Characteristic), string(d.Value), d.Unit, true
		r.Lower, r.Upper, r.Evaluation = d.LSL, d.USL, d.Evaluation
		r.Equipment, r.Inspection, r.MeasuredAt = d.Equipment, d.InspectionID, d.MeasuredAt.Time
	case *event.DefectDetected:
		r.Characteristic, r.Value, r.Unit, r.Defect = string(d.CodeGroup)+"/"+string(d.Code), string(d.Q.Value), d.Q.Unit, true
		r.Evaluation, r.Equipment, r.Inspection = event.Fail, d.Equipment, d.InspectionID
	}
	return r
}
