package badinput

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// topicWide is mapped for every source, with a number as its value; wideTopics are all that the source wide takes.
const (
	topicWide  = "acme/p1/wide/value"
	wideTopics = "acme/+/wide/#"
)

// wideMapping takes topicWide and names all that an event of its type needs.
const wideMapping = `mappings:
  - name: wide-value
    version: 1
    from: { topic: "{enterprise}/{site}/wide/value" }
    event:
      type: quality.characteristic.recorded.v1
      lot: lot("", p.material, p.lot)
      time: rfc3339(p.at)
      key: ['"wide"', p.record]
      data:
        inspection_id: id("inspection", p.inspection)
        characteristic: p.characteristic
        sample_no: p.sample
        kind: '"variable"'
        value: num(p.value)
        unit: p.unit
        lsl: p.lsl
        usl: p.usl
        evaluation: judge(num(p.value), p.lsl, p.usl)
        equipment: '"press4"'
        measured_at: rfc3339(p.at)
    samples:
      - name: a part within its limits
        topic: acme/p1/wide/value
        payload: '{"record":"1","lot":"L-1","material":"MAT-100","inspection":"INS-1","characteristic":"torque","sample":1,"value":45.10,"unit":"N.m","lsl":"40","usl":"50","at":"2026-11-24T06:30:00.125Z"}'
        want: [{ lot: "lot::MAT-100:L-1", data: { value: "45.10", evaluation: pass } }]
      - name: no value
        topic: acme/p1/wide/value
        payload: '{"record":"1","lot":"L-1","material":"MAT-100","inspection":"INS-1","characteristic":"torque","sample":1,"unit":"N.m","lsl":"40","usl":"50","at":"2026-11-24T06:30:00.125Z"}'
        want_error: data.value
`

// wide returns the plant whose agent reads, beside the usual topics, a wide filter at the broker and some brokers of one
// client, each for the test of its name.
func wide(t *testing.T) *rig {
	t.Helper()
	return world.wide.get(t, func() (*rig, error) {
		return newRig("wide", stack.Config{}, func(r *rig) error {
			sources := "sources:\n" + sourceText("wide", r.MQTT.URL())
			for _, w := range []struct {
				name     string
				granted  byte
				cutShort bool
			}{{"b006", 1, false}, {"b014", 1, false}, {"b015", 1, false}, {"b018", 1, false}, {"b019", 0x80, false}, {"b020", 1, true}, {"b021", 1, false}} {
				made, err := newWire(w.granted, w.cutShort)
				if err != nil {
					return err
				}
				r.wires[w.name] = made
				sources += sourceText(w.name, made.url())
			}
			return r.include(sources + wideMapping)
		})
	})
}

func sourceText(id, url string) string {
	return fmt.Sprintf("  - { id: %s, equipment: press4, mqtt: { broker: %q, subscribe: [%q] } }\n", id, url, wideTopics)
}

// include adds a file to the agent's configuration.
func (r *rig) include(text string) error {
	if err := os.WriteFile(r.Path("more.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	cfg, err := os.ReadFile(r.Path("agent.yaml"))
	if err != nil {
		return err
	}
	cfg = bytes.Replace(cfg, []byte("include: [press.yaml]"), []byte("include: [press.yaml, more.yaml]"), 1)
	return os.WriteFile(r.Path("agent.yaml"), cfg, 0o644)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns a result's JSON in which the value of a member, or the whole member, was replaced.
func with(t *testing.T, v any, member, json string) []byte {
	t.Helper()
	b := encode(t, v)
	at := regexp.MustCompile(`"` + member + `":("[^"]*"|[^,}]*)`)
	if !at.Match(b) {
		t.Fatalf("%s has no member %s", b, member)
	}
	return at.ReplaceAllLiteral(b, []byte(`"`+member+`":`+json))
}

// refused sends payloads to the press's topic, each of which must end in quarantine, and then one that must not.
func refused(t *testing.T, cases map[string]bad) {
	t.Helper()
	r := wide(t)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		b := cases[name]
		t.Run(name, func(t *testing.T) {
			b.topic = plant.TopicResult
			r.quarantined(t, b, r.press.SendRaw)
		})
	}
	r.flows(t)
}

func TestB001_EmptyPayload(t *testing.T) {
	refused(t, map[string]bad{"Empty": {payload: []byte{}, reason: "payload is empty"}})
}

func TestB002_NotJSON(t *testing.T) {
	refused(t, map[string]bad{
		"Text":      {payload: []byte("torque=61.2"), reason: "not JSON"},
		"CutOff":    {payload: []byte(`{"record":"r-1","lot":`), reason: "not JSON"},
		"TwoValues": {payload: []byte(`{"record":"r-1"} {"record":"r-2"}`), reason: "more than one JSON value"},
	})
}

func TestB003_InvalidUTF8(t *testing.T) {
	r := wide(t)
	refused(t, map[string]bad{
		"Bytes":    {payload: []byte{0xff, 0xfe, 0x00, 0x80}, reason: "not UTF-8"},
		"InAValue": {payload: with(t, r.result(), "lot", "\"L-\xc3\x28\""), reason: "not UTF-8"},
	})
}

func TestB004_ControlCharactersInIDs(t *testing.T) {
	r := wide(t)
	refused(t, map[string]bad{
		"NULInLot":         {payload: with(t, r.result(), "lot", `"L-1\u0000"`), reason: "lot"},
		"BellInMaterial":   {payload: with(t, r.result(), "material", `"MAT\u0007"`), reason: "lot"},
		"LineInInspection": {payload: with(t, r.result(), "inspection", `"INS\n1"`), reason: "inspection_id"},
		"NULInRecord":      {payload: with(t, r.result(), "record", `"r\u0000"`), reason: "key"},
		"EscInName":        {payload: with(t, r.result(), "characteristic", `"\u001b[2J"`), reason: "characteristic"},
	})
}

func TestB005_PayloadAboveTheLimit(t *testing.T) {
	r := wide(t)
	payload := bytes.Repeat([]byte("0123456789"), 1<<20)
	d := r.quarantined(t, bad{topic: plant.TopicResult, payload: payload, code: problem.PayloadTooLarge, reason: "10485760 bytes"}, r.press.SendRaw)
	if len(d.Provenance.Raw) != 4<<10 || !slices.Contains(d.Provenance.Flags, source.FlagCut) {
		t.Errorf("kept %d bytes with the flags %v: want the first 4 KiB, cut", len(d.Provenance.Raw), d.Provenance.Flags)
	}
	r.flows(t)
}

// TestB006_DeclaredLength sends the longest packets that MQTT can declare. The payload is zeros, hashed as it is sent.
func TestB006_DeclaredLength(t *testing.T) {
	r := wide(t)
	w := r.wires["b006"]
	const longest = 268_435_455
	peak := peakMemory(t, r.Agent.Pid())
	t.Run("PublishIsCut", func(t *testing.T) {
		before := counter(t, r.Agent, quarantines(problem.PayloadTooLarge))
		length := longest - 2 - len(topicWide) - 2
		w.write(t, publishHead(0, 7, topicWide, length))
		for chunk := make([]byte, 1<<20); length > 0; length -= len(chunk) {
			w.write(t, chunk[:min(length, len(chunk))])
		}
		eventually(t, "the packet is acknowledged", func() bool { return w.acked(7) == 1 })
		if after := counter(t, r.Agent, quarantines(problem.PayloadTooLarge)); after != before+1 {
			t.Errorf("%v records were quarantined: want one", after-before)
		}
		r.wideFlows(t, w, 8)
	})
	t.Run("OtherPacketClosesTheLink", func(t *testing.T) {
		n := w.connections()
		w.write(t, []byte{0x40, 0xff, 0xff, 0xff, 0x7f}) // PUBACK
		eventually(t, "the agent connects anew", func() bool { return w.connections() > n })
		r.wideFlows(t, w, 9)
	})
	if grown := peakMemory(t, r.Agent.Pid()) - peak; peak > 0 && grown > 64<<20 {
		t.Errorf("peak memory grew by %d MiB", grown>>20)
	}
	r.flows(t)
}

// peakMemory returns a process's largest resident size in bytes, 0 where the system does not tell.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Logf("peak memory is not known: %v", err)
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// wideFlows asserts that a good message from a wire arrives and is acknowledged.
func (r *rig) wideFlows(t *testing.T, w *wire, id uint16) {
	t.Helper()
	good := encode(t, r.result())
	if err := w.sender(t, 0, id)(topicWide, good); err != nil {
		t.Fatal(err)
	}
	r.inbox(t, event.TypeCharacteristicRecorded, good)
}

func TestB007_DeeplyNested(t *testing.T) {
	r := wide(t)
	const depth = 10_000
	nested := strings.Repeat("[", depth) + strings.Repeat("]", depth)
	refused(t, map[string]bad{
		"Lists":   {payload: []byte(nested), reason: "nested deeper"},
		"Objects": {payload: []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)), reason: "nested deeper"},
		"InAnUnknownMember": {payload: append(bytes.TrimSuffix(encode(t, r.result()), []byte("}")), []byte(`,"more":`+nested+"}")...),
			reason: "nested deeper"},
	})
}

func TestB008_DuplicateKeys(t *testing.T) {
	r := wide(t)
	twice := func(member string) []byte {
		return append(bytes.TrimSuffix(encode(t, r.result()), []byte("}")), []byte(`,"`+member+`":"50"}`)...)
	}
	refused(t, map[string]bad{
		"Value":         {payload: twice("value"), reason: `"value" twice`},
		"EscapedValue":  {payload: twice(`v\u0061lue`), reason: `"value" twice`},
		"UnknownMember": {payload: []byte(`{"a":{"b":1,"b":1}}`), reason: `"b" twice`},
	})
}

func TestB009_NoNumbers(t *testing.T) {
	r := wide(t)
	refused(t, map[string]bad{
		"NaN":         {payload: with(t, r.result(), "value", `NaN`), reason: "not JSON"},
		"Infinity":    {payload: with(t, r.result(), "value", `-Infinity`), reason: "not JSON"},
		"1e400":       {payload: with(t, r.result(), "value", `1e400`), reason: "out of range"},
		"NaNAsText":   {payload: with(t, r.result(), "value", `"NaN"`), reason: "data.value"},
		"1e400AsText": {payload: with(t, r.result(), "value", `"1e400"`), reason: "has 401 characters"},
		"Empty":       {payload: with(t, r.result(), "value", `""`), reason: "data.value"},
	})
}

// TestB010_LargeIntegersStayExact sends numbers that a float64 would round. What an event's type does not hold is
// refused, never rounded.
func TestB010_LargeIntegersStayExact(t *testing.T) {
	r := wide(t)
	t.Run("Value", func(t *testing.T) {
		for _, number := range []string{"9007199254740993", "123456789012345678", "0.100000001"} {
			payload := with(t, r.result(), "value", number)
			if err := r.press.SendRaw(topicWide, payload); err != nil {
				t.Fatal(err)
			}
			if d := r.inbox(t, event.TypeCharacteristicRecorded, payload).(*event.CharacteristicRecorded); string(d.Value) != number {
				t.Errorf("value is %s: want %s", d.Value, number)
			}
		}
	})
	t.Run("LotNumber", func(t *testing.T) {
		payload := []byte(`{"record":"LOT-21","lot":123456789012345678901,"material":"MAT-100","qty":500,"unit":"kg","order":"4711","equipment":"press4","at":"2026-11-24T06:00:00.000Z"}`)
		if err := r.press.SendRaw(plant.TopicLot, payload); err != nil {
			t.Fatal(err)
		}
		if lot := r.inbox(t, event.TypeLotCreated, payload).Concerns(); lot != "lot::MAT-100:123456789012345678901" {
			t.Errorf("lot is %s", lot)
		}
	})
	refused(t, map[string]bad{
		"ErrTooManyDigits": {payload: with(t, r.result(), "value", "1234567890123456789"), reason: "value"},
		"ErrTooFine":       {payload: with(t, r.result(), "value", "45.0000000001"), reason: "value"},
	})
}

func TestB011_CommaAndUnits(t *testing.T) {
	r := wide(t)
	refused(t, map[string]bad{
		"DecimalComma":  {payload: with(t, r.result(), "value", `"61,2"`), reason: "data.value"},
		"ThousandsMark": {payload: with(t, r.result(), "value", `"1.061,2"`), reason: "data.value"},
		"UnitEmpty":     {payload: with(t, r.result(), "unit", `""`), reason: "unit"},
		"UnitNull":      {payload: with(t, r.result(), "unit", `null`), reason: "unit"},
		"UnitUnknown":   {payload: with(t, r.result(), "unit", `"furlong per fortnight"`), reason: "unit"},
	})
}

func TestB012_UnknownField(t *testing.T) {
	r := wide(t)
	payload := append(bytes.TrimSuffix(encode(t, r.result()), []byte("}")), []byte(`,"firmware":{"build":"2026.11-x"}}`)...)
	if err := r.press.SendRaw(topicWide, payload); err != nil {
		t.Fatal(err)
	}
	d := r.inbox(t, event.TypeCharacteristicRecorded, payload)
	if raw := d.ReadBy().Raw; raw != string(payload) {
		t.Errorf("raw is %q: want the whole payload %q", raw, payload)
	}
}

func TestB014_RetainedMessageAgain(t *testing.T) {
	r := wide(t)
	w := r.wires["b014"]
	payload := encode(t, r.result())
	if err := w.sender(t, retain, 1)(topicWide, payload); err != nil {
		t.Fatal(err)
	}
	if flags := r.inbox(t, event.TypeCharacteristicRecorded, payload).ReadBy().Flags; !slices.Contains(flags, source.FlagRetained) {
		t.Errorf("flags are %v: want %s among them", flags, source.FlagRetained)
	}
	r.again(t, w, func() {
		if err := w.sender(t, retain, 2)(topicWide, payload); err != nil {
			t.Fatal(err)
		}
	})
}

// again cuts a wire, lets send bring an event that is known after the agent is back, and asserts that it is counted and
// not stored.
func (r *rig) again(t *testing.T, w *wire, send func()) {
	t.Helper()
	seq, repeated := laneOf(r.status(t), event.LaneQuality).LastSeq, counter(t, r.Agent, repeats)
	w.drop()
	send()
	if n := counter(t, r.Agent, repeats); n != repeated+1 {
		t.Errorf("%v repeats were counted: want one", n-repeated)
	}
	if now := laneOf(r.status(t), event.LaneQuality).LastSeq; now != seq {
		t.Errorf("seq went from %d to %d: an event was stored", seq, now)
	}
}

func TestB015_Redelivery(t *testing.T) {
	r := wide(t)
	w := r.wires["b015"]
	payload := encode(t, r.result())
	if err := w.sender(t, 0, 1)(topicWide, payload); err != nil {
		t.Fatal(err)
	}
	r.inbox(t, event.TypeCharacteristicRecorded, payload)
	r.again(t, w, func() {
		if err := w.sender(t, dup, 1)(topicWide, payload); err != nil {
			t.Fatal(err)
		}
	})
	// A broker that was restarted gives the same packet id to another message, and marks it as a duplicate.
	w.drop()
	other := encode(t, r.result())
	if err := w.sender(t, dup, 1)(topicWide, other); err != nil {
		t.Fatal(err)
	}
	r.inbox(t, event.TypeCharacteristicRecorded, other)
}

func TestB016_QoS0(t *testing.T) {
	r := wide(t)
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(r.MQTT.URL()).SetClientID("careless"))
	if token := client.Connect(); !token.WaitTimeout(limit) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	defer client.Disconnect(100)
	for range 3 {
		payload := encode(t, r.result())
		client.Publish(topicWide, 0, false, payload)
		if flags := r.inbox(t, event.TypeCharacteristicRecorded, payload).ReadBy().Flags; !slices.Contains(flags, source.FlagAtMostOnce) {
			t.Errorf("flags are %v: want %s among them", flags, source.FlagAtMostOnce)
		}
	}
	if topics := sourceOf(r.status(t), "wide").AtMostOnce; !slices.Equal(topics, []string{topicWide}) {
		t.Errorf("status lists %v as outside the promise", topics)
	}
	warned := 0
	for _, l := range logLines(t, r.Path("agent.log")) {
		if l.Source == "wide" && strings.Contains(l.Message, "outside the promise") {
			warned++
		}
	}
	if warned != 1 {
		t.Errorf("warned %d times: want once", warned)
	}
}

// logLine is what tests look at in a line of a log.
type logLine struct {
	Level, Message, Source, Error, Topic string
	Code                                 problem.Code `json:"error_code"`
}

// logLines reads a log. What a program says last, when it ends, is text.
func logLines(t *testing.T, path string) []logLine {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []logLine
	for line := range bytes.Lines(text) {
		var l logLine
		if json.Unmarshal(line, &l) == nil {
			all = append(all, l)
		}
	}
	return all
}

func TestB017_OtherPlantOrTopic(t *testing.T) {
	r := wide(t)
	t.Run("OtherPlant", func(t *testing.T) {
		r.quarantined(t, bad{topic: "acme/p2/wide/value", payload: encode(t, r.result()), code: problem.TopicForeign, reason: `plant "p2"`}, r.press.SendRaw)
	})
	t.Run("NotSubscribed", func(t *testing.T) {
		b := bad{topic: "acme/p1/elsewhere", payload: encode(t, r.result()), code: problem.TopicForeign, reason: "not one that was subscribed"}
		d := r.quarantined(t, b, r.wires["b018"].sender(t, 0, 20))
		if !slices.Contains(d.Provenance.Flags, source.FlagUnsubscribed) {
			t.Errorf("flags are %v", d.Provenance.Flags)
		}
	})
	t.Run("Unmapped", func(t *testing.T) {
		r.quarantined(t, bad{topic: "acme/p1/wide/nobody", payload: encode(t, r.result()), code: problem.TopicUnmapped, reason: "no mapping"}, r.press.SendRaw)
	})
	r.flows(t)
}

func TestB018_ImpossibleTopics(t *testing.T) {
	r := wide(t)
	w := r.wires["b018"]
	id := uint16(100)
	cases := map[string]bad{
		"Plus":     {topic: "acme/p1/wide/+", code: problem.TopicForeign, reason: "wildcard"},
		"Hash":     {topic: "acme/p1/wide/#", code: problem.TopicForeign, reason: "wildcard"},
		"Dollar":   {topic: "$SYS/broker/load", code: problem.TopicForeign, reason: "not one that was subscribed"},
		"NUL":      {topic: "acme/p1/wide/\x00", code: problem.TopicForeign, reason: "characters that no topic may have"},
		"NotUTF8":  {topic: "acme/p1/wide/\xff", code: problem.TopicForeign, reason: "characters that no topic may have"},
		"Longest":  {topic: "acme/p1/wide/" + strings.Repeat("x", 65535-13), code: problem.TopicUnmapped, reason: "no mapping"},
		"NoLetter": {topic: "", code: problem.TopicForeign, reason: "not one that was subscribed"},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		b := cases[name]
		id++
		t.Run(name, func(t *testing.T) {
			b.payload = encode(t, r.result())
			if d := r.quarantined(t, b, w.sender(t, 0, id)); len(d.Item) > 2048 {
				t.Errorf("item has %d bytes", len(d.Item))
			}
		})
	}
	r.wideFlows(t, w, 99)
}

func TestB019_SubscriptionRefused(t *testing.T) {
	r := wide(t)
	eventually(t, "the source is refused", func() bool { return sourceOf(r.status(t), "b019").State == source.Refused })
	s := sourceOf(r.status(t), "b019")
	if !strings.Contains(s.Problem, "refuses the subscription to "+wideTopics) || !strings.Contains(s.Problem, string(problem.SourceRefused)) || s.Next == "" {
		t.Errorf("status says %q, next %q", s.Problem, s.Next)
	}
	if up := counter(t, r.Agent, `holdfast_agent_source_up{source="b019"}`); up != 0 {
		t.Errorf("source_up is %v", up)
	}
	r.flows(t)
}

func TestB020_TakenOver(t *testing.T) {
	r := wide(t)
	w := r.wires["b020"]
	eventually(t, "the alarm", func() bool {
		return strings.Contains(sourceOf(r.status(t), "b020").Problem, string(problem.SourceTakeover))
	})
	s := sourceOf(r.status(t), "b020")
	if s.State != source.BackingOff || !strings.Contains(s.Problem, "another client uses the id") {
		t.Errorf("state is %s: %s", s.State, s.Problem)
	}
	n := w.connections()
	logged := false
	for _, l := range logLines(t, r.Path("agent.log")) {
		logged = logged || l.Source == "b020" && l.Code == problem.SourceTakeover
	}
	if !logged {
		t.Error("the log does not name the takeover")
	}
	r.flows(t)
	if w.connections() != n {
		t.Error("the source goes on flapping")
	}
}

func TestB021_ClosedInMidPacket(t *testing.T) {
	r := wide(t)
	w := r.wires["b021"]
	payload := encode(t, r.result())
	packet := publishPacket(0, 5, topicWide, payload)
	before := r.status(t)
	w.write(t, packet[:len(packet)-10])
	w.drop()
	if err := w.sender(t, dup, 5)(topicWide, payload); err != nil {
		t.Fatal(err)
	}
	r.inbox(t, event.TypeCharacteristicRecorded, payload)
	after := r.status(t)
	if was, is := laneOf(before, event.LaneQuality).LastSeq, laneOf(after, event.LaneQuality).LastSeq; is != was+1 {
		t.Errorf("seq went from %d to %d: want one event", was, is)
	}
	if after.Quarantine.Count != before.Quarantine.Count {
		t.Error("half a message was quarantined")
	}
	if s := sourceOf(after, "b021"); s.Reconnects == 0 {
		t.Errorf("source is %+v", s)
	}
}

// TestMQTT_NothingComesAgain proves that what was quarantined was acknowledged: a broker sends what is not on each new
// connection.
func TestMQTT_NothingComesAgain(t *testing.T) {
	r := wide(t)
	for _, payload := range [][]byte{{}, []byte("not JSON"), {0xff}, bytes.Repeat([]byte("x"), 2<<20)} {
		if err := r.press.SendRaw(plant.TopicResult, payload); err != nil {
			t.Fatal(err)
		}
	}
	r.flows(t)
	r.restartAgent(t)
	r.flows(t)
	s := r.status(t)
	if press := sourceOf(s, "press4"); press.Received != 1 || s.Quarantine.Count != 0 {
		t.Errorf("after a restart %d messages came and %d were quarantined: want the one that was sent", press.Received, s.Quarantine.Count)
	}
	if time.Since(s.UpSince) > limit {
		t.Errorf("up since %s: it was not restarted", s.UpSince)
	}
}
