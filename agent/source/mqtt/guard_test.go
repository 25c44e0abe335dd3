package mqtt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// wire is a connection whose other side has sent some bytes and then closed.
type wire struct {
	net.Conn
	r io.Reader
}

func (w wire) Read(p []byte) (int, error)        { return w.r.Read(p) }
func (w wire) SetReadDeadline(_ time.Time) error { return nil }

const testLimit = 64 << 10

func guarded(sent ...[]byte) *guard {
	return newGuard(wire{r: bytes.NewReader(bytes.Join(sent, nil))}, testLimit, 2, newGate(1<<30, 1000))
}

func connack() []byte { return []byte{typeConnack << 4, 2, 0, 0} }

func publish(id uint16, qos byte, topic string, payload []byte) []byte {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topic, qos, id, payload
	var buf bytes.Buffer
	_ = p.Write(&buf)
	return buf.Bytes()
}

// next reads packets until a PUBLISH.
func nextPublish(t *testing.T, g *guard) *packets.PublishPacket {
	t.Helper()
	for {
		p, err := packets.ReadPacket(g)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := p.(*packets.PublishPacket); ok {
			return p
		}
	}
}

func TestGuard_PublishUpToTheLimitPassesUntouched(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 16383, testLimit - 1, testLimit} {
		payload := bytes.Repeat([]byte("x"), size)
		g := guarded(connack(), publish(7, 1, "a/b", payload), publish(8, 0, "c", []byte("next")))
		p := nextPublish(t, g)
		if p.MessageID != 7 || p.TopicName != "a/b" || !bytes.Equal(p.Payload, payload) || g.cut(1) != nil {
			t.Errorf("payload of %d bytes did not pass untouched", size)
		}
		if p = nextPublish(t, g); string(p.Payload) != "next" {
			t.Errorf("the message behind one of %d bytes is %q", size, p.Payload)
		}
	}
}

func TestGuard_LongerPublishIsCut(t *testing.T) {
	for _, size := range []int{testLimit + 1, 10 << 20} {
		for _, qos := range []byte{0, 1} {
			payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			g := guarded(connack(), publish(7, qos, "a/b", payload), publish(8, 1, "c", []byte("next")))
			p := nextPublish(t, g)
			if p.TopicName != "a/b" || !bytes.Equal(p.Payload, payload[:headBytes]) || (qos == 1) != (p.MessageID == 7) {
				t.Fatalf("payload of %d bytes came as %d bytes of %q", size, len(p.Payload), p.TopicName)
			}
			sum := sha256.Sum256(payload)
			if cut := g.cut(1); cut == nil || cut.Length != int64(size) || cut.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("cut of %d bytes is noted as %+v", size, cut)
			}
			if p = nextPublish(t, g); string(p.Payload) != "next" || g.cut(2) != nil {
				t.Errorf("the message behind one of %d bytes is %q", size, p.Payload)
			}
		}
	}
}

func TestGuard_DeclaredLengthIsNotAllocated(t *testing.T) {
	g := guarded(connack(), []byte{typePublish<<4 | 2, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a', 0, 1})
	if _, err := packets.ReadPacket(g); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := packets.ReadPacket(g)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("half a message was read")
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestGuard_ShowsLifeWhileDiscarding(t *testing.T) {
	g := guarded(connack(), publish(1, 1, "a", bytes.Repeat([]byte("x"), 1<<20)))
	g.life = -1 // a sign each time
	if _, err := packets.ReadPacket(g); err != nil {
		t.Fatal(err)
	}
	p, err := packets.ReadPacket(g)
	if _, ok := p.(*packets.PingrespPacket); !ok || err != nil {
		t.Fatalf("the library got %v, %v; want an answer to its ping", p, err)
	}
	g.life = time.Minute
	if p := nextPublish(t, g); len(p.Payload) != headBytes {
		t.Errorf("the message came with %d bytes", len(p.Payload))
	}
}

func TestGuard_ReadsNoFurtherWhileTheGateIsShut(t *testing.T) {
	for name, shut := range map[string]struct {
		gate *gate
		by   int // bytes that are in hand
	}{"Bytes": {newGate(10, 1000), 10}, "Messages": {newGate(1<<30, 1), 0}} {
		t.Run(name, func(t *testing.T) {
			g := guarded(connack(), publish(1, 1, "a", []byte("x")), publish(1, 2, "a", []byte("y")))
			g.gate = shut.gate
			if _, err := packets.ReadPacket(g); err != nil {
				t.Fatal(err)
			}
			if p := nextPublish(t, g); string(p.Payload) != "x" {
				t.Errorf("the first message came as %q", p.Payload)
			}
			g.gate.take(shut.by)
			g.life = time.Millisecond
			for range 3 {
				p, err := packets.ReadPacket(g)
				if _, ok := p.(*packets.PingrespPacket); !ok || err != nil {
					t.Fatalf("the library got %v, %v; want an answer to its ping", p, err)
				}
			}
			g.life = time.Minute
			go g.gate.release(shut.by)
			if p := nextPublish(t, g); string(p.Payload) != "y" {
				t.Errorf("the second message came as %q", p.Payload)
			}
		})
	}
}

func TestGuard_ClosesTheLink(t *testing.T) {
	for name, sent := range map[string][]byte{
		"LargeControlPacket":   append(connack(), typeSuback<<4, 0xff, 0xff, 0xff, 0x7f),
		"FifthLengthByte":      append(connack(), typePublish<<4, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"QoS3":                 append(connack(), typePublish<<4|6, 4, 0, 1, 'a', 0),
		"TopicBeyondPacket":    append(connack(), append([]byte{typePublish<<4 | 2, 0x81, 0x80, 0x04, 0xff, 0xff}, make([]byte, testLimit)...)...),
		"PublishFirst":         publish(1, 1, "a", nil),
		"PingFirst":            {typePingresp << 4, 0},
		"SecondConnack":        append(connack(), connack()...),
		"UnknownConnackCode":   {typeConnack << 4, 2, 0, 0x77},
		"LongConnack":          {typeConnack << 4, 3, 0, 0, 0},
		"MoreAnswersThanAsked": append(connack(), typeSuback<<4, 5, 0, 1, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			g := guarded(sent)
			var err error
			for err == nil {
				_, err = packets.ReadPacket(g)
			}
			if !errors.Is(g.why(), errPacket) {
				t.Errorf("link ended by %v, want our own refusal", err)
			}
		})
	}
}

func TestGuard_StalledPacketEndsTheLink(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	g := newGuard(ours, testLimit, 1, newGate(1<<30, 1000))
	g.stall = 50 * time.Millisecond
	go func() {
		_, _ = theirs.Write(connack())
		_, _ = theirs.Write([]byte{typePublish << 4, 100, 0, 1, 'a'})
	}()
	if _, err := packets.ReadPacket(g); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := packets.ReadPacket(g); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a stalled packet ended with %v", err)
	}
}

func FuzzGuard(f *testing.F) {
	f.Add(connack())
	f.Add(append(connack(), publish(1, 1, "a/b", []byte("x"))...))
	f.Add(append(connack(), publish(1, 0, "a/b", bytes.Repeat([]byte("x"), 5000))...))
	f.Add(append(connack(), typeSuback<<4, 4, 0, 1, 1, 0x80))
	f.Add([]byte{typePublish << 4, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, sent []byte) {
		g := newGuard(wire{r: bytes.NewReader(sent)}, headBytes, 2, newGate(1<<30, 1000))
		published := uint64(0)
		for {
			p, err := packets.ReadPacket(g)
			if err != nil {
				break
			}
			p2, ok := p.(*packets.PublishPacket)
			if !ok {
				continue
			}
			published++
			if len(p2.Payload) > headBytes {
				t.Fatalf("a payload of %d bytes passed", len(p2.Payload))
			}
			if cut := g.cut(published); cut != nil && (cut.Length <= headBytes || int64(len(sent)) < cut.Length) {
				t.Fatalf("a message of %d bytes was cut to %d", cut.Length, len(p2.Payload))
			}
		}
		if published > g.publishes.Load() {
			t.Fatalf("%d messages were counted, %d came", g.publishes.Load(), published)
		}
	})
}

func TestConfig_Check(t *testing.T) {
	good := func() Config {
		c := Default()
		c.Broker, c.Subscribe = "ssl://broker", []string{"acme/p1/+/kep/#", "acme/p1/+/mes/#"}
		return c
	}
	c := good()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"NoBroker":       {func(c *Config) { c.Broker = "" }, "E-1002"},
		"Scheme":         {func(c *Config) { c.Broker = "http://x" }, "scheme"},
		"PasswordInURL":  {func(c *Config) { c.Broker = "tcp://u:p@x" }, "E-1006"},
		"NoHost":         {func(c *Config) { c.Broker = "broker" }, "no host"},
		"QoS2":           {func(c *Config) { c.MinQoS = 2 }, "min_qos"},
		"Payload":        {func(c *Config) { c.MaxPayload = 1 }, "max_payload"},
		"InFlight":       {func(c *Config) { c.InFlight = 70000 }, "in_flight"},
		"NoFilter":       {func(c *Config) { c.Subscribe = nil }, "no topic filter"},
		"FilterHash":     {func(c *Config) { c.Subscribe = []string{"a/#/b"} }, "# before its end"},
		"FilterLevel":    {func(c *Config) { c.Subscribe = []string{"a/x+"} }, "stand alone"},
		"FilterShared":   {func(c *Config) { c.Subscribe = []string{"$share/g/a"} }, "shared"},
		"FilterBlank":    {func(c *Config) { c.Subscribe = []string{"a b"} }, "blank"},
		"FiltersOverlap": {func(c *Config) { c.Subscribe = []string{"a/+/c", "a/b/#"} }, "overlap"},
		"FilterTwice":    {func(c *Config) { c.Subscribe = []string{"a", "a"} }, "overlap"},
		"DiscardFilter":  {func(c *Config) { c.Discard = []string{""} }, "65535"},
		"PasswordAlone":  {func(c *Config) { c.PasswordFile = "x" }, "needs user"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			tc.change(&c)
			if err := c.Check(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/+", "a/b", true}, {"a/+", "a/b/c", false},
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"#", "a", true}, {"#", "$SYS/a", false}, {"+/a", "$SYS/a", false},
		{"$SYS/#", "$SYS/a", true}, {"a/+/c", "a//c", true}, {"a/b/c", "a/b", false},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %t", c.filter, c.topic, got)
		}
	}
}
