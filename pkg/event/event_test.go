package event

import (
	"strings"
	"testing"
	"time"
)

// pressValue is the value of a press's result, as the contract's example has it.
const pressValue = `{"lot":"lot::MAT-100:L-88213","inspection_id":"inspection:mes1:INS-7731","characteristic":"torque","sample_no":4,"kind":"variable","value":"61.2","unit":"N.m","lsl":"40","usl":"50","evaluation":"fail","equipment":"press4","measured_at":"2026-11-24T06:30:00.125Z","provenance":{"source":"mes-mqtt","item":"acme/p1/press4/result","transport":"mqtt","mapping":"press-result","mapping_version":4,"raw":"61,2","raw_sha256":"e3ff23319e222520a9b47387e5120daa8ed5912885c7bd312616feaae363b6a7","arrived_at":"2026-11-24T06:30:00.398Z","time_quality":"synchronised"}}`

func pressEvent(t *testing.T) *Event {
	t.Helper()
	data, err := DecodeData(TypeCharacteristicRecorded, []byte(pressValue))
	if err != nil {
		t.Fatal(err)
	}
	e := &Event{
		ID:       NaturalID("p1", "mes1", []string{"result", "000123456", "1"}, TypeCharacteristicRecorded, 0),
		Source:   "/p1/mes1",
		Time:     time.Date(2026, 11, 24, 6, 30, 0, 125e6, time.UTC),
		Recorded: time.Date(2026, 11, 24, 6, 30, 0, 412e6, time.UTC),
		Plant:    "p1",
		Origin: Origin{
			Agent: "gw1", Epoch: "dd05545a4e6517594c7fd66a8b21ab36", Lane: LaneQuality, Seq: 1042,
			Prev: NewPrev("40e6c6d0c9f3f14f5eac4fd54654f0a6", 48211, 903377),
		},
		Data: data,
	}
	if err := e.Seal("gw1"); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvent_Seal(t *testing.T) {
	e := pressEvent(t)
	for _, c := range []struct{ what, got, want string }{
		{"id", string(e.ID), "n-32a482b26791ea8c88f3e8e225202ab4"},
		{"content hash", string(e.ContentHash), "d549c6847a750dd415dae1ded4ef44e0b7963c78c88d5e2464dca74edf042b2e"},
		{"value", string(e.Value), pressValue},
		{"key", e.Key, "lot::MAT-100:L-88213"},
		{"correlation", e.Correlation, "inspection:mes1:INS-7731"},
		{"prev", string(e.Origin.Prev), "40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=48211;telemetry=903377"},
	} {
		if c.got != c.want {
			t.Errorf("%s is\n%s, want\n%s", c.what, c.got, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	good := pressEvent(t).Message()
	t.Run("OK", func(t *testing.T) {
		e, err := Decode(good)
		if err != nil {
			t.Fatal(err)
		}
		if again := e.Message(); string(again.Value) != string(good.Value) || len(again.Headers) != len(good.Headers) {
			t.Error("an event read and written again differs")
		}
	})
	for name, c := range map[string]struct{ header, value, want string }{
		"ErrSpecVersion":   {"ce_specversion", "0.3", "want 1.0"},
		"ErrID":            {"ce_id", "4711", "no event id"},
		"ErrUnknownType":   {"ce_type", "quality.characteristic.recorded.v9", "not known"},
		"ErrTime":          {"ce_time", "24.11.2026 07:30", "no time"},
		"ErrHash":          {"ce_contenthash", strings.Repeat("0", 64), "content hash"},
		"ErrSubject":       {"ce_subject", "lot::MAT-100:L-1", "subject"},
		"ErrPlant":         {"ce_plant", "P1", "no plant id"},
		"ErrAgent":         {"ce_agent", "Gw 1", "origin"},
		"ErrEpoch":         {"ce_epoch", "dd05", "no epoch"},
		"ErrPrev":          {"ce_prev", "dd05;quality=1", "no predecessor"},
		"ErrSeqZero":       {"ce_seq", "0", "a number from 1"},
		"ErrLaneOfType":    {"ce_lane", "telemetry", "lane"},
		"ErrCausationForm": {"ce_causationid", "x", "no event id"},
	} {
		t.Run(name, func(t *testing.T) {
			m := good
			m.Headers = append([]Header(nil), good.Headers...)
			found := false
			for i := range m.Headers {
				if m.Headers[i].Key == c.header {
					m.Headers[i].Value, found = []byte(c.value), true
				}
			}
			if !found {
				m.Headers = append(m.Headers, Header{c.header, []byte(c.value)})
			}
			if _, err := Decode(m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("ErrHeaderTwice", func(t *testing.T) {
		m := good
		m.Headers = append(append([]Header(nil), good.Headers...), Header{"ce_id", []byte("x")})
		if _, err := Decode(m); err == nil {
			t.Error("a header that stands twice was accepted")
		}
	})
	t.Run("ErrKey", func(t *testing.T) {
		m := good
		m.Key = []byte("lot::MAT-100:L-1")
		if _, err := Decode(m); err == nil {
			t.Error("a key that is not the subject was accepted")
		}
	})
	t.Run("ErrProvenanceTwice", func(t *testing.T) {
		m := good
		m.Value = []byte(strings.Replace(pressValue, `"provenance":{`, `"x":{"provenance":1},"provenance":{`, 1))
		if _, err := Decode(m); err == nil {
			t.Error("a value with two members called provenance was accepted")
		}
	})
}

func TestDecodeData(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"OKUnknownMember":     {`"sample_no":4`, `"sample_no":4,"humidity":null`, ""},
		"OKIntegerWithPoint":  {`"sample_no":4`, `"sample_no":4.0`, ""},
		"ErrNull":             {`"value":"61.2"`, `"value":null`, "value: is null"},
		"ErrFloat":            {`"value":"61.2"`, `"value":61.2`, "value: is a number"},
		"ErrCase":             {`"characteristic"`, `"Characteristic"`, `lacks the member "characteristic"`},
		"ErrTwice":            {`"sample_no":4`, `"sample_no":4,"sample_no":5`, "twice"},
		"ErrDecimal":          {`"value":"61.2"`, `"value":"61,2"`, "no decimal"},
		"ErrDecimalExponent":  {`"lsl":"40"`, `"lsl":"4e1"`, "no decimal"},
		"ErrLimits":           {`"lsl":"40","usl":"50",`, ``, "both absent"},
		"ErrEnum":             {`"evaluation":"fail"`, `"evaluation":"bad"`, "none of"},
		"ErrTimeOffset":       {`06:30:00.125Z"`, `07:30:00.125+01:00"`, "no time"},
		"ErrTimeTrailingZero": {`06:30:00.125Z"`, `06:30:00.120Z"`, "no time"},
		"ErrControlInName":    {`"torque"`, `"tor\u0000que"`, "control character"},
		"ErrHugeInteger":      {`"sample_no":4`, `"sample_no":9007199254740993`, "want an integer"},
		"OKZeroWithExponent":  {`"sample_no":4`, `"sample_no":0e-99999`, ""},
		"ErrTinyExponent":     {`"sample_no":4`, `"sample_no":1e-99999`, "want an integer"},
		"ErrLotKey":           {`lot::MAT-100:L-88213`, `lot::MAT-100`, "no lot key"},
		"ErrTrailing":         {`"synchronised"}}`, `"synchronised"}}{}`, "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			value := strings.Replace(pressValue, c.old, c.new, 1)
			if value == pressValue {
				t.Fatal("the case changes nothing")
			}
			_, err := DecodeData(TypeCharacteristicRecorded, []byte(value))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestNewLotKey(t *testing.T) {
	for name, c := range map[string]struct {
		scope, material, lot string
		want                 LotKey
	}{
		"OK":               {"", "MAT-100", "L-2026-0001", "lot::MAT-100:L-2026-0001"},
		"OKLeadingZeros":   {"p2", "000000000000012345", "0007", "lot:p2:000000000000012345:0007"},
		"OKDigits21":       {"", "M", "000123456789012345678", "lot::M:000123456789012345678"},
		"OKColonAndUmlaut": {"", "Ä:1", "a b", "lot::%C3%84%3A1:a%20b"},
		"ErrNoLot":         {"", "M", "", ""},
		"ErrNoMaterial":    {"", "", "L", ""},
		"ErrBlank":         {"", "M", " L", ""},
		"ErrControl":       {"", "M", "L\x00", ""},
		"ErrUTF8":          {"", "M", "L\xff", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewLotKey(c.scope, c.material, c.lot)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("NewLotKey = %q, %v, want %q", got, err, c.want)
			}
			if err == nil {
				scope, material, lot, err := got.Parts()
				if err != nil || scope != c.scope || material != c.material || lot != c.lot {
					t.Errorf("Parts = %q, %q, %q, %v", scope, material, lot, err)
				}
			}
		})
	}
	t.Run("ErrNotCanonical", func(t *testing.T) {
		if _, _, _, err := LotKey("lot::%41:x").Parts(); err == nil {
			t.Error("a key that encodes a plain letter was accepted")
		}
	})
}

func TestTypes_EncodeInSchemaOrderWithProvenanceLast(t *testing.T) {
	for _, typ := range Types() {
		spec, _ := Lookup(typ)
		value, _ := encode(spec.New())
		if !strings.HasSuffix(string(value), `"provenance":{"source":""}}`) {
			t.Errorf("%s does not end with provenance: %s", typ, value)
		}
		if spec.New().Type() != typ {
			t.Errorf("%s makes data of another type", typ)
		}
		if spec.Urgent && spec.Lane != LaneQuality {
			t.Errorf("%s is urgent outside of lane quality", typ)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(string(TypeCharacteristicRecorded), []byte(pressValue))
	f.Add(string(TypeHoldPlaced), []byte(`{"scope":{"kind":"supplier","value":"x"},"provenance":{"source":"a"}}`))
	f.Fuzz(func(t *testing.T, typ string, value []byte) {
		data, err := DecodeData(Type(typ), value)
		if err != nil {
			return
		}
		again, sound := encode(data)
		if !sound {
			t.Fatalf("accepted data is not sound: %s", again)
		}
		if _, err := DecodeData(Type(typ), again); err != nil {
			t.Fatalf("encoded data is refused: %v\n%s", err, again)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for b.Loop() {
		if _, err := DecodeData(TypeCharacteristicRecorded, []byte(pressValue)); err != nil {
			b.Fatal(err)
		}
	}
}
