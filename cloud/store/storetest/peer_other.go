//go:build !unix

package storetest

import "testing"

// Peer fails: a PostgreSQL server for tests is started on unix alone.
func Peer(t testing.TB) string {
	t.Helper()
	t.Fatal("no PostgreSQL server can be started here")
	return ""
}
