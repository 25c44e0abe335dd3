package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// End is how far one epoch reaches in a lane.
type End struct {
	Position        // of its last record; Seq 0 = it has none yet
	Prev     string // as given to [Lane.Begin]
}

// Ends returns how far the open epochs of the lane reach, oldest first: each earlier one that has unsent records, and
// last the one of this run. Every record that was on disk when Ends was called is counted, also one whose [Lane.Put] has
// not returned yet: it waits for a commit that is under way. A lane that has not begun an epoch has none, nor has one that
// failed or was closed, since how far it reaches is not known then.
func (l *Lane) Ends() (ends []End) {
	_ = l.do(func() error { // its errors are those of a lane that has no ends
		ends = l.ends()
		return nil
	})
	return ends
}

// ends is Ends on the writing goroutine: no commit is between the disk and the memory.
func (l *Lane) ends() (ends []End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		return nil
	}
	own := l.segments[len(l.segments)-1].epoch()
	for _, e := range l.state.Epochs {
		end := End{Position{Epoch: e.Epoch, Seq: l.lastOf(e.Epoch)}, e.Prev}
		if e.Epoch == own || end.Seq > 0 && !l.state.isSent(end.Position) {
			ends = append(ends, end)
		}
	}
	return ends
}

// Epochs returns the runs that the lane remembers, oldest first; the last one is this run's, once it has begun.
func (l *Lane) Epochs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]string, len(l.state.Epochs))
	for i, e := range l.state.Epochs {
		all[i] = e.Epoch
	}
	return all
}

// EachUrgent calls fn with the urgent records on disk, sent ones and unsent ones, oldest first: of each epoch those behind
// the seq that after returns for it. A damaged record is left out and reported. An error of fn ends it and is returned.
func (l *Lane) EachUrgent(ctx context.Context, after func(epoch string) uint64, fn func(Record) error) error {
	l.mu.Lock()
	segments := slices.Clone(l.segments)
	l.mu.Unlock()
	for _, seg := range segments {
		seqs, err := l.urgentOf(seg, after(seg.epoch()))
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, ok, err := l.record(seg.position(seq))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := fn(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// urgentOf returns the urgent seqs of a segment behind a seq, from its index.
func (l *Lane) urgentOf(seg *segment, after uint64) (seqs []uint64, err error) {
	l.mu.Lock()
	skip := seg.broken || seg.last() <= after
	l.mu.Unlock()
	if skip {
		return nil, nil
	}
	err = l.hold(seg)
	if errors.Is(err, os.ErrNotExist) && seg.deleted() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = seg.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketUrgent)).Cursor()
		for key, _ := c.Seek(seqKey(after + 1)); len(key) == 8; key, _ = c.Next() {
			seqs = append(seqs, binary.BigEndian.Uint64(key))
		}
		return nil
	})
	return seqs, errors.Join(err, seg.release())
}
