package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const lockFile = "lock"

// lockDir takes the lane's directory for this process. The file stays when the lock goes; it names who had it last.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	file, held, err := lockPath(path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if held {
		return nil, problem.New(problem.QueueLocked, "the queue in %s is open in process %s", dir, lockHolder(path))
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write process id to %s: %w", path, err)
	}
	return file, nil
}

func lockHolder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
