//go:build unix

package storetest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/test/peers/postgres"
)

// copies has the databases of this process's tests.
var copies = sync.OnceValues(func() (*postgres.Copies, error) {
	server, err := postgres.Shared(os.Getenv("HOLDFAST_PEER_POSTGRES"))
	return &postgres.Copies{Server: server, Make: func(ctx context.Context, url string) error {
		s, err := store.Open(ctx, url)
		if err != nil {
			return err
		}
		return errors.Join(s.Close(), server.SQL(ctx, url, `DELETE FROM meta WHERE name = 'id'`))
	}}, err
})

// Peer returns the URL of an empty database of the PostgreSQL server that HOLDFAST_PEER_POSTGRES names the programs of.
func Peer(t testing.TB) string {
	t.Helper()
	all, err := copies()
	if err != nil {
		t.Fatal(err)
	}
	url, err := all.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}
