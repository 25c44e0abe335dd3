package queue

import (
	"fmt"

	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// Ack says that every record up to and with p is confirmed by the receiver. It moves forward only: an older position
// changes nothing. It is stored within a second and by [Lane.Close]; after a crash the records in between are sent
// again.
func (l *Lane) Ack(p Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.lastOf(p.Epoch); l.state.indexOf(p.Epoch) < 0 || p.Seq > last {
		return fmt.Errorf("ack %s/%d: the epoch ends at %d", p.Epoch, p.Seq, last)
	}
	if l.state.isSent(p) {
		return nil
	}
	before := l.depth()
	l.state.Acked = p
	l.dirty = true
	l.urgent.drop(l.state.isSent)
	l.traffic.sent(l.cfg.Clock(), before-l.depth())
	l.broadcast()
	return nil
}

// Acked returns the position up to which everything is confirmed, zero if nothing is.
func (l *Lane) Acked() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Acked
}

// depth returns how many records are unsent; l.mu is held.
func (l *Lane) depth() (n uint64) {
	for _, seg := range l.segments {
		n += l.unsent(seg)
	}
	return n
}

// unsent returns how many records of seg are unsent; l.mu is held.
func (l *Lane) unsent(seg *segment) uint64 {
	switch {
	case seg.epoch() == l.state.Acked.Epoch:
		return seg.after(l.state.Acked.Seq)
	case l.state.isSent(seg.position(seg.last())):
		return 0
	}
	return seg.summary.tail.Records
}

// flushAcked stores the acked position if it moved; on the writing goroutine. With the disk all but full it waits:
// what it needs is space, and the deletion of a segment, which stores the position too, comes first.
func (l *Lane) flushAcked() error {
	l.mu.Lock()
	dirty := l.dirty
	l.mu.Unlock()
	if !dirty {
		return nil
	}
	if free, err := l.cfg.Free(l.cfg.Dir); err == nil && free < stateMargin {
		return nil
	}
	if err := failpoint.Hit("queue.before_ack"); err != nil {
		return err
	}
	return l.storeState()
}
