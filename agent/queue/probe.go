package queue

import "context"

// Probe returns nil once the writing goroutine has answered between two commits: it does not hang in one. It writes
// nothing. While batches come faster than they are committed it may wait for long; see [Stat.Received] then. Its error is
// that of ctx, [ErrClosed], or the one that the lane failed with.
func (l *Lane) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := task{run: func() error { return nil }, done: make(chan error, 1)}
	select {
	case l.tasks <- t:
		return <-t.done // at once: it is the writing goroutine that took it
	case <-l.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
