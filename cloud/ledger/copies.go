package ledger

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// adopt appends to the anchor file what other copies have anchored, so that each copy's file has all anchors: the roots of
// its own ones count from theirs. Copies that share one file find there what they have signed, since it comes before the
// database.
func (l *Sealer) adopt(ctx context.Context) error {
	if !l.store.Shared() {
		return nil
	}
	key := l.key.Public().(ed25519.PublicKey)
	for {
		var missing []store.Checkpoint
		if err := l.store.View(ctx, func(tx *store.Tx) error {
			last, err := tx.LastCheckpoint()
			if err != nil || last.Place == 0 {
				return err
			}
			known, err := lastAnchor(string(l.cfg.AnchorFile), key)
			if err != nil {
				return err
			}
			if known == nil {
				known = &Anchor{}
			}
			missing, err = tx.CheckpointsAfter(known.Count, page)
			return err
		}); err != nil || len(missing) == 0 {
			return err
		}
		for _, c := range missing {
			if err := l.ours(c); err != nil {
				return err
			}
			if err := appendSynced(string(l.cfg.AnchorFile), []byte(c.Note+"\n")); err != nil {
				return problem.New(problem.LedgerUnanchored, "append to anchor file: %w", err)
			}
		}
	}
}

// ours refuses a checkpoint that another key signed: who verifies the chain has one.
func (l *Sealer) ours(c store.Checkpoint) error {
	var a Anchor
	if c.Place == 0 || !l.store.Shared() {
		return nil
	}
	if err := json.Unmarshal([]byte(c.Note), &a); err != nil {
		return fmt.Errorf("decode checkpoint %d: %w", c.Place, err)
	}
	if key := l.key.Public().(ed25519.PublicKey); !a.signed(key) {
		return problem.New(problem.ConfigFile, "ledger key %s is not that of the other copies, %s: copy the key file of the copy that started first",
			KeyID(key), a.KeyID)
	}
	return nil
}
