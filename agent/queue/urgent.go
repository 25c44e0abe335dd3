package queue

import "context"

// urgents are the unsent urgent records of a lane, oldest first. What has been handed out stays counted until it is
// confirmed by itself or by the lane's acked position.
type urgents struct {
	waiting []Position
	out     map[Position]bool
}

func (u *urgents) add(p Position) { u.waiting = append(u.waiting, p) }

func (u *urgents) count() int { return len(u.waiting) + len(u.out) }

// hand takes up to limit positions out of the waiting ones.
func (u *urgents) hand(limit int) []Position {
	n := min(limit, len(u.waiting))
	handed := append([]Position(nil), u.waiting[:n]...)
	u.waiting = u.waiting[n:]
	for _, p := range handed {
		u.out[p] = true
	}
	return handed
}

// forget drops p for good.
func (u *urgents) forget(p Position) { delete(u.out, p) }

// takeBack makes p wait again, before all others.
func (u *urgents) takeBack(back []Position) {
	var again []Position
	for _, p := range back {
		if u.out[p] {
			delete(u.out, p)
			again = append(again, p)
		}
	}
	u.waiting = append(again, u.waiting...)
}

// drop forgets every position that sent tells to be sent.
func (u *urgents) drop(sent func(Position) bool) {
	kept := u.waiting[:0]
	for _, p := range u.waiting {
		if !sent(p) {
			kept = append(kept, p)
		}
	}
	u.waiting = kept
	for p := range u.out {
		if sent(p) {
			delete(u.out, p)
		}
	}
}

// NextUrgent returns up to limit unsent urgent records, oldest first, each of them once in this run: it is then the
// caller's until [Lane.AckUrgent] or [Lane.RetryUrgent]. It blocks until there is one, ctx is done, or the lane fails
// or closes. A damaged record is left out and reported; [Lane.Next] meets it again.
func (l *Lane) NextUrgent(ctx context.Context, limit int) ([]Record, error) {
	for {
		if err := ctx.Err(); err != nil { // a caller that gives records back at once must come to an end
			return nil, err
		}
		l.mu.Lock()
		err, changed := l.readable(), l.changed
		handed := l.urgent.hand(limit)
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		var records []Record
		for _, p := range handed {
			r, ok, err := l.record(p)
			if err != nil {
				l.RetryUrgent(handed...)
				return nil, err
			}
			if ok {
				records = append(records, r)
			} else {
				l.AckUrgent(p)
			}
		}
		if len(records) > 0 {
			return records, nil
		}
		if len(handed) > 0 {
			continue
		}
		if err := l.waitChange(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// AckUrgent confirms records that [Lane.NextUrgent] handed out. It is kept in memory only: after a restart an urgent
// record beyond the acked position is handed out again, and the receiver knows it by its id. The record still goes up
// in its place in the lane.
func (l *Lane) AckUrgent(positions ...Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range positions {
		l.urgent.forget(p)
	}
}

// RetryUrgent gives back records that [Lane.NextUrgent] handed out and that could not be sent.
func (l *Lane) RetryUrgent(positions ...Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.urgent.takeBack(positions)
	l.broadcast()
}
