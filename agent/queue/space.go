package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// commitOverhead bounds the pages that a commit writes anew besides its records: the path to the last leaf of
	// four buckets.
	commitOverhead = 64 * kib

	// diskMargin is what a commit leaves free on the volume; urgent ones leave half of it. The rest is for meta.db,
	// so that a full disk can still be drained.
	diskMargin  = 8 * mib
	stateMargin = 256 * kib
)

// roomFor returns why a batch of so many bytes cannot be stored now, nil if it can; free is what the volume has.
// Wholly sent segments count as free, since the committer deletes them first. l.mu is held.
func (l *Lane) roomFor(b Batch, bytes, free int64) error {
	need := l.growth(bytes)
	limit, margin := l.cfg.Quota, int64(diskMargin)
	if b.mayUseReserve() {
		limit, margin = limit+l.cfg.Reserve, margin/2
	}
	sent := l.sentBytes()
	if total := l.bytes(); total-sent+need > limit {
		return problem.New(problem.QueueFull, "queue lane %s holds %d of %d bytes", l.cfg.Name, total, limit)
	}
	if free+sent < need+margin {
		return problem.New(problem.DiskFull, "the volume of %s has %d bytes left", l.cfg.Dir, free)
	}
	return nil
}

// WaitRoom blocks until b would fit, ctx is done, or the lane fails or closes. Another batch may take the room before
// the caller puts b: then it waits again. A batch larger than the quota waits for ever.
func (l *Lane) WaitRoom(ctx context.Context, b Batch) error {
	bytes := b.bytes()
	for {
		free, err := l.cfg.Free(l.cfg.Dir)
		if err != nil {
			return fmt.Errorf("ask for the free space of %s: %w", l.cfg.Dir, err)
		}
		l.mu.Lock()
		err, changed := l.readable(), l.changed
		full := err == nil && l.begun && l.roomFor(b, bytes, free) != nil
		l.mu.Unlock()
		if err != nil || !full {
			return err
		}
		if err := l.waitChange(ctx, changed); err != nil {
			return err
		}
	}
}

// bytes returns what the lane's files take; l.mu is held.
func (l *Lane) bytes() int64 {
	sum := l.stateLen
	for _, seg := range l.segments {
		sum += seg.bytes
	}
	return sum
}

// growth returns by how much the files grow at most when bytes more are committed after those promised already; l.mu
// is held.
func (l *Lane) growth(bytes int64) int64 {
	active := l.segments[len(l.segments)-1]
	more := l.pending + bytes + commitOverhead
	if l.overfills(active, l.pending+bytes) {
		// The old segment keeps its size. More than one new one is needed if that much waits.
		segments := 1 + more/l.cfg.SegmentBytes
		return l.fileSize(more) + segments*(l.cfg.allocBytes()+commitOverhead)
	}
	return max(0, l.fileSize(active.used+more)-active.bytes)
}

// fileSize returns the size that bbolt gives a file of so many bytes in use: powers of two from 32 KiB up to the
// allocation step, then steps; where the system maps whole files, powers of two always.
func (l *Lane) fileSize(used int64) int64 {
	size := int64(32 * kib)
	for size < used {
		size *= 2
	}
	if alloc := l.cfg.allocBytes(); size > alloc && !mapsWholeFile {
		return min(size, used+alloc)
	}
	return size
}

// overfills tells whether bytes more belong into a new segment; l.mu is held.
func (l *Lane) overfills(seg *segment, bytes int64) bool {
	return seg.summary.tail.Records > 0 && seg.used+bytes+commitOverhead > l.cfg.SegmentBytes
}

// sentBytes returns what deleting all wholly sent segments would free; l.mu is held.
func (l *Lane) sentBytes() (sum int64) {
	for _, seg := range l.segments[:l.deletable(func(*segment) bool { return true })] {
		sum += seg.bytes
	}
	return sum
}

// deletable returns how many of the oldest segments are sealed, wholly sent, free of damage that waits to be declared,
// and accepted by ok. Segments go from the oldest on only: a hole in the row of ordinals is damage. l.mu is held.
func (l *Lane) deletable(ok func(*segment) bool) int {
	if !l.begun {
		return 0
	}
	for n, seg := range l.segments[:len(l.segments)-1] {
		if l.unsent(seg) > 0 || l.isUndeclared(seg) || !ok(seg) {
			return n
		}
	}
	return len(l.segments) - 1
}

// isUndeclared tells whether seg itself is what tells of a damage.
func (l *Lane) isUndeclared(seg *segment) bool {
	from := seg.summary.head.From
	return from != "" && slices.ContainsFunc(l.damages, func(d Damage) bool { return d.File == from })
}

// makeRoom deletes sent segments, oldest first, until what waits fits into the quota and on the volume; on the writing
// goroutine.
func (l *Lane) makeRoom() error {
	free, err := l.cfg.Free(l.cfg.Dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	need := l.growth(0)
	lack := max(l.bytes()+need-l.cfg.Quota, need+diskMargin-free)
	n := l.deletable(func(seg *segment) bool {
		take := lack > 0
		lack -= seg.bytes
		return take
	})
	l.mu.Unlock()
	return l.deleteOldest(n)
}

// retire deletes sent segments whose newest record is older than KeepSent, and empty ones; on the writing goroutine.
func (l *Lane) retire() error {
	before := l.cfg.Clock().Add(-l.cfg.KeepSent)
	l.mu.Lock()
	n := l.deletable(func(seg *segment) bool {
		t := seg.summary.tail
		return l.cfg.KeepSent == 0 || t.Max == noTime || !fromUnixNano(t.Max).After(before)
	})
	l.mu.Unlock()
	return l.deleteOldest(n)
}

// deleteOldest deletes the n oldest segments: first meta.db says so, then the files go.
func (l *Lane) deleteOldest(n int) error {
	if n == 0 {
		return nil
	}
	l.mu.Lock()
	gone := slices.Clone(l.segments[:n])
	l.segments = slices.Clone(l.segments[n:])
	l.state.Oldest = l.segments[0].name.ordinal
	for _, seg := range gone {
		end := l.state.epoch(seg.epoch())
		end.Last = max(end.Last, seg.last())
	}
	l.state.prune(l.segments[0].epoch())
	var cold *segment
	if slices.Contains(gone, l.warm) {
		cold, l.warm = l.warm, nil
	}
	l.broadcast()
	l.mu.Unlock()
	if err := l.storeState(); err != nil {
		return err
	}
	for _, seg := range gone {
		if err := deleteFile(seg); err != nil {
			return err
		}
	}
	if cold != nil {
		return cold.release()
	}
	return nil
}

// Shed is what dropping the oldest segment with unsent records would lose.
type Shed struct {
	Epoch          string
	FromSeq, ToSeq uint64
	From, To       time.Time // least and greatest time of the segment's records; zero if they have none
	Count          uint64    // records
}

// OldestShed returns what [Lane.Drop] would delete next. ok is false if there is no sealed segment with unsent
// records.
func (l *Lane) OldestShed() (s Shed, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		return s, false
	}
	for _, seg := range l.segments[:len(l.segments)-1] {
		if l.unsent(seg) > 0 {
			return l.shedOf(seg), true
		}
	}
	return s, false
}

func (l *Lane) shedOf(seg *segment) Shed {
	t := seg.summary.tail
	s := Shed{Epoch: seg.epoch(), FromSeq: seg.first(), ToSeq: seg.last(), Count: l.unsent(seg)}
	if s.Epoch == l.state.Acked.Epoch {
		s.FromSeq = max(s.FromSeq, l.state.Acked.Seq+1)
	}
	s.From, s.To = fromUnixNano(t.Min), fromUnixNano(t.Max)
	return s
}

// Drop deletes the segment that s describes, unsent records and all. The caller has recorded the loss for good before.
// A plan that no longer fits the oldest unsent segment is refused, except that more of it may have been sent.
func (l *Lane) Drop(s Shed) error {
	return l.do(func() error {
		l.mu.Lock()
		n, count := 0, uint64(0)
		for i, seg := range l.segments[:len(l.segments)-1] {
			if l.unsent(seg) == 0 {
				continue
			}
			if seg.epoch() == s.Epoch && seg.last() == s.ToSeq {
				n, count = i+1, l.unsent(seg)
			}
			break
		}
		if n == 0 {
			l.mu.Unlock()
			return fmt.Errorf("drop %s/%d-%d: not the oldest unsent segment", s.Epoch, s.FromSeq, s.ToSeq)
		}
		seg := l.segments[n-1]
		l.urgent.drop(func(p Position) bool { return p.Epoch == seg.epoch() && p.Seq <= seg.last() })
		l.traffic.shed += count
		l.mu.Unlock()
		if err := l.deleteOldest(n); err != nil {
			l.fail(err)
			return l.Err()
		}
		return nil
	})
}
