package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// copyOf returns a sealer of another copy on the same database, with files in a folder of its own and its key from a file.
func (b *bench) copyOf(key string) *Sealer {
	b.t.Helper()
	dir := b.t.TempDir()
	cfg := Config{KeyFile: config.Path(filepath.Join(dir, "ledger.key")), AnchorFile: config.Path(filepath.Join(dir, "anchors.jsonl"))}
	if key != "" {
		text, err := os.ReadFile(key)
		if err == nil {
			err = os.WriteFile(string(cfg.KeyFile), text, 0o600)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	l, err := New(cfg, "b", b.store, b.now, zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// shared skips where a database is one process's own.
func (b *bench) shared() {
	b.t.Helper()
	if !b.store.Shared() {
		b.t.Skip("PEER SKIPPED name=postgres reason=a database in a file has one copy: HOLDFAST_TEST_DATABASE is not postgres")
	}
}

// Copies take turns in signing; the anchor file of each proves the whole chain.
func TestSealer_Copies(t *testing.T) {
	b := newBench(t)
	b.shared()
	other := b.copyOf(string(b.cfg.KeyFile))
	turns := []*Sealer{b.Sealer, other, b.Sealer, other, other, b.Sealer}
	for n, l := range turns {
		b.clock = b.clock.Add(2 * leaseLength) // the lease of the other has ended
		if err := b.store.Update(t.Context(), func(tx *store.Tx) error {
			b.entries++
			return tx.AddEntry(&store.Entry{At: b.clock, Principal: "p1/gw1", Act: "a", Object: "o", Version: b.entries})
		}); err != nil {
			t.Fatal(err)
		}
		if err := l.turn(t.Context(), true); err != nil {
			t.Fatalf("turn %d: %v", n, err)
		}
	}
	if err := other.turn(t.Context(), true); err != nil { // it has nothing to sign
		t.Fatal(err)
	}
	for _, l := range []*Sealer{b.Sealer, other} {
		text, err := os.ReadFile(string(l.cfg.AnchorFile))
		if err != nil {
			t.Fatal(err)
		}
		report, err := b.verify(b.export(), string(text))
		if err != nil || report.Anchors != int64(len(turns)) || report.Unanchored != 0 {
			t.Errorf("the file of %s proves %+v, %v", l.owner, report, err)
		}
	}
	t.Run("ErrOtherKey", func(t *testing.T) {
		stranger := b.copyOf("")
		if _, err := stranger.Loss(t.Context()); problem.CodeOf(err) != problem.ConfigFile || !strings.Contains(err.Error(), KeyID(b.public())) {
			t.Errorf("its start says %v", err)
		}
		b.clock = b.clock.Add(2 * leaseLength)
		if err := stranger.turn(t.Context(), true); problem.CodeOf(err) != problem.ConfigFile {
			t.Errorf("its checkpoint says %v", err)
		}
		if _, err := os.Stat(string(stranger.cfg.AnchorFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it has signed: %v", err)
		}
	})
}

// A database that is restored under a running program ends it: what was done since it does not know.
func TestSealer_Replaced(t *testing.T) {
	b := newBench(t)
	b.enter(5)
	older := newBench(t)
	older.enter(2)
	b.store = older.store
	older.enter(0)
	if err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.AddEntry(&store.Entry{At: b.clock, Principal: "p1/gw1", Act: "a", Object: "o", Version: 1})
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); !errors.Is(err, errReplaced) || problem.CodeOf(err) != problem.LedgerBroken {
		t.Errorf("got %v", err)
	}
}
