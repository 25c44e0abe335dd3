package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// reason returns code and reason of a quarantine record.
func reason(t testing.TB, r Result) (code, text string) {
	t.Helper()
	if r.Quarantine == nil {
		t.Fatalf("nothing was quarantined: %+v", r)
	}
	golden(t, r.Quarantine)
	q := r.Quarantine.Data.(*event.RecordQuarantined)
	return string(q.Code), q.Reason
}

func TestMapper_Map_Quarantine(t *testing.T) {
	m := compile(t, []Config{sampled(), recorded()}, options())
	deep := []byte(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))
	for name, c := range map[string]struct {
		change     func(*source.Signal)
		code, want string
	}{
		"Cut": {func(s *source.Signal) {
			s.Cut = &source.Cut{Length: 10 << 20, SHA256: strings.Repeat("ab", 32)}
			s.Raw = bytes.Repeat([]byte("x"), 4096)
		}, CodeTooLarge, "10485760 bytes"},
		"Unsubscribed":  {func(s *source.Signal) { s.Flags = []string{source.FlagUnsubscribed} }, CodeForeign, "subscribed"},
		"Wildcard":      {func(s *source.Signal) { s.Ref = "p1/+/result" }, CodeForeign, "wildcard"},
		"NoUTF8InTopic": {func(s *source.Signal) { s.Ref = "p1/\xff/result" }, CodeForeign, "characters"},
		"NULInTopic":    {func(s *source.Signal) { s.Ref = "p1/\x00/result" }, CodeForeign, "characters"},
		"LongTopic":     {func(s *source.Signal) { s.Ref = strings.Repeat("\x01", 65535) }, CodeUnmapped, "no mapping"},
		"BrokerTopic":   {func(s *source.Signal) { s.Ref = "$SYS/press4/result" }, CodeUnmapped, "no mapping"},
		"EmptyTopic":    {func(s *source.Signal) { s.Ref = "" }, CodeUnmapped, "no mapping"},
		"OtherPlant":    {func(s *source.Signal) { s.Ref = "p2/press4/result" }, CodeForeign, `plant "p2"`},
		"Empty":         {func(s *source.Signal) { s.Raw = nil }, CodeFailed, "payload is empty"},
		"Deep":          {func(s *source.Signal) { s.Raw = deep }, CodeFailed, "nested deeper"},
		"Exponent":      {func(s *source.Signal) { s.Raw = []byte(`{"v":1e-999999999}`) }, CodeFailed, "too large an exponent"},
		"LargeText": {func(s *source.Signal) {
			s.Raw = []byte(`{"id":"1","lot":"L","value":"` + strings.Repeat("x", 300) + `"}`)
		}, CodeFailed, "300 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			sig := message("mes", "p1/press4/result", []byte(`{"id":"1","lot":"L","value":"OK"}`))
			c.change(&sig)
			r := m.Map(sig, View{})
			if code, text := reason(t, r); code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("quarantined by %s: %s; want %s with %q", code, text, c.code, c.want)
			}
			if len(r.Events) > 0 {
				t.Errorf("%d events beside it", len(r.Events))
			}
			if again := m.Map(sig, View{}); again.Quarantine.ID != r.Quarantine.ID {
				t.Error("a second delivery has another id")
			}
		})
	}
}

func TestMapper_Map_QuarantineKeepsTheRawBytes(t *testing.T) {
	m := compile(t, []Config{recorded()}, options())
	for name, c := range map[string]struct {
		raw    []byte
		head   int // bytes kept
		length int64
		binary bool
	}{
		"Text":       {[]byte("not json"), 8, 0, false},
		"Binary":     {[]byte{0xff, 0xfe, 0}, 3, 0, true},
		"At64kB":     {bytes.Repeat([]byte("a"), maxRaw), maxRaw, 0, false},
		"Above64kB":  {bytes.Repeat([]byte("a"), maxRaw+1), headOfRaw, maxRaw + 1, false},
		"CutInARune": {append([]byte("a"), bytes.Repeat([]byte("ä"), maxRaw)...), headOfRaw - 1, 2*maxRaw + 1, false},
		"Controls":   {bytes.Repeat([]byte{1}, maxRaw), maxRaw, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := m.Map(message("mes", "p1/press4/result", c.raw), View{})
			reason(t, r)
			p := r.Quarantine.Data.ReadBy()
			if got := len(p.Raw); !c.binary && got != c.head {
				t.Errorf("%d bytes kept, want %d", got, c.head)
			}
			if (p.RawBase64 != "") != c.binary || p.RawLength != c.length {
				t.Errorf("base64 %q, length %d", p.RawBase64, p.RawLength)
			}
		})
	}
}

func TestMapper_Map_QuarantineConcernsOneLotOrTheEquipment(t *testing.T) {
	c := recorded()
	c.Rows = "p"
	c.Event.Lot, c.Event.Key = `lot("", "M", row.lot)`, []any{"row.id"}
	c.Event.Data["inspection_id"], c.Event.Data["value"] = `id("inspection", row.id)`, "row.value"
	c.Samples[0].Payload, c.Samples[1].Payload = `[{"id":"1","lot":"L","value":"OK"}]`, `[{"id":"1"}]`
	m := compile(t, []Config{c}, options())
	for name, tc := range map[string]struct {
		payload string
		lot     event.LotKey
		events  int
	}{
		"OneLot":      {`[{"id":"1","lot":"L","value":"OK"},{"id":"2","lot":"K"},{"id":"3","lot":"K"}]`, "lot::M:K", 1},
		"TwoLots":     {`[{"id":"1","lot":"L"},{"id":"2","lot":"K"}]`, "", 0},
		"UnknownLot":  {`[{"id":"1","lot":"L"},{"id":"2","value":"OK"}]`, "", 0},
		"NotDecoded":  {`[`, "", 0},
		"ManyFailing": {"[" + strings.Repeat(`{"id":"1","lot":"L"},`, 200) + `{"id":"1","lot":"L"}]`, "lot::M:L", 0},
	} {
		t.Run(name, func(t *testing.T) {
			sig := message("mes", "p1/press4/result", []byte(tc.payload))
			sig.Equipment = "press4"
			r := m.Map(sig, View{})
			reason(t, r)
			q := r.Quarantine.Data.(*event.RecordQuarantined)
			if q.Lot != tc.lot || q.Equipment != "press4" || len(r.Events) != tc.events {
				t.Errorf("lot %q, equipment %q, %d events; want %q and %d", q.Lot, q.Equipment, len(r.Events), tc.lot, tc.events)
			}
		})
	}
}

func TestMapper_Map_Limits(t *testing.T) {
	c := sampled()
	c.Rows, c.Event.Data["value"] = "p", "string(row)"
	second := c
	second.Name = "second"
	m := compile(t, []Config{c, second}, options())
	rows := func(n int) []byte { return []byte("[" + strings.Repeat("1,", n-1) + "1]") }
	t.Run("OK", func(t *testing.T) {
		if r := m.Map(message("s", "p1/a/value", rows(5000)), View{}); len(r.Events) != 10_000 || r.Quarantine != nil {
			t.Errorf("%d events", len(r.Events))
		}
	})
	t.Run("ErrRows", func(t *testing.T) {
		r := m.Map(message("s", "p1/a/value", rows(10_001)), View{})
		if _, text := reason(t, r); !strings.Contains(text, "10001 rows") || len(r.Events) != 0 {
			t.Errorf("%d events, %s", len(r.Events), text)
		}
	})
	t.Run("ErrEvents", func(t *testing.T) {
		r := m.Map(message("s", "p1/a/value", rows(5001)), View{})
		if _, text := reason(t, r); !strings.Contains(text, "10002 events") || len(r.Events) != 0 {
			t.Errorf("%d events, %s", len(r.Events), text)
		}
	})
}

func TestMapper_Map_EventIDs(t *testing.T) {
	c := recorded()
	c.Rows = "p"
	c.Event.Lot, c.Event.Key = `lot("", "M", row.lot)`, []any{`"result"`, "row.id"}
	c.Event.Data["inspection_id"], c.Event.Data["value"] = `id("inspection", row.id)`, "row.value"
	c.Samples[0].Payload, c.Samples[1].Payload = `[{"id":"1","lot":"L","value":"OK"}]`, `[{"id":"1"}]`
	payload := []byte(`[{"id":"1","lot":"L","value":"OK"},{"id":"2","lot":"L","value":"OK"},{"id":"1","lot":"L","value":"NOK"}]`)
	t.Run("OrdinalCountsOneKey", func(t *testing.T) {
		r := compile(t, []Config{c}, options()).Map(message("mes", "p1/press4/result", payload), View{})
		for i, want := range []event.ID{
			event.NaturalID("p1", "mes1", []string{"result", "1"}, event.TypeCharacteristicRecorded, 0),
			event.NaturalID("p1", "mes1", []string{"result", "2"}, event.TypeCharacteristicRecorded, 0),
			event.NaturalID("p1", "mes1", []string{"result", "1"}, event.TypeCharacteristicRecorded, 1),
		} {
			if r.Events[i].ID != want {
				t.Errorf("event %d has id %s, want %s", i, r.Events[i].ID, want)
			}
		}
	})
	t.Run("SharedSystemHasNoPlant", func(t *testing.T) {
		opts := options()
		opts.SharedSystems = []string{"mes1"}
		r := compile(t, []Config{c}, opts).Map(message("mes", "p1/press4/result", payload), View{})
		want := event.NaturalID("", "mes1", []string{"result", "1"}, event.TypeCharacteristicRecorded, 0)
		if e := r.Events[0]; e.ID != want || e.Source != "/mes1" {
			t.Errorf("id %s, source %s; want %s and /mes1", e.ID, e.Source, want)
		}
	})
}

func TestMapper_Map_TimeQuality(t *testing.T) {
	c := sampled()
	c.Event.Time = "p.t == nil ? sig.time : rfc3339(p.t)"
	c.Event.Data["value"] = `"1"`
	m := compile(t, []Config{c}, options())
	for name, tc := range map[string]struct {
		payload string
		sync    bool
		want    event.TimeQuality
	}{
		"Synchronised":   {`{"t":"2026-11-24T06:29:00Z"}`, true, event.TimeSynchronised},
		"Unsynchronised": {`{"t":"2026-11-24T06:29:00Z"}`, false, event.TimeUnsynchronised},
		"Ahead":          {`{"t":"2026-11-24T06:30:05Z"}`, true, event.TimeSuspect},
		"Year1970":       {`{"t":"1970-01-01T00:00:00Z"}`, true, event.TimeSuspect},
	} {
		t.Run(name, func(t *testing.T) {
			sig := message("s", "p1/a/value", []byte(tc.payload))
			sig.Clock.Synchronised = tc.sync
			r := m.Map(sig, View{})
			if r.Quarantine != nil {
				t.Fatal(reason(t, r))
			}
			if got := r.Events[0].Data.ReadBy().TimeQuality; got != tc.want {
				t.Errorf("time quality is %s, want %s", got, tc.want)
			}
		})
	}
	t.Run("MissingIsAnError", func(t *testing.T) {
		if _, text := reason(t, m.Map(message("s", "p1/a/value", []byte(`{}`)), View{})); !strings.Contains(text, "time: is missing") {
			t.Error(text)
		}
	})
}

// TestMapper_Map_QuarantineTime: a payload that carries its own times may tell of any time before it arrived.
func TestMapper_Map_QuarantineTime(t *testing.T) {
	own := sampled()
	own.Event.Time = "rfc3339(p.t)"
	for name, c := range map[string]struct {
		config Config
		time   bool // the source states one
		want   event.TimeQuality
	}{
		"TimeOfTheSource":     {sampled(), true, event.TimeSynchronised},
		"TimeInThePayload":    {own, true, event.TimeMissing},
		"NoTimeOfTheSource":   {sampled(), false, event.TimeMissing},
		"NoneAndInThePayload": {own, false, event.TimeMissing},
	} {
		t.Run(name, func(t *testing.T) {
			sig := message("s", "p1/a/value", []byte("{"))
			sig.Clock.Synchronised = true
			sig.Time = time.Time{}
			if c.time {
				sig.Time = sig.Arrived.Add(-time.Minute)
			}
			e := compile(t, []Config{c.config}, options()).Map(sig, View{}).Quarantine
			if e == nil {
				t.Fatal("nothing was quarantined")
			}
			at := sig.Arrived
			if c.want != event.TimeMissing {
				at = sig.Time
			}
			if p := e.Data.ReadBy(); p.TimeQuality != c.want || !e.Time.Equal(at) || p.ArrivedAt.IsZero() {
				t.Errorf("time %s is %s, arrived at %s; want %s, %s", e.Time, p.TimeQuality, p.ArrivedAt, at, c.want)
			}
		})
	}
}

func TestMapper_Map_PanicIsQuarantined(t *testing.T) {
	m := compile(t, []Config{sampled()}, options())
	broken := *m
	broken.mappings[0].slots = nil
	broken.mappings[0].typ = "no such type"
	if r := broken.Map(message("s", "p1/a/value", []byte("1")), View{}); r.Quarantine == nil {
		t.Error("nothing was quarantined")
	}
	broken.mappings[0].rows = m.mappings[0].rows
	broken.mappings[0].key = []*program{nil} // a fault of ours
	r := broken.Map(message("s", "p1/a/value", []byte("1")), View{})
	if !r.Panicked {
		t.Error("the panic was not counted")
	}
	if _, text := reason(t, r); !strings.Contains(text, "panicked") {
		t.Error(text)
	}
}

func FuzzMapper_Map(f *testing.F) {
	var mappers []*Mapper
	for _, dir := range []string{"press", "kepware", "neuron-values", "opc-publisher", "sitewise", "script-text", "mes-objects"} {
		configs := load(f, "testdata/"+dir+"/mapping.yaml")
		mappers = append(mappers, compile(f, configs, options()))
		for _, s := range signals(f, "testdata/"+dir+"/signals.yaml", configs[0].From.Source) {
			f.Add(s.Ref, s.Raw)
		}
	}
	for _, s := range signals(f, "testdata/bad-input/signals.yaml", "mes-mqtt") {
		f.Add(s.Ref, s.Raw)
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		for _, m := range mappers {
			for _, id := range []string{"mes-mqtt", "kepware"} {
				sig := message(id, topic, payload)
				r := m.Map(sig, View{})
				if r.Panicked {
					t.Fatalf("panicked: %s", r.Quarantine.Data.(*event.RecordQuarantined).Reason)
				}
				if len(r.Events) == 0 && r.Quarantine == nil && r.Skipped == 0 && len(r.Changes) == 0 && !emptyRows(payload) {
					t.Fatal("the signal vanished")
				}
				golden(t, r.Quarantine)
				for _, e := range r.Events {
					golden(t, e)
				}
			}
		}
	})
}

// emptyRows tells whether a payload may well hold a list without rows.
func emptyRows(payload []byte) bool {
	return bytes.Contains(payload, []byte("[")) || bytes.Contains(payload, []byte("{"))
}

func BenchmarkMapper_Map(b *testing.B) {
	configs := load(b, "testdata/press/mapping.yaml")
	m := compile(b, configs, options())
	s := signals(b, "testdata/press/signals.yaml", "mes-mqtt")[0] // two events of 13 and 11 expressions
	b.ReportAllocs()
	for b.Loop() {
		if r := m.Map(s, View{}); len(r.Events) != 2 {
			b.Fatal(len(r.Events))
		}
	}
}

func ExampleMapper_Map() {
	m, errs := Compile([]Config{{
		Name: "torque", Version: 1, From: From{Topic: "{site}/{press}/torque"},
		Event: Event{Type: "signal.value.sampled.v1", Data: map[string]any{
			"equipment": "t.press", "signal": `"torque"`, "value": "string(num(p.value))", "unit": `"N.m"`, "status": `"good"`,
		}},
	}}, Options{Plant: "p1", Agent: "gw1"})
	if errs != nil {
		fmt.Println(errs)
		return
	}
	r := m.Map(source.Signal{Source: "cells", Ref: "p1/press4/torque", Raw: []byte(`{"value":45.10}`), Arrived: time.Unix(0, 0)}, View{})
	value := r.Events[0].Data.(*event.ValueSampled)
	out, _ := json.Marshal([]string{string(value.Equipment), value.Value})
	fmt.Println(string(out))
	// Output: ["press4","45.10"]
}
