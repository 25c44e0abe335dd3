package mqtt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

const limit = 15 * time.Second

// sink is a queue that a test looks into.
type sink struct {
	mu      sync.Mutex
	signals []source.Signal
	gaps    []source.Gap
	closed  []source.Closing
	cursor  []byte
	hook    func(source.Batch) error // called before a batch is stored; nil = none
	changed chan struct{}
}

func newSink() *sink { return &sink{changed: make(chan struct{}, 1)} }

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
	select {
	case k.changed <- struct{}{}:
	default:
	}
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

func (k *sink) wait(t *testing.T, n int) []source.Signal {
	t.Helper()
	until(t, fmt.Sprintf("%d signals", n), func() bool { return len(k.all()) >= n })
	return k.all()
}

// start runs a source until the test ends or the returned function is called.
func start(t *testing.T, k *sink, cfg Config, change func(*Source)) (*Source, func()) {
	t.Helper()
	if cfg.Subscribe == nil {
		cfg.Subscribe = []string{"plant/#"}
	}
	s, err := New(cfg, Deps{ID: "mes", System: "mes1", Equipment: "press4", Plant: "p1", Agent: "gw1", Cursor: k.cursor})
	if err != nil {
		t.Fatal(err)
	}
	s.pace.first, s.pace.longest, s.pace.refused, s.pace.full = 5*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	if change != nil {
		change(s)
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

func live(t *testing.T, s *Source) {
	t.Helper()
	until(t, "source is live", func() bool { return s.Status().State == source.Live })
}

func startBroker(t *testing.T, cfg broker.MQTTConfig) *broker.MQTT {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 300 * time.Millisecond // this broker sends unacknowledged messages again after it, and not sooner
	}
	b, err := broker.StartMQTT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// publisher sends with QoS 1 and waits for the broker's answer.
type publisher struct {
	t *testing.T
	c paho.Client
}

func newPublisher(t *testing.T, url string) publisher {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("publisher").SetAutoReconnect(false))
	p := publisher{t, c}
	p.done(c.Connect())
	t.Cleanup(func() { c.Disconnect(50) })
	return p
}

func (p publisher) done(token paho.Token) {
	p.t.Helper()
	if !token.WaitTimeout(limit) || token.Error() != nil {
		p.t.Fatalf("publisher: %v", token.Error())
	}
}

func (p publisher) send(topic, payload string) {
	p.t.Helper()
	p.done(p.c.Publish(topic, 1, false, payload))
}

func (p publisher) sendMany(from, to int) {
	p.t.Helper()
	var last paho.Token
	for i := from; i < to; i++ {
		last = p.c.Publish("plant/a", 1, false, fmt.Sprint(i))
	}
	p.done(last)
}

func payloads(signals []source.Signal) []string {
	var out []string
	for _, s := range signals {
		out = append(out, string(s.Raw))
	}
	return out
}

func TestSource_ReadsInOrder(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	newPublisher(t, b.URL()).sendMany(0, 1000)
	for i, sig := range k.wait(t, 1000) {
		if string(sig.Raw) != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, sig.Raw)
		}
	}
	sig := k.all()[0]
	if sig.Source != "mes" || sig.System != "mes1" || sig.Equipment != "press4" || sig.Transport != "mqtt" || sig.Ref != "plant/a" ||
		sig.Kind != source.KindMessage || sig.Quality != source.Uncertain || sig.Arrived.IsZero() || sig.Flags != nil {
		t.Errorf("signal is %+v", sig)
	}
	if st := s.Status(); st.Received != 1000 || st.Duplicates != 0 || st.LastSignal.IsZero() || st.Address != b.URL() {
		t.Errorf("status is %+v", st)
	}
	stop()

	// All were acknowledged: a second run gets none of them.
	s, _ = start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	newPublisher(t, b.URL()).send("plant/a", "after")
	if got := k.wait(t, 1001); string(got[1000].Raw) != "after" {
		t.Errorf("after a restart %q came first", got[1000].Raw)
	}
}

// TestSource_Restart proves that a restart of the agent is a gap, and that a kept session closes it at once.
func TestSource_Restart(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	pub := newPublisher(t, b.URL())
	pub.send("plant/a", "before")
	last := k.wait(t, 1)[0]
	stop()
	if len(k.gaps) != 0 {
		t.Fatalf("the first start is a gap: %+v", k.gaps)
	}
	pub.send("plant/a", "meanwhile")
	s, stop = start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	k.wait(t, 2)
	stop()
	if len(k.gaps) != 1 || len(k.closed) != 1 {
		t.Fatalf("gaps %+v, closed %+v: want one each", k.gaps, k.closed)
	}
	g := k.gaps[0]
	if g.Reason != source.GapAgentRestart || g.Equipment != "press4" || !g.From.Equal(last.Arrived) || !g.To.After(g.From) {
		t.Errorf("gap is %+v, want one from %s on", g, last.Arrived)
	}
	if c := k.closed[0]; !reflect.DeepEqual(c.Gap, g) || c.Reason == "" {
		t.Errorf("closing is %+v", c)
	}
	if n := s.Status().OpenGaps; n != 0 {
		t.Errorf("%d gaps are open", n)
	}
}

// TestConnection_Whole proves that a broker that keeps nothing for us closes no gap.
func TestConnection_Whole(t *testing.T) {
	from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		lost   bool
		left   time.Time
		kept   bool
		reason string
		closed int
	}{
		{"a restart that the broker bridged", false, from, true, source.GapAgentRestart, 1},
		{"a restart with QoS 0 only", false, from, false, source.GapAgentRestart, 0},
		{"a lost session", true, time.Time{}, true, source.GapSessionLost, 0},
		{"a session lost over a restart", true, from, true, source.GapSessionLost, 0},
		{"nothing happened", false, time.Time{}, true, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newSink()
			s, err := New(Config{Broker: "tcp://127.0.0.1:1", Subscribe: []string{"a"}}, Deps{ID: "mes", Plant: "p1", Agent: "gw1"})
			if err != nil {
				t.Fatal(err)
			}
			s.begun, s.left, s.cursor = true, c.left, cursor{Until: from.Add(time.Minute), Filters: []string{"a"}, Lost: c.lost}
			conn := &connection{Source: s}
			if err := conn.whole(t.Context(), k.emit, c.kept); err != nil {
				t.Fatal(err)
			}
			if c.reason == "" {
				if len(k.gaps) != 0 || k.cursor != nil {
					t.Errorf("gaps are %+v", k.gaps)
				}
				return
			}
			want := from.Add(time.Minute)
			if !c.left.IsZero() {
				want = from
			}
			if len(k.gaps) != 1 || k.gaps[0].Reason != c.reason || !k.gaps[0].From.Equal(want) || len(k.closed) != c.closed {
				t.Errorf("gaps are %+v, closed %+v", k.gaps, k.closed)
			}
			if s.Status().OpenGaps != 1-c.closed || !s.left.IsZero() || s.cursor.Lost {
				t.Errorf("afterwards: %+v, %+v", s.Status(), s.cursor)
			}
		})
	}
}

func TestSource_AcknowledgesOnlyWhatIsStored(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	held := make(chan struct{}, 100)
	s, stop := start(t, k, Config{Broker: b.URL()}, func(s *Source) { s.pace.finish = 50 * time.Millisecond })
	live(t, s)
	k.setHook(func(b source.Batch) error {
		held <- struct{}{}
		return errors.New("disk is full")
	})
	newPublisher(t, b.URL()).sendMany(0, 10)
	<-held
	stop() // with the batch in hand, which cannot be stored
	if n := len(k.all()); n != 0 {
		t.Fatalf("%d signals stored", n)
	}
	k.setHook(nil)
	start(t, k, Config{Broker: b.URL()}, nil)
	if got := payloads(k.wait(t, 10)); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
		t.Errorf("delivered again were %q", got)
	}
}

func TestSource_FinishesTheBatchInHand(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	entered, release := make(chan struct{}), make(chan struct{})
	k.setHook(func(source.Batch) error {
		close(entered)
		<-release
		return nil
	})
	newPublisher(t, b.URL()).send("plant/a", "in hand")
	<-entered
	go func() {
		until(t, "run has been told to end", func() bool { return true })
		close(release)
	}()
	stop()
	if got := payloads(k.all()); !slices.Equal(got, []string{"in hand"}) {
		t.Errorf("stored were %q", got)
	}
}

func TestSource_QueueFull(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	s, _ := start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	release := make(chan struct{})
	k.setHook(func(source.Batch) error { <-release; return nil })
	newPublisher(t, b.URL()).sendMany(0, 500)
	until(t, "state is full", func() bool { return s.Status().State == source.Full })
	if p := s.Status().Problem; !strings.Contains(p, "E-5001") {
		t.Errorf("problem is %q", p)
	}
	// The broker sends what is not acknowledged again on the same connection; that is no second fact.
	until(t, "redeliveries", func() bool { return s.Status().Duplicates > 100 })
	close(release)
	// A repeat that crosses its acknowledgement on the wire comes under a new packet id: its event id then decides.
	until(t, "all messages", func() bool { return len(unique(k.all())) == 500 })
	until(t, "state is live", func() bool { return s.Status().State == source.Live })
	if st := s.Status(); st.Reconnects != 0 || st.Problem != "" || len(k.all()) >= 1000 {
		t.Errorf("%d signals, %d reconnects, problem %q", len(k.all()), st.Reconnects, st.Problem)
	}
}

func TestSource_LargeMessagesDoNotFillTheMemory(t *testing.T) {
	const size, n = 1 << 20, 100
	b, k := startBroker(t, broker.MQTTConfig{AckWait: limit}), newSink() // no repeats, which would wait in the broker
	s, _ := start(t, k, Config{Broker: b.URL(), MaxPayload: size}, nil)
	live(t, s)
	release := make(chan struct{})
	k.setHook(func(source.Batch) error { <-release; return nil })
	pub := newPublisher(t, b.URL())
	for i := range n {
		pub.send("plant/a", fmt.Sprint(i)+strings.Repeat(" ", size-3))
	}
	until(t, "the source reads no further", func() bool { return s.Status().Received >= maxInHand/size })
	if got := s.Status().Received; got > maxInHand/size+5 { // some are between guard and handler
		t.Errorf("%d messages of %d bytes are in hand", got, size)
	}
	close(release)
	until(t, "all messages", func() bool { return len(unique(k.all())) == n })
	if st := s.Status(); st.Reconnects != 0 {
		t.Errorf("%d reconnects", st.Reconnects)
	}
}

// unique returns the payloads of signals, each once.
func unique(signals []source.Signal) map[string]bool {
	seen := map[string]bool{}
	for _, s := range signals {
		seen[string(s.Raw)] = true
	}
	return seen
}

// proxy is a link that can be cut.
type proxy struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	var copies sync.WaitGroup
	copies.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				copies.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = pair[0].Close(), pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.cut(); copies.Wait() })
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if c, ok := c.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
	p.conns = nil
}

func TestSource_CutsLoseNothing(t *testing.T) {
	const n = 4000
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	p := newProxy(t, strings.TrimPrefix(b.URL(), "tcp://"))
	s, _ := start(t, k, Config{Broker: "tcp://" + p.Addr().String()}, func(s *Source) { s.pace.short = 0 })
	live(t, s)
	pub := newPublisher(t, b.URL())
	for i := range 4 {
		pub.sendMany(i*n/4, (i+1)*n/4)
		p.cut()
	}
	until(t, "all messages", func() bool { return len(unique(k.all())) == n })
	if st := s.Status(); st.Reconnects == 0 || len(k.gaps) != 0 {
		t.Errorf("%d reconnects, %d gaps", st.Reconnects, len(k.gaps))
	}
	t.Logf("%d stored, %d reconnects", len(k.all()), s.Status().Reconnects)
}

func TestSource_BrokerRestart(t *testing.T) {
	dir, k := t.TempDir(), newSink()
	first := startBroker(t, broker.MQTTConfig{Dir: dir})
	s, _ := start(t, k, Config{Broker: first.URL()}, func(s *Source) { s.pace.short = 0 })
	live(t, s)
	pub := newPublisher(t, first.URL())
	pub.sendMany(0, 100)
	k.wait(t, 100)
	pub.c.Disconnect(50)
	first.Close()
	t.Run("SessionKept", func(t *testing.T) {
		b := startBroker(t, broker.MQTTConfig{Dir: dir, Addr: first.Addr()})
		newPublisher(t, b.URL()).sendMany(100, 200)
		k.wait(t, 200)
		if len(k.gaps) != 0 {
			t.Errorf("gaps %+v", k.gaps)
		}
		until(t, "live", func() bool { return s.Status().State == source.Live })
	})
	t.Run("SessionLost", func(t *testing.T) {
		b := startBroker(t, broker.MQTTConfig{Addr: first.Addr()}) // an empty directory
		until(t, "a gap", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.gaps) > 0 })
		g := k.gaps[0]
		if g.Reason != source.GapSessionLost || g.Equipment != "press4" || !g.To.After(g.From) {
			t.Errorf("gap is %+v", g)
		}
		live(t, s)
		newPublisher(t, b.URL()).send("plant/a", "after")
		until(t, "the message after it", func() bool { return unique(k.all())["after"] })
	})
}

func TestSource_SessionLostWhileAway(t *testing.T) {
	k := newSink()
	first := startBroker(t, broker.MQTTConfig{})
	s, stop := start(t, k, Config{Broker: first.URL()}, nil)
	live(t, s)
	stop()
	first.Close()

	b := startBroker(t, broker.MQTTConfig{Addr: first.Addr()})
	// A crash between finding the session lost and recording the gap must not hide it.
	crashed := errors.New("crashed")
	k.setHook(func(b source.Batch) error {
		if len(b.Gaps) > 0 {
			return crashed
		}
		return nil
	})
	_, stop = start(t, k, Config{Broker: b.URL()}, func(s *Source) { s.pace.finish = time.Millisecond })
	until(t, "cursor says lost", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		var c cursor
		return json.Unmarshal(k.cursor, &c) == nil && c.Lost
	})
	stop()
	k.setHook(nil)
	s, _ = start(t, k, Config{Broker: b.URL()}, nil)
	live(t, s)
	if len(k.gaps) != 1 || k.gaps[0].Reason != source.GapSessionLost {
		t.Errorf("gaps are %+v, want one of %s", k.gaps, source.GapSessionLost)
	}
}

func TestSource_Flags(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	pub := newPublisher(t, b.URL())
	pub.done(pub.c.Publish("plant/kept", 1, true, "retained"))
	until(t, "the broker has the retained message", func() bool {
		got := make(chan bool, 1)
		pub.done(pub.c.Subscribe("plant/kept", 1, func(_ paho.Client, m paho.Message) { got <- m.Retained() }))
		defer func() { pub.done(pub.c.Unsubscribe("plant/kept")) }()
		select {
		case retained := <-got:
			return retained
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	cfg := Config{Broker: b.URL(), MinQoS: 1, MaxPayload: 64 << 10, Discard: []string{"plant/heartbeat"}}
	s, _ := start(t, k, cfg, nil)
	live(t, s)
	if got := k.wait(t, 1)[0]; !slices.Equal(got.Flags, []string{source.FlagRetained}) {
		t.Errorf("flags of a retained message are %v", got.Flags)
	}

	pub.done(pub.c.Publish("plant/qos0", 0, false, "x"))
	if got := k.wait(t, 2)[1]; !slices.Equal(got.Flags, []string{source.FlagAtMostOnce}) {
		t.Errorf("flags of a message with QoS 0 are %v", got.Flags)
	}
	if got := s.Status().AtMostOnce; !slices.Equal(got, []string{"plant/qos0"}) {
		t.Errorf("topics outside the promise are %v", got)
	}

	large := bytes.Repeat([]byte("0123456789"), 1<<20)
	pub.done(pub.c.Publish("plant/large", 1, false, large))
	sum := sha256.Sum256(large)
	got := k.wait(t, 3)[2]
	if got.Cut == nil || got.Cut.Length != 10<<20 || got.Cut.SHA256 != hex.EncodeToString(sum[:]) || len(got.Raw) != headBytes ||
		!slices.Equal(got.Flags, []string{source.FlagCut}) {
		t.Errorf("a message of 10 MiB came as %d bytes, %+v, flags %v", len(got.Raw), got.Cut, got.Flags)
	}

	pub.send("plant/heartbeat", "1")
	pub.send("plant/a", "after")
	if got := k.wait(t, 4)[3]; string(got.Raw) != "after" {
		t.Errorf("behind the others came %q", got.Raw)
	}
	if st := s.Status(); st.Discarded != 1 || st.Reconnects != 0 || st.State != source.Live {
		t.Errorf("status is %+v", st)
	}
}

func TestSource_OldSubscriptionsEnd(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), newSink()
	s, stop := start(t, k, Config{Broker: b.URL(), Subscribe: []string{"old/#"}}, nil)
	live(t, s)
	stop()
	s, _ = start(t, k, Config{Broker: b.URL(), Subscribe: []string{"new/#"}}, nil)
	live(t, s)
	pub := newPublisher(t, b.URL())
	pub.send("old/a", "1")
	pub.send("new/a", "2")
	if got := k.wait(t, 1); string(got[0].Raw) != "2" {
		t.Errorf("a topic no longer subscribed to gave %q", got[0].Raw)
	}
}

func TestSource_InFlightTooSmall(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{MaxAckPending: 10_000}), newSink()
	release := make(chan struct{})
	s, _ := start(t, k, Config{Broker: b.URL(), InFlight: 10}, nil)
	live(t, s)
	k.setHook(func(source.Batch) error { <-release; return nil })
	newPublisher(t, b.URL()).sendMany(0, 4000)
	// The committer holds one batch; the room behind it is 2,000.
	until(t, "the source says that it is blocked", func() bool {
		return strings.Contains(s.Status().Problem, "E-4003")
	})
	close(release)
	k.setHook(nil)
	until(t, "all messages", func() bool { return len(unique(k.all())) == 4000 })
	if s.Status().Reconnects == 0 {
		t.Error("the link was not closed")
	}
}

func TestNew_ErrCursor(t *testing.T) {
	cfg := Config{Broker: "tcp://127.0.0.1:1", Subscribe: []string{"a"}}
	if _, err := New(cfg, Deps{ID: "a", Plant: "p1", Agent: "gw1", Cursor: []byte("{")}); err == nil {
		t.Error("a cursor that cannot be read was accepted")
	}
	if _, err := New(cfg, Deps{ID: "a"}); err == nil {
		t.Error("a source without plant was accepted")
	}
}

func TestSource_PasswordFileMissing(t *testing.T) {
	cfg := Config{Broker: "tcp://127.0.0.1:1", User: "agent"}
	cfg.PasswordFile = "nowhere.pw"
	s, _ := start(t, newSink(), cfg, nil)
	until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
	if p := s.Status().Problem; !strings.Contains(p, "E-1007") || s.Status().Next == "" {
		t.Errorf("problem is %q", p)
	}
}

func TestSource_Unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s, _ := start(t, newSink(), Config{Broker: "tcp://" + l.Addr().String()}, nil)
	until(t, "state is backing off", func() bool { return s.Status().State == source.BackingOff })
	if p := s.Status().Problem; !strings.Contains(p, "E-4005") || !strings.Contains(p, "refused") {
		t.Errorf("problem is %q", p)
	}
}

func TestSource_TwoClientsWithOneID(t *testing.T) {
	b := startBroker(t, broker.MQTTConfig{})
	first, _ := start(t, newSink(), Config{Broker: b.URL()}, nil)
	live(t, first)
	second, _ := start(t, newSink(), Config{Broker: b.URL()}, nil)
	until(t, "one names the other", func() bool {
		return strings.Contains(first.Status().Problem+second.Status().Problem, "E-4002")
	})
}

func TestSource_TLSRefused(t *testing.T) {
	for name, c := range map[string]struct {
		auth tls.ClientAuthType
		ours bool // whether the server's authority is in tls ca
		want string
	}{
		"UnknownAuthority":    {tls.NoClientCert, false, "authority"},
		"CertificateRequired": {tls.RequireAnyClientCert, true, "want of our certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{ClientAuth: c.auth}
			server.StartTLS()
			t.Cleanup(server.Close)
			cfg := Config{Broker: "ssl://" + server.Listener.Addr().String()}
			if c.ours {
				ca := filepath.Join(t.TempDir(), "ca.pem")
				block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
				if err := os.WriteFile(ca, block, 0o600); err != nil {
					t.Fatal(err)
				}
				cfg.TLS.CA = config.Path(ca)
			}
			s, _ := start(t, newSink(), cfg, nil)
			until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
			if p := s.Status().Problem; !strings.Contains(p, "E-2201") || !strings.Contains(p, c.want) {
				t.Errorf("problem is %q", p)
			}
		})
	}
}

func TestSource_Run_LeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := startBroker(t, broker.MQTTConfig{})
	s, stop := start(t, newSink(), Config{Broker: b.URL()}, nil)
	live(t, s)
	stop()
	b.Close()
	goleak.VerifyNone(t, before)
}
