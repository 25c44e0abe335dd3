package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// subscriber keeps the newest lot status of each lot, as an application does that knows nothing but the topic.
type subscriber struct {
	client *kgo.Client
	lots   map[event.LotKey]*event.LotStatusUpdated
}

func subscribe(t *testing.T, s *stack.Stack, topic string) *subscriber {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka.Addrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &subscriber{client, map[event.LotKey]*event.LotStatusUpdated{}}
}

// read takes in what is there.
func (s *subscriber) read(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
		m := event.Message{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, event.Header{Key: h.Key, Value: h.Value})
		}
		e, err := event.Decode(m)
		if err != nil {
			t.Errorf("record at offset %d: %v", r.Offset, err)
			return
		}
		status := e.Data.(*event.LotStatusUpdated)
		if last := s.lots[status.Lot]; last == nil || status.Version >= last.Version {
			s.lots[status.Lot] = status
		}
	})
}

// TestF13_LateSubscriberLearnsEveryLot: from the compacted topic alone, across plants and for the plant itself, also after
// the cloud was killed in between.
func TestF13_LateSubscriberLearnsEveryLot(t *testing.T) {
	s := start(t, stack.Config{})
	p := publisher(t, s, "press")
	send(t, p, plant.TopicLot, lot("L-GOOD", "kg"))
	send(t, p, plant.TopicLot, lot("L-BAD", "kg"))
	send(t, p, plant.TopicResult, result("L-BAD", 1, "61.2", true))
	blocked(t, s, "L-BAD", 20*time.Second)
	s.Cloud.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.StartCloud(ctx); err != nil {
		t.Fatal(err)
	}
	send(t, p, plant.TopicLot, lot("L-LATER", "kg"))
	for _, topic := range []string{"holdfast.lot-status.v1", "holdfast.p1.lot-status.v1"} {
		sub := subscribe(t, s, topic)
		eventually(t, 20*time.Second, "the status of all three lots is on "+topic, func() bool {
			sub.read(t)
			good, bad, later := sub.lots["lot::MAT-100:L-GOOD"], sub.lots["lot::MAT-100:L-BAD"], sub.lots["lot::MAT-100:L-LATER"]
			return good != nil && good.MayMove && later != nil && later.MayMove && bad != nil && !bad.MayMove && len(bad.OpenHolds) == 1 &&
				len(bad.Usage) == 1 && bad.Usage[0].Usage == event.Blocked
		})
	}
}
