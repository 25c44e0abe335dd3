package workflow

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
)

func TestEngine_Timers(t *testing.T) {
	b := newBench(t)
	b.send("1", b.safety("L1"))
	b.pass(5*time.Minute + time.Second)
	if f := b.facts("L1"); !f.Lot.Unenforced {
		t.Error("no alarm after five minutes without enforcement")
	}
	b.view(func(tx *store.Tx) error {
		rows, err := tx.NonconformancesOf(lotKey("L1"))
		if len(rows) != 1 || rows[0].Escalation != 0 {
			t.Errorf("nonconformances are %+v", rows)
		}
		return err
	})
	b.pass(15 * time.Minute)
	b.view(func(tx *store.Tx) error {
		rows, err := tx.NonconformancesOf(lotKey("L1"))
		if len(rows) != 1 || rows[0].Escalation != 2 {
			t.Errorf("a critical nonconformance not contained in 15 minutes has level %d, want 2", rows[0].Escalation)
		}
		return err
	})
}
