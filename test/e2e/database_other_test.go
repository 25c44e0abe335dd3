//go:build !unix

package e2e

import "testing"

// peerDatabase fails: a PostgreSQL server for tests is started on unix alone.
func peerDatabase(t *testing.T) string {
	t.Helper()
	t.Fatal("no PostgreSQL server can be started here")
	return ""
}

func backUpPeer(t *testing.T, _ string) func() {
	t.Helper()
	t.Fatal("no PostgreSQL server can be started here")
	return nil
}
