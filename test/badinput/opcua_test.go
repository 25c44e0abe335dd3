package badinput

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// line is a press with the source that reads it and what became of what it read: the source's own batches, mapped as the
// agent maps them.
type line struct {
	t     *testing.T
	press *sim.Press
	src   *opcua.Source
	dir   string

	mapper *mapping.Mapper
	mu     sync.Mutex // guards what follows
	read   []source.Signal
	gaps   []source.Gap
	events []*event.Event
	bad    []*event.RecordQuarantined
	acts   []string
	held   chan struct{} // nil = batches are stored at once

	numbers map[uint32]map[string]bool // nodes of the bulk, by the numbers that came from them
}

// opcuaMapping makes a sampled value of each torque. A value that cannot be one must end in quarantine whatever it says.
func opcuaMapping(t *testing.T) *mapping.Mapper {
	t.Helper()
	m, errs := mapping.Compile([]mapping.Config{{
		Name: "opcua-torque", Version: 1, From: mapping.From{Source: "press1", Topic: "#"}, When: `p.node endsWith ".Torque"`,
		Event: mapping.Event{
			Type: string(event.TypeValueSampled), Key: []any{"p.id"},
			Data: map[string]any{"equipment": `"press1"`, "signal": "p.node", "value": "p.value", "unit": `"N.m"`, "status": "p.quality"},
		},
	}}, mapping.Options{Plant: "p1", Agent: "gw1", Sources: map[string]mapping.Source{"press1": {}}})
	for _, err := range errs {
		t.Fatal(err)
	}
	return m
}

func (l *line) emit(ctx context.Context, b source.Batch) error {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range b.Signals {
		l.read = append(l.read, s)
		l.countBulk(s)
		res := l.mapper.Map(s, mapping.View{State: &mapping.State{}})
		l.events = append(l.events, res.Events...)
		if q := res.Quarantine; q != nil {
			l.bad = append(l.bad, q.Data.(*event.RecordQuarantined))
		}
	}
	l.gaps = append(l.gaps, b.Gaps...)
	return nil
}

func (l *line) signals(node string) []source.Signal {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []source.Signal
	for _, s := range l.read {
		if strings.HasSuffix(s.Ref, node) {
			all = append(all, s)
		}
	}
	return all
}

func (l *line) gapsOf(reason string) []source.Gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.gaps), func(g source.Gap) bool { return g.Reason != reason })
}

func (l *line) quarantined() []*event.RecordQuarantined {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bad)
}

func (l *line) audit() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acts)
}

// startLine starts a press with a source; change alters the configuration.
func startLine(t *testing.T, cfg sim.Config, change func(*line, *opcua.Config)) *line {
	t.Helper()
	t.Parallel()
	p, err := sim.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	l := &line{t: t, press: p, dir: t.TempDir(), mapper: opcuaMapping(t), numbers: map[uint32]map[string]bool{}}
	l.src = l.read1(opcua.NewServers(), "press1", change)
	return l
}

// read1 runs a source of the press until the test ends.
func (l *line) read1(servers *opcua.Servers, id string, change func(*line, *opcua.Config)) *opcua.Source {
	l.t.Helper()
	p := l.press
	c := opcua.Config{
		Endpoint: p.URL(), Security: "None", Exception: &opcua.Exception{Owner: "test", Reason: "loopback", Until: "2999-12-31"},
		Publish: 100 * time.Millisecond, Heartbeat: p.Node("Heartbeat"),
		Items: []opcua.Item{{Node: p.Node("CycleRecord"), Pattern: opcua.PatternRecord, Seq: "Seq"}, {Node: p.Node("Torque"), Every: 100 * time.Millisecond}},
	}
	if change != nil {
		change(l, &c)
	}
	s, err := opcua.New(c, opcua.Deps{
		ID: id, Equipment: "press1", Plant: "p1", Agent: "gw1", PKI: l.dir, Servers: servers,
		Audit: func(_ context.Context, act, _, reason string, _ map[string]string) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.acts = append(l.acts, act+": "+reason)
			return nil
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l.emit) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Errorf("Run returned %v", err)
		}
	})
	return s
}

func (l *line) until(what string, ok func() bool) {
	l.t.Helper()
	deadline := time.After(limit)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-deadline:
			l.t.Fatalf("not within %s: %s; status %+v", limit, what, l.src.Status())
		}
	}
}

// live waits until the source reads a part.
func (l *line) live() {
	l.t.Helper()
	l.until("the source is live", func() bool { return l.src.Status().State == source.Live })
	n := l.press.Part("L-1", 45)
	l.until("a part", func() bool { return l.has(n) })
}

func (l *line) has(part uint32) bool {
	return slices.ContainsFunc(l.signals("CycleRecord"), func(s source.Signal) bool { return s.Seq != nil && *s.Seq == uint64(part) })
}

// good shows that what comes after a bad input is read.
func (l *line) good() {
	l.t.Helper()
	n := l.press.Part("L-2", 46)
	l.until("the part behind the bad input", func() bool { return l.has(n) })
}

// refused waits until the source is refused, with a text and a next step.
func (l *line) refused(text string) {
	l.t.Helper()
	l.until("the source is refused", func() bool { return l.src.Status().State == source.Refused })
	if st := l.src.Status(); !strings.Contains(st.Problem, text) || st.Next == "" {
		l.t.Errorf("problem %q, next %q, want %q", st.Problem, st.Next, text)
	}
}

func valueAt(v any, status ua.StatusCode, at time.Time) *ua.DataValue {
	dv := &ua.DataValue{Status: status, SourceTimestamp: at, ServerTimestamp: time.Now()}
	if v != nil {
		dv.Value = ua.MustVariant(v)
	}
	return dv
}

// shown waits for a torque with a text in its own form.
func (l *line) shown(text string) source.Signal {
	l.t.Helper()
	var found source.Signal
	l.until("a torque with "+text, func() bool {
		all := l.signals(".Torque")
		i := slices.IndexFunc(all, func(s source.Signal) bool { return strings.Contains(string(s.Raw), text) })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

func TestB024_BadAndUncertain(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	for status, quality := range map[ua.StatusCode]source.Quality{ua.StatusBadSensorFailure: source.Bad, ua.StatusUncertainLastUsableValue: source.Uncertain} {
		l.press.SetValue("Torque", valueAt(46.66, status, time.Now()))
		s := l.shown(fmt.Sprintf(`"status":"0x%08X"`, uint32(status)))
		if s.Quality != quality || s.Status != uint32(status) || !strings.Contains(string(s.Raw), `"value":46.66,"quality":"`+string(quality)+`"`) {
			t.Errorf("%s with status %#x and quality %s", s.Raw, s.Status, s.Quality)
		}
	}
	l.press.SetValue("Torque", valueAt(nil, ua.StatusBadSensorFailure, time.Now()))
	if s := l.shown(`"value":null`); strings.HasPrefix(string(s.Raw), "value ") || strings.Contains(string(s.Raw), `"value":0`) {
		t.Errorf("a bad value without a number is %s", s.Raw)
	}
	l.good()
}

func TestB025_NoValue(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	for want, v := range map[string]any{"value is no number (NaN or infinite)": math.NaN(), "value is null": nil, "value is of the type String, and its node of the type Double": "45.2"} {
		before := len(l.quarantined())
		l.press.SetValue("Torque", valueAt(v, ua.StatusOK, time.Now()))
		if s := l.shown(want); s.Quality != source.Good {
			t.Errorf("quality %s", s.Quality)
		}
		l.until("quarantine of "+want, func() bool { return len(l.quarantined()) > before })
		if q := l.quarantined()[before]; !strings.Contains(q.ReadBy().Raw, want) || !strings.HasSuffix(q.Item, ".Torque") {
			t.Errorf("quarantine %+v with %s", q, q.ReadBy().Raw)
		}
	}
	l.press.Damage()
	l.until("a structure that does not fit", func() bool {
		return slices.ContainsFunc(l.quarantined(), func(q *event.RecordQuarantined) bool { return strings.Contains(q.ReadBy().Raw, "3 of ") })
	})
	l.good()
}

func TestB026_SourceTimes(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	for i, at := range []time.Time{{}, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(24 * time.Hour)} {
		v := 60.5 + float64(i)
		l.press.SetValue("Torque", valueAt(v, ua.StatusOK, at))
		s := l.shown(fmt.Sprintf(`"value":%v`, v))
		if !slices.Contains(s.Flags, source.FlagTimeSuspect) || !s.Time.Equal(at.Truncate(100)) && !at.IsZero() || s.Server.IsZero() || s.Arrived.IsZero() {
			t.Errorf("source time %s: flags %v, times %s, %s, %s", at, s.Flags, s.Time, s.Server, s.Arrived)
		}
	}
	l.press.SetValue("Torque", valueAt(70.25, ua.StatusOK, time.Now()))
	if s := l.shown(`"value":70.25`); slices.Contains(s.Flags, source.FlagTimeSuspect) {
		t.Errorf("a right time after a wrong one is suspect: %v", s.Flags)
	}
	l.good()
}

func TestB027_NamespaceMoved(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	before := l.signals("CycleRecord")[0].Ref
	l.press.Close()
	moved, err := sim.Start(sim.Config{Addr: l.press.Addr(), Identity: l.press.Identity(), Shift: 2, Seq: l.press.Seq()})
	if err != nil {
		t.Fatal(err)
	}
	l.press = moved
	l.good()
	all := l.signals("CycleRecord")
	if after := all[len(all)-1].Ref; after != before {
		t.Errorf("node %s was %s", after, before)
	}
	moved.Close()
	l.until("the loss is seen", func() bool { return l.src.Status().State != source.Live })
	other, err := sim.Start(sim.Config{Addr: moved.Addr(), Identity: moved.Identity(), Namespace: "urn:example:plant:pressline9"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	l.refused(`did you mean "urn:example:plant:pressline9"?`)
}

func TestB028_NodeVanished(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	l.press.SetValue("Torque", valueAt(nil, ua.StatusBadNodeIDUnknown, time.Now()))
	l.until("a gap of the node", func() bool { return len(l.gapsOf(source.GapItemMissing)) == 1 })
	if g := l.gapsOf(source.GapItemMissing)[0]; !strings.HasSuffix(g.Item, ".Torque") {
		t.Errorf("gap %+v", g)
	}
	if st := l.src.Status(); st.State != source.Live || len(st.Troubled) != 1 || !strings.Contains(st.Troubled[0], "E-4102") || !strings.Contains(st.Problem, "1 of 2 items are not read") {
		t.Errorf("status %+v", st)
	}
	l.good() // which has a torque again
	l.until("the node is read again", func() bool { return len(l.src.Status().Troubled) == 0 })
}

func TestB029_Silent(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	l.press.Freeze()
	l.until("the source is stale", func() bool { return l.src.Status().State == source.Silent })
	l.press.Part("L-1")
	l.until("a gap", func() bool { return len(l.gapsOf(source.GapWatchdog)) == 1 })
	l.press.Thaw()
	l.good()
}

func TestB030_Overflow(t *testing.T) {
	l := startLine(t, sim.Config{}, nil)
	l.live()
	last := time.Now()
	l.press.SetValue("Torque", valueAt(51.5, ua.StatusOK, last))
	l.shown(`"value":51.5`)
	at := last.Add(time.Second)
	l.press.SetValue("Torque", valueAt(52.5, ua.StatusCode(0x480), at))
	s := l.shown(`"value":52.5`)
	if s.Quality != source.Good || !slices.Contains(s.Flags, source.FlagOverflow) || s.Status != 0x480 || !strings.Contains(string(s.Raw), `"status":"0x00000000"`) {
		t.Errorf("%s with status %#x and flags %v", s.Raw, s.Status, s.Flags)
	}
	l.until("its gap", func() bool { return len(l.gapsOf(source.GapQueueOverflow)) == 1 })
	if g := l.gapsOf(source.GapQueueOverflow)[0]; !strings.HasSuffix(g.Item, ".Torque") || !g.From.Equal(last.Truncate(100)) || !g.To.Equal(at.Truncate(100)) {
		t.Errorf("gap %+v, want from %s to %s", g, last, at)
	}
	l.good()
}

func TestB031_Sequence(t *testing.T) {
	l := startLine(t, sim.Config{Seq: 65533}, func(l *line, c *opcua.Config) {
		c.Items = append(c.Items, opcua.Item{Node: l.press.Node("CycleSeq"), Pattern: opcua.PatternRecord, Seq: ".", Modulus: 65536})
	})
	l.live()
	number := func(n uint32) {
		at := time.Now()
		l.press.Set("CycleSeq", n, at)
		l.until(fmt.Sprintf("number %d", n), func() bool {
			return slices.ContainsFunc(l.signals("CycleSeq"), func(s source.Signal) bool {
				return s.Seq != nil && *s.Seq == uint64(n) && s.Time.Equal(at.Truncate(100))
			})
		})
	}
	number(65535)
	number(0)
	if g := l.gapsOf(source.GapSequenceReset); len(g) > 0 {
		t.Errorf("a wrap is a gap: %+v", g)
	}
	number(4)
	if g := l.gapsOf(source.GapSequenceJump); len(g) == 0 || g[len(g)-1].FromSeq != 1 || g[len(g)-1].ToSeq != 3 || g[len(g)-1].Missing != 3 {
		t.Errorf("three numbers left out: %+v", g)
	}
	number(3)
	if g := l.gapsOf(source.GapSequenceReset); len(g) != 1 {
		t.Errorf("a sequence that began anew: %+v", g)
	}
}

// secure makes the configuration what a plant has.
func secure(_ *line, c *opcua.Config) { c.Security, c.Exception = opcua.DefaultSecurity, nil }

func (l *line) trust(name string, id *sim.Identity) {
	l.t.Helper()
	dir := filepath.Join(l.dir, "trusted")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), id.DER, 0o600)); err != nil {
		l.t.Fatal(err)
	}
}

func TestB032_Certificate(t *testing.T) {
	both := []string{"None", opcua.DefaultSecurity}
	t.Run("Changed", func(t *testing.T) {
		l := startLine(t, sim.Config{Security: both}, func(l *line, c *opcua.Config) { secure(l, c); l.trust("first.der", l.press.Identity()) })
		l.live()
		l.press.Close()
		other, err := sim.Start(sim.Config{Addr: l.press.Addr(), Security: both, Seq: l.press.Seq()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(other.Close)
		l.press = other
		l.refused("server certificate changed from ")
		if a := l.audit(); len(a) != 1 || !strings.HasPrefix(a[0], "opcua.certificate_refused: ") {
			t.Errorf("audit %q", a)
		}
		l.trust("second.der", other.Identity())
		l.good()
	})
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		want   string
	}{
		"Expired":  {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "expired on"},
		"WrongURI": {func(c *x509.Certificate) { c.URIs = nil }, "no application URI"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := sim.NewIdentity("urn:example:server:x", c.change)
			if err != nil {
				t.Fatal(err)
			}
			l := startLine(t, sim.Config{Identity: id, Security: both}, func(l *line, c *opcua.Config) { secure(l, c); l.trust("x.der", id) })
			l.refused(c.want)
			if a := l.audit(); len(a) != 1 {
				t.Errorf("audit %q", a)
			}
		})
	}
}

func TestB033_OnlyNone(t *testing.T) {
	t.Run("Refused", func(t *testing.T) {
		l := startLine(t, sim.Config{}, secure)
		l.refused("no endpoint with " + opcua.DefaultSecurity + ", but None")
		if a := l.audit(); len(a) == 0 || !strings.HasPrefix(a[0], "opcua.endpoint_refused: ") {
			t.Errorf("audit %q", a)
		}
	})
	t.Run("Excepted", func(t *testing.T) {
		l := startLine(t, sim.Config{}, nil)
		l.live()
		if a := l.audit(); len(a) != 1 || !strings.HasPrefix(a[0], "opcua.exception_used: ") {
			t.Errorf("audit %q", a)
		}
	})
}

func TestB034_TenThousandNodes(t *testing.T) {
	const nodes = 10_000
	l := startLine(t, sim.Config{Bulk: nodes}, func(l *line, c *opcua.Config) {
		for i := range nodes {
			c.Items = append(c.Items, opcua.Item{Node: l.press.Node(fmt.Sprintf("Bulk.%d", i)), Every: 10 * time.Millisecond})
		}
	})
	l.live()
	l.until("a value of each node", func() bool { return l.bulk(0) == nodes })
	held := make(chan struct{})
	l.mu.Lock()
	l.held = held
	l.mu.Unlock()
	for round := uint32(1); round <= 2; round++ {
		for i := range nodes {
			l.press.Set(fmt.Sprintf("Bulk.%d", i), round, time.Now())
		}
	}
	l.until("the source is full", func() bool { return l.src.Status().State == source.Full })
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("heap %d MiB while the queue takes nothing", m.HeapAlloc>>20)
	l.mu.Lock()
	l.held = nil
	l.mu.Unlock()
	close(held)
	l.until("the newest value of each node", func() bool { return l.bulk(2) == nodes })
	l.good()
}

// bulk counts the nodes from which a number has come.
func (l *line) bulk(n uint32) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.numbers[n])
}

// countBulk notes the number that a node of the bulk has.
func (l *line) countBulk(s source.Signal) {
	var b struct {
		Value uint32 `json:"value"`
	}
	if !strings.Contains(s.Ref, "Bulk.") || json.Unmarshal(s.Raw, &b) != nil {
		return
	}
	if l.numbers[b.Value] == nil {
		l.numbers[b.Value] = map[string]bool{}
	}
	l.numbers[b.Value][s.Ref] = true
}

func TestB035_TwoServersOneURI(t *testing.T) {
	id, err := sim.NewIdentity("urn:example:server:copied", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := startLine(t, sim.Config{Identity: id}, nil)
	l.live()
	copied, err := sim.Start(sim.Config{Name: "PressLine2", Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(copied.Close)
	servers := opcua.NewServers()
	first := &line{t: t, press: l.press, dir: t.TempDir(), mapper: l.mapper}
	first.src = first.read1(servers, "press1", nil)
	first.until("the first source is live", func() bool { return first.src.Status().State == source.Live })
	second := &line{t: t, press: copied, dir: t.TempDir(), mapper: l.mapper}
	second.src = second.read1(servers, "press2", nil)
	second.refused(`calls itself "urn:example:server:copied"`)
	third := &line{t: t, press: l.press, dir: t.TempDir(), mapper: l.mapper}
	third.src = third.read1(servers, "press3", nil)
	third.until("a second source of the same server is live", func() bool { return third.src.Status().State == source.Live })
}
