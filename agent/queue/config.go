package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	// DefaultSegmentBytes is large enough that a lane at its quota has some hundred files, small enough that a full
	// segment of 130,000 records opens cold in about 0.2 s and that a damaged file costs little.
	DefaultSegmentBytes = 64 * mib

	// DefaultMaxBatch bounds a commit to about 5 to 15 ms; beyond 1,000 records the rate gains little.
	DefaultMaxBatch = 1000

	// minQuota holds four of the smallest segments.
	minQuota = 4 * minSegmentBytes

	minSegmentBytes = 256 * kib
)

// Config says where a lane lies and how much it may hold. Zero values are sane for all fields but Dir, Name and Quota.
type Config struct {
	Dir  string // directory of this lane alone; made if missing
	Name string // "quality" or "telemetry"; label of metrics, field of log lines

	// SegmentBytes is the size at which a segment is sealed. 0 means [DefaultSegmentBytes]. It is lowered to a
	// quarter of Quota, so that a full lane has a sealed segment to delete or to shed.
	SegmentBytes int64

	// Quota is what the lane's files may take together, in bytes, 1 MiB at least.
	Quota int64

	// Reserve is what urgent batches and those with UseReserve may take beyond Quota, in bytes. 0 means none.
	Reserve int64

	// KeepSent is how long a wholly sent segment stays for replay, counted from its newest record. 0 deletes it at
	// once. At the quota it goes earlier.
	KeepSent time.Duration

	// MaxBatch is how many records the committer gathers at most before it commits; a single larger batch is still
	// stored whole. 0 means [DefaultMaxBatch].
	MaxBatch int

	// Clock gives the wall time. nil means [failpoint.Now].
	Clock func() time.Time

	// Check inspects one segment file before it is mapped; see [CheckSegment], which nil stands for. The agent runs
	// it in a child process. An error means that the file is damaged and is set aside, unless it wraps
	// [ErrNotChecked] or ctx is done: then Open fails and touches nothing more.
	Check func(ctx context.Context, path string) error

	// OnDamage is told of a record found damaged while the lane runs, once per place, on the reader's goroutine and
	// with no lock held. nil leaves it to the log.
	OnDamage func(Damage)

	// Free returns the free bytes of the volume that holds dir. nil asks the operating system.
	Free func(dir string) (int64, error)

	// AllowTmpfs lets a lane live on a memory file system, whose content a power cut takes. For tests.
	AllowTmpfs bool

	Metrics prometheus.Registerer // nil means none
	Log     zerolog.Logger
}

// withDefaults returns c with its zero values filled, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" || c.Name == "" {
		return c, problem.New(problem.ConfigMissing, "queue lane %q needs a directory and a name", c.Name)
	}
	if c.Quota < minQuota {
		return c, problem.New(problem.ConfigValue, "queue lane %q has a quota of %d bytes, %d is the least", c.Name, c.Quota, minQuota)
	}
	if c.Reserve < 0 || c.KeepSent < 0 || c.MaxBatch < 0 || c.SegmentBytes < 0 {
		return c, problem.New(problem.ConfigValue, "queue lane %q has a negative size or time", c.Name)
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	c.SegmentBytes = max(minSegmentBytes, min(c.SegmentBytes, c.Quota/4))
	if c.MaxBatch == 0 {
		c.MaxBatch = DefaultMaxBatch
	}
	if c.Clock == nil {
		c.Clock = failpoint.Now
	}
	if c.Check == nil {
		c.Check = func(_ context.Context, path string) error { return CheckSegment(path) }
	}
	if c.OnDamage == nil {
		c.OnDamage = func(Damage) {}
	}
	if c.Free == nil {
		c.Free = freeBytes
	}
	c.Log = c.Log.With().Str("lane", c.Name).Logger()
	return c, nil
}

// allocBytes is the step in which a segment file grows: each step costs a sync of the file's size, each unused part
// of it counts against the quota.
func (c Config) allocBytes() int64 { return min(max(c.SegmentBytes/64, 32*kib), mib) }

// checkEpoch refuses an epoch that could not stand in a file name.
func checkEpoch(epoch string) error {
	if len(epoch) == 0 || len(epoch) > 64 {
		return fmt.Errorf("epoch of %d characters, want 1 to 64", len(epoch))
	}
	for _, r := range epoch {
		ok := r >= '0' && r <= '9' || r >= 'a' && r <= 'z'
		if !ok {
			return fmt.Errorf("epoch %q has a character other than a to z and 0 to 9", epoch)
		}
	}
	return nil
}
