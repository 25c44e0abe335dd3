package mqtt

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

const (
	// headBytes is what is kept of a payload above the limit.
	headBytes = 4 << 10
	// maxControl bounds every packet but PUBLISH. A broker sends none above a few bytes, but for a SUBACK.
	maxControl = 4 << 10
	// stall is how long a packet may take without a byte.
	stall = 30 * time.Second
	// signOfLife is how often the library is told that the link lives while a long payload is being discarded, or while
	// nothing is read. It is below the library's time-out for an answer to its ping, which waits behind that.
	signOfLife = 2 * time.Second

	readBuffer = 32 << 10
)

// Packet types (MQTT 3.1.1, section 2.2.1).
const (
	typeConnack  = 2
	typePublish  = 3
	typeSuback   = 9
	typePingresp = 13
)

// errPacket is what the guard closes a link for.
var errPacket = errors.New("broker sent a packet that no client may take")

// guard is a connection that lets the library see only packets it can take: five bytes would make it allocate 256 MiB.
// It knows the borders of packets. A PUBLISH whose payload is above the limit is framed anew with the payload's head;
// the rest is hashed and discarded. Any other packet out of bounds, or a packet without progress, is an error that
// ends the connection. A message so cut is acknowledged like any other, since the broker would send it for ever.
type guard struct {
	net.Conn
	in      *bufio.Reader
	limit   int           // largest payload that passes whole
	filters int           // how many answers a SUBACK has
	stall   time.Duration // see the constant
	life    time.Duration // see signOfLife
	now     func() time.Time
	gate    *gate

	closing sync.Once
	closed  chan struct{}
	broken  chan struct{} // closed at the first error of reading

	out       []byte // what the library reads next
	pass      int    // bytes of the packet at hand that pass untouched
	drop      *discard
	connected bool          // CONNACK has passed: deadlines are ours from then on
	publishes atomic.Uint64 // PUBLISH packets passed so far

	mu   sync.Mutex
	cuts map[uint64]source.Cut // by number of the PUBLISH packet, from 1
	err  error
}

// discard is a PUBLISH being cut.
type discard struct {
	header []byte // variable header: topic and packet id
	first  byte
	head   []byte
	left   int
	total  int
	hash   hash.Hash
}

func newGuard(conn net.Conn, limit, filters int, gate *gate) *guard {
	return &guard{
		Conn: conn, in: bufio.NewReaderSize(conn, readBuffer), limit: limit, filters: filters, gate: gate,
		stall: stall, life: signOfLife, now: time.Now, cuts: map[uint64]source.Cut{}, closed: make(chan struct{}), broken: make(chan struct{}),
	}
}

// Close implements [net.Conn]. It ends a read that waits, too.
func (g *guard) Close() error {
	g.closing.Do(func() { close(g.closed) })
	return g.Conn.Close()
}

// Read implements [net.Conn] for one reader.
func (g *guard) Read(p []byte) (int, error) {
	for len(g.out) == 0 && g.pass == 0 {
		if err := g.next(); err != nil {
			return 0, g.fail(err)
		}
	}
	if len(g.out) > 0 {
		n := copy(p, g.out)
		g.out = g.out[n:]
		return n, nil
	}
	g.progress()
	n, err := g.in.Read(p[:min(len(p), g.pass)])
	if g.pass -= n; g.pass == 0 {
		g.rest()
	}
	return n, g.fail(err)
}

// fail remembers the first error for [guard.why].
func (g *guard) fail(err error) error {
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.err == nil {
			g.err = err
			close(g.broken)
		}
	}
	return err
}

// why returns the error that the guard ended the connection for, nil if it did not.
func (g *guard) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(g.err, errPacket) {
		return g.err
	}
	return nil
}

// cut returns how the n-th PUBLISH was cut, and forgets it.
func (g *guard) cut(n uint64) *source.Cut {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.cuts[n]
	if !ok {
		return nil
	}
	delete(g.cuts, n)
	return &c
}

// progress gives the next bytes of a packet their time. Until the library has its CONNACK, its own deadline holds.
func (g *guard) progress() {
	if g.connected {
		_ = g.SetReadDeadline(g.now().Add(g.stall))
	}
}

// rest lifts the deadline between packets.
func (g *guard) rest() {
	if g.connected {
		_ = g.SetReadDeadline(time.Time{})
	}
}

// next reads the start of a packet, or goes on discarding one, until there is something for the library to read.
func (g *guard) next() error {
	if g.drop != nil {
		return g.discard()
	}
	if !g.gate.wait(g.life, g.closed) {
		g.out = []byte{typePingresp << 4, 0} // the answer to a ping may wait behind what we do not read
		return nil
	}
	first, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	g.progress()
	length, err := readLength(g.in)
	if err != nil {
		return err
	}
	if first>>4 == typePublish {
		return g.publish(first, length)
	}
	return g.control(first, length)
}

// readLength reads a packet's remaining length: four bytes at most.
func readLength(in *bufio.Reader) (int, error) {
	length := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return length, nil
		}
	}
	return 0, fmt.Errorf("%w: its length has a fifth byte", errPacket)
}

func appendLength(b []byte, length int) []byte {
	for ; length >= 0x80; length >>= 7 {
		b = append(b, byte(length)|0x80)
	}
	return append(b, byte(length))
}

// control reads a whole packet that is no PUBLISH.
func (g *guard) control(first byte, length int) error {
	if length > maxControl {
		return fmt.Errorf("%w: one of type %d has %d bytes", errPacket, first>>4, length)
	}
	packet := appendLength([]byte{first}, length)
	start := len(packet)
	packet = append(packet, make([]byte, length)...)
	if err := g.fill(packet[start:]); err != nil {
		return err
	}
	if err := g.checkControl(first>>4, packet[start:]); err != nil {
		return err
	}
	g.out = packet
	if first>>4 == typeConnack {
		g.connected = true
	}
	g.rest()
	return nil
}

// checkControl refuses what the library does not survive: a return code that it has no error for, and answers that
// were not asked for.
func (g *guard) checkControl(kind byte, body []byte) error {
	switch {
	case (kind == typeConnack) == g.connected:
		return fmt.Errorf("%w: CONNACK is not the first, or not the only one", errPacket)
	case kind == typeConnack && (len(body) != 2 || body[1] > 5):
		return fmt.Errorf("%w: CONNACK % x", errPacket, body)
	case kind == typeSuback && len(body) != 2+g.filters:
		return fmt.Errorf("%w: SUBACK has %d bytes", errPacket, len(body))
	}
	return nil
}

// fill reads into b, each read with its own time.
func (g *guard) fill(b []byte) error {
	for len(b) > 0 {
		g.progress()
		n, err := g.in.Read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// publish lets a PUBLISH pass, or begins to cut it.
func (g *guard) publish(first byte, length int) error {
	qos := first >> 1 & 3
	switch {
	case !g.connected:
		return fmt.Errorf("%w: PUBLISH before CONNACK", errPacket)
	case qos == 3:
		return fmt.Errorf("%w: PUBLISH with QoS 3", errPacket)
	}
	g.publishes.Add(1)
	g.gate.enter()
	frame := appendLength([]byte{first}, length)
	if length <= g.limit {
		g.out, g.pass = frame, length
		if length == 0 {
			g.rest()
		}
		return nil
	}
	header, err := g.variableHeader(qos, length)
	if err != nil {
		return err
	}
	payload := length - len(header)
	if payload <= g.limit {
		g.out, g.pass = append(frame, header...), payload
		return nil
	}
	g.drop = &discard{header: header, first: first, left: payload, total: payload, hash: sha256.New()}
	return g.discard()
}

// variableHeader reads topic and packet id.
func (g *guard) variableHeader(qos byte, length int) ([]byte, error) {
	header := make([]byte, 2)
	if err := g.fill(header); err != nil {
		return nil, err
	}
	rest := int(binary.BigEndian.Uint16(header))
	if qos > 0 {
		rest += 2
	}
	if 2+rest > length {
		return nil, fmt.Errorf("%w: PUBLISH with a topic longer than itself", errPacket)
	}
	header = append(header, make([]byte, rest)...)
	return header, g.fill(header[2:])
}

// discard reads on in a payload that is being cut. At its end the library gets the packet with the head of the
// payload; before that, now and then, an answer to a ping.
func (g *guard) discard() error {
	d := g.drop
	buf := make([]byte, min(d.left, readBuffer))
	for until := g.now().Add(g.life); d.left > 0; {
		if g.now().After(until) {
			g.out = []byte{typePingresp << 4, 0}
			return nil
		}
		g.progress()
		n, err := g.in.Read(buf[:min(len(buf), d.left)])
		if err != nil {
			return err
		}
		d.left -= n
		d.hash.Write(buf[:n])
		d.head = append(d.head, buf[:min(n, headBytes-len(d.head))]...)
	}
	g.mu.Lock()
	g.cuts[g.publishes.Load()] = source.Cut{Length: int64(d.total), SHA256: hex.EncodeToString(d.hash.Sum(nil))}
	g.mu.Unlock()
	g.out = append(appendLength([]byte{d.first}, len(d.header)+len(d.head)), d.header...)
	g.out = append(g.out, d.head...)
	g.drop = nil
	g.rest()
	return nil
}
