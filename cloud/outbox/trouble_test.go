package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
)

// alarm is what is raised, by code and subject.
type alarm map[string]string

func (a alarm) Raise(_ context.Context, code event.Name, subject, detail string) error {
	a[string(code)+" "+subject] = detail
	return nil
}

func (a alarm) Clear(_ context.Context, code event.Name, subject string) error {
	delete(a, string(code)+" "+subject)
	return nil
}

func (a alarm) Raised(_ context.Context, code event.Name) (subjects []string, _ error) {
	for key := range a {
		if subject, ok := strings.CutPrefix(key, string(code)+" "); ok {
			subjects = append(subjects, subject)
		}
	}
	return subjects, nil
}

var _ Alarm = alarm{}

func (a alarm) want(t *testing.T, keys ...string) {
	t.Helper()
	var got []string
	for key := range a {
		got = append(got, key)
	}
	slices.Sort(got)
	if !slices.Equal(got, keys) {
		t.Errorf("alerts %q, want %q", got, keys)
	}
}

// unfit stores a lot whose status fits no schema in a version, and marks its status.
func (b *bench) unfit(version int64) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		if err := tx.PutLot(&quality.Lot{Key: "lot::M:bad", Version: version, Plant: "p1", UpdatedAt: b.clock, Cause: "no event id"}); err != nil {
			return err
		}
		return tx.MarkOutbox("lot-status/p1", "lot::M:bad")
	})
}

// lose removes a topic.
func (b *bench) lose(topic string) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cfg.Brokers...))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopics(b.t.Context(), topic); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) message(topic, key string, size int) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		return tx.PutOutbox(topic, event.Message{Key: []byte(key), Value: fmt.Appendf(nil, `{"n":%q}`, strings.Repeat("x", size))})
	})
}

// TestPublisher_UnfitStatus: a lot whose status fits no schema is shown as not free, and keeps nothing else waiting.
func TestPublisher_UnfitStatus(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	b.unfit(4)
	b.change(1)
	publish(t, p, 2)
	if n := b.waiting(); n != 0 {
		t.Errorf("%d rows wait", n)
	}
	read := func(r *kgo.Record) *event.LotStatusUpdated {
		d, err := event.DecodeData(event.TypeLotStatusUpdated, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		return d.(*event.LotStatusUpdated)
	}
	byKey := map[string]*event.LotStatusUpdated{}
	for _, r := range b.read(b.cfg.PlantLotStatus("p1"), 2) {
		byKey[string(r.Key)] = read(r)
	}
	bad := byKey["lot::M:bad"]
	if bad == nil || bad.MayMove || len(bad.Reasons) == 0 || bad.Version != 4 || byKey["lot::M:1"] == nil {
		t.Errorf("sent was %+v", byKey)
	}
	b.alarm.want(t, "record_unfit lot-status/p1 lot::M:bad")
	t.Run("the alert ends with a status that fits, in another process, too", func(t *testing.T) {
		b.update(func(tx *store.Tx) error {
			lot := quality.Lot{Key: "lot::M:bad", Version: 5, Plant: "p1", Material: "M", UpdatedAt: b.clock, Cause: event.NaturalID("p1", "mes1", []string{"1"}, event.TypeLotCreated, 0)}
			if err := tx.PutLot(&lot); err != nil {
				return err
			}
			return tx.MarkOutbox("lot-status/p1", "lot::M:bad")
		})
		p.drop()
		publish(t, b.publisher("a"), 1)
		b.alarm.want(t)
	})
}

// TestPublisher_TopicMissing: what is meant for a topic that does not exist waits; all else goes on, and nothing is lost.
func TestPublisher_TopicMissing(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	missing := b.cfg.PlantLotStatus("p2")
	b.lose(missing)
	for n := range page + 1 { // more than a page of them
		b.update(func(tx *store.Tx) error { return tx.MarkOutbox("lot-status/p2", fmt.Sprintf("lot::M:%d", n+1)) })
	}
	b.change(1) // lot 1, which goes to p2, too
	b.message("effect", "k", 1)
	if n, more, err := p.publish(t.Context()); err != nil || !more {
		t.Fatalf("the first page: %d sent, more %t, %v", n, more, err)
	}
	publish(t, p, 2)
	b.read(b.cfg.PlantLotStatus("p1"), 1)
	b.read(b.cfg.Effect(), 1)
	b.alarm.want(t, "topic_unwritable "+missing)
	if got := len(p.trouble.topics); got != 1 {
		t.Errorf("%d topics are left alone", got)
	}
	t.Run("it is left alone for a while", func(t *testing.T) {
		publish(t, p, 0)
	})
	t.Run("and sent once it exists", func(t *testing.T) {
		if err := b.cfg.Ensure(t.Context(), slices.DeleteFunc(b.cfg.PlantSpecs("p2"), func(s kafka.Spec) bool { return s.Name != missing }), zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
		b.clock = b.clock.Add(tryAgain)
		for sent := 0; b.waiting() > 0; sent++ {
			if _, _, err := p.publish(t.Context()); err != nil || sent > 3 {
				t.Fatalf("%d rows wait: %v", b.waiting(), err)
			}
		}
		b.read(missing, 1) // of the one lot that exists
		b.alarm.want(t)
	})
}

// TestPublisher_TopicForbidden: the right to write is refused at the write only.
func TestPublisher_TopicForbidden(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	fault := b.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: b.cfg.Effect(), Err: kerr.TopicAuthorizationFailed, Count: -1})
	b.message("effect", "k", 1)
	b.change(1)
	if n, more, err := p.publish(t.Context()); err == nil || !more {
		t.Fatalf("%d sent, more %t, %v", n, more, err)
	}
	p.drop() // as Run does
	publish(t, p, 1)
	b.read(b.cfg.PlantLotStatus("p1"), 1)
	b.alarm.want(t, "topic_unwritable "+b.cfg.Effect())
	fault.Remove()
	b.clock = b.clock.Add(tryAgain)
	publish(t, p, 1)
	b.read(b.cfg.Effect(), 1)
	b.alarm.want(t)
}

// TestPublisher_RecordTooLarge: a record that no broker takes stays, and keeps nothing else waiting.
func TestPublisher_RecordTooLarge(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	b.message("deadletter", "large", 2<<20)
	b.message("deadletter", "small", 1)
	if n, more, err := p.publish(t.Context()); err == nil || !more {
		t.Fatalf("%d sent, more %t, %v", n, more, err)
	}
	p.drop()
	publish(t, p, 1)
	if r := b.read(b.cfg.Deadletter(), 1); string(r[0].Key) != "small" || b.waiting() != 1 {
		t.Errorf("sent was %s, %d rows wait", r[0].Key, b.waiting())
	}
	b.alarm.want(t, "record_unfit deadletter large")
}
