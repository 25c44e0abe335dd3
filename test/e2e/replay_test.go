package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestI14_ReplayHasNoEffect lets lots of two plants end in all ways: released, held, lifted, failed late, told to
// customers. Then all that the plants ever sent is read again: copies of records on the topics, what a gateway has on
// disk, and every topic from its beginning into the full database. No system has one effect more, and no object of the
// cloud changes.
func TestI14_ReplayHasNoEffect(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(12, 0), c.lots(12, 1)...)
	lots[3].lab, lots[15].lab = 1, 0
	for _, b := range lots {
		c.allocate(b)
	}
	c.make(lots)
	for i, b := range lots {
		if i%4 == 0 {
			c.say(b.at, c.hold(b))
		}
		c.release(b)
	}
	for i, b := range lots {
		if i%4 != 0 {
			c.awaitFree(20*time.Second, []*batch{b})
		}
		if i%4 == 1 {
			c.say(b.at, c.unsafe(b))
		}
	}
	eventually(t, 20*time.Second, "what failed late is held", func() bool {
		states := c.states()
		for i, b := range lots {
			if s := states[b.key]; i%4 <= 1 && s != quality.Held || i%4 > 1 && s != quality.Released {
				return false
			}
		}
		return c.due() == 0
	})
	run := &check.Run{ERPs: []string{stack.ERP}}
	run.End = c.dump("at rest")

	c.again(3) // I10: each third record once more
	c.caughtUp()
	run.Redelivered = c.dump("records delivered again")

	for i := range c.Plants {
		args := []string{"queue", "replay", "--from", "2020-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z", "--execute", "--reason", "the cloud asks for all of it", "--config", c.Plants[i].Path("agent.yaml"), "--no-color", "-y"}
		if _, _, code := cli(t, "holdfast-agent", args...); code != 0 {
			t.Fatalf("replay exits %d", code)
		}
	}
	c.caughtUp()
	c.rewind()
	c.caughtUp()
	run.Replayed = c.dump("replayed")
	run.History = c.inbox()
	for _, i := range []string{"I10", "I14"} {
		c.judge(run, i)
	}
}

// dump takes the cloud's state and counts what every system has had of effects.
func (c *firm) dump(name string) *history.Dump {
	c.t.Helper()
	d, err := openHistory(c.t, c.Stack).Dump(c.t.Context(), name)
	if err != nil {
		c.t.Fatal(err)
	}
	for system, entries := range map[string][]book.Entry{
		stack.ERP: c.SAP.Book(), stack.QMS: c.QMS.Book(), stack.WMS: c.WMS.Book(), stack.Notice: c.Notices.Book(),
	} {
		d.Writes[system] = map[string]int{}
		for _, e := range entries {
			d.Writes[system][e.Kind]++
		}
	}
	return d
}

// inbox returns what the cloud has applied.
func (c *firm) inbox() history.History {
	c.t.Helper()
	h, err := openHistory(c.t, c.Stack).History(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// plantTopics are those that only the plants' agents write.
func (c *firm) plantTopics() (topics []string) {
	for _, site := range c.sites {
		topics = append(topics, "holdfast."+site.Plant+".quality.v1", "holdfast."+site.Plant+".telemetry.v1")
	}
	return topics
}

// again puts a copy of each n-th record behind all others of its topic and partition.
func (c *firm) again(n int) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	copies := 0
	for i, r := range c.allRecords() {
		if i%n != 0 {
			continue
		}
		again := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
		if err := client.ProduceSync(c.t.Context(), again).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
		copies++
	}
	c.t.Logf("%d records were delivered again", copies)
}

// allRecords returns all that the plants have sent so far.
func (c *firm) allRecords() (all []*kgo.Record) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Addrs()...), kgo.ConsumeTopics(c.plantTopics()...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	for quiet := 0; quiet < 3; {
		ctx, cancel := context.WithTimeout(c.t.Context(), 300*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			quiet++
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// caughtUp waits until the cloud has read all that stands on the plants' topics, and has nothing left to do.
func (c *firm) caughtUp() {
	c.t.Helper()
	eventually(c.t, 60*time.Second, "the cloud has read all topics and is at rest", func() bool {
		ends := map[string]int64{}
		for _, r := range c.allRecords() {
			at := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
			ends[at] = max(ends[at], r.Offset+1)
		}
		rows, err := c.db.QueryContext(c.t.Context(), `SELECT topic || '/' || part, next FROM kafka_offset`)
		if err != nil {
			c.t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var at string
			var next int64
			if err := rows.Scan(&at, &next); err != nil {
				c.t.Fatal(err)
			}
			if next >= ends[at] {
				delete(ends, at)
			}
		}
		return rows.Err() == nil && len(ends) == 0 && c.due() == 0
	})
}

// rewind stops the cloud, forgets how far it has read, and starts it again.
func (c *firm) rewind() {
	c.t.Helper()
	if _, err := c.Cloud.Stop(15 * time.Second); err != nil {
		c.t.Fatal(err)
	}
	if _, err := openDatabase(c.t, c.Stack, "rw").ExecContext(c.t.Context(), `DELETE FROM kafka_offset`); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	if err := c.StartCloud(ctx); err != nil {
		c.t.Fatal(err)
	}
}
