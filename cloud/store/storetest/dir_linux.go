package storetest

import (
	"os"
	"syscall"
	"testing"
)

const (
	// memory is a file system in memory: a commit there is synced at once. What most tests judge is not what a disk keeps, and
	// they wait for it longer than they compute.
	memory = "/dev/shm"
	// roomy is far above what the databases of tests take, of which few are open at once. A container has 64 MiB there.
	roomy = 1 << 30
)

// dir returns a folder for a test's database, which is gone when the test ends.
func dir(t testing.TB) string {
	t.Helper()
	var room syscall.Statfs_t
	if err := syscall.Statfs(memory, &room); err != nil || room.Bavail*uint64(room.Bsize) < roomy {
		return t.TempDir()
	}
	d, err := os.MkdirTemp(memory, "holdfast-store-") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(d); err != nil {
			t.Error(err)
		}
	})
	return d
}
