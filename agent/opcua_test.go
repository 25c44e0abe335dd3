package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// newPressRig is a running agent that reads a press line over an encrypted connection.
func newPressRig(t *testing.T) (*rig, *opcua.Press) {
	t.Helper()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cfg, mapper, err := Load("testdata/opcua.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	p, err := opcua.Start(opcua.Config{Security: []string{"None", cfg.Sources[0].OPCUA.Security}, History: opcua.History{Keep: 100}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	cfg.Data, cfg.Listen, cfg.Queue.Tmpfs, cfg.Kafka.Brokers = config.Path(shortDir(t)), "127.0.0.1:0", true, k.Addrs()
	for i := range cfg.Sources {
		cfg.Sources[i].OPCUA.Endpoint = p.URL()
	}
	trusted := filepath.Join(string(cfg.Data), "pki", "trusted")
	if err := os.MkdirAll(trusted, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(trusted, "press1.der"), p.Identity().DER, 0o600); err != nil {
		t.Fatal(err)
	}
	makeTopics(t, &cfg)
	r := &rig{t: t, cfg: cfg, kafka: k, agent: New(cfg, mapper, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)), client: localapi.NewClient(cfg.Socket())}
	r.start()
	return r, p
}

// live waits until all sources are.
func (r *rig) live() {
	r.t.Helper()
	r.until("the sources are live", func() bool {
		return !slices.ContainsFunc(r.agent.inForce().sources, func(s source.Source) bool { return s.Status().State != source.Live })
	})
}

// TestAgent_OPCUA carries a press line's parts to Kafka: what failed by a name of its own, and over a lost connection
// with the gap that it left, closed.
func TestAgent_OPCUA(t *testing.T) {
	r, p := newPressRig(t)
	r.live()
	p.Part("L-88213", 45.1)
	r.drainedTo(2)
	p.Part("L-88213", 61.2)
	r.drainedTo(4)
	p.Reset()
	r.until("the loss is recorded", func() bool { return r.agent.quality.Stat().Received >= 6 })
	r.live()
	r.until("both gaps are closed", func() bool { return r.agent.quality.Stat().Received >= 8 })
	r.drained()
	got := map[event.Type]int{}
	for _, typ := range r.distinct(8) {
		got[typ]++
	}
	for typ, n := range map[event.Type]int{
		event.TypeEpochOpened: 1, event.TypeCharacteristicRecorded: 2, event.TypeSafetyFailed: 1, event.TypeGapRecorded: 2, event.TypeGapClosed: 2,
	} {
		if got[typ] != n {
			t.Errorf("%d events of the type %s, want %d", got[typ], typ, n)
		}
	}
	if len(r.agent.pipeline.quarantined()) > 0 {
		t.Errorf("quarantined %+v", r.agent.pipeline.quarantined())
	}
}

// drainedTo waits until lane quality has taken n records.
func (r *rig) drainedTo(n uint64) {
	r.t.Helper()
	r.until("the records are stored", func() bool { return r.agent.quality.Stat().Received >= n })
}

// distinct returns the types of n events of the plant's quality topic by their ids. An urgent one may come twice.
func (r *rig) distinct(n int) map[string]event.Type {
	r.t.Helper()
	client := must(kgo.NewClient(kgo.SeedBrokers(r.cfg.Kafka.Brokers...), kgo.ConsumeTopics(r.cfg.Kafka.Quality("p1"))))(r.t)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	all := map[string]event.Type{}
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			r.t.Fatalf("after %d of %d events: %v", len(all), n, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			headers := map[string]string{}
			for _, h := range rec.Headers {
				headers[h.Key] = string(h.Value)
			}
			all[headers[event.HeaderID]] = event.Type(headers[event.HeaderType])
		})
	}
	return all
}
