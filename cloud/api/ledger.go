package api

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// LedgerPage is a page of entries, oldest first. Entries in the order of pages are the export that verification reads.
type LedgerPage struct {
	Entries []ledger.Line `json:"entries"`
	Next    int64         `json:"next,omitempty" doc:"after of the next page; absent = this is the last"`
}

// LedgerKey is the public key that verifies anchors.
type LedgerKey struct {
	Key string `json:"key" doc:"Ed25519, in base64"`
	ID  string `json:"id"`
}

type ledgerInput struct {
	After int64  `query:"after" minimum:"0" doc:"next of the page before"`
	Lot   string `query:"lot" doc:"only entries of this lot"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (s *server) ledger(ctx context.Context, in *ledgerInput) (*view[LedgerPage], error) {
	page := LedgerPage{Entries: []ledger.Line{}}
	if in.Lot == "" && !callerOf(ctx).seesAll() {
		return nil, problem.New(problem.RoleRefused, "%s may see some plants only, so the ledger lot by lot", callerOf(ctx).Principal)
	}
	err := s.read(ctx, func(tx *store.Tx) (err error) {
		var rows []store.Sealed
		if in.Lot == "" {
			rows, err = tx.Entries(in.After, in.Limit)
		} else if _, err = s.lot(ctx, tx, event.LotKey(in.Lot)); err == nil {
			rows, err = tx.EntriesAfter(event.LotKey(in.Lot), in.After, in.Limit)
		}
		for i := range rows {
			page.Entries = append(page.Entries, ledger.LineOf(&rows[i]))
		}
		if len(rows) == in.Limit {
			page.Next = rows[len(rows)-1].ID
		}
		return err
	})
	return &view[LedgerPage]{page}, err
}

func (s *server) ledgerKey(context.Context, *struct{}) (*view[LedgerKey], error) {
	key, err := ledger.ParseKey(s.cfg.LedgerKey)
	if err != nil {
		return nil, err
	}
	return &view[LedgerKey]{LedgerKey{s.cfg.LedgerKey, ledger.KeyID(key)}}, nil
}

// anchors sends the anchor file as it is. A ledger without a checkpoint yet has no anchors.
func (s *server) anchors(context.Context, *struct{}) (*huma.StreamResponse, error) {
	f, err := os.Open(s.cfg.AnchorFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/jsonl")
		ctx.SetStatus(200)
		if f == nil {
			return
		}
		defer func() { _ = f.Close() }()    // it was read only
		_, _ = io.Copy(ctx.BodyWriter(), f) // the caller may have gone
	}}, nil
}
