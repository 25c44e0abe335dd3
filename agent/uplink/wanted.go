package uplink

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// wantedAgain is how long records that were sent again rest. The cloud names what it misses in each of its records, and
	// while it is behind, that is all that waits in Kafka already.
	wantedAgain = 10 * time.Minute
	// wantedRate leaves most of a link to live traffic, in records a second.
	wantedRate = 500
)

// resent is a range that was sent again.
type resent struct {
	event.Wanted
	at time.Time
}

// sendWanted sends the records again that the cloud says it misses, until ctx ends. What is not confirmed yet is left
// to its lane.
func (u *Uplink) sendWanted(ctx context.Context) {
	var sent []resent
	quiet := telemetry.Quiet{Log: u.log, Now: u.cfg.Now}
	for ctx.Err() == nil {
		control, changed := u.cfg.Control()
		sent = slices.DeleteFunc(sent, func(r resent) bool { return time.Since(r.at) >= wantedAgain })
		pause := wantedAgain
		for _, w := range due(control, sent) {
			if err := u.sendAgain(ctx, w); err != nil {
				if ctx.Err() == nil {
					quiet.Failed(err, "records that the cloud misses are not sent yet")
				}
				pause = longestPause
				break
			}
			sent = append(sent, resent{w, time.Now()})
		}
		timer := time.NewTimer(pause)
		_ = wait(ctx, changed, timer.C)
		timer.Stop()
	}
}

// due returns what the cloud wants, less what was sent again.
func due(control *event.ControlSet, sent []resent) []event.Wanted {
	if control == nil {
		return nil
	}
	var all []event.Wanted
	for _, w := range control.Wanted {
		w.FromSeq = max(w.FromSeq, 1)
		left := []event.Wanted{w}
		for _, r := range sent {
			left = without(left, r.Wanted)
		}
		all = append(all, left...)
	}
	return slices.DeleteFunc(all, func(w event.Wanted) bool { return w.ToSeq < w.FromSeq })
}

// without takes a range out of others.
func without(ranges []event.Wanted, out event.Wanted) []event.Wanted {
	var left []event.Wanted
	for _, w := range ranges {
		if w.Epoch != out.Epoch || w.Lane != out.Lane || out.ToSeq < w.FromSeq || w.ToSeq < out.FromSeq {
			left = append(left, w)
			continue
		}
		before, after := w, w
		before.ToSeq, after.FromSeq = out.FromSeq-1, out.ToSeq+1
		for _, part := range []event.Wanted{before, after} {
			if part.FromSeq <= part.ToSeq {
				left = append(left, part)
			}
		}
	}
	return left
}

// sendAgain sends one range.
func (u *Uplink) sendAgain(ctx context.Context, w event.Wanted) error {
	r := queue.Range{Epoch: string(w.Epoch), FromSeq: uint64(w.FromSeq), ToSeq: uint64(w.ToSeq)}
	n, err := u.Resend(ctx, w.Lane, r, wantedRate, func(int64, int64) {})
	if err != nil {
		return err
	}
	e := u.log.Info()
	if n == 0 && u.confirmed(w) {
		e = u.log.Error().Str(telemetry.KeyErrorCode, string(problem.QueueDamaged))
	}
	e.Str(telemetry.KeyLane, string(w.Lane)).Str(telemetry.KeyEpoch, string(w.Epoch)).Int64("from_seq", w.FromSeq).Int64("to_seq", w.ToSeq).
		Int64(telemetry.KeyCount, n).Msg("records that the cloud misses are sent again")
	return nil
}

// confirmed tells whether a whole range was confirmed once, so that its lane will not send it.
func (u *Uplink) confirmed(w event.Wanted) bool {
	lane := u.quality
	if w.Lane == event.LaneTelemetry {
		lane = u.signals
	}
	acked := lane.Acked()
	return acked.Epoch != string(w.Epoch) || acked.Seq >= uint64(w.ToSeq)
}
