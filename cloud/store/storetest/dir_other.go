//go:build !linux

package storetest

import "testing"

// dir returns a folder for a test's database, which is gone when the test ends.
func dir(t testing.TB) string {
	t.Helper()
	return t.TempDir()
}
