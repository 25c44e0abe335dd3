package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// warm is how many events pass before the clock starts: connecting and the first commits are no matter of speed.
const warm = 1000

// span is when the first and the last of a run's events stood in Kafka.
type span struct{ from, to time.Time }

// rate returns events a second between the two.
func (s span) rate(events int) float64 { return float64(events-warm) / s.to.Sub(s.from).Seconds() }

// until runs check every interval until it says true, or an error.
func until(ctx context.Context, every time.Duration, check func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// arrived returns how many records stand in the topic.
func arrived(ctx context.Context, client *kgo.Client) (n int, err error) {
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topicQuality())
	if err != nil {
		return 0, err
	}
	ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
	return n, ends.Error()
}

// watch returns when the events stand in Kafka. It asks for the ends of the partitions, which costs the broker next to
// nothing. alive says why it makes no sense to go on waiting.
func watch(ctx context.Context, client *kgo.Client, events int, alive func() error) (s span, err error) {
	err = until(ctx, 10*time.Millisecond, func() (bool, error) {
		if err := alive(); err != nil {
			return false, err
		}
		n, err := arrived(ctx, client)
		now := time.Now()
		if n >= warm && s.from.IsZero() {
			s.from = now
		}
		s.to = now
		return n >= events, err
	})
	return s, err
}

// verdict is what was found in Kafka.
type verdict struct {
	seen       []uint64 // place in the source's order by message number; 0 = did not come
	duplicates int
	disorder   int
	records    int
	bytes      int    // of keys, headers and values
	wire       int    // of the batches as they were sent, compressed
	shape      *shape // of one record
}

func (v *verdict) lost() (n int) {
	for _, place := range v.seen[1:] {
		if place == 0 {
			n++
		}
	}
	return n
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (v *verdict) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	v.wire += m.CompressedBytes
}

// judge reads the topic from its beginning. Messages must stand in every partition in the order in which the source gave
// them, and where the agent numbered them, in that order over all partitions.
func judge(ctx context.Context, broker string, events int) (*verdict, error) {
	v := &verdict{seen: make([]uint64, events+1)}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topicQuality()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MaxConcurrentFetches(1), kgo.WithHooks(v))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	want, err := arrived(ctx, client)
	if err != nil {
		return nil, err
	}
	last := map[int32]int{}
	for v.records < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !v.take(r, last) && err == nil {
				err = fmt.Errorf("record %d of partition %d holds message %d, which nobody sent", r.Offset, r.Partition, sample(r.Value))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	v.order()
	return v, nil
}

// take judges one record; last has the newest message of each partition.
func (v *verdict) take(r *kgo.Record, last map[int32]int) bool {
	v.records++
	v.bytes += len(r.Key) + len(r.Value)
	place := uint64(1)
	for _, h := range r.Headers {
		v.bytes += len(h.Key) + len(h.Value)
		if h.Key == event.HeaderSeq {
			place, _ = strconv.ParseUint(string(h.Value), 10, 64) // 0 counts as lost
		}
	}
	n := sample(r.Value)
	if n >= len(v.seen) {
		return false
	}
	if n == 0 {
		return true // the agent's own
	}
	if v.shape == nil && n > warm {
		s := shapeOf(r)
		v.shape = &s
	}
	switch {
	case v.seen[n] != 0:
		v.duplicates++
		return true
	case n <= last[r.Partition]:
		v.disorder++
	}
	v.seen[n], last[r.Partition] = place, n
	return true
}

// order counts messages that the agent put behind one that came later.
func (v *verdict) order() {
	before := uint64(0)
	for _, place := range v.seen[1:] {
		if place != 0 && place < before {
			v.disorder++
		}
		before = max(before, place)
	}
}
