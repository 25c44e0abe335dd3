package mqtt

import (
	"crypto/sha256"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
)

// script is a broker that does on each connection what a test says, after it has read CONNECT.
type script struct {
	net.Listener
	mu    sync.Mutex
	conns int
	acks  []uint16 // packet ids acknowledged, in order
}

// session is one connection to a script.
type session struct {
	net.Conn
	t *testing.T
	s *script
}

func newScript(t *testing.T, play func(n int, c session)) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Listener: l}
	var playing sync.WaitGroup
	playing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			n := s.conns
			s.mu.Unlock()
			playing.Go(func() {
				defer func() { _ = conn.Close() }()
				if _, err := packets.ReadPacket(conn); err == nil {
					play(n, session{conn, t, s})
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); playing.Wait() })
	return s
}

func (s *script) url() string { return "tcp://" + s.Addr().String() }

func (s *script) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *script) acknowledged() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.acks)
}

func (c session) send(b ...[]byte) {
	for _, b := range b {
		_, _ = c.Write(b)
	}
}

// serve answers the client until the connection ends. Granted is the answer to each filter.
func (c session) serve(granted byte) {
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.SubscribePacket:
			ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			ack.MessageID = p.MessageID
			for range p.Topics {
				ack.ReturnCodes = append(ack.ReturnCodes, granted)
			}
			_ = ack.Write(c)
		case *packets.PubackPacket:
			c.s.mu.Lock()
			c.s.acks = append(c.s.acks, p.MessageID)
			c.s.mu.Unlock()
		case *packets.UnsubscribePacket:
			ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
			ack.MessageID = p.MessageID
			_ = ack.Write(c)
		case *packets.PingreqPacket:
			_ = packets.NewControlPacket(packets.Pingresp).Write(c)
		}
	}
}

func dup(packet []byte) []byte {
	p := slices.Clone(packet)
	p[0] |= 8 // DUP
	return p
}

func TestSource_SubscriptionRefused(t *testing.T) {
	b := newScript(t, func(_ int, c session) {
		c.send(connack())
		c.serve(0x80)
	})
	s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
	sourcetest.Until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
	if st := s.Status(); !strings.Contains(st.Problem, "plant/#") || !strings.Contains(st.Problem, "E-4001") || st.Next == "" {
		t.Errorf("status is %+v", st)
	}
}

func TestSource_SubscriptionGrantedLater(t *testing.T) {
	answers := make(chan byte, 2)
	answers <- 0x80
	answers <- 1
	b := newScript(t, func(_ int, c session) {
		c.send(connack())
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			if p, ok := p.(*packets.SubscribePacket); ok {
				c.send([]byte{typeSuback << 4, 3, byte(p.MessageID >> 8), byte(p.MessageID), <-answers})
			}
		}
	})
	s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
	sourcetest.Live(t, s)
	if n := b.connections(); n != 1 {
		t.Errorf("%d connections, want the first to be kept", n)
	}
}

func TestSource_OnlyQoS0Granted(t *testing.T) {
	b := newScript(t, func(_ int, c session) {
		c.send(connack())
		c.serve(0)
	})
	s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
	sourcetest.Live(t, s)
	if p := s.Status().Problem; !strings.Contains(p, "QoS 0") {
		t.Errorf("problem is %q", p)
	}
}

func TestSource_ConnectionRefused(t *testing.T) {
	for name, code := range map[string]byte{"IDRejected": 2, "Password": 4, "NotAuthorised": 5} {
		t.Run(name, func(t *testing.T) {
			b := newScript(t, func(_ int, c session) { c.send([]byte{typeConnack << 4, 2, 0, code}) })
			s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
			sourcetest.Until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
			if p := s.Status().Problem; !strings.Contains(p, "E-4001") || !strings.Contains(p, "holdfast-p1-gw1-mes") {
				t.Errorf("problem is %q", p)
			}
		})
	}
	t.Run("UnknownCode", func(t *testing.T) {
		b := newScript(t, func(_ int, c session) { c.send([]byte{typeConnack << 4, 2, 0, 0x77}) })
		s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
		sourcetest.Until(t, "a problem", func() bool { return strings.Contains(s.Status().Problem, "CONNACK") })
	})
}

func TestSource_Takeover(t *testing.T) {
	b := newScript(t, func(_ int, c session) { c.send(connack()) }) // and close
	s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
	sourcetest.Until(t, "the other client is named", func() bool {
		return strings.Contains(s.Status().Problem, "another client uses the id holdfast-p1-gw1-mes")
	})
	if st := s.Status(); !strings.Contains(st.Problem, "E-4002") || st.State != source.BackingOff {
		t.Errorf("status is %+v", st)
	}
	if n := b.connections(); n != shortLives {
		t.Errorf("%d connections, want %d and then a long wait", n, shortLives)
	}
}

func TestSource_ClosedInMidPacket(t *testing.T) {
	whole := publish(2, 1, "plant/a", []byte("whole"))
	b := newScript(t, func(n int, c session) {
		c.send(connack())
		if n == 1 {
			c.send(publish(1, 1, "plant/a", []byte("first")), whole[:len(whole)-3])
			return
		}
		c.send(dup(whole))
		c.serve(1)
	})
	k := &sink{}
	start(t, k, Config{Broker: b.url()}, nil)
	sourcetest.Until(t, "the whole message", func() bool { return slices.Contains(payloads(k.All()), "whole") })
	for _, text := range payloads(k.All()) {
		if text != "first" && text != "whole" {
			t.Errorf("half an event: %q", text)
		}
	}
}

func TestSource_OversizedControlPacketClosesTheLink(t *testing.T) {
	b := newScript(t, func(n int, c session) {
		c.send(connack())
		if n <= shortLives {
			c.send([]byte{typeSuback << 4, 0xff, 0xff, 0xff, 0x7f})
			_, _ = packets.ReadPacket(c)
			return
		}
		c.serve(1)
	})
	s, _ := start(t, &sink{}, Config{Broker: b.url()}, nil)
	sourcetest.Until(t, "the packet is named", func() bool { return strings.Contains(s.Status().Problem, "packet") })
	sourcetest.Live(t, s)
}

func TestSource_SamePacketTwice(t *testing.T) {
	one := publish(1, 1, "plant/a", []byte("one"))
	next := make(chan []byte)
	b := newScript(t, func(n int, c session) {
		c.send(connack())
		go c.serve(1)
		for p := range next {
			c.send(p)
		}
	})
	defer close(next)
	k := &sink{}
	s, _ := start(t, k, Config{Broker: b.url()}, nil)
	sourcetest.Live(t, s)
	release := make(chan struct{})
	k.SetHook(func(source.Batch) error { <-release; return nil })

	next <- one
	next <- dup(one) // while it is in hand: one fact, one acknowledgement
	sourcetest.Until(t, "the repeat", func() bool { return s.Status().Duplicates == 1 })
	close(release)
	k.wait(t, 1)
	sourcetest.Until(t, "one acknowledgement", func() bool { return slices.Equal(b.acknowledged(), []uint16{1}) })

	next <- dup(one) // the acknowledgement was lost: acknowledged again, not stored again
	sourcetest.Until(t, "a second acknowledgement", func() bool { return slices.Equal(b.acknowledged(), []uint16{1, 1}) })

	next <- one // the id is free, so that the same text is a new fact
	k.wait(t, 2)
	next <- publish(1, 1, "plant/a", []byte("two")) // so is another text under it
	if got := payloads(k.wait(t, 3)); !slices.Equal(got, []string{"one", "one", "two"}) {
		t.Errorf("stored were %q", got)
	}
	sourcetest.Until(t, "all acknowledgements", func() bool { return slices.Equal(b.acknowledged(), []uint16{1, 1, 1, 1}) })
}

func TestSource_ForeignTopicIsFlagged(t *testing.T) {
	b := newScript(t, func(_ int, c session) {
		c.send(connack(), publish(1, 1, "elsewhere", []byte("x")), publish(2, 1, "plant/+", []byte("y")), publish(3, 1, "", []byte("z")))
		c.serve(1)
	})
	k := &sink{}
	start(t, k, Config{Broker: b.url()}, nil)
	got := k.wait(t, 3)
	if !slices.Equal(got[0].Flags, []string{source.FlagUnsubscribed}) || got[1].Flags != nil || got[2].Flags == nil {
		t.Errorf("flags are %v, %v and %v", got[0].Flags, got[1].Flags, got[2].Flags)
	}
	sourcetest.Until(t, "all are acknowledged", func() bool { return len(b.acknowledged()) == 3 })
}

func TestTable_ForgetsTheOldest(t *testing.T) {
	tb := newTable(3)
	arrive := func(id uint16) (arrival, *row) {
		return tb.arrive(fakeMessage{id: id}, sha256.Sum256(nil))
	}
	for id := range uint16(5) {
		kind, r := arrive(id)
		if kind != fresh {
			t.Fatalf("message %d is not fresh", id)
		}
		tb.acknowledge(r)
	}
	if len(tb.rows) > 4 || tb.rows[0] != nil {
		t.Errorf("%d rows, the oldest is %v", len(tb.rows), tb.rows[0])
	}
	if kind, _ := arrive(4); kind != again {
		t.Errorf("a recent message came as %d", kind)
	}
}

// fakeMessage is a redelivery with a packet id.
type fakeMessage struct{ id uint16 }

func (m fakeMessage) Duplicate() bool   { return true }
func (m fakeMessage) Qos() byte         { return 1 }
func (m fakeMessage) Retained() bool    { return false }
func (m fakeMessage) Topic() string     { return "" }
func (m fakeMessage) MessageID() uint16 { return m.id }
func (m fakeMessage) Payload() []byte   { return nil }
func (m fakeMessage) Ack()              {}
