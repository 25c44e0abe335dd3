package api

import (
	"context"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// DropRequest asks for a record to be dropped: it is never applied.
type DropRequest struct {
	Reason  string   `json:"reason" maxLength:"4000" doc:"why it is not needed"`
	Signers []Signer `json:"signers" minItems:"2" maxItems:"3" doc:"two persons at least, whatever the plant's policy"`
}

type dropInput struct {
	ID             int64  `path:"id" minimum:"1"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           DropRequest
}

// Dropped is a record that was dropped. It can still be shown and exported.
type Dropped struct {
	ID         int64             `json:"id"`
	RawSHA256  event.Hash        `json:"raw_sha256" doc:"hash of the record's value, which stays"`
	Left       []int64           `json:"left" doc:"records of the same key that still wait: redrive the first"`
	Signatures []event.Signature `json:"signatures"`
}

// dropOutput is what was dropped. Repeated tells that the same act was done before.
type dropOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     Dropped
}

// meaningDropped is what a signature under a drop means (21 CFR 11.50).
const meaningDropped = "approval: this record is not needed, and is never applied"

// signersOfDrop is how many persons it takes to drop a record.
const signersOfDrop = 2

func (s *server) drop(ctx context.Context, in *dropInput) (*dropOutput, error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	row, err := s.deadletter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	plant, err := s.plantOfLetter(ctx, &row)
	if err != nil {
		return nil, err
	}
	users, err := s.signers(ctx, plant, in.Body.Signers, signersOfDrop)
	if err != nil {
		return nil, err
	}
	c, out := callerOf(ctx), &dropOutput{Body: Dropped{ID: row.ID, RawSHA256: workflow.RawHash(row.Message.Value), Left: []int64{}}}
	data := workflow.DropDeadletter(row.ID, out.Body.RawSHA256)
	data.Principal, data.Reason = event.Name(c.Principal), in.Body.Reason
	e := s.newEvent(c, in.IdempotencyKey, data)
	if out.Body.Signatures, err = sign(data, e.Time, meaningDropped, users); err != nil {
		return nil, err
	}
	if out.Repeated, err = s.act(ctx, e, users); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		rows, err := tx.ParkedOf(row.Key)
		for i := range rows {
			out.Body.Left = append(out.Body.Left, rows[i].ID)
		}
		return err
	})
	return out, err
}

// plantOfLetter returns the plant whose record it is, or that of its lot; empty = of none, or not known.
func (s *server) plantOfLetter(ctx context.Context, r *store.DeadletterRow) (plant event.PlantID, err error) {
	if r.Plant != "" || r.Lot == "" {
		return r.Plant, nil
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		lot, err := tx.Lot(r.Lot)
		if lot != nil {
			plant = lot.Plant
		}
		return err
	})
	return plant, err
}
