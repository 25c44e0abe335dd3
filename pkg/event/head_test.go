package event

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-mesh/holdfast/schemas"
)

// headValueText is a head's value, as the contract's example has it.
const headValueText = `{"barrier":418,"epochs":[{"epoch":"dd05545a4e6517594c7fd66a8b21ab36","quality":1042,"telemetry":90211}]}`

func goldenHead() *Head {
	return &Head{
		Plant: "p1", Agent: "gw1", Epoch: goldenEpoch, Prev: NewPrev("40e6c6d0c9f3f14f5eac4fd54654f0a6", 48211, 903377),
		Time: clock("9h40m1.5s").Time, Barrier: 418, Epochs: []HeadEpoch{{Epoch: goldenEpoch, Quality: 1042, Telemetry: 90211}},
	}
}

// headStatusText is the status of goldenStatus.
const headStatusText = `{"version":"1.4.0","started":"2026-11-24T09:00:00Z","link_since":"2026-11-24T09:31:00Z",` +
	`"backlog":[{"lane":"quality","events":12,"bytes":4096,"oldest":"2026-11-24T09:39:00Z","drain_seconds":3,"full_seconds":90000},{"lane":"telemetry","events":0,"bytes":0}],` +
	`"urgent":2,"clock":{"synchronised":true,"offset":"-0.0021"},"certificates_end":"2026-12-24T06:00:00Z",` +
	`"sources":[{"id":"press-4","state":"stale","since":"2026-11-24T09:30:00Z","last":"2026-11-24T09:29:00Z","problem":"E-4003","items":8,"bad":3,"open_gaps":1}]}`

func goldenStatus() *AgentStatus {
	return &AgentStatus{
		Version: "1.4.0", Started: clock("9h"), LinkSince: clock("9h31m"), Urgent: 2, Clock: HostClock{Synchronised: true, Offset: "-0.0021"},
		CertificatesEnd: At(clock("6h").AddDate(0, 1, 0)),
		Backlog: []LaneBacklog{
			{Lane: LaneQuality, Events: 12, Bytes: 4096, Oldest: clock("9h39m"), Drain: 3, Full: 90000},
			{Lane: LaneTelemetry},
		},
		Sources: []SourceStanding{
			{ID: "press-4", State: "stale", Since: clock("9h30m"), Last: clock("9h29m"), Problem: "E-4003", Items: 8, Bad: 3, OpenGaps: 1},
		},
	}
}

func TestHead_Message(t *testing.T) {
	m := goldenHead().Message()
	if string(m.Value) != headValueText || string(m.Key) != "gw1" {
		t.Errorf("key %s, value\n%s, want gw1 and\n%s", m.Key, m.Value, headValueText)
	}
	standing := goldenHead()
	standing.Status = goldenStatus()
	if got, want := string(standing.Message().Value), headValueText[:len(headValueText)-1]+`,"status":`+headStatusText+`}`; got != want {
		t.Errorf("value with a status is\n%s, want\n%s", got, want)
	}
	const want = `{
  "content-type": "application/json",
  "ce_type": "agent.head.stated.v1",
  "ce_time": "2026-11-24T09:40:01.5Z",
  "ce_plant": "p1",
  "ce_agent": "gw1",
  "ce_epoch": "dd05545a4e6517594c7fd66a8b21ab36",
  "ce_prev": "40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=48211;telemetry=903377"
}
`
	if got := headerText(t, m.Headers); got != want {
		t.Errorf("headers are\n%s, want\n%s", got, want)
	}
}

func TestDecodeHead_ReadsWhatMessageWrote(t *testing.T) {
	older := HeadEpoch{Epoch: "40e6c6d0c9f3f14f5eac4fd54654f0a6", Quality: MaxInteger}
	for name, change := range map[string]func(*Head){
		"Plain":       func(*Head) {},
		"TwoEpochs":   func(h *Head) { h.Epochs = append([]HeadEpoch{older}, h.Epochs...) },
		"FirstEpoch":  func(h *Head) { h.Prev = NoPrev },
		"NothingRead": func(h *Head) { h.Barrier = 0 },
		"EmptyQueues": func(h *Head) { h.Epochs = []HeadEpoch{{Epoch: goldenEpoch}} },
		"Standing":    func(h *Head) { h.Status = goldenStatus() },
		"LittleToSay": func(h *Head) {
			h.Status = &AgentStatus{Version: "-", Started: clock("9h"), LinkSince: clock("9h"), Backlog: []LaneBacklog{}, Sources: []SourceStanding{}}
		},
		"LocalTime": func(h *Head) { h.Time = h.Time.In(time.FixedZone("", 3600)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := goldenHead()
			change(h)
			m := h.Message()
			if !IsHead(m) {
				t.Error("it is not taken for a head")
			}
			got, err := DecodeHead(m)
			if err != nil {
				t.Fatal(err)
			}
			h.Time = h.Time.UTC()
			if diff := cmp.Diff(h, got); diff != "" {
				t.Errorf("written (-) and read (+) differ:\n%s", diff)
			}
		})
	}
}

func TestDecodeHead_Bad(t *testing.T) {
	many := strings.Repeat(`{"epoch":"%032x","quality":0,"telemetry":0},`, maxHeadEpochs)
	numbers := make([]any, maxHeadEpochs)
	for i := range numbers {
		numbers[i] = i
	}
	for name, c := range map[string]struct{ part, old, text, want string }{
		"ErrType":            {HeaderType, "head", "foot", "want agent.head.stated.v1"},
		"ErrPlant":           {HeaderPlant, "p1", "P1", "is no plant id"},
		"ErrAgent":           {HeaderAgent, "gw1", "gw 1", "is no equipment id"},
		"ErrEpoch":           {HeaderEpoch, "dd05", "DD05", "is no epoch"},
		"ErrPrev":            {HeaderPrev, ";telemetry=903377", "", "is no predecessor"},
		"ErrTime":            {HeaderTime, "1.5Z", "1.50Z", "is no time"},
		"ErrKey":             {"key", "gw1", "gw2", "want the agent, gw1"},
		"ErrValueNoJSON":     {"value", `{"barrier"`, `"barrier"`, "value has more than one"},
		"ErrBarrierNegative": {"value", `418`, `-1`, "barrier: is -1"},
		"ErrBarrierAbsent":   {"value", `"barrier":418,`, ``, `lacks the member "barrier"`},
		"ErrSeqBeyondDouble": {"value", `90211`, `9007199254740992`, "epochs[0].telemetry: is"},
		"ErrSeqAsText":       {"value", `1042`, `"1042"`, "epochs[0].quality: is a text"},
		"ErrOwnEpochAbsent":  {"value", `dd05545a4e6517594c7fd66a8b21ab36`, `40e6c6d0c9f3f14f5eac4fd54654f0a6`, "leaves out the epoch"},
		"ErrNoEpoch":         {"value", `{"epoch":"dd05545a4e6517594c7fd66a8b21ab36","quality":1042,"telemetry":90211}`, ``, "leaves out the epoch"},
		"ErrEpochTwice":      {"value", `}]`, `},{"epoch":"dd05545a4e6517594c7fd66a8b21ab36","quality":1,"telemetry":1}]`, "twice"},
		"ErrTooManyEpochs":   {"value", `[{`, `[` + fmt.Sprintf(many, numbers...) + `{`, "names 1001 epochs"},
		"ErrStatusNoObject":  {"value", `}]`, `}],"status":"well"`, "status: is a text"},
		"ErrStatusLane":      {"value", `}]`, `}],"status":` + strings.Replace(headStatusText, `"lane":"quality"`, `"lane":"fast"`, 1), "status.backlog[0].lane"},
		"ErrStatusNegative":  {"value", `}]`, `}],"status":` + strings.Replace(headStatusText, `"urgent":2`, `"urgent":-2`, 1), "status.urgent: is -2"},
		"ErrStatusSources":   {"value", `}]`, `}],"status":` + manySources(headStatusText, maxStandings+1), "status: names 51 sources"},
		"ErrTooLong":         {"value", `}]`, `}]` + strings.Repeat(" ", maxHead), "want at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			m := goldenHead().Message()
			replace := func(b []byte) []byte {
				if !strings.Contains(string(b), c.old) {
					t.Fatalf("the good one has no %s", c.old)
				}
				return []byte(strings.Replace(string(b), c.old, c.text, 1))
			}
			switch c.part {
			case "key":
				m.Key = replace(m.Key)
			case "value":
				m.Value = replace(m.Value)
			}
			for i, h := range m.Headers {
				if h.Key == c.part {
					m.Headers[i].Value = replace(h.Value)
				}
			}
			if h, err := DecodeHead(m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("head is %+v, error %v, want one with %q", h, err, c.want)
			}
		})
	}
}

// manySources has the text of a status name a number of sources.
func manySources(status string, n int) string {
	before, after, _ := strings.Cut(status, `"sources":[`)
	one := strings.TrimSuffix(after, "]}")
	return before + `"sources":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]}"
}

// TestHead_Schema holds what is written to the schema, member by member, and the schema to what is refused.
func TestHead_Schema(t *testing.T) {
	all, err := compiledSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"Plain":        {headValueText, true},
		"Standing":     {headValueText[:len(headValueText)-1] + `,"status":` + headStatusText + `}`, true},
		"NoEpoch":      {`{"barrier":1,"epochs":[]}`, false},
		"NoBarrier":    {strings.Replace(headValueText, `"barrier":418,`, ``, 1), false},
		"ManySources":  {headValueText[:len(headValueText)-1] + `,"status":` + manySources(headStatusText, maxStandings+1) + `}`, false},
		"StatusNoText": {headValueText[:len(headValueText)-1] + `,"status":"well"}`, false},
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(c.value))
		if err != nil {
			t.Fatal(err)
		}
		if err := all[schemas.Head].Validate(value); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, _ := schemas.Read(schemas.Head)
	var got objectSchema
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := mirror(reflect.TypeFor[headValue]())
	want.Properties[1].Value = "[]headEpoch"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Go (-) and schema (+) differ:\n%s", diff)
	}
}

// A status takes little of a head, whatever an agent has to say.
func TestAgentStatus_Fit(t *testing.T) {
	for name, c := range map[string]struct {
		sources int
		id      Name
		least   int
	}{
		"Few": {3, "press", 3}, "Many": {400, "p", 15}, "LongNames": {400, Name(strings.Repeat("ä", 250)), 4},
	} {
		s := goldenStatus()
		one := s.Sources[0]
		s.Sources = nil
		for i := range c.sources {
			one.ID, one.Items = c.id, int64(i+1)
			s.Sources = append(s.Sources, one)
		}
		s.Fit()
		if len(s.Sources) < c.least || len(s.Sources)+int(s.Omitted) != c.sources || s.Sources[0].Items != 1 {
			t.Errorf("%s: %d sources and %d left out of %d", name, len(s.Sources), s.Omitted, c.sources)
		}
		h := goldenHead()
		h.Status = s
		m := h.Message()
		if len(m.Value) > 4<<10 {
			t.Errorf("%s: the head has %d bytes", name, len(m.Value))
		}
		if _, err := DecodeHead(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAgentStatus_Check(t *testing.T) {
	if err := goldenStatus().Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*AgentStatus){
		"version: has 0 characters":   func(s *AgentStatus) { s.Version = "" },
		"sources: is null":            func(s *AgentStatus) { s.Sources = nil },
		"sources[0].state: has 0":     func(s *AgentStatus) { s.Sources[0].State = "" },
		"clock.offset: \"1e3\" is no": func(s *AgentStatus) { s.Clock.Offset = "1e3" },
		"started: \"\" is no time":    func(s *AgentStatus) { s.Started = Time{} },
	} {
		s := goldenStatus()
		change(s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}

func TestDecodeHead_HeaderTwice(t *testing.T) {
	m := goldenHead().Message()
	m.Headers = append(m.Headers, Header{HeaderEpoch, []byte(goldenEpoch)})
	if _, err := DecodeHead(m); err == nil || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("error is %v", err)
	}
}

// TestDecode_Head proves that nobody takes a head for an event.
func TestDecode_Head(t *testing.T) {
	if e, err := Decode(goldenHead().Message()); err == nil {
		t.Errorf("a head was read as the event %+v", e)
	}
	if IsHead(goldenRecord(t, goldenRoot+"/"+string(TypeControlSet)+"/asked")) {
		t.Error("an event was taken for a head")
	}
}

// FuzzDecodeHead reads records with any headers and values. What is accepted has to be written and read again as the
// same head, and is within the bounds that a reader relies on.
func FuzzDecodeHead(f *testing.F) {
	good := goldenHead().Message()
	f.Add(good.Key, good.Header(HeaderAgent), good.Header(HeaderEpoch), good.Header(HeaderPrev), good.Header(HeaderTime), good.Value)
	standing := goldenHead()
	standing.Status = goldenStatus()
	f.Add(good.Key, good.Header(HeaderAgent), good.Header(HeaderEpoch), good.Header(HeaderPrev), good.Header(HeaderTime), standing.Message().Value)
	f.Add([]byte("-"), "-", string(goldenEpoch), "none", "2026-11-24T06:30:00Z", []byte(`{"epochs":[],"barrier":4e0}`))
	f.Fuzz(func(t *testing.T, key []byte, agent, epoch, prev, stated string, value []byte) {
		h, err := DecodeHead(Message{Key: key, Value: value, Headers: []Header{
			{HeaderType, []byte(TypeHeadStated)}, {HeaderPlant, []byte("p1")}, {HeaderAgent, []byte(agent)},
			{HeaderEpoch, []byte(epoch)}, {HeaderPrev, []byte(prev)}, {HeaderTime, []byte(stated)},
		}})
		if err != nil {
			return
		}
		if h.Barrier > math.MaxInt64 || len(h.Epochs) == 0 || len(h.Epochs) > maxHeadEpochs {
			t.Fatalf("accepted out of bounds: %+v", h)
		}
		again, err := DecodeHead(h.Message())
		if err != nil {
			t.Fatalf("an accepted head is refused when it is written again: %v", err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Fatalf("an accepted head comes out changed (-first +second):\n%s", diff)
		}
	})
}
