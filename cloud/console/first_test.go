package console

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
)

func TestConsole_FirstLink(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	c := &Console{Deps: Deps{Store: storetest.Open(t), Now: func() time.Time { return now }}}
	one, err := c.firstLink(t.Context())
	if err != nil || one == "" {
		t.Fatalf("link %q, %v", one, err)
	}
	if two, err := c.firstLink(t.Context()); err != nil || two == one {
		t.Errorf("the next start gives the same link %q, %v", two, err)
	}
	if err := c.Store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.PutUser(&store.UserRow{Name: "rita", Version: 1, Printed: "Rita", Person: "1", Created: now, Changed: now})
	}); err != nil {
		t.Fatal(err)
	}
	if link, err := c.firstLink(t.Context()); err != nil || link != "" {
		t.Errorf("there is a user, and link %q, %v", link, err)
	}
}
