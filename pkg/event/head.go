package event

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TypeHeadStated is the ce_type of a head. A head is no event: it has no id, lane, seq or content hash.
const TypeHeadStated = "agent.head.stated.v1"

// Head is an agent's statement of how much it has on disk: silence is not completeness. It goes past the queue to the
// telemetry topic, under the agent's id.
type Head struct {
	Plant   PlantID
	Agent   string
	Epoch   Epoch     // of the process that states it
	Prev    Prev      // of that epoch
	Time    time.Time // by the agent's clock; nothing is decided by it
	Barrier uint64    // newest number read from the control topic before the seqs were read; 0 = none
	Epochs  []HeadEpoch
	Status  *AgentStatus // how the agent stands; nil = it does not say
}

// HeadEpoch is the last seq on disk per lane of one open epoch; 0 = the lane has no record.
type HeadEpoch struct {
	Epoch     Epoch
	Quality   uint64
	Telemetry uint64
}

const (
	// maxHeadEpochs bounds the epochs of a head. Open is this run's, and each older one with an unsent tail.
	maxHeadEpochs = 1000
	// maxHead bounds the value in front of parsing: 1000 epochs take a tenth of it.
	maxHead = 1 << 20
)

// IsHead tells whether a record is a head, well formed or not.
func IsHead(m Message) bool { return m.Header(HeaderType) == TypeHeadStated }

// Message returns the head as a Kafka record for the telemetry topic.
func (h *Head) Message() Message {
	value := append(strconv.AppendUint([]byte(`{"barrier":`), h.Barrier, 10), `,"epochs":[`...)
	for i, e := range h.Epochs {
		if i > 0 {
			value = append(value, ',')
		}
		value = fmt.Appendf(value, `{"epoch":%q,"quality":%d,"telemetry":%d}`, string(e.Epoch), e.Quality, e.Telemetry)
	}
	value = append(value, ']')
	if h.Status != nil {
		value = append(append(value, `,"status":`...), h.Status.encode()...)
	}
	return Message{
		Key: []byte(h.Agent),
		Headers: []Header{
			{HeaderContentType, []byte(contentType)},
			{HeaderType, []byte(TypeHeadStated)},
			{HeaderTime, []byte(At(h.Time).String())},
			{HeaderPlant, []byte(h.Plant)},
			{HeaderAgent, []byte(h.Agent)},
			{HeaderEpoch, []byte(h.Epoch)},
			{HeaderPrev, []byte(h.Prev)},
		},
		Value: append(value, '}'),
	}
}

// headValue is a head's value as it stands on the wire.
type headValue struct {
	Barrier int64            `json:"barrier"`
	Epochs  []headEpochValue `json:"epochs"`
	Status  *AgentStatus     `json:"status,omitempty"`
}

type headEpochValue struct {
	Epoch     Epoch `json:"epoch"`
	Quality   int64 `json:"quality"`
	Telemetry int64 `json:"telemetry"`
}

var fillHead = compile(reflect.TypeFor[headValue]())

// DecodeHead reads a record for which [IsHead] is true. It refuses one that contradicts itself: another key than its
// agent, an epoch named twice, or its own epoch left out. Headers and members that it does not know are passed over.
func DecodeHead(m Message) (*Head, error) {
	h := &Head{}
	if err := h.decodeHeaders(m); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	if err := h.decodeValue(m.Value); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

func (h *Head) decodeHeaders(m Message) error {
	seen := map[string]bool{}
	for _, header := range m.Headers {
		if seen[header.Key] && strings.HasPrefix(header.Key, "ce_") {
			return fmt.Errorf("header %q stands twice", header.Key)
		}
		seen[header.Key] = true
	}
	if !IsHead(m) {
		return fmt.Errorf("header %s is %.80q: want %s", HeaderType, m.Header(HeaderType), TypeHeadStated)
	}
	h.Plant, h.Agent = PlantID(m.Header(HeaderPlant)), m.Header(HeaderAgent)
	h.Epoch, h.Prev = Epoch(m.Header(HeaderEpoch)), Prev(m.Header(HeaderPrev))
	stated, err := ParseTime(m.Header(HeaderTime))
	h.Time = stated.Time
	if err := errors.Join(h.Plant.check(), CheckAgent(h.Agent), h.Epoch.check(), h.Prev.check(), err); err != nil {
		return err
	}
	if !bytes.Equal(m.Key, []byte(h.Agent)) {
		return fmt.Errorf("key is %.80q: want the agent, %s", m.Key, h.Agent)
	}
	return nil
}

func (h *Head) decodeValue(value []byte) error {
	if len(value) > maxHead {
		return fmt.Errorf("value has %d bytes: want at most %d", len(value), maxHead)
	}
	tree, err := ParseJSON(value)
	if err != nil {
		return fmt.Errorf("value %w", err)
	}
	var v headValue
	if err := fillHead(tree, reflect.ValueOf(&v).Elem()); err != nil {
		return err
	}
	if len(v.Epochs) > maxHeadEpochs {
		return fmt.Errorf("names %d epochs: want at most %d", len(v.Epochs), maxHeadEpochs)
	}
	h.Barrier, h.Status = uint64(v.Barrier), v.Status
	seen := map[Epoch]bool{}
	for _, e := range v.Epochs {
		if seen[e.Epoch] {
			return fmt.Errorf("names epoch %s twice", e.Epoch)
		}
		seen[e.Epoch] = true
		h.Epochs = append(h.Epochs, HeadEpoch{e.Epoch, uint64(e.Quality), uint64(e.Telemetry)})
	}
	if !slices.ContainsFunc(h.Epochs, func(e HeadEpoch) bool { return e.Epoch == h.Epoch }) {
		return fmt.Errorf("leaves out the epoch that states it, %s", h.Epoch)
	}
	return nil
}
