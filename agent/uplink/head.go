package uplink

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// headEvery is how often a head is stated while nobody asks.
const headEvery = 30 * time.Second

// sendHeads states heads: one at once, one every [headEvery], and one as soon as there is a newer barrier. The next is
// made after the broker has confirmed the one before, so that none overtakes another. None is stated before it is on disk
// what the sources may have missed while the agent did not run: a head says that nothing else is known here.
func (u *Uplink) sendHeads(ctx context.Context, client *kgo.Client) error {
	if err := u.checkPartitions(ctx, client, u.cfg.Kafka.Telemetry(u.cfg.Plant)); err != nil {
		return err
	}
	if err := wait(ctx, u.cfg.Begun, nil); err != nil {
		return err
	}
	for {
		h, changed := u.head()
		if h == nil {
			if err := wait(ctx, changed, nil); err != nil {
				return err
			}
			continue
		}
		if err := u.state(ctx, client, h); err != nil {
			return err
		}
		if err := u.pauseHeads(ctx, h.Barrier); err != nil {
			return err
		}
	}
}

// pauseHeads waits until the next head is due.
func (u *Uplink) pauseHeads(ctx context.Context, stated uint64) error {
	timer := time.NewTimer(u.headEvery)
	defer timer.Stop()
	for {
		control, changed := u.cfg.Control()
		if control != nil && uint64(control.Barrier) > stated {
			return nil
		}
		select {
		case <-timer.C:
			return nil
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// head makes the head of now. It reads the barrier before it reads how far the lanes reach: what was on disk when the
// cloud asked is in it. There is none before the first record of this run's epoch is on disk, and none while the cloud
// holds this epoch for another gateway's; the channel is closed when that may have changed.
func (u *Uplink) head() (*event.Head, <-chan struct{}) {
	control, changed := u.cfg.Control()
	quality, signals := u.quality.Ends(), u.signals.Ends()
	if len(quality) == 0 || quality[len(quality)-1].Seq == 0 {
		_, changed = u.quality.More(queue.Position{})
		return nil, changed
	}
	own := quality[len(quality)-1]
	if quarantined(control, event.Epoch(own.Epoch)) {
		return nil, changed
	}
	h := &event.Head{
		Plant: event.PlantID(u.cfg.Plant), Agent: u.cfg.Agent, Epoch: event.Epoch(own.Epoch), Prev: event.Prev(own.Prev), Time: u.cfg.Now(),
	}
	if control != nil {
		h.Barrier = uint64(control.Barrier)
	}
	for _, e := range epochs(signals, quality) {
		h.Epochs = append(h.Epochs, event.HeadEpoch{Epoch: event.Epoch(e), Quality: u.reach(quality, u.quality, e), Telemetry: u.reach(signals, u.signals, e)})
	}
	h.Status = u.standing()
	return h, changed
}

// standing returns what the agent says about itself, nil where it says nothing that readers would take.
func (u *Uplink) standing() *event.AgentStatus {
	if u.cfg.Standing == nil {
		return nil
	}
	s := u.cfg.Standing()
	if err := s.Check(); err != nil {
		u.log.Warn().Err(err).Msg("status is left out of the head")
		return nil
	}
	return s
}

// reach returns the last seq of an epoch in a lane, as it was in ends where it stands there.
func (u *Uplink) reach(ends []queue.End, lane *queue.Lane, epoch string) uint64 {
	if i := slices.IndexFunc(ends, func(e queue.End) bool { return e.Epoch == epoch }); i >= 0 {
		return ends[i].Seq
	}
	return lane.LastOf(epoch)
}

// epochs returns the epochs of both lanes, each once; the last one is this run's.
func epochs(lanes ...[]queue.End) []string {
	var all []string
	for _, ends := range lanes {
		for _, e := range ends {
			all = slices.DeleteFunc(all, func(known string) bool { return known == e.Epoch })
			all = append(all, e.Epoch)
		}
	}
	return all
}

// quarantined tells whether the cloud has set an epoch aside.
func quarantined(control *event.ControlSet, epoch event.Epoch) bool {
	return control != nil && slices.ContainsFunc(control.Epochs, func(d event.DecidedEpoch) bool {
		return d.Epoch == epoch && d.Decision == event.EpochQuarantined
	})
}

// state sends a head and waits for the broker's answer.
func (u *Uplink) state(ctx context.Context, client *kgo.Client, h *event.Head) error {
	m := h.Message()
	topic := u.cfg.Kafka.Telemetry(u.cfg.Plant)
	record := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}
	for _, header := range m.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader(header))
	}
	answered := make(chan error, 1)
	client.Produce(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) { answered <- err })
	select {
	case err := <-answered:
		if err != nil {
			return classify(topic, err)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	u.worked()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Head, u.status.Answered = u.cfg.Now(), h.Barrier
	u.stated = time.Now()
	return nil
}

// wait waits for a change, for the time if it is not nil, or for the end.
func wait(ctx context.Context, changed <-chan struct{}, after <-chan time.Time) error {
	select {
	case <-changed:
	case <-after:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// headAge returns the time since the newest head was confirmed, since the start where there was none.
func (u *Uplink) headAge() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Since(u.stated).Seconds()
}
