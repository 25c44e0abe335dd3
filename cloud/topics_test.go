package cloud

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// journal is a log that is read while it is written.
type journal struct {
	mu  sync.Mutex // guards all
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) says(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.buf.String(), text)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit, tick := time.NewTimer(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !holds() {
		select {
		case <-limit.C:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// TestCloud_Run_MissingTopics starts a new installation whose topics a person has still to make. It works for what is there,
// says which topics are missing, and is ready soon after they were made.
func TestCloud_Run_MissingTopics(t *testing.T) {
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	dir := t.TempDir()
	cfg := DefaultConfig
	cfg.Listen, cfg.Database.URL = "127.0.0.1:0", "sqlite:"+filepath.Join(dir, "holdfast.db")
	cfg.Kafka = kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast"}
	cfg.Ledger.KeyFile, cfg.Ledger.AnchorFile = config.Path(filepath.Join(dir, "ledger.key")), config.Path(filepath.Join(dir, "anchors.jsonl"))
	cfg.Instance = "a"
	cfg.Plants = []Plant{{ID: "p1"}, {ID: "p2"}}
	maker := cfg.Kafka
	maker.CreateTopics = true
	if err := maker.Ensure(t.Context(), append(maker.CloudSpecs(), maker.PlantSpecs("p1")...), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	var log journal
	c := New(cfg, zerolog.New(&log))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "the log has the address of the first link", func() bool { return log.says("/first?token=") })
	ready := func() (code int, said string) {
		t.Helper()
		res, err := http.Get("http://" + c.listener.Addr().String() + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	eventually(t, "readiness names the topics of the new plant and no other", func() bool {
		code, said := ready()
		return code == http.StatusServiceUnavailable && strings.Count(said, "\n") == 4 && strings.Count(said, "topic holdfast.p2.") == 4 &&
			strings.Contains(said, "is missing (E-2103)")
	})
	if log.says(`"message":"ready"`) {
		t.Error("it says that it is ready although topics are missing")
	}
	if got := c.status(ctx, nil); !strings.Contains(got, "not ready: topic holdfast.p2.") || !strings.Contains(got, "and 3 more") {
		t.Errorf("the service manager hears %q", got)
	}
	if err := maker.Ensure(t.Context(), maker.PlantSpecs("p2"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ready", func() bool { code, said := ready(); return code == http.StatusOK && said == "ready\n" })
	eventually(t, "and says so", func() bool { return log.says(`"message":"ready"`) })
}

// A topic whose keys would go to other partitions stops the start, as before; so does a cluster that can't be asked.
func TestCloud_EnsureTopics_Err(t *testing.T) {
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cfg := Config{Kafka: kafka.Config{Brokers: k.Addrs(), Prefix: "holdfast"}, Plants: []Plant{{ID: "p1"}}}
	maker := cfg.Kafka
	maker.CreateTopics = true
	wrong := maker.PlantSpecs("p1")[:1]
	wrong[0].Partitions = 5
	if err := maker.Ensure(t.Context(), wrong, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	err = New(cfg, zerolog.Nop()).ensureTopics(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it has 5 partitions, not 6") || strings.Contains(err.Error(), "missing") {
		t.Errorf("the start says %v", err)
	}
	k.Close()
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := New(cfg, zerolog.Nop()).ensureTopics(ctx); err == nil {
		t.Error("it starts without Kafka")
	}
}
