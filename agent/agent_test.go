package agent

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// TestMain stands in for the program where the agent checks its files in a child process.
func TestMain(m *testing.M) {
	checks := map[string]func(string) error{CommandCheckSegment: queue.CheckSegment, CommandCheckDownlink: downlink.CheckFile}
	if len(os.Args) == 3 && checks[os.Args[1]] != nil {
		if err := checks[os.Args[1]](os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test.
const patience = 20 * time.Second

// rig is a running agent with an embedded Kafka. Its sources find no broker: tests hand in signals themselves.
type rig struct {
	t      *testing.T
	cfg    Config
	agent  *Agent
	kafka  *broker.Kafka
	client *localapi.Client
	stop   func() error // ends the agent and returns what Run returned; may be called twice
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigWith(t, func(*Agent) {})
}

// newRigWith has the agent changed before it starts.
func newRigWith(t *testing.T, change func(*Agent)) *rig {
	t.Helper()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cfg, mapper, err := Load("testdata/press.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data, cfg.Listen, cfg.Queue.Tmpfs, cfg.Kafka.Brokers = config.Path(shortDir(t)), "127.0.0.1:0", true, k.Addrs()
	for i := range cfg.Sources {
		cfg.Sources[i].MQTT.Broker = "tcp://127.0.0.1:1"
	}
	makeTopics(t, &cfg)
	r := &rig{t: t, cfg: cfg, kafka: k, agent: New(cfg, mapper, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)), client: localapi.NewClient(cfg.Socket())}
	change(r.agent)
	r.start()
	return r
}

// shortDir returns a directory whose sockets have short paths.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func makeTopics(t *testing.T, cfg *Config) {
	admin := cfg.Kafka
	admin.CreateTopics = true
	if err := admin.Ensure(t.Context(), admin.PlantSpecs(cfg.Plant), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
}

// must returns a value or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.agent.Run(ctx) }()
	var result error
	done := false
	r.stop = func() error {
		if !done {
			cancel()
			result, done = <-ended, true
		}
		return result
	}
	r.t.Cleanup(func() {
		if err := r.stop(); err != nil {
			r.t.Errorf("agent: %v", err)
		}
	})
	r.until("the socket answers", func() bool {
		_, err := r.client.Status(r.t.Context())
		return err == nil
	})
}

// until waits for a condition.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			r.t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// drained waits until all of lane quality is confirmed.
func (r *rig) drained() {
	r.t.Helper()
	r.until("the queue is empty", func() bool {
		q := must(r.client.Queue(r.t.Context()))(r.t)
		return q.Lanes[0].Depth == 0
	})
}

// result hands in a message of the press.
func (r *rig) result(record, value string) {
	r.t.Helper()
	payload := fmt.Sprintf(`{"record":%q,"rev":1,"lot":"L-88213","material":"MAT-100","inspection":"INS-7731","characteristic":"torque","sample":4,`+
		`"value":%q,"unit":"N.m","lsl":"40","usl":"50","safety":true,"at":"2026-11-24T06:30:00.125Z"}`, record, value)
	sig := source.Signal{
		Source: "press", System: "mes1", Transport: "mqtt", Ref: "acme/p1/stamping/press4/result", Kind: source.KindMessage, Raw: []byte(payload),
		Quality: source.Uncertain, Arrived: time.Now(), Clock: source.ClockState{Synchronised: true},
	}
	if err := r.agent.pipeline.emit(r.t.Context(), source.Batch{Source: "press", Signals: []source.Signal{sig}}); err != nil {
		r.t.Fatal(err)
	}
}

// read returns n records of the plant's quality topic, all that there are.
func (r *rig) read(n int) []*kgo.Record {
	r.t.Helper()
	client := must(kgo.NewClient(kgo.SeedBrokers(r.cfg.Kafka.Brokers...), kgo.ConsumeTopics(r.cfg.Kafka.Quality("p1"))))(r.t)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			r.t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	if len(all) > n {
		r.t.Fatalf("the topic has %d records: want %d", len(all), n)
	}
	return all
}
