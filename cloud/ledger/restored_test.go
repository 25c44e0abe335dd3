package ledger

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// restored returns a bench on an older copy of the database of b, which had n entries then, beside the same files.
func (b *bench) restored(n int) *bench {
	b.t.Helper()
	files := map[string][]byte{}
	for _, path := range []string{string(b.cfg.AnchorFile), b.cfg.HeadFile()} {
		text, err := os.ReadFile(path)
		if err != nil {
			b.t.Fatal(err)
		}
		files[path] = text
	}
	old := &bench{t: b.t, clock: b.clock}
	var err error
	if old.Sealer, err = New(b.cfg, "a", storetest.Open(b.t), b.now, zerolog.Nop(), prometheus.NewRegistry()); err != nil {
		b.t.Fatal(err)
	}
	if n > 0 {
		old.enter(n) // entries of the same content have the same hashes
	}
	for path, text := range files { // they were not restored
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return old
}

func (b *bench) loss() Loss {
	b.t.Helper()
	loss, err := b.Loss(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return loss
}

func (b *bench) headHash(place int64) (hash string) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.SealedAfter(place-1, 1)
		if len(rows) == 1 {
			hash = rows[0].Hash
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return hash
}

func TestSealer_Loss(t *testing.T) {
	b := newBench(t)
	t.Run("nothing is known yet", func(t *testing.T) {
		if loss := b.loss(); loss.Lost != 0 {
			t.Errorf("lost: %s", loss.Words())
		}
	})
	b.enter(4)
	b.turn(true)
	b.enter(3)
	b.turn(true)
	t.Run("the database has all that is known", func(t *testing.T) {
		if loss := b.loss(); loss.Lost != 0 || loss.Kept != 7 {
			t.Errorf("lost: %s", loss.Words())
		}
	})
	t.Run("an anchor knows more", func(t *testing.T) {
		old := b.restored(4)
		if err := os.Remove(old.cfg.HeadFile()); err != nil {
			t.Fatal(err)
		}
		loss := old.loss()
		if loss.Kept != 4 || loss.Lost != 7 || loss.Head != b.headHash(4) || loss.At == "" || !strings.Contains(loss.Words(), "entry 7") {
			t.Errorf("lost: %+v", loss)
		}
		b.enter(1) // which writes the file again
	})
	t.Run("the newest place is known before an anchor tells of it", func(t *testing.T) {
		if loss := b.restored(7).loss(); loss.Kept != 7 || loss.Lost != 8 {
			t.Errorf("lost: %+v", loss)
		}
	})
	t.Run("a database made anew", func(t *testing.T) {
		if loss := b.restored(0).loss(); loss.Kept != 0 || loss.Lost != 8 {
			t.Errorf("lost: %+v", loss)
		}
	})
	t.Run("another life of the same length", func(t *testing.T) {
		old := b.restored(4)
		old.entries = 100
		old.enter(4)
		if err := old.writeHead(8, b.headHash(8)); err != nil {
			t.Fatal(err)
		}
		if loss := old.loss(); loss.Lost != 8 || !strings.Contains(loss.Words(), "not the one") {
			t.Errorf("lost: %+v", loss)
		}
	})
	t.Run("a torn line and a torn file say nothing", func(t *testing.T) {
		if err := os.WriteFile(b.cfg.HeadFile(), []byte(`{"place":9`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := appendSynced(string(b.cfg.AnchorFile), []byte(`{"count":900,"he`)); err != nil {
			t.Fatal(err)
		}
		if loss := b.loss(); loss.Lost != 0 {
			t.Errorf("lost: %s", loss.Words())
		}
	})
}

// TestVerify_Restored: what a restore took away is named and no longer expected, and nothing else is excused by it.
func TestVerify_Restored(t *testing.T) {
	b := newBench(t)
	b.enter(4)
	b.turn(true)
	b.enter(3)
	b.turn(true)
	old := b.restored(5)
	loss := old.loss()
	if _, err := old.verify(old.export(), old.anchors()); problem.CodeOf(err) != problem.LedgerBroken {
		t.Fatalf("a chain that was cut is taken for whole: %v", err)
	}
	if err := old.Acknowledge(loss); err != nil {
		t.Fatal(err)
	}
	if again := old.loss(); again.Lost != 0 {
		t.Errorf("told again: %s", again.Words())
	}
	old.enter(1) // is entry 6 as it was; the ones behind it differ
	old.entries = 50
	old.enter(2)
	old.turn(true)
	r, err := old.verify(old.export(), old.anchors())
	if err != nil || r.Entries != 8 || r.Anchored != 8 || !cmp.Equal(r.Restores, []Restore{{From: 5, To: 7, At: r.Restores[0].At}}) {
		t.Errorf("got %+v, %v", r, err)
	}
	t.Run("a cut behind the restore is found", func(t *testing.T) {
		if _, err := old.verify(old.export()[:6], old.anchors()); problem.CodeOf(err) != problem.LedgerBroken {
			t.Errorf("got %v", err)
		}
	})
	t.Run("and so is a chain that does not go on where it did", func(t *testing.T) {
		lines := old.export()
		lines[4].Reason = "another one"
		if _, err := old.verify(lines, old.anchors()); problem.CodeOf(err) != problem.LedgerBroken {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a statement that nobody signed excuses nothing", func(t *testing.T) {
		forged := strings.Replace(old.anchors(), `"lost":7`, `"lost":9`, 1)
		if _, err := old.verify(old.export(), forged); problem.CodeOf(err) != problem.LedgerBroken {
			t.Errorf("got %v", err)
		}
	})
}

// TestSealer_Headless: a folder that takes no head file keeps nothing from being sealed and anchored.
func TestSealer_Headless(t *testing.T) {
	b := newBench(t)
	if err := os.Mkdir(b.cfg.HeadFile(), 0o700); err != nil { // where the file should be
		t.Fatal(err)
	}
	b.enter(3)
	b.turn(true)
	if r, err := b.verify(b.export(), b.anchors()); err != nil || r.Anchored != 3 {
		t.Errorf("got %+v, %v", r, err)
	}
}
