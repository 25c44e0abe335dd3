package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

const (
	segmentSuffix = ".db"
	damagedSuffix = ".damaged"
	tempPrefix    = "tmp-"

	// fillPercent packs pages full: keys only grow, so no page is ever inserted into.
	fillPercent = 0.95

	// openTimeout bounds the wait for bbolt's file lock. The lane's own lock is held already, so only a foreign tool
	// can have the file.
	openTimeout = time.Second
)

// segmentName is what a segment's file name says. Generation is 0 for the file as written, n for the n-th salvage.
type segmentName struct {
	ordinal    uint64
	epoch      string
	first      uint64
	generation int
}

func (n segmentName) String() string {
	name := fmt.Sprintf("%010d-%s-%020d", n.ordinal, n.epoch, n.first)
	if n.generation > 0 {
		name += ".s" + strconv.Itoa(n.generation)
	}
	return name + segmentSuffix
}

func parseSegmentName(name string) (segmentName, bool) {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return segmentName{}, false
	}
	var n segmentName
	base, generation, salvaged := strings.Cut(base, ".s")
	parts := strings.Split(base, "-")
	if len(parts) != 3 || checkEpoch(parts[1]) != nil {
		return segmentName{}, false
	}
	var errs [3]error
	n.ordinal, errs[0] = strconv.ParseUint(parts[0], 10, 64)
	n.epoch = parts[1]
	n.first, errs[1] = strconv.ParseUint(parts[2], 10, 64)
	if salvaged {
		n.generation, errs[2] = strconv.Atoi(generation)
	}
	if errors.Join(errs[:]...) != nil || n.String() != name {
		return segmentName{}, false
	}
	return n, true
}

// segment is one file of a lane. Its fields up to mu belong to the lane: they are guarded by Lane.mu.
type segment struct {
	name    segmentName
	path    string
	summary summary // of the cursors only the lane keeps track
	bytes   int64   // size of the file
	used    int64   // part of it in use; known of the active segment only
	broken  bool    // a read faulted: not read again in this run

	mu   sync.Mutex // guards what follows; taken after Lane.mu where both are held, never over I/O but open and close
	db   *bbolt.DB
	refs int
	gone bool // deleted once refs is 0
}

func (s *segment) epoch() string { return s.summary.head.Epoch }
func (s *segment) first() uint64 { return s.summary.head.First }
func (s *segment) last() uint64  { return s.summary.tail.Last }

func (s *segment) position(seq uint64) Position { return Position{s.epoch(), seq} }

// after returns how many records of s lie beyond seq.
func (s *segment) after(seq uint64) uint64 {
	if seq < s.first() {
		return s.summary.tail.Records
	}
	if seq >= s.last() {
		return 0
	}
	n := s.last() - seq
	for _, m := range s.summary.head.Missing {
		if m.To > seq {
			n -= m.To - max(m.From, seq+1) + 1
		}
	}
	return n
}

func boltOptions(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout:        openTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		NoStatistics:   true,
		ReadOnly:       readOnly,
	}
}

// createSegment makes an empty segment under its final name, synced with its directory. fill, if not nil, adds what a
// salvaged segment holds before it gets its name.
func createSegment(dir string, name segmentName, h head, fill func(*bbolt.DB) error) error {
	temp := filepath.Join(dir, tempPrefix+name.String())
	if err := writeSegment(temp, h, fill); err != nil {
		return fmt.Errorf("create segment %s: %w", name, err)
	}
	if err := failpoint.Hit("queue.before_rename"); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, name.String())); err != nil {
		return fmt.Errorf("name segment: %w", err)
	}
	if err := failpoint.Hit("queue.after_rename"); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSegment(path string, h head, fill func(*bbolt.DB) error) error {
	rawHead, err := appendHead(h)
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, boltOptions(false))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketHead, bucketRecord, bucketUrgent, bucketCursor} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		bucket := tx.Bucket([]byte(bucketHead))
		if err := bucket.Put([]byte(keyHead), rawHead); err != nil {
			return err
		}
		return bucket.Put([]byte(keyTail), appendTail(h.Epoch, tail{Last: h.First - 1, Min: noTime, Max: noTime}))
	})
	if err == nil && fill != nil {
		err = fill(db)
	}
	return errors.Join(err, db.Close())
}

// hold opens the file for reading where it is not open, and keeps it so until release.
func (s *segment) hold() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return os.ErrNotExist
	}
	if s.db == nil {
		db, err := openMapped(s.path, true)
		if err != nil {
			return err
		}
		s.db = db
	}
	s.refs++
	return nil
}

// openActive opens the file for writing; release ends it like any hold.
func (s *segment) openActive(alloc int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	db, err := openMapped(s.path, false)
	if err != nil {
		return err
	}
	db.AllocSize = int(alloc)
	s.db = db
	s.refs++
	return nil
}

func (s *segment) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs--
	if s.refs > 0 {
		return nil
	}
	err := s.db.Close()
	s.db = nil
	if s.gone {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

// remove deletes the file, once nobody holds it.
func (s *segment) remove() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if s.refs > 0 {
		return nil
	}
	return os.Remove(s.path)
}

// view runs fn in a read transaction of a segment that is held. A fault or a panic while reading a mapped page that
// went bad since the check is returned as an error.
func (s *segment) view(fn func(*bbolt.Tx) error) (err error) {
	defer faultToError(&err)()
	return s.db.View(fn)
}

func openMapped(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer faultToError(&err)()
	return bbolt.Open(path, 0o600, boltOptions(readOnly))
}

// faultToError makes faults of this goroutine panics; the function it returns is deferred and turns a panic into an
// error.
func faultToError(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if cause := recover(); cause != nil {
			*err = fmt.Errorf("%w: %v", errPages, cause)
		}
	}
}

// usedBytes returns how much of the file is in use.
func usedBytes(db *bbolt.DB) (n int64) {
	_ = db.View(func(tx *bbolt.Tx) error {
		n = tx.Size()
		return nil
	})
	return n
}

func fileBytes(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// deleted tells whether the segment was deleted in this run.
func (s *segment) deleted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}
