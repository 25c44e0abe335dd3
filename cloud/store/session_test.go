package store

import (
	"testing"
	"time"
)

func TestTx_Session(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		used := SessionRow{Hash: "h1", Name: "alice", Started: noon, Seen: noon}
		idle := SessionRow{Hash: "h2", Name: "bob", Started: noon, Seen: noon}
		update(t, s, func(tx *Tx) error {
			if err := tx.PutSession(&used, noon); err != nil {
				return err
			}
			return tx.PutSession(&idle, noon)
		})
		used.Seen = noon.Add(time.Hour)
		update(t, s, func(tx *Tx) error { return tx.PutSession(&used, noon.Add(time.Minute)) })
		view(t, s, func(tx *Tx) error {
			if r, err := tx.Session("h1"); err != nil || r == nil || *r != used {
				t.Errorf("session is %+v, %v, want %+v", r, err, used)
			}
			if r, err := tx.Session("h2"); err != nil || r != nil {
				t.Errorf("the idle session is %+v, %v, want none", r, err)
			}
			return nil
		})
		update(t, s, func(tx *Tx) error { return tx.DropSession("h1") })
		view(t, s, func(tx *Tx) error {
			if r, err := tx.Session("h1"); err != nil || r != nil {
				t.Errorf("the ended session is %+v, %v, want none", r, err)
			}
			return nil
		})
	})
}
