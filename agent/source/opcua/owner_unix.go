//go:build unix

package opcua

import (
	"os"
	"syscall"
)

// likeOwner gives a file the owner of another.
func likeOwner(file, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(file, int(s.Uid), int(s.Gid))
	}
	return nil
}
