package store

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestTx_User(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		at := time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)
		alice := UserRow{
			Name: "alice", Version: 1, Printed: "Alice Weber", Person: "4711", Roles: []string{"quality", "viewer"}, Plants: []event.PlantID{"p1", "p2"},
			Password: "$argon2id$x", Given: true, Created: at, Changed: at,
		}
		bob := UserRow{Name: "bob", Version: 1, Printed: "Bob Stein", Person: "4712", Roles: []string{"admin"}, Password: "$argon2id$y", Created: at, Changed: at}
		update := func(f func(*Tx) error) {
			t.Helper()
			if err := s.Update(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		update(func(tx *Tx) error {
			if err := tx.PutUser(&bob); err != nil {
				return err
			}
			return tx.PutUser(&alice)
		})
		alice.Version, alice.Given, alice.Disabled, alice.Password, alice.Changed = 2, false, true, "$argon2id$z", at.Add(time.Hour)
		update(func(tx *Tx) error {
			if err := tx.PutUser(&alice); err != nil {
				return err
			}
			got, err := tx.User("alice")
			if err != nil || got == nil || !slices.Equal(got.Roles, alice.Roles) || !slices.Equal(got.Plants, alice.Plants) || got.Password != "$argon2id$z" ||
				got.Given || !got.Disabled || !got.Changed.Equal(at.Add(time.Hour)) || !got.Created.Equal(at) || got.Version != 2 {
				t.Errorf("stored is %+v, %v", got, err)
			}
			if none, err := tx.User("carol"); none != nil || err != nil {
				t.Errorf("a user that does not exist is %+v, %v", none, err)
			}
			all, err := tx.Users()
			if len(all) != 2 || all[0].Name != "alice" || all[1].Name != "bob" || len(all[1].Plants) != 0 {
				t.Errorf("users are %+v", all)
			}
			return err
		})
		t.Run("failures", func(t *testing.T) {
			update(func(tx *Tx) error {
				old := LoginRow{Name: "nobody", Failures: 3, At: at.Add(-48 * time.Hour)}
				locked := LoginRow{Name: "locked", Failures: 9, At: at.Add(-48 * time.Hour), Until: at.Add(time.Hour)}
				for _, r := range []LoginRow{old, locked, {Name: "alice", Failures: 2, At: at, Until: at.Add(time.Minute)}} {
					if err := tx.PutLogin(&r, at.Add(-24*time.Hour)); err != nil {
						return err
					}
				}
				for name, failures := range map[string]int64{"alice": 2, "nobody": 0, "locked": 9, "bob": 0} {
					got, err := tx.Login(name)
					if err != nil {
						return err
					}
					if got.Failures != failures {
						t.Errorf("%s has %+v, want %d failures", name, got, failures)
					}
				}
				if err := tx.DropLogin("alice"); err != nil {
					return err
				}
				got, err := tx.Login("alice")
				if got.Failures != 0 || !got.Until.IsZero() {
					t.Errorf("after a right password alice has %+v", got)
				}
				return err
			})
		})
	})
}
