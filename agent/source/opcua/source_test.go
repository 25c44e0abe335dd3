package opcua

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

const limit = 15 * time.Second

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the library logs there what it does not return
	// The library's server leaves subscriptions to their lifetime whose number another one got.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/gopcua/opcua/server.(*Subscription).run"))
}

// sink is a queue that a test looks into.
type sink struct {
	mu      sync.Mutex
	signals []source.Signal
	gaps    []source.Gap
	closed  []source.Closing
	cursor  []byte
	hook    func(source.Batch) error // called before a batch is stored; nil = none
}

func (k *sink) emit(ctx context.Context, b source.Batch) error {
	k.mu.Lock()
	hook := k.hook
	k.mu.Unlock()
	if hook != nil {
		if err := hook(b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signals = append(k.signals, b.Signals...)
	k.gaps = append(k.gaps, b.Gaps...)
	k.closed = append(k.closed, b.Closed...)
	k.cursor = slices.Clone(b.Cursor)
	return nil
}

func (k *sink) setHook(hook func(source.Batch) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hook = hook
}

func (k *sink) all() []source.Signal {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.signals)
}

func (k *sink) gapsOf(reason string) []source.Gap {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []source.Gap
	for _, g := range k.gaps {
		if g.Reason == reason {
			found = append(found, g)
		}
	}
	return found
}

// recorded returns all gaps.
func (k *sink) recorded() []source.Gap {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.gaps)
}

func (k *sink) closings() []source.Closing {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.closed)
}

// seqs returns the sequence numbers that arrived, in order.
func (k *sink) seqs() []uint64 {
	var all []uint64
	for _, s := range k.all() {
		if s.Seq != nil {
			all = append(all, *s.Seq)
		}
	}
	return all
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func untilLive(t *testing.T, s *Source) {
	t.Helper()
	until(t, "the source is live", func() bool {
		if s.Status().State == source.Refused {
			t.Fatalf("refused: %s", s.Status().Problem)
		}
		return s.Status().State == source.Live
	})
}

func (k *sink) untilSeq(t *testing.T, n uint32) {
	t.Helper()
	until(t, fmt.Sprintf("part %d", n), func() bool { return slices.Contains(k.seqs(), uint64(n)) })
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
	deps := Deps{ID: "press1", System: "mes1", Equipment: "press1", Plant: "p1", Agent: "gw1", PKI: t.TempDir(), Cursor: k.cursor}
	if change != nil {
		change(&deps, nil)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	s.pace.first, s.pace.longest, s.pace.refused, s.pace.login = 5*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	s.pace.full, s.pace.silence, s.pace.settle, s.pace.missing, s.pace.tick = 100*time.Millisecond, 500*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond, 20*time.Millisecond
	if change != nil {
		change(nil, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, k.emit) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run returned %v", err)
				}
			case <-time.After(limit):
				t.Error("Run did not end")
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
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

func TestSource_Record(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	for i := range 5 {
		k.untilSeq(t, p.Part("L-88213", 45.1+float64(i)))
	}
	for _, sig := range k.all() {
		if sig.Seq == nil {
			continue
		}
		m := body(t, sig)
		v := m["value"].(map[string]any)
		if sig.Kind != source.KindRecord || sig.Ref != p.Node("CycleRecord") || sig.Quality != source.Good || sig.Time.IsZero() || v["LotId"] != "L-88213" || v["Ok"] != true {
			t.Errorf("signal %+v with %s", sig, sig.Raw)
		}
	}
	if got := k.seqs(); !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("parts %v", got)
	}
	if g := k.recorded(); len(g) > 0 {
		t.Errorf("gaps %+v", g)
	}
}

func TestSource_Reset(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Reset()
	until(t, "a gap", func() bool { return len(k.gapsOf(source.GapDisconnect)) == 1 })
	untilLive(t, s)
	until(t, "the gap is closed by the sequence", func() bool { return len(k.closings()) == 1 })
	if c := k.closings()[0]; c.Gap.From != k.gapsOf(source.GapDisconnect)[0].From || c.Reason != byContinuity {
		t.Errorf("closing %+v for %+v", c, k.recorded())
	}
	k.untilSeq(t, p.Part("L-1"))
}

func TestSource_Frozen(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Freeze()
	until(t, "the source is stale", func() bool { return s.Status().State == source.Silent })
	p.Part("L-1")
	p.Part("L-1")
	last := p.Part("L-1")
	until(t, "a gap", func() bool { return len(k.gapsOf(source.GapWatchdog)) == 1 })
	p.Thaw()
	k.untilSeq(t, last)
	untilLive(t, s)
	until(t, "the rest of the gap, with what is missing", func() bool { return len(k.gapsOf(source.GapWatchdog)) == 2 })
	if g := k.gapsOf(source.GapWatchdog)[1]; g.FromSeq != 2 || g.ToSeq != 3 || g.Missing != 2 || !slices.Equal(g.Items, []string{p.Node("CycleRecord")}) || !g.From.After(k.recorded()[0].To) {
		t.Errorf("gap %+v after %+v", g, k.recorded()[0])
	}
	if c := k.closings(); len(c) > 0 {
		t.Errorf("closed %+v, though parts are missing", c)
	}
}

func TestSource_Restart(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, stop := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	stop()
	t.Run("NothingMissed", func(t *testing.T) {
		s, stop := start(t, k, recordOf(p), nil)
		untilLive(t, s)
		until(t, "the gap of the restart is closed", func() bool { return len(k.closings()) == 1 })
		if g := k.gapsOf(source.GapAgentRestart); len(g) != 1 || k.closings()[0].Gap.From != g[0].From {
			t.Errorf("gaps %+v", g)
		}
		stop()
	})
	p.Part("L-1")
	last := p.Part("L-1")
	t.Run("OneMissed", func(t *testing.T) {
		s, _ := start(t, k, recordOf(p), nil)
		untilLive(t, s)
		k.untilSeq(t, last)
		until(t, "what is missing", func() bool { return len(k.gapsOf(source.GapAgentRestart)) == 3 })
		if g := k.gapsOf(source.GapAgentRestart)[2]; g.FromSeq != 2 || g.ToSeq != 2 || g.Missing != 1 {
			t.Errorf("gap %+v", g)
		}
		if got := k.seqs(); !slices.Equal(got, []uint64{1, 3}) {
			t.Errorf("parts %v", got)
		}
	})
}

func TestSource_Counter(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = []Item{{Node: p.Node("CycleSeq"), Pattern: PatternCounter, Members: []string{p.Node("Torque"), p.Node("LotId")}}}
	s, _ := start(t, k, cfg, nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1", 45))
	k.untilSeq(t, p.Part("L-2", 61.2))
	all := k.all()
	v := body(t, all[len(all)-1])["value"].(map[string]any)
	m := v["members"].(map[string]any)
	if v["counter"] != 2.0 || m[p.Node("Torque")] != 61.2 || m[p.Node("LotId")] != "L-2" {
		t.Errorf("record %s", all[len(all)-1].Raw)
	}
}

// TestSource_CounterTorn moves the counter whenever it is read, so that no reading holds still.
func TestSource_CounterTorn(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = []Item{{Node: p.Node("CycleSeq"), Pattern: PatternCounter, Members: []string{p.Node("Torque")}}}
	s, _ := start(t, k, cfg, nil)
	untilLive(t, s)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				p.Part("L-1")
			}
		}
	})
	until(t, "a torn record", func() bool {
		return slices.ContainsFunc(k.all(), func(s source.Signal) bool { return slices.Contains(s.Flags, source.FlagTorn) })
	})
	close(stop)
	busy.Wait()
	until(t, "its gap", func() bool { return len(k.gapsOf(source.GapTorn)) > 0 })
}

func TestSource_NamespaceShifted(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Close()
	until(t, "the loss is seen", func() bool { return s.Status().State != source.Live })
	p = startPress(t, sim.Config{Addr: p.Addr(), Identity: p.Identity(), Seq: p.Seq(), Shift: 3})
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	all := k.all()
	if a, b := all[0].Ref, all[len(all)-1].Ref; a != b {
		t.Errorf("node %s was %s", b, a)
	}
}

func TestSource_NodeMissing(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{Without: []string{"TorqueLo"}})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = append(cfg.Items, Item{Node: p.Node("TorqueLo")})
	s, _ := start(t, k, cfg, nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
	if st := s.Status(); st.State != source.Live {
		t.Errorf("state %s: one item stopped all", st.State)
	}
	until(t, "its gap", func() bool { return len(k.gapsOf(source.GapItemMissing)) == 1 })
	if g := k.gapsOf(source.GapItemMissing)[0]; g.Item != p.Node("TorqueLo") {
		t.Errorf("gap %+v", g)
	}
}

func TestSource_NamespaceUnknown(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	cfg := recordOf(p)
	cfg.Items[0].Node = "nsu=urn:example:plant:pressline2;s=PressLine1.CycleRecord"
	s, _ := start(t, &sink{}, cfg, nil)
	until(t, "the source is refused", func() bool { return s.Status().State == source.Refused })
	if st := s.Status(); !strings.Contains(st.Problem, `did you mean "urn:example:plant:pressline1"?`) || st.Next == "" {
		t.Errorf("problem %q, next %q", st.Problem, st.Next)
	}
}

func TestSource_Full(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	held := make(chan struct{})
	k.setHook(func(source.Batch) error { <-held; return nil })
	last := p.Part("L-1")
	until(t, "the source is full", func() bool { return s.Status().State == source.Full })
	lives := s.Status().Reconnects
	<-time.After(2 * s.pace.silence) // longer than the watchdog waits
	close(held)
	k.untilSeq(t, last)
	untilLive(t, s)
	if again := s.Status().Reconnects; again != lives {
		t.Errorf("%d new lives: the watchdog barked at our own queue", again-lives)
	}
}

// TestSource_EmitFails stores what a failing queue did not take, once, when it works again.
func TestSource_EmitFails(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	var mu sync.Mutex
	fails := 0
	k.setHook(func(source.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if fails++; fails <= 3 {
			return io.ErrShortWrite
		}
		return nil
	})
	k.untilSeq(t, p.Part("L-1"))
	if got := k.seqs(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("parts %v", got)
	}
}

// secured is recordOf with certificates instead of an exception.
func secured(p *sim.Press) Config {
	cfg := recordOf(p)
	cfg.Security, cfg.Exception = DefaultSecurity, nil
	return cfg
}

func TestSource_Secured(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{Security: []string{"None", DefaultSecurity}, User: true})
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret-of-the-press\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := secured(p)
	cfg.User, cfg.PasswordFile = "agent", config.SecretFile(password)
	k, a := &sink{}, &audit{}
	var text bytes.Buffer
	s, _ := start(t, k, cfg, func(d *Deps, _ *Source) {
		if d != nil {
			d.PKI, d.Audit, d.Log = dir, a.record, zerolog.New(zerolog.SyncWriter(&text))
		}
	})
	until(t, "the server is refused", func() bool { return s.Status().State == source.Refused })
	thumb := thumbprintOf(p.Identity().DER)
	if st := s.Status(); !strings.Contains(st.Problem, thumb) || !strings.Contains(st.Next, "from rejected to trusted") {
		t.Errorf("problem %q, next %q", st.Problem, st.Next)
	}
	rejected := filepath.Join(dir, "rejected", thumb+".der")
	until(t, "the certificate is there for a person", func() bool { _, err := os.Stat(rejected); return err == nil })
	if err := os.Rename(rejected, filepath.Join(dir, "trusted", "press.der")); err != nil {
		t.Fatal(err)
	}
	until(t, "the source is live", func() bool { return s.Status().State == source.Live })
	k.untilSeq(t, p.Part("L-1"))
	if got := a.acts(); !slices.Equal(got, []string{"opcua.certificate_refused", "opcua.certificate_accepted"}) {
		t.Errorf("audit %v", got)
	}
	if strings.Contains(text.String(), "secret-of-the-press") {
		t.Error("the password stands in the log")
	}
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

func TestSource_Refused(t *testing.T) {
	t.Parallel()
	open := startPress(t, sim.Config{User: true})
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
		act    string
	}{
		"ErrOnlyNoneOffered": {func(c *Config) { c.Security, c.Exception = DefaultSecurity, nil }, "no endpoint with Basic256Sha256/SignAndEncrypt, but None", "opcua.endpoint_refused"},
		"ErrExceptionEnded":  {func(c *Config) { c.Exception.Until = "2020-01-01" }, "exception of test ended on 2020-01-01", "opcua.exception_ended"},
		"ErrNoUserNames":     {func(c *Config) { c.User, c.PasswordFile = "agent", config.SecretFile(password) }, "takes no user name", "opcua.exception_used"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := recordOf(open)
			c.change(&cfg)
			a := &audit{}
			s, _ := start(t, &sink{}, cfg, func(d *Deps, _ *Source) {
				if d != nil {
					d.Audit = a.record
				}
			})
			until(t, "the source is refused", func() bool { return s.Status().State == source.Refused })
			if st := s.Status(); !strings.Contains(st.Problem, c.want) {
				t.Errorf("problem %q, want %q", st.Problem, c.want)
			}
			if got := a.acts(); len(got) == 0 || got[0] != c.act {
				t.Errorf("audit %v, want %s", got, c.act)
			}
		})
	}
}

// TestSource_NodeReturns closes an item's own gap once it is back with what was missed.
func TestSource_NodeReturns(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, _ := start(t, k, recordOf(p), nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	good := p.Value("CycleRecord")
	p.SetValue("CycleRecord", &ua.DataValue{Status: ua.StatusBadNodeIDUnknown})
	until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
	p.SetValue("CycleRecord", good)
	until(t, "its gap is closed, since nothing was missed", func() bool { return len(k.closings()) == 1 })
	if c := k.closings()[0]; c.Gap.Item != p.Node("CycleRecord") || c.Gap.Reason != source.GapItemMissing || len(s.Status().Troubled) > 0 {
		t.Errorf("closing %+v, status %+v", c, s.Status())
	}
	k.untilSeq(t, p.Part("L-1"))
}

// TestSource_Silence reads a node whose silence is too long, as a lax server may have dropped it without a word.
func TestSource_Silence(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items[0].MaxSilence = time.Second
	s, _ := start(t, k, cfg, nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Hide("CycleRecord")
	until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
}

// TestSource_NoHistoryService goes on without history at a server that refuses the whole service, which ends the
// library's connection.
func TestSource_NoHistoryService(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.History = &History{}
	s, _ := start(t, k, cfg, nil)
	untilLive(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Reset()
	until(t, "the server is known to have none", func() bool {
		return slices.ContainsFunc(s.Status().Facts, func(f string) bool { return strings.Contains(f, "refuses to read history") })
	})
	untilLive(t, s)
	lives := s.Status().Reconnects
	k.untilSeq(t, p.Part("L-1"))
	k.untilSeq(t, p.Part("L-1"))
	if again := s.Status().Reconnects; again != lives {
		t.Errorf("%d more lives", again-lives)
	}
}
