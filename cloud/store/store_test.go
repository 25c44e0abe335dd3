package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// update runs f in a transaction that must succeed.
func update(t *testing.T, s *Store, f func(*Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s *Store, f func(*Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	t.Run("keeps its id, and a second opener is refused", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "holdfast.db")
		first := openAt(t, path)
		if _, err := Open(t.Context(), "sqlite:"+path); err == nil {
			t.Fatal("opened twice")
		}
		id := first.ID()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		again := openAt(t, path)
		if len(id) != 16 || again.ID() != id {
			t.Errorf("id was %q, is %q", id, again.ID())
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("ends the leases of the dead process", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "holdfast.db")
		first := openAt(t, path)
		update(t, first, func(tx *Tx) error {
			if _, ours, err := tx.TakeLease("outbox", "dead", noon, time.Hour); err != nil || !ours {
				t.Errorf("got %t, %v", ours, err)
			}
			if _, err := tx.WantEffect(usageOf("1", true), 1, &event.Event{ID: "c"}, noon); err != nil {
				return err
			}
			_, err := tx.ClaimEffects("dead", []string{"s4"}, 1, noon, time.Hour)
			return err
		})
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, path)
		update(t, s, func(tx *Tx) error {
			if fence, ours, err := tx.TakeLease("outbox", "new", noon, time.Hour); err != nil || !ours || fence != 2 {
				t.Errorf("lease: fence %d, %t, %v", fence, ours, err)
			}
			rows, err := tx.ClaimEffects("new", []string{"s4"}, 1, noon, time.Hour)
			if len(rows) != 1 {
				t.Errorf("%d effects claimed", len(rows))
			}
			return err
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("ErrLocation", func(t *testing.T) {
		if _, err := Open(t.Context(), "postgres:x"); err == nil {
			t.Error("opened")
		}
	})
}

func TestStore_Update(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		offset := func(s *Store) (next int64) {
			view(t, s, func(tx *Tx) (err error) { next, err = tx.Offset("t", 0); return err })
			return next
		}
		move := func(tx *Tx) error { _, err := tx.MoveOffset("t", 0, 0, 5); return err }
		for _, c := range []struct {
			name string
			run  func(*Store)
		}{
			{"an error undoes all", func(s *Store) {
				bad := errors.New("bad")
				if err := s.Update(t.Context(), func(tx *Tx) error { return errors.Join(move(tx), bad) }); !errors.Is(err, bad) {
					t.Errorf("got %v", err)
				}
			}},
			{"a panic undoes all and frees the writer", func(s *Store) {
				defer func() { _ = recover() }()
				_ = s.Update(t.Context(), func(tx *Tx) error { _ = move(tx); panic("mapping") })
			}},
			{"a context that ends undoes all and frees the writer", func(s *Store) {
				ctx, cancel := context.WithCancel(t.Context())
				if err := s.Update(ctx, func(tx *Tx) error { err := move(tx); cancel(); return err }); err == nil {
					t.Error("committed")
				}
			}},
			{"a reading transaction can't write", func(s *Store) {
				if err := s.View(t.Context(), move); err == nil {
					t.Error("wrote")
				}
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := open(t)
				c.run(s)
				if got := offset(s); got != 0 {
					t.Errorf("offset is %d", got)
				}
				update(t, s, move)
				if got := offset(s); got != 5 {
					t.Errorf("offset is %d after the next transaction", got)
				}
			})
		}
	})
}

func TestTx_MoveOffset(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		for _, c := range []struct {
			from, to int64
			moved    bool
		}{{3, 4, false}, {0, 5, true}, {0, 7, false}, {4, 6, false}, {5, 9, true}, {5, 9, false}} {
			update(t, s, func(tx *Tx) error {
				moved, err := tx.MoveOffset("t", 0, c.from, c.to)
				if moved != c.moved {
					t.Errorf("%d to %d: moved is %t", c.from, c.to, moved)
				}
				return err
			})
		}
	})
}

func TestTx_TakeLease(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		for _, c := range []struct {
			name  string
			owner string
			after time.Duration
			fence int64
			ours  bool
		}{
			{"is free", "a", 0, 1, true},
			{"is kept under the same fence", "a", 5 * time.Second, 1, true},
			{"is another's until it ends", "b", 14 * time.Second, 0, false},
			{"is taken over with a new fence", "b", 15 * time.Second, 2, true},
			{"is gone for the former holder", "a", 16 * time.Second, 0, false},
		} {
			update(t, s, func(tx *Tx) error {
				fence, ours, err := tx.TakeLease("x", c.owner, noon.Add(c.after), 10*time.Second)
				if fence != c.fence || ours != c.ours {
					t.Errorf("%s: got fence %d, %t", c.name, fence, ours)
				}
				return err
			})
		}
	})
}

func TestTx_MarkOutbox(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		mark := func() { update(t, s, func(tx *Tx) error { return tx.MarkOutbox("lot-status", "lot::M:1") }) }
		rows := func() (all []OutboxRow) {
			view(t, s, func(tx *Tx) (err error) { all, err = tx.Outbox(10, OutboxExcept{}); return err })
			return all
		}
		mark()
		mark()
		read := rows()
		if len(read) != 1 || read[0].Message != nil {
			t.Fatalf("rows are %+v: want one mark", read)
		}
		mark() // while it is being sent
		update(t, s, func(tx *Tx) error { return tx.DropOutbox(&read[0]) })
		left := rows()
		if len(left) != 1 {
			t.Fatal("the mark of a change after the read was dropped")
		}
		update(t, s, func(tx *Tx) error { return tx.DropOutbox(&left[0]) })
		if n := len(rows()); n != 0 {
			t.Errorf("%d rows left", n)
		}
	})
}

func TestTx_PutOutbox(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		sent := event.Message{Key: []byte("k"), Value: []byte(`{}`), Headers: []event.Header{{Key: "ce_id", Value: []byte("1")}}}
		update(t, s, func(tx *Tx) error { return errors.Join(tx.PutOutbox("effect", sent), tx.PutOutbox("effect", sent)) })
		view(t, s, func(tx *Tx) error {
			rows, err := tx.Outbox(10, OutboxExcept{})
			if len(rows) != 2 || rows[0].Message == nil || rows[0].Message.Header("ce_id") != "1" || string(rows[0].Message.Value) != "{}" {
				t.Errorf("rows are %+v", rows)
			}
			return err
		})
	})
}

func TestTx_Deadletters(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		add := func(ord int64, state DeadletterState, key, object string) (r DeadletterRow) {
			r = DeadletterRow{Ord: ord, State: state, Key: key, Lot: event.LotKey(key), Code: "E-1", Object: object, At: noon, Updated: noon,
				Message: event.Message{Key: []byte(key), Value: []byte{0xff, 0}, Headers: []event.Header{{Key: "h", Value: []byte{0xfe}}}}}
			update(t, s, func(tx *Tx) error { return tx.AddDeadletter(&r) })
			return r
		}
		first, _, third := add(0, Parked, "lot::M:1", ""), add(0, Quarantined, "lot::M:2", ""), add(0, Parked, "lot::M:1", "")
		replacing := add(first.Ord, Parked, "lot::M:1", "")
		add(0, Waiting, "lot::M:3", "hold:x")
		view(t, s, func(tx *Tx) error {
			rows, err := tx.ParkedOf("lot::M:1")
			if err != nil || len(rows) != 3 || rows[0].ID != first.ID || rows[1].ID != replacing.ID || rows[2].ID != third.ID {
				t.Errorf("order of the key is %+v, %v", rows, err)
			}
			if m := rows[0].Message; string(m.Value) != "\xff\x00" || m.Header("h") != "\xfe" {
				t.Errorf("raw bytes became %q", m.Value)
			}
			keys, err := tx.ParkedKeys()
			if err != nil || len(keys) != 1 || !keys["lot::M:1"] {
				t.Errorf("parked keys are %v, %v", keys, err)
			}
			if rows, err := tx.WaitingFor("hold:x"); err != nil || len(rows) != 1 {
				t.Errorf("waiting are %v, %v", rows, err)
			}
			f, err := tx.Facts("lot::M:2")
			if err != nil || !f.Evidence.Quarantined || f.Evidence.Parked {
				t.Errorf("evidence is %+v, %v", f.Evidence, err)
			}
			return err
		})
		first.State = Dropped
		update(t, s, func(tx *Tx) error { return tx.UpdateDeadletter(&first) })
		view(t, s, func(tx *Tx) error {
			counts, err := tx.CountDeadletters()
			if counts["E-1"] != 4 {
				t.Errorf("open are %v", counts)
			}
			if _, missing := tx.Deadletter(99); !errors.Is(missing, ErrNotFound) {
				t.Errorf("got %v", missing)
			}
			return err
		})
	})
}

func TestTx_OpenHolds(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		lot := quality.Lot{Key: "lot::M:1", Plant: "p1", Supplier: "ACME"}
		own := quality.Hold{ID: "hold:q:2", Lot: lot.Key, Kind: event.HoldQuality}
		lifted := quality.Hold{ID: "hold:q:3", Lot: lot.Key, Kind: event.HoldQuality, LiftedBy: "ann"}
		scope := quality.Hold{ID: "hold:q:1", Kind: event.HoldRecall, Scope: &event.Scope{Kind: event.ScopeSupplier, Value: "ACME"}}
		other := quality.Hold{ID: "hold:q:4", Kind: event.HoldRecall, Scope: &event.Scope{Kind: event.ScopeSupplier, Value: "X"}}
		update(t, s, func(tx *Tx) error {
			return errors.Join(tx.PutLot(&lot), tx.PutHold(&own), tx.PutHold(&lifted), tx.PutHold(&scope), tx.PutHold(&other))
		})
		view(t, s, func(tx *Tx) error {
			f, err := tx.Facts(lot.Key)
			if len(f.Open) != 2 || f.Open[0].ID != scope.ID || f.Open[1].ID != own.ID {
				t.Errorf("open holds are %+v", f.Open)
			}
			held, err2 := tx.HeldLots()
			if len(held) != 1 || held[lot.Key] != "p1" {
				t.Errorf("held lots are %v", held)
			}
			return errors.Join(err, err2)
		})
	})
}

func TestTx_AddCoverage(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		key := CoverageKey{Plant: "p1", Agent: "gw1", Epoch: "e", Lane: event.LaneQuality}
		other := key
		other.Partition = 3
		update(t, s, func(tx *Tx) error {
			return errors.Join(tx.AddCoverage(key, Ranges{{1, 3}}), tx.AddCoverage(other, Ranges{{4, 5}, {9, 9}}), tx.AddCoverage(key, Ranges{{2, 3}, {7, 7}}))
		})
		view(t, s, func(tx *Tx) error {
			r, err := tx.Coverage("p1", "gw1", "e", event.LaneQuality)
			if r.String() != "1-5,7-7,9-9" {
				t.Errorf("coverage is %s", r)
			}
			return err
		})
	})
}
