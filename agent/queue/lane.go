package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// maxPrev bounds the text that each segment and each record returned carries.
const maxPrev = 256

// Lane is one open lane. Its methods may be called from many goroutines. One goroutine of its own does all writing;
// [Lane.Close] waits for it.
type Lane struct {
	cfg   Config
	lock  *os.File
	stats *metrics

	// Used by the writing goroutine only.
	meta   *bbolt.DB
	frames []byte // memory of the last commit's records, for the next one

	wake  chan struct{} // batches are waiting
	tasks chan task
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when the writing goroutine has ended

	failed chan struct{}

	mu       sync.Mutex // guards what follows; taken before segment.mu; never held over I/O
	segments []*segment // oldest first; the last one is active once Begin has returned
	begun    bool
	warm     *segment // the sealed segment kept open between two reads
	ordinal  uint64   // of the newest segment
	state    state    // as it is to be stored
	stateLen int64    // bytes of meta.db
	dirty    bool     // state.Acked is ahead of meta.db
	waiting  []*request
	pending  int64 // bytes promised to waiting batches
	cursors  map[string][]byte
	urgent   urgents
	damages  []Damage
	reported map[string]bool // damages found while running
	changed  chan struct{}   // closed and replaced when a waiting reader or writer may go on
	closed   bool
	err      error // why the lane failed
	traffic  traffic
}

type task struct {
	run  func() error
	done chan error
}

// Open checks and opens the lane in cfg.Dir; a directory that is empty or missing is a new lane. Every segment is
// checked before it is used, a damaged one is salvaged and set aside ([Lane.Recovered]). The lane can be read at once;
// [Lane.Begin] makes it take records. Its errors carry [problem.QueueLocked] when another process has the lane,
// [problem.QueueVersion] when a newer version wrote it, and [problem.ConfigValue] for a directory on a memory file
// system.
func Open(ctx context.Context, cfg Config) (*Lane, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := prepareDir(cfg); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l, err := open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.lock = lock
	go l.write()
	return l, nil
}

func prepareDir(cfg Config) error {
	if err := makeDir(cfg.Dir); err != nil {
		return fmt.Errorf("make queue directory: %w", err)
	}
	if cfg.AllowTmpfs {
		return nil
	}
	memory, err := onMemory(cfg.Dir)
	if err != nil {
		return fmt.Errorf("ask for the file system of %s: %w", cfg.Dir, err)
	}
	if memory {
		return problem.New(problem.ConfigValue, "queue directory %s lies on a memory file system, which a power cut empties", cfg.Dir)
	}
	return nil
}

// makeDir makes dir and its parents where they are missing, each name synced: a power cut must not take the directory
// from over the records.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func open(ctx context.Context, cfg Config) (*Lane, error) {
	inv, err := load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l := newLane(cfg, inv)
	if l.stats, err = newMetrics(l, cfg); err != nil {
		return nil, err
	}
	if l.meta, err = openMapped(filepath.Join(cfg.Dir, stateFile), false); err != nil {
		l.stats.unregister()
		return nil, fmt.Errorf("open %s: %w", stateFile, err)
	}
	if err := l.measureState(); err != nil {
		l.stats.unregister()
		return nil, errors.Join(err, l.meta.Close())
	}
	return l, nil
}

// newLane makes the lane of an inventory; it can be read, and nobody writes.
func newLane(cfg Config, inv *inventory) *Lane {
	l := &Lane{
		cfg: cfg, segments: inv.segments, state: inv.state, damages: inv.damages, ordinal: inv.ordinal,
		wake: make(chan struct{}, 1), tasks: make(chan task), quit: make(chan struct{}), done: make(chan struct{}),
		failed: make(chan struct{}), changed: make(chan struct{}),
		cursors: map[string][]byte{}, reported: map[string]bool{}, urgent: urgents{out: map[Position]bool{}},
		traffic: newTraffic(cfg.Clock()),
	}
	for _, seg := range l.segments {
		for _, c := range seg.summary.cursors {
			l.cursors[c.source] = c.value // a later segment's is newer
		}
		seg.summary.cursors = nil
		for _, seq := range seg.summary.urgent {
			if p := seg.position(seq); !l.state.isSent(p) {
				l.urgent.add(p)
			}
		}
		seg.summary.urgent = nil
	}
	return l
}

// Begin starts the epoch of this run. Epoch is 1 to 64 characters of a to z and 0 to 9, never used in this lane
// before. Prev is text of at most 256 bytes that comes back with every record of the epoch.
func (l *Lane) Begin(epoch, prev string) error {
	if err := checkEpoch(epoch); err != nil {
		return err
	}
	if len(prev) > maxPrev {
		return fmt.Errorf("prev of %d bytes, %d is the most", len(prev), maxPrev)
	}
	return l.do(func() error {
		l.mu.Lock()
		begun, known := l.begun, l.knows(epoch)
		l.mu.Unlock()
		if begun || known {
			return fmt.Errorf("begin epoch %s: the lane has begun one, or knows it", epoch)
		}
		return l.startSegment(epoch, prev, 1)
	})
}

func (l *Lane) knows(epoch string) bool {
	return l.state.find(epoch).Epoch != "" || slices.ContainsFunc(l.segments, func(s *segment) bool { return s.epoch() == epoch })
}

// Last returns the newest epoch that has a record, and its last seq: what the next epoch names as the one before it.
// Both are zero for a lane that never had a record.
func (l *Lane) Last() (epoch string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.state.Epochs) - 1; i >= 0; i-- {
		epoch = l.state.Epochs[i].Epoch
		if seq = l.lastOf(epoch); seq > 0 {
			return epoch, seq
		}
	}
	return "", 0
}

// LastOf returns the last seq of epoch in this lane, 0 if it has no record of it.
func (l *Lane) LastOf(epoch string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastOf(epoch)
}

func (l *Lane) lastOf(epoch string) uint64 {
	last := l.state.find(epoch).Last
	for _, seg := range l.segments {
		if seg.epoch() == epoch {
			last = max(last, seg.last())
		}
	}
	if l.state.Acked.Epoch == epoch {
		last = max(last, l.state.Acked.Seq)
	}
	return last
}

// Recovered returns the damages that Open found and that were not declared yet, oldest segment first.
func (l *Lane) Recovered() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.damages)
}

// Declared says that d is recorded for good, so that no Open reports it again.
func (l *Lane) Declared(d Damage) error {
	return l.do(func() error {
		l.mu.Lock()
		l.state.declare(d.key())
		l.damages = slices.DeleteFunc(l.damages, func(other Damage) bool { return other.key() == d.key() })
		l.mu.Unlock()
		return l.storeState()
	})
}

// Cursors returns a copy of each source's newest cursor.
func (l *Lane) Cursors() map[string][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	copied := make(map[string][]byte, len(l.cursors))
	for source, cursor := range maps.All(l.cursors) {
		copied[source] = slices.Clone(cursor)
	}
	return copied
}

// Failed is closed when a commit has failed. What is stored is unknown from then on: the program acknowledges nothing
// more and stops.
func (l *Lane) Failed() <-chan struct{} { return l.failed }

// Err returns why the lane has failed, nil while it has not.
func (l *Lane) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close commits what is waiting, stores the acked position, closes every file and gives the directory free. Readers
// that wait get [ErrClosed]. The error is what closing met; after a failed commit there is none to add.
func (l *Lane) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closed = true
	l.broadcast()
	l.mu.Unlock()
	close(l.quit)
	<-l.done
	l.stats.unregister()

	l.mu.Lock()
	held := make([]*segment, 0, 2)
	if l.begun {
		held = append(held, l.segments[len(l.segments)-1])
	}
	if l.warm != nil {
		held = append(held, l.warm)
		l.warm = nil
	}
	l.mu.Unlock()
	var errs []error
	for _, seg := range held {
		errs = append(errs, seg.release())
	}
	return errors.Join(append(errs, l.meta.Close(), l.lock.Close())...)
}

// do runs fn on the writing goroutine.
func (l *Lane) do(fn func() error) error {
	t := task{run: fn, done: make(chan error, 1)}
	select {
	case l.tasks <- t:
		return <-t.done
	case <-l.quit:
		return ErrClosed
	}
}

// write is the lane's writing goroutine. Close ends it.
func (l *Lane) write() {
	defer close(l.done)
	const often = time.Second // bounds by how much acked lags behind after a crash
	ticker := time.NewTicker(often)
	defer ticker.Stop()
	for {
		select {
		case <-l.wake:
			l.commitWaiting()
		case t := <-l.tasks:
			t.done <- l.runTask(t.run)
		case <-ticker.C:
			l.upkeep()
		case <-l.quit:
			l.commitWaiting()
			l.upkeep()
			return
		}
	}
}

func (l *Lane) runTask(run func() error) error {
	if err := l.Err(); err != nil {
		return err
	}
	return run()
}

// upkeep stores the acked position if it moved and deletes what is sent and kept long enough.
func (l *Lane) upkeep() {
	if l.Err() != nil {
		return
	}
	if err := l.flushAcked(); err != nil {
		l.fail(err)
		return
	}
	if err := l.retire(); err != nil {
		l.fail(err)
		return
	}
	l.mu.Lock()
	l.broadcast() // space may have come free outside of the lane
	l.mu.Unlock()
}

// fail latches the first error of a commit.
func (l *Lane) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = problem.New(problem.QueueCommit, "commit to queue lane %s: %w", l.cfg.Name, err)
	close(l.failed)
	l.broadcast()
}

// broadcast wakes all who wait for a change; l.mu is held.
func (l *Lane) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// readable returns why nothing can be read any more; l.mu is held.
func (l *Lane) readable() error {
	if l.closed {
		return ErrClosed
	}
	return l.err
}

func (l *Lane) waitChange(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storeState writes the state as it is now to meta.db; on the writing goroutine.
func (l *Lane) storeState() error {
	l.mu.Lock()
	s := l.state.clone()
	l.dirty = false
	l.mu.Unlock()
	if err := writeState(l.meta, s); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	return l.measureState()
}

func (l *Lane) measureState() error {
	size, err := fileBytes(filepath.Join(l.cfg.Dir, stateFile))
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.stateLen = size
	l.mu.Unlock()
	return nil
}
