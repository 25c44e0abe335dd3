package agent

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// syncs is how often the disk is asked: enough for one that is slow now and then.
	syncs = 25
	// syncBytes is about one small commit of the queue.
	syncBytes = 4096
	// slowSync makes a source of 100 messages a second wait; a plant's flash takes 1 to 20 ms.
	slowSync = 50 * time.Millisecond
	// leastFree is two segments of the queue.
	leastFree = 256 * config.MiB
)

// disk looks at the volume of the data folder: room, and how long it takes to make a write durable, which bounds how
// fast sources can be acknowledged.
func (e *examiner) disk() {
	dir := string(e.cfg.Data)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.find(StateSkip, dir, "", "", "does not exist yet: the agent makes it at its first start")
		return
	case err != nil:
		e.problem(StateFail, dir, problem.New(problem.DiskWrite, "%w", err))
		return
	case !info.IsDir():
		e.find(StateFail, dir, "name a folder as data", problem.ConfigFile, "is no folder")
		return
	}
	volume, err := queue.VolumeOf(dir)
	if err != nil {
		e.problem(StateFail, dir, problem.New(problem.DiskWrite, "%w", err))
		return
	}
	e.room(dir, volume)
	times, err := syncTimes(dir)
	switch typical := quantile(times, 0.5); {
	case err != nil:
		e.problem(StateFail, dir, problem.New(problem.DiskWrite, "%w", err))
	case typical > slowSync:
		e.find(StateWarn, dir, "put data on a faster disk, or read less: each commit waits for it", problem.DiskSlow,
			"a write is durable after %s, the slowest of %d after %s", round(typical), len(times), round(slices.Max(times)))
	default:
		e.ok(dir, "a write is durable after %s, the slowest of %d after %s", round(typical), len(times), round(slices.Max(times)))
	}
}

func (e *examiner) room(dir string, v queue.Volume) {
	used := sizeOf(filepath.Join(dir, "queue"))
	missing := int64(e.cfg.Queue.Disk) - used - v.Free
	free, disk := config.ByteSize(v.Free), e.cfg.Queue.Disk
	switch {
	case v.Memory && !e.cfg.Queue.Tmpfs:
		e.find(StateFail, dir, "name a folder on a disk as data", problem.DiskWrite, "lies in memory: a power cut takes all that was acknowledged")
	case v.Memory:
		e.find(StateWarn, dir, "name a folder on a disk as data, but for tests", problem.DiskWrite, "lies in memory, as queue.allow_tmpfs says: a power cut takes all that was acknowledged")
	case free < leastFree:
		e.find(StateFail, dir, "free space on the volume", problem.DiskFull, "%s are free", roundSize(free))
	case missing > 0:
		e.find(StateWarn, dir, "free space on the volume, or lower queue.disk", problem.DiskFull, "%s are free, %s less than queue.disk (%s) may still take", roundSize(free), roundSize(config.ByteSize(missing)), disk)
	default:
		e.ok(dir, "%s are free, the queue takes %s of at most %s", roundSize(free), roundSize(config.ByteSize(used)), disk)
	}
}

// sizeOf sums the files of a folder; those that go meanwhile count nothing.
func sizeOf(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// syncTimes measures how long small writes take to be durable.
func syncTimes(dir string) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, syncBytes)
	for range syncs {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// quantile returns a value that a share of the others lies below; 0 for none.
func quantile[T cmp.Ordered](values []T, share float64) (q T) {
	if len(values) == 0 {
		return q
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(share*float64(len(sorted)-1))]
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}

// roundSize drops what no person looks at.
func roundSize(b config.ByteSize) config.ByteSize {
	unit := config.MiB
	if b >= 10*config.GiB {
		unit = config.GiB
	}
	return b / unit * unit
}
