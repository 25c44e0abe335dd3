package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// Rebuilt says what came of building the state anew from the inbox.
type Rebuilt struct {
	Events  int64  `json:"events"`  // of the inbox, applied in their order
	Stored  string `json:"stored"`  // SHA-256 over all aggregates as they are stored
	Rebuilt string `json:"rebuilt"` // the same over those that the inbox leads to
	Same    bool   `json:"same"`
	Kept    string `json:"kept,omitempty"` // file of the rebuilt database
}

// Rebuild builds the state of a database anew from its inbox, in a database of its own, and compares. The database must not be
// in use. The rebuilt one is kept at keep, where dispatch is off until a person turns it on; it is thrown away where keep
// is empty.
func Rebuild(ctx context.Context, cfg Config, keep string, log zerolog.Logger) (r Rebuilt, err error) {
	from, err := cfg.Database.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	path := keep
	if keep == "" {
		dir, err := os.MkdirTemp("", "holdfast-rebuild-")
		if err != nil {
			return r, fmt.Errorf("make a place for the rebuilt database: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		path = filepath.Join(dir, "holdfast.db")
	}
	to, err := store.Open(ctx, "sqlite:"+path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	engine := workflow.New(to, workflow.Config{
		Plants: cfg.plants(), Materials: cfg.materials(), CoverageMaxAge: cfg.Coverage.MaxAge,
	}, failpoint.Now, log, nil)
	if err := engine.Rebuild(ctx, from); err != nil {
		return r, fmt.Errorf("build the state anew: %w", err)
	}
	if r.Stored, err = stateHash(ctx, from); err != nil {
		return r, err
	}
	if r.Rebuilt, err = stateHash(ctx, to); err != nil {
		return r, err
	}
	r.Same = r.Stored == r.Rebuilt
	if err := to.View(ctx, func(tx *store.Tx) (err error) {
		r.Events, err = tx.CountInbox()
		return err
	}); err != nil || keep == "" {
		return r, err
	}
	r.Kept = keep
	return r, engine.Restored(ctx, "this database was rebuilt from the inbox of another one")
}

// stateHash returns the hash of all aggregates of a database.
func stateHash(ctx context.Context, s *store.Store) (string, error) {
	sum := sha256.New()
	err := s.View(ctx, func(tx *store.Tx) error { return tx.Dump(sum) })
	return hex.EncodeToString(sum.Sum(nil)), err
}
