package badinput

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// wire is an MQTT broker of one client that sends what a test writes, byte by byte.
type wire struct {
	listener net.Listener
	granted  byte // answer to each filter
	cutShort bool // ends each connection right after CONNACK
	playing  sync.WaitGroup

	mu    sync.Mutex // guards what follows, and writing
	conn  net.Conn   // nil until its client has subscribed
	conns int
	acks  map[uint16]int // packet id -> PUBACKs, over all connections
}

func newWire(granted byte, cutShort bool) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: l, granted: granted, cutShort: cutShort, acks: map[uint16]int{}}
	w.playing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.playing.Go(func() { w.serve(conn) })
		}
	})
	return w, nil
}

func (w *wire) url() string { return "tcp://" + w.listener.Addr().String() }

func (w *wire) close() {
	_ = w.listener.Close()
	w.drop()
	w.playing.Wait()
}

// serve answers a client until the connection ends.
func (w *wire) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			w.gone(conn)
			return
		}
		w.mu.Lock()
		err = w.answer(conn, p)
		w.mu.Unlock()
		if _, first := p.(*packets.ConnectPacket); err != nil || first && w.cutShort {
			return
		}
	}
}

// answer is called with mu held.
func (w *wire) answer(conn net.Conn, p packets.ControlPacket) error {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		w.conns++
		ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
		ack.SessionPresent = w.conns > 1
		return ack.Write(conn)
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID = p.MessageID
		for range p.Topics {
			ack.ReturnCodes = append(ack.ReturnCodes, w.granted)
		}
		w.conn = conn
		return ack.Write(conn)
	case *packets.PubackPacket:
		w.acks[p.MessageID]++
	case *packets.PingreqPacket:
		return packets.NewControlPacket(packets.Pingresp).Write(conn)
	}
	return nil
}

func (w *wire) gone(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == conn {
		w.conn = nil
	}
}

// drop ends the connection that there is.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns
}

// write sends bytes to the client, once it has subscribed.
func (w *wire) write(t *testing.T, b ...[]byte) {
	t.Helper()
	var conn net.Conn
	eventually(t, "the agent subscribes", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		conn = w.conn
		return conn != nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range b {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// sender returns a function that sends a PUBLISH and waits until it is acknowledged.
func (w *wire) sender(t *testing.T, flags byte, id uint16) func(topic string, payload []byte) error {
	return func(topic string, payload []byte) error {
		before := w.acked(id)
		w.write(t, publishPacket(flags, id, topic, payload))
		eventually(t, fmt.Sprintf("packet %d is acknowledged", id), func() bool { return w.acked(id) > before })
		return nil
	}
}

func (w *wire) acked(id uint16) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks[id]
}

// Flags of a PUBLISH (MQTT 3.1.1, section 3.3.1).
const (
	retain = 1
	qos1   = 2
	dup    = 8
)

// publishPacket returns a PUBLISH of QoS 1.
func publishPacket(flags byte, id uint16, topic string, payload []byte) []byte {
	return append(publishHead(flags, id, topic, len(payload)), payload...)
}

// publishHead returns a PUBLISH up to its payload, of which so many bytes follow.
func publishHead(flags byte, id uint16, topic string, length int) []byte {
	b := []byte{packets.Publish<<4 | qos1 | flags}
	rest := 2 + len(topic) + 2 + length
	for ; rest >= 0x80; rest >>= 7 {
		b = append(b, byte(rest)|0x80)
	}
	b = append(b, byte(rest))
	b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
	b = append(b, topic...)
	return binary.BigEndian.AppendUint16(b, id)
}
