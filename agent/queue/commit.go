package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// request is a batch on its way to the disk.
type request struct {
	batch Batch
	bytes int64
	first uint64 // set before done
	err   error  // set before done
	done  chan struct{}
}

// Put stores b whole and returns the seq of its first record once all of it is synced, 0 for a batch of cursors only.
// Batches that wait at the same time share a commit. At the quota Put returns at once, with the code QueueFull
// or DiskFull and nothing stored; see [Lane.WaitRoom]. The code QueueCommit means that the lane has failed: whether b
// is stored is unknown. When ctx ends first, b may be stored yet, and its memory must not change
// any more.
func (l *Lane) Put(ctx context.Context, b Batch) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for i := range b.Records {
		if err := b.Records[i].check(); err != nil {
			return 0, err
		}
	}
	req := &request{batch: b, bytes: b.bytes(), done: make(chan struct{})}
	if err := l.admit(req); err != nil {
		return 0, err
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-req.done:
		return req.first, req.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// admit queues the request if there is room for it.
func (l *Lane) admit(req *request) error {
	free, err := l.cfg.Free(l.cfg.Dir)
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", l.cfg.Dir, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.err != nil:
		return l.err
	case !l.begun:
		return errors.New("put into a lane that has not begun an epoch")
	}
	if err := l.roomFor(req.batch, req.bytes, free); err != nil {
		return err
	}
	l.waiting = append(l.waiting, req)
	l.pending += req.bytes
	return nil
}

// commitWaiting commits all batches that wait, gathered up to MaxBatch records a commit. While one commit syncs, the
// next ones gather: no timer is needed, and a lone batch waits for nobody.
func (l *Lane) commitWaiting() {
	for {
		l.mu.Lock()
		group, bytes := l.gather()
		failed := l.err
		l.mu.Unlock()
		if len(group) == 0 {
			return
		}
		if failed == nil {
			if err := l.commit(group, bytes); err != nil {
				l.fail(err)
				failed = l.Err()
			}
		}
		l.mu.Lock()
		l.pending -= bytes
		l.mu.Unlock()
		for _, req := range group {
			req.err = failed
			close(req.done)
		}
	}
}

// gather takes the next group of batches; l.mu is held.
func (l *Lane) gather() (group []*request, bytes int64) {
	records := 0
	for i, req := range l.waiting {
		records += len(req.batch.Records)
		if i > 0 && (records > l.cfg.MaxBatch || bytes+req.bytes > l.cfg.SegmentBytes/2) {
			break
		}
		group = append(group, req)
		bytes += req.bytes
	}
	l.waiting = slices.Delete(l.waiting, 0, len(group))
	return group, bytes
}

// commit stores a group of batches in one transaction; on the writing goroutine.
func (l *Lane) commit(group []*request, bytes int64) error {
	if err := l.makeRoom(); err != nil {
		return err
	}
	seg, err := l.activeFor(bytes)
	if err != nil {
		return err
	}
	start := time.Now()
	w := commitWriter{lane: l, seg: seg, tail: seg.summary.tail, frames: slices.Grow(l.frames[:0], int(min(bytes, keptFrames)))}
	if err := w.run(group); err != nil {
		return err
	}
	if l.frames = w.frames; cap(l.frames) > keptFrames {
		l.frames = nil
	}
	l.stats.sync.Observe(time.Since(start).Seconds())
	size, err := fileBytes(seg.path)
	if err != nil {
		return err
	}
	used := usedBytes(seg.db)
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.bytes, seg.used = size, used
	seg.summary.tail = w.tail
	for _, seq := range w.urgent {
		l.urgent.add(seg.position(seq))
	}
	for _, req := range group {
		for source, value := range req.batch.Cursors {
			l.cursors[source] = slices.Clone(value)
		}
	}
	l.traffic.received(l.cfg.Clock(), w.records, bytes)
	l.broadcast()
	return nil
}

// keptFrames bounds the memory that is kept from one commit to the next, in bytes: a full batch of usual records.
const keptFrames = mib

// commitWriter is one transaction of the active segment.
type commitWriter struct {
	lane    *Lane
	seg     *segment
	tail    tail
	urgent  []uint64
	records uint64
	frames  []byte // of the records; bbolt keeps each where it is until the commit
}

func (w *commitWriter) run(group []*request) error {
	tx, err := w.seg.db.Begin(true)
	if err != nil {
		return err
	}
	if err = w.fill(tx, group); err == nil {
		err = failpoint.Hit("queue.before_commit")
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return failpoint.Hit("queue.after_commit")
}

func (w *commitWriter) fill(tx *bbolt.Tx, group []*request) error {
	records := tx.Bucket([]byte(bucketRecord))
	records.FillPercent = fillPercent
	index := tx.Bucket([]byte(bucketUrgent))
	index.FillPercent = fillPercent
	for _, req := range group {
		if len(req.batch.Records) > 0 {
			req.first = w.tail.Last + 1
		}
		for i := range req.batch.Records {
			if err := w.put(records, index, req.batch.Records[i]); err != nil {
				return err
			}
		}
	}
	if err := w.putCursors(tx.Bucket([]byte(bucketCursor)), group); err != nil {
		return err
	}
	w.tail.Commits++
	return tx.Bucket([]byte(bucketHead)).Put([]byte(keyTail), appendTail(w.seg.epoch(), w.tail))
}

func (w *commitWriter) put(records, index *bbolt.Bucket, r Record) error {
	w.tail.Last++
	r.Epoch, r.Seq = w.seg.epoch(), w.tail.Last
	key := seqKey(r.Seq)
	if free := cap(w.frames) - len(w.frames); free < r.size() {
		w.frames = make([]byte, 0, max(r.size(), keptFrames/4))
	}
	start := len(w.frames)
	w.frames = appendRecord(w.frames, &r)
	if err := records.Put(key, w.frames[start:len(w.frames):len(w.frames)]); err != nil {
		return err
	}
	w.records++
	w.tail.Records++
	w.tail.note(r.At)
	if !r.Urgent {
		return nil
	}
	w.urgent = append(w.urgent, r.Seq)
	return index.Put(key, appendUrgent(nil, r.Epoch, r.Seq))
}

// putCursors stores the batches' cursors; the first transaction of a segment those of all sources, so that the newest
// segment alone has them.
func (w *commitWriter) putCursors(bucket *bbolt.Bucket, group []*request) error {
	put := func(source string, value []byte) error {
		c := cursor{source: source, seq: w.tail.Last, count: w.tail.Commits, value: value}
		return bucket.Put([]byte(source), appendCursor(nil, w.seg.epoch(), c))
	}
	if w.tail.Commits == 0 {
		for source, value := range w.lane.Cursors() {
			if err := put(source, value); err != nil {
				return err
			}
		}
	}
	for _, req := range group {
		for source, value := range req.batch.Cursors {
			if err := put(source, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// activeFor returns the active segment, a new one if bytes more would overfill it.
func (l *Lane) activeFor(bytes int64) (*segment, error) {
	l.mu.Lock()
	seg := l.segments[len(l.segments)-1]
	full := l.overfills(seg, bytes)
	l.mu.Unlock()
	if !full {
		return seg, nil
	}
	h := seg.summary.head
	if err := l.startSegment(h.Epoch, h.Prev, seg.last()+1); err != nil {
		return nil, err
	}
	if err := seg.release(); err != nil {
		return nil, fmt.Errorf("seal segment: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[len(l.segments)-1], nil
}

// startSegment makes the next segment and has meta.db name it before its first record; on the writing goroutine.
func (l *Lane) startSegment(epoch, prev string, first uint64) error {
	name := segmentName{ordinal: l.ordinal + 1, epoch: epoch, first: first}
	h := head{Version: formatVersion, Ordinal: name.ordinal, Epoch: epoch, Prev: prev, First: first}
	if err := createSegment(l.cfg.Dir, name, h, nil); err != nil {
		l.fail(err)
		return l.Err()
	}
	seg := &segment{name: name, path: filepath.Join(l.cfg.Dir, name.String())}
	seg.summary = summary{head: h, tail: tail{Last: first - 1, Min: noTime, Max: noTime}}
	if err := seg.openActive(l.cfg.allocBytes()); err != nil {
		l.fail(err)
		return l.Err()
	}
	seg.used = usedBytes(seg.db)
	size, err := fileBytes(seg.path)
	if err != nil {
		return errors.Join(err, seg.release())
	}
	seg.bytes = size
	l.mu.Lock()
	l.ordinal = name.ordinal
	l.segments = append(l.segments, seg)
	l.begun = true
	l.state.Newest = name.String()
	l.state.epoch(epoch).Prev = prev
	if l.state.Oldest == 0 {
		l.state.Oldest = l.segments[0].name.ordinal
	}
	l.mu.Unlock()
	if err := l.storeState(); err != nil {
		l.fail(err)
		return l.Err()
	}
	return nil
}

// deleteFile removes a segment's file once its readers are done; one that is gone already is no error.
func deleteFile(seg *segment) error {
	if err := seg.remove(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete segment: %w", err)
	}
	return nil
}
