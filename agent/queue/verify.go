package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Verify reads every record of the lane and tells whether all of it is sound: pages and checksums, seqs without holes
// within and across segments but for declared ones, the urgent index, the acked position within what there is. It
// takes as long as reading the files.
func (l *Lane) Verify(ctx context.Context) error {
	l.mu.Lock()
	if err := l.readable(); err != nil {
		l.mu.Unlock()
		return err
	}
	segments := append([]*segment(nil), l.segments...)
	begun, acked := l.begun, l.state.Acked
	var errs []error
	if acked.Seq > l.lastOf(acked.Epoch) || acked.Epoch != "" && l.state.indexOf(acked.Epoch) < 0 {
		errs = append(errs, fmt.Errorf("acked position %s/%d lies beyond the lane", acked.Epoch, acked.Seq))
	}
	l.mu.Unlock()
	for i, seg := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 && !follows(segments[i-1], seg) {
			errs = append(errs, fmt.Errorf("segment %s does not follow %s", seg.name, segments[i-1].name))
		}
		err := l.verifySegment(seg, begun && i == len(segments)-1)
		if err != nil && !seg.deleted() {
			errs = append(errs, fmt.Errorf("verify segment %s: %w", seg.name, err))
		}
	}
	return errors.Join(errs...)
}

// follows tells whether no seq is missing between two neighbours of one epoch. Only sealed segments are asked for
// their last seq, which no longer moves.
func follows(a, b *segment) bool {
	return a.epoch() != b.epoch() || a.last()+1 == b.first() || a.summary.head.openFrom() != 0
}

// verifySegment checks a sealed segment by plain reads, the active one through its mapping.
func (l *Lane) verifySegment(seg *segment, active bool) error {
	if !active {
		return CheckSegment(seg.path)
	}
	if err := seg.hold(); err != nil {
		return err
	}
	err := seg.view(func(tx *bbolt.Tx) error { return verifyTx(tx, seg) })
	return errors.Join(err, seg.release())
}

func verifyTx(tx *bbolt.Tx, seg *segment) error {
	t, err := decodeTail(bytes.Clone(tx.Bucket([]byte(bucketHead)).Get([]byte(keyTail))), seg.epoch())
	if err != nil {
		return err
	}
	walk := recordWalk{head: seg.summary.head, next: seg.first()}
	err = tx.Bucket([]byte(bucketUrgent)).ForEach(func(_, value []byte) error {
		seq, err := decodeUrgent(value, seg.epoch())
		walk.urgent = append(walk.urgent, seq)
		return err
	})
	if err != nil {
		return err
	}
	if err := tx.Bucket([]byte(bucketRecord)).ForEach(walk.record); err != nil {
		return err
	}
	return walk.end(t)
}
