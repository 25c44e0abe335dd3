package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrUnknownType is returned for an event type, or a major version of one, that this version does not know.
var ErrUnknownType = errors.New("is not known to this version")

// Event is one fact with its envelope.
type Event struct {
	ID          ID
	Source      string    // /{plant}/{system}; /{system} for a shared one; /holdfast for the cloud's own
	Time        time.Time // of the fact at its source; arrival if the source has none
	Recorded    time.Time // by the agent's or the cloud's clock, when it was made durable
	Plant       PlantID   // empty on the cloud's topics across plants
	Correlation string    // the case that ties a chain together; set by Seal if empty
	Causation   ID        // the direct cause, if any
	TraceParent string    // W3C trace context, if any
	Origin      Origin    // place in an agent's queue; zero for events of the cloud
	Data        Data

	Value       []byte // the encoded data; set by Seal and Decode
	ContentHash Hash   // over type, lot and the data without provenance; set by Seal and Decode
	Key         string // the Kafka key; set by Seal and Decode
}

// Origin is an event's place in an agent's queue. It proves order and completeness.
type Origin struct {
	Agent string
	Epoch Epoch
	Prev  Prev
	Lane  Lane
	Seq   uint64 // from 1, gapless per epoch and lane
}

// Prev names the epoch before and its last seq per lane: {epoch};quality={seq};telemetry={seq}, or none.
type Prev string

// NoPrev is the Prev of an agent's first epoch.
const NoPrev Prev = "none"

var prevPattern = regexp.MustCompile(`^(?:none|([0-9a-f]{32});quality=(0|[1-9][0-9]{0,15});telemetry=(0|[1-9][0-9]{0,15}))$`)

// NewPrev returns the text for an epoch that ended at these seqs (0 = the lane has no record).
func NewPrev(epoch Epoch, quality, telemetry uint64) Prev {
	return Prev(fmt.Sprintf("%s;quality=%d;telemetry=%d", epoch, quality, telemetry))
}

// Parts returns what p says; ok is false for "none".
func (p Prev) Parts() (epoch Epoch, last map[Lane]uint64, ok bool) {
	m := prevPattern.FindStringSubmatch(string(p))
	if m == nil || m[1] == "" {
		return "", nil, false
	}
	q, _ := strconv.ParseUint(m[2], 10, 64)
	t, _ := strconv.ParseUint(m[3], 10, 64)
	return Epoch(m[1]), map[Lane]uint64{LaneQuality: q, LaneTelemetry: t}, true
}

func (p Prev) check() error {
	if !prevPattern.MatchString(string(p)) {
		return fmt.Errorf("%.120q is no predecessor: want {epoch};quality={seq};telemetry={seq}, or none", string(p))
	}
	return nil
}

// Header is one Kafka header.
type Header struct {
	Key   string
	Value []byte
}

// Message is a Kafka record without its place.
type Message struct {
	Key     []byte
	Headers []Header
	Value   []byte
}

// Header returns the first value of a header, "" if absent.
func (m *Message) Header(key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// Header names of the CloudEvents Kafka binding, binary mode.
const (
	HeaderContentType = "content-type"
	HeaderID          = "ce_id"
	HeaderType        = "ce_type"
	HeaderSource      = "ce_source"
	HeaderSubject     = "ce_subject"
	HeaderTime        = "ce_time"
	HeaderRecorded    = "ce_recordedtime"
	HeaderPlant       = "ce_plant"
	HeaderAgent       = "ce_agent"
	HeaderEpoch       = "ce_epoch"
	HeaderPrev        = "ce_prev"
	HeaderLane        = "ce_lane"
	HeaderSeq         = "ce_seq"
	HeaderCorrelation = "ce_correlationid"
	HeaderCausation   = "ce_causationid"
	HeaderHash        = "ce_contenthash"
	HeaderTrace       = "traceparent"

	headerSpec   = "ce_specversion"
	headerSchema = "ce_dataschema"

	contentType = "application/json"
	schemaBase  = "https://holdfast.example/schemas/"
)

// MaxValue is the largest value of an event, in bytes. Kafka's default limit for a record is 1 MiB.
const MaxValue = 900 << 10

// Seal encodes the data and checks it as a reader would, then fills Value, ContentHash, Key and, if empty,
// Correlation. Agent is the key of an event that is about neither lot, scope, object nor equipment.
func (e *Event) Seal(agent string) error {
	value, sound := encode(e.Data)
	if len(value) > MaxValue {
		return fmt.Errorf("%s has %d bytes: want at most %d", e.Data.Type(), len(value), MaxValue)
	}
	if !sound {
		if _, err := DecodeData(e.Data.Type(), value); err != nil {
			return fmt.Errorf("%s: %w", e.Data.Type(), err)
		}
	}
	if err := checkProvenance(value); err != nil {
		return fmt.Errorf("%s: %w", e.Data.Type(), err)
	}
	if err := e.ID.check(); err != nil {
		return err
	}
	e.Value = value
	e.ContentHash = contentHash(e.Data.Type(), e.Data.Concerns(), value)
	if e.Key = e.Data.Subject(); e.Key == "" {
		e.Key = agent
	}
	if e.Correlation == "" {
		e.Correlation = string(e.Data.Case())
	}
	if e.Correlation == "" {
		e.Correlation = string(e.Data.Concerns())
	}
	return nil
}

var provenanceMember = []byte(`"provenance":`)

// checkProvenance tells whether the content hash has one place to stop at. A text cannot look like the member, since
// its quotes are escaped; the name of a detail can.
func checkProvenance(value []byte) error {
	if n := bytes.Count(value, provenanceMember); n != 1 {
		return fmt.Errorf("value has %d members called provenance: want one", n)
	}
	return nil
}

// contentHash covers type, lot and the value in front of its member provenance, the comma before that included.
func contentHash(t Type, lot LotKey, value []byte) Hash {
	body := value
	if i := bytes.Index(value, provenanceMember); i >= 0 {
		body = value[:i]
	}
	var room [2 << 10]byte // most are smaller
	hashed := append(append(append(append(room[:0], t...), 0), lot...), 0)
	sum := sha256.Sum256(append(hashed, body...))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return Hash(text[:])
}

// Message returns the event as a Kafka record. Origin headers stand in it only if the event has an origin; the uplink
// adds them to what comes from the queue by [Origin.Headers].
func (e *Event) Message() Message {
	m := Message{Key: []byte(e.Key), Headers: make([]Header, 0, mostHeaders), Value: e.Value}
	e.EachHeader(func(h Header) { m.Headers = append(m.Headers, h) })
	return m
}

const mostHeaders = 20

// EachHeader calls take with each header of [Event.Message], in order.
func (e *Event) EachHeader(take func(Header)) {
	typ, subject := string(e.Data.Type()), e.Data.Subject()
	// One piece of memory holds all values: those that differ in length, and what is short.
	const short = 256
	values := make([]byte, 0, short+len(e.Source)+2*len(typ)+len(subject)+len(e.Correlation)+len(e.ContentHash)+len(e.TraceParent))
	add := func(key string, parts ...string) {
		start := len(values)
		for _, part := range parts {
			values = append(values, part...)
		}
		if len(values) > start {
			take(Header{key, values[start:len(values):len(values)]})
		}
	}
	addTime := func(key string, t time.Time) {
		start := len(values)
		if values = At(t).appendTo(values); len(values) > start {
			take(Header{key, values[start:len(values):len(values)]})
		}
	}
	add(HeaderContentType, contentType)
	add(headerSpec, "1.0")
	add(HeaderID, string(e.ID))
	add(HeaderType, typ)
	add(HeaderSource, e.Source)
	add(HeaderSubject, subject)
	add(headerSchema, schemaBase, typ, ".json")
	addTime(HeaderTime, e.Time)
	addTime(HeaderRecorded, e.Recorded)
	add(HeaderPlant, string(e.Plant))
	if e.Origin.Agent != "" {
		for _, h := range e.Origin.Headers() {
			take(h)
		}
	}
	add(HeaderCorrelation, e.Correlation)
	add(HeaderCausation, string(e.Causation))
	add(HeaderHash, string(e.ContentHash))
	add(HeaderTrace, e.TraceParent)
}

// Headers returns the headers that say where in an agent's queue a record stands.
func (o Origin) Headers() []Header {
	const digits = 20 // of a seq at the most
	values := make([]byte, 0, len(o.Agent)+len(o.Epoch)+len(o.Prev)+len(o.Lane)+digits)
	headers := make([]Header, 0, 5)
	add := func(key string, longer []byte) {
		headers = append(headers, Header{key, longer[len(values):len(longer):len(longer)]})
		values = longer
	}
	add(HeaderAgent, append(values, o.Agent...))
	add(HeaderEpoch, append(values, o.Epoch...))
	add(HeaderPrev, append(values, o.Prev...))
	add(HeaderLane, append(values, o.Lane...))
	add(HeaderSeq, strconv.AppendUint(values, o.Seq, 10))
	return headers
}

// Decode reads a Kafka record. It refuses a record whose headers, value, key and content hash do not agree; the
// error says what is wrong. Headers that it does not know are passed over.
func Decode(m Message) (*Event, error) {
	h := map[string]string{}
	for _, header := range m.Headers {
		if _, twice := h[header.Key]; twice && strings.HasPrefix(header.Key, "ce_") {
			return nil, fmt.Errorf("header %q stands twice", header.Key)
		}
		h[header.Key] = string(header.Value)
	}
	if v := h[headerSpec]; v != "1.0" {
		return nil, fmt.Errorf("header %s is %.40q: want 1.0", headerSpec, v)
	}
	if len(m.Value) > MaxValue {
		return nil, fmt.Errorf("value has %d bytes: want at most %d", len(m.Value), MaxValue)
	}
	e := &Event{
		ID: ID(h[HeaderID]), Source: h[HeaderSource], Plant: PlantID(h[HeaderPlant]), Correlation: h[HeaderCorrelation],
		Causation: ID(h[HeaderCausation]), TraceParent: h[HeaderTrace], Value: m.Value, Key: string(m.Key),
		ContentHash: Hash(h[HeaderHash]),
	}
	if err := e.decodeEnvelope(h); err != nil {
		return nil, err
	}
	data, err := DecodeData(Type(h[HeaderType]), m.Value)
	if err != nil {
		return nil, err
	}
	e.Data = data
	return e, e.agree(h)
}

func (e *Event) decodeEnvelope(h map[string]string) error {
	if err := e.ID.check(); err != nil {
		return fmt.Errorf("header %s: %w", HeaderID, err)
	}
	if e.Causation != "" {
		if err := e.Causation.check(); err != nil {
			return fmt.Errorf("header %s: %w", HeaderCausation, err)
		}
	}
	if e.Plant != "" {
		if err := e.Plant.check(); err != nil {
			return fmt.Errorf("header %s: %w", HeaderPlant, err)
		}
	}
	for name, into := range map[string]*time.Time{HeaderTime: &e.Time, HeaderRecorded: &e.Recorded} {
		t, err := ParseTime(h[name])
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		*into = t.Time
	}
	if h[HeaderAgent] == "" {
		return nil
	}
	o, err := DecodeOrigin(h[HeaderAgent], h[HeaderEpoch], h[HeaderPrev], h[HeaderLane], h[HeaderSeq])
	e.Origin = o
	return err
}

// DecodeOrigin reads the values of the five origin headers.
func DecodeOrigin(agent, epoch, prev, lane, seq string) (Origin, error) {
	o := Origin{Agent: agent, Epoch: Epoch(epoch), Prev: Prev(prev), Lane: Lane(lane)}
	for _, err := range []error{CheckAgent(agent), o.Epoch.check(), o.Prev.check(), o.Lane.check()} {
		if err != nil {
			return Origin{}, fmt.Errorf("origin: %w", err)
		}
	}
	var err error
	if o.Seq, err = strconv.ParseUint(seq, 10, 53); err != nil || o.Seq == 0 {
		return Origin{}, fmt.Errorf("origin: header %s is %.40q: want a number from 1", HeaderSeq, seq)
	}
	return o, nil
}

// agree checks what headers, key and value say twice.
func (e *Event) agree(h map[string]string) error {
	if err := checkProvenance(e.Value); err != nil {
		return err
	}
	if want := contentHash(e.Data.Type(), e.Data.Concerns(), e.Value); e.ContentHash != want {
		return fmt.Errorf("content hash is %.80q, the value's is %s", string(e.ContentHash), want)
	}
	subject := e.Data.Subject()
	if h[HeaderSubject] != subject {
		return fmt.Errorf("subject is %.120q, the value's is %.120q", h[HeaderSubject], subject)
	}
	if subject != "" && e.Key != subject {
		return fmt.Errorf("key is %.120q, the value's is %.120q", e.Key, subject)
	}
	if spec := specs[e.Data.Type()]; e.Origin.Agent != "" && spec.Lane != e.Origin.Lane {
		return fmt.Errorf("lane is %q, that of %s is %q", e.Origin.Lane, spec.Type, spec.Lane)
	}
	return nil
}
