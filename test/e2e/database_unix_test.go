//go:build unix

package e2e

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/peers/postgres"
)

// readable makes the words in which the tests look into SQLite understood by PostgreSQL.
const readable = `CREATE FUNCTION json_extract(doc text, path text) RETURNS text LANGUAGE sql IMMUTABLE
	AS $$ SELECT doc::jsonb #>> string_to_array(substr(path, 3), '.') $$`

// peer returns the PostgreSQL server of all tests, or skips aloud.
func peer(t *testing.T) *postgres.Server {
	t.Helper()
	programs := os.Getenv("HOLDFAST_PEER_POSTGRES")
	if programs == "" {
		t.Skip("PEER SKIPPED name=postgres reason=HOLDFAST_PEER_POSTGRES is not set: it names the folder of PostgreSQL's programs")
	}
	server, err := postgres.Shared(programs)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// peerDatabase makes an empty database on PostgreSQL and returns its URL.
func peerDatabase(t *testing.T) string {
	t.Helper()
	server := peer(t)
	at, err := server.Create(t.Context(), fmt.Sprintf("cloud%d", time.Now().UnixNano()), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SQL(t.Context(), at, readable); err != nil {
		t.Fatal(err)
	}
	return at
}

// backUpPeer is backUp for a database on PostgreSQL.
func backUpPeer(t *testing.T, at string) (restore func()) {
	t.Helper()
	server := peer(t)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if _, err := server.Create(t.Context(), name+"backup", name); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := server.SQL(t.Context(), server.URL("postgres"), "DROP DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Create(t.Context(), name, name+"backup"); err != nil {
			t.Fatal(err)
		}
	}
}
