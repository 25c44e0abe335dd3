package opcua

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the library logs there what it does not return
	// The library's server leaves subscriptions to their lifetime whose number another one got.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/gopcua/opcua/server.(*Subscription).run"))
}

// sink is a queue that a test looks into.
type sink struct{ sourcetest.Sink }

// seqs returns the sequence numbers that arrived, in order.
func (k *sink) seqs() []uint64 {
	var all []uint64
	for _, s := range k.All() {
		if s.Seq != nil {
			all = append(all, *s.Seq)
		}
	}
	return all
}

func (k *sink) untilSeq(t *testing.T, n uint32) {
	t.Helper()
	sourcetest.Until(t, fmt.Sprintf("part %d", n), func() bool { return slices.Contains(k.seqs(), uint64(n)) })
}

// exception lets tests of other things do without certificates.
func exception() *Exception {
	return &Exception{Owner: "test", Reason: "loopback", Until: "2999-12-31"}
}

// pressIdentity is what presses have that no test cares for: making one takes long.
var pressIdentity = sync.OnceValues(func() (*sim.Identity, error) { return sim.NewIdentity("urn:example:server:press", nil) })

func startPress(t *testing.T, cfg sim.Config) *sim.Press {
	t.Helper()
	if cfg.Identity == nil {
		id, err := pressIdentity()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Identity = id
	}
	if cfg.Beat == 0 {
		cfg.Beat = 50 * time.Millisecond
	}
	p, err := sim.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// recordOf is the configuration of a line's record.
func recordOf(p *sim.Press) Config {
	return Config{
		Endpoint: p.URL(), Security: "None", Exception: exception(), Publish: 100 * time.Millisecond, Heartbeat: p.Node("Heartbeat"),
		Items: []Item{{Node: p.Node("CycleRecord"), Pattern: PatternRecord, Seq: "Seq"}},
	}
}

// start runs a source until the test ends or the returned function is called.
func start(t *testing.T, k *sink, cfg Config, change func(*Deps, *Source)) (*Source, func()) {
	t.Helper()
	deps := Deps{ID: "press1", System: "mes1", Equipment: "press1", Plant: "p1", Agent: "gw1", PKI: t.TempDir(), Cursor: k.Cursor(), Open: k.Open()}
	if change != nil {
		change(&deps, nil)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	s.super.Pace.First, s.super.Pace.Longest, s.super.Pace.Full = 5*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	s.pace.refused, s.pace.login = 50*time.Millisecond, 100*time.Millisecond
	s.pace.silence, s.pace.settle, s.pace.missing, s.pace.tick = 500*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond, 20*time.Millisecond
	if change != nil {
		change(nil, s)
	}
	return s, sourcetest.Run(t, s, k.Emit)
}

// body reads a signal's own form.
func body(t *testing.T, s source.Signal) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(s.Raw, &m); err != nil {
		t.Fatalf("%s: %v", s.Raw, err)
	}
	return m
}

// audit keeps what is recorded.
type audit struct {
	mu  sync.Mutex
	all []string
}

func (a *audit) record(_ context.Context, act, _, _ string, _ map[string]string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, act)
	return nil
}

func (a *audit) acts() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// liveLine is a line whose record is read.
func liveLine(t *testing.T) (*sim.Press, *sink, *Source) {
	t.Helper()
	p, k := startPress(t, sim.Config{}), &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	sourcetest.Live(t, s)
	return p, k, s
}
