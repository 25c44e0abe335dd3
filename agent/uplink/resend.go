package uplink

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// A resend looks after every page of this many records whether live traffic waits; it does where more is unsent than
// what a working link always has in flight.
const (
	yieldEvery  = 50
	yieldBeyond = leastInFlight
	yieldPause  = 250 * time.Millisecond
)

// Resend sends records of a lane again that are confirmed already: the same bytes, ids and origin, by a producer of its
// own, at perSecond records a second at most and only while live traffic does not wait. It never moves acked. It calls
// progress on its own goroutine with the records confirmed so far and those of the whole range, and returns how many
// were confirmed: all that the queue still held, unless there is an error. It ends with ctx; the records of a broken
// resend may be sent again, the cloud knows them by their ids.
func (u *Uplink) Resend(ctx context.Context, name event.Lane, r queue.Range, perSecond int, progress func(sent, total int64)) (int64, error) {
	lane, topic := u.quality, u.cfg.Kafka.Quality(u.cfg.Plant)
	if name == event.LaneTelemetry {
		lane, topic = u.signals, u.cfg.Kafka.Telemetry(u.cfg.Plant)
	}
	r.SentOnly = true
	s := &resend{uplink: u, lane: lane, topic: topic, limiter: rate.NewLimiter(rate.Limit(perSecond), 1), progress: progress}
	count := func(queue.Record) error { s.total++; return nil }
	if err := lane.Scan(ctx, r, count); err != nil {
		return 0, fmt.Errorf("count records of lane %s: %w", name, err)
	}
	err := u.with(ctx, func(ctx context.Context, client *kgo.Client) error { return s.run(ctx, client, r) })
	return s.sent.Load(), err
}

// resend is one run of [Uplink.Resend].
type resend struct {
	uplink   *Uplink
	lane     *queue.Lane
	topic    string
	limiter  *rate.Limiter
	progress func(sent, total int64)

	total int64
	begun int
	sent  atomic.Int64 // confirmed
}

func (s *resend) run(ctx context.Context, client *kgo.Client, r queue.Range) error {
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := s.lane.Scan(inner, r, func(record queue.Record) error {
		if err := s.wait(inner); err != nil {
			return err
		}
		client.Produce(context.WithoutCancel(ctx), s.uplink.record(s.topic, &record), func(_ *kgo.Record, err error) {
			if err != nil {
				stop(classify(s.topic, err))
				return
			}
			s.sent.Add(1)
		})
		s.progress(s.sent.Load(), s.total)
		return nil
	})
	if err == nil {
		err = client.Flush(inner)
	}
	if cause := context.Cause(inner); cause != nil {
		return cause
	}
	return err
}

// wait returns when the next record may go: at the rate asked for, and behind live traffic.
func (s *resend) wait(ctx context.Context) error {
	if s.begun++; s.begun%yieldEvery == 1 {
		for s.uplink.waiting() {
			if !sleep(ctx, yieldPause) {
				return ctx.Err()
			}
		}
	}
	return s.limiter.Wait(ctx)
}

// waiting tells whether live traffic waits for the link.
func (u *Uplink) waiting() bool {
	q, s := u.quality.Stat(), u.signals.Stat()
	return q.Urgent > 0 || q.Depth+s.Depth > yieldBeyond
}
