//go:build unix

package kafka

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/kafka"
)

// TestCluster_BrokersKilled: three nodes, three copies of each topic, two of them in step. Two nodes are killed, one after the
// other, while a plant sends, and come back. Plant and cloud go on, nothing is lost, nothing takes effect twice. The first node
// stays: it alone is in the configurations of a stack.
func TestCluster_BrokersKilled(t *testing.T) {
	c := run(t, Config{Nodes: 3})
	p := play(t, c)
	p.agent(0)
	p.copies(3)
	p.send(100)
	p.settle()
	for _, i := range []int{1, 2} {
		leads := c.leads(t, i)
		c.Kill(i)
		began := time.Now()
		p.send(200)
		p.settle()
		took := time.Since(began)
		p.recovery = max(p.recovery, took)
		t.Logf("node %d, which led %d partitions, was killed: 200 messages were through %s later", i+1, leads, took.Round(time.Millisecond))
		p.within(func(ctx context.Context) error { return c.Restart(ctx, i) })
		c.whole(t)
	}
	p.judge("brokers-killed")
}

// copies looks whether each topic of the product has n copies.
func (p *traffic) copies(n int) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Addrs()...))
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	all, err := kadm.NewClient(client).ListTopics(p.t.Context())
	if err != nil || len(all) == 0 {
		p.t.Fatalf("%d topics: %v", len(all), err)
	}
	for _, topic := range all.Sorted() {
		if got := topic.Partitions.NumReplicas(); got != n {
			p.t.Errorf("topic %s has %d copies, want %d", topic.Topic, got, n)
		}
	}
}

// partitions returns all that the cluster has, but for topics of Kafka's own.
func (c *Cluster) partitions(t *testing.T) (all []kadm.PartitionDetail) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		all = append(all, topic.Partitions.Sorted()...)
	}
	return all
}

// leads counts the partitions that node i leads.
func (c *Cluster) leads(t *testing.T, i int) (n int) {
	t.Helper()
	for _, p := range c.partitions(t) {
		if int(p.Leader) == i+1 {
			n++
		}
	}
	return n
}

// whole waits until every partition has all its copies in step again.
func (c *Cluster) whole(t *testing.T) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := 0
		for _, p := range c.partitions(t) {
			if len(p.ISR) < len(p.Replicas) {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d partitions have a copy behind, a minute after the node came back", behind)
		case <-tick.C:
		}
	}
}

// TestCluster_GatewayClock: a gateway whose clock says 1970, then tomorrow, then the right time loses nothing, and nothing takes
// effect twice.
func TestCluster_GatewayClock(t *testing.T) {
	p := play(t, run(t, Config{Nodes: 1}))
	for _, shift := range []time.Duration{time.Until(time.Unix(3600, 0)), 24 * time.Hour, 0} {
		if p.Agent != nil {
			p.Agent.Kill()
		}
		p.agent(shift)
		p.send(100)
		took := p.settle()
		p.recovery = max(p.recovery, took)
		t.Logf("clock shifted by %s: 100 messages were through in %s", shift.Round(time.Hour), took.Round(time.Millisecond))
	}
	p.judge("gateway-clock")
}

// TestCluster_RecordTime: Kafka's own time stands in a record of an agent's topic, whatever time its producer gives it; so it
// is neither refused, nor gone with the next look at what is too old. In a topic with the producer's time both happen.
func TestCluster_RecordTime(t *testing.T) {
	c := run(t, Config{Nodes: 1})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := kafka.Config{Brokers: c.Addrs(), Prefix: "holdfast", CreateTopics: true}
	if err := cfg.Ensure(ctx, cfg.PlantSpecs("p1"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	week := "604800000"
	if r, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &week}, "theirs"); err != nil || r.Err != nil {
		t.Fatal(errors.Join(err, r.Err))
	}
	began := time.Now()
	for _, topic := range []string{cfg.Quality("p1"), cfg.Telemetry("p1")} {
		for _, at := range []time.Time{time.Unix(3600, 0), began.Add(24 * time.Hour)} {
			value := []byte(at.String())
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Timestamp: at, Value: value}).FirstErr(); err != nil {
				t.Errorf("a record of %s: %v", at, err)
			}
			if stored := newest(ctx, t, c, topic); !bytes.Equal(stored.Value, value) || stored.Timestamp.Sub(began).Abs() > time.Minute {
				t.Errorf("a record of %s is kept with the time %s", at, stored.Timestamp)
			}
		}
	}
	err = client.ProduceSync(ctx, &kgo.Record{Topic: "theirs", Timestamp: began.Add(24 * time.Hour), Value: []byte("v")}).FirstErr()
	if !errors.Is(err, kerr.InvalidTimestamp) {
		t.Errorf("where the producer's time counts, a record of tomorrow: %v, want %v", err, kerr.InvalidTimestamp)
	}
}

// newest returns the last record of a topic's first partition.
func newest(ctx context.Context, t *testing.T, c *Cluster, topic string) *kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtEnd().Relative(-1)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	return fetches.Records()[0]
}
