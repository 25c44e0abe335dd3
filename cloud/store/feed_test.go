package store

import (
	"testing"
	"time"
)

func TestTx_Feed(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		update(t, s, func(tx *Tx) error {
			if f, err := tx.FeedOf("qms1"); err != nil || f != (Feed{}) {
				t.Errorf("a feed that was never read: %+v, %v", f, err)
			}
			if err := tx.PutFeed("qms1", Feed{Cursor: "a"}); err != nil {
				return err
			}
			return tx.PutFeed("qms1", Feed{Cursor: "b", Full: at})
		})
		update(t, s, func(tx *Tx) error {
			f, err := tx.FeedOf("qms1")
			if f.Cursor != "b" || !f.Full.Equal(at) {
				t.Errorf("feed %+v", f)
			}
			return err
		})
	})
}

func TestTx_Unread(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		put := func(tx *Tx, object, reason string, at time.Time) bool {
			first, err := tx.PutUnread(&Unread{System: "qms1", Kind: "decision", Object: object, Lot: "lot::M:1", Reason: reason, Since: at, Tried: at})
			if err != nil {
				t.Fatal(err)
			}
			return first
		}
		update(t, s, func(tx *Tx) error {
			if !put(tx, "D1", "no lot", at) || !put(tx, "D2", "no lot", at.Add(time.Second)) || put(tx, "D1", "no reason", at.Add(time.Minute)) {
				t.Error("what is kept for the first time is not told from what is kept")
			}
			all, err := tx.UnreadOf("qms1", 10)
			if len(all) != 2 || all[0].Object != "D2" || all[1].Reason != "no reason" || !all[1].Since.Equal(at) || !all[1].Tried.Equal(at.Add(time.Minute)) {
				t.Errorf("unread %+v", all)
			}
			return err
		})
		update(t, s, func(tx *Tx) error {
			if dropped, err := tx.DropUnread("qms1", "decision", "D2"); err != nil || !dropped {
				return err
			}
			n, err := tx.CountUnread("qms1")
			if other, _ := tx.CountUnread("s4"); n != 1 || other != 0 {
				t.Errorf("%d unread, %d of another system", n, other)
			}
			return err
		})
	})
}

func TestTx_Doubt(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		update(t, s, func(tx *Tx) error {
			if d, err := tx.DoubtOf("e"); err != nil || d != (Doubt{}) {
				t.Errorf("no doubt: %+v, %v", d, err)
			}
			for i := range 3 {
				if err := tx.AddDoubt("e", at.Add(time.Duration(i)*time.Minute)); err != nil {
					return err
				}
			}
			if err := tx.DropDoubt("e", 1); err != nil {
				return err
			}
			d, err := tx.DoubtOf("e")
			if d.Writes != 2 || !d.Last.Equal(at.Add(2*time.Minute)) {
				t.Errorf("doubt %+v", d)
			}
			if err == nil {
				err = tx.DropDoubt("e", 9)
			}
			if d, _ := tx.DoubtOf("e"); d.Writes != 0 || d.Last.IsZero() {
				t.Errorf("doubt %+v", d)
			}
			if err == nil {
				err = tx.ForgetDoubt("e")
			}
			if d, _ := tx.DoubtOf("e"); d != (Doubt{}) {
				t.Errorf("doubt %+v after it was forgotten", d)
			}
			return err
		})
	})
}
