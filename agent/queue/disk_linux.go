package queue

import "syscall"

// The magic numbers of memory file systems in statfs(2).
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// onMemory tells whether dir lies on a file system that a power cut empties.
func onMemory(dir string) (bool, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return false, err
	}
	magic := uint32(fs.Type)
	return magic == tmpfsMagic || magic == ramfsMagic, nil
}
