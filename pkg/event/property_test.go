package event

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// The test draws data near what a schema accepts: a valid skeleton made from the Go struct, then changes to it. The
// schema and DecodeData have to agree on each. Not drawn is what a schema cannot see, since it is about the text and
// not the value: names that stand twice, invalid UTF-8, and, where the schema says nothing about the value, nesting
// beyond MaxDepth and numbers beyond float64.

// node is a piece of JSON that can be changed before it is written.
type node struct {
	typ     reflect.Type // Go type that it is made for; nil for members that the schema does not know
	text    string       // JSON, if it has neither members nor elements
	members []pair
	array   []*node
	isArray bool
}

type pair struct {
	name string
	node *node
}

func (n *node) write(b *strings.Builder) {
	switch {
	case n.text != "":
		b.WriteString(n.text)
	case n.isArray:
		b.WriteByte('[')
		for i, e := range n.array {
			if i > 0 {
				b.WriteByte(',')
			}
			e.write(b)
		}
		b.WriteByte(']')
	default:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, "%q:", m.name)
			m.node.write(b)
		}
		b.WriteByte('}')
	}
}

func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

// all returns n and every node that is written below it.
func (n *node) all() []*node {
	list := []*node{n}
	if n.text != "" {
		return list
	}
	for _, m := range n.members {
		list = append(list, m.node.all()...)
	}
	for _, e := range n.array {
		list = append(list, e.all()...)
	}
	return list
}

// good has valid values per Go type, as JSON.
var good = map[reflect.Type][]string{
	reflect.TypeFor[LotKey]():            {`"lot::MAT-100:L-88213"`, `"lot:p2:000000000000012345:0007"`, `"lot::%C3%84%3A1:a%20b"`, `"lot::M:` + strings.Repeat("L", 1024-7) + `"`},
	reflect.TypeFor[ObjectID]():          {`"inspection:mes1:INS-7731"`, `"nc:n-32a482b26791ea8c88f3e8e225202ab4"`, `"a:` + strings.Repeat("x", 1022) + `"`, `"` + strings.Repeat("a", 32) + `:x"`},
	reflect.TypeFor[ID]():                {`"n-32a482b26791ea8c88f3e8e225202ab4"`, `"0193f3a0-0000-7000-8000-000000000001"`},
	reflect.TypeFor[PlantID]():           {`"p1"`, `"a23456789-123456"`},
	reflect.TypeFor[EquipmentID]():       {`"press4"`, `"-"`, `"` + strings.Repeat("9", 64) + `"`},
	reflect.TypeFor[AgentID]():           {`"gw1"`, `"-"`, `"` + strings.Repeat("9", 64) + `"`},
	reflect.TypeFor[Name]():              {`"61.2"`, `"torque"`, `" "`, `"a\u0080\u2028"`, `"` + strings.Repeat("é", 256) + `"`, `"` + strings.Repeat("😀", 256) + `"`},
	reflect.TypeFor[string]():            {`"mqtt topic"`, `"\u0000\n\u007f"`, `"` + strings.Repeat("é", 300) + `"`},
	reflect.TypeFor[Decimal]():           {`"61.2"`, `"0"`, `"-0"`, `"-0.000000001"`, `"999999999999999999.999999999"`, `"1.0"`},
	reflect.TypeFor[Unit]():              {`"N.m"`, `"{each}"`, `"1"`, `"` + strings.Repeat("~", 32) + `"`},
	reflect.TypeFor[Hash]():              {`"` + strings.Repeat("0a", 32) + `"`},
	reflect.TypeFor[Epoch]():             {`"dd05545a4e6517594c7fd66a8b21ab36"`},
	reflect.TypeFor[Prev]():              {`"none"`, `"40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=0;telemetry=9999999999999999"`},
	reflect.TypeFor[int64]():             {`4`, `0`, `-0`, `4.0`, `4e0`, `40e-1`, `0.4E+1`, `9007199254740991`, `9.007199254740991e15`, `9007199254740991.000`, `0e99`, `0e-99999`, `0.` + strings.Repeat("0", 60), `1` + strings.Repeat("0", 50) + `e-50`, `4e00000`, `-0.0e-7`},
	reflect.TypeFor[bool]():              {`true`, `false`},
	reflect.TypeFor[Time]():              {`"2026-11-24T06:30:00.125Z"`, `"2026-11-24T06:30:00Z"`, `"2024-02-29T23:59:59.999999999Z"`, `"0000-01-01T00:00:00Z"`, `"9999-12-31T00:00:00Z"`, `"0001-01-01T00:00:00.1Z"`, `"2000-02-29T00:00:00Z"`},
	reflect.TypeFor[Severity]():          {`"critical"`, `"major"`, `"minor"`},
	reflect.TypeFor[HoldKind]():          {`"recall"`, `"safety"`, `"quality"`, `"doc"`, `"system"`},
	reflect.TypeFor[Authority]():         {`"operator"`, `"quality"`},
	reflect.TypeFor[ValueKind]():         {`"variable"`, `"attribute"`},
	reflect.TypeFor[Evaluation]():        {`"fail"`, `"indeterminate"`, `"pass"`, `"rework"`, `"none"`},
	reflect.TypeFor[SignalStatus]():      {`"good"`, `"uncertain"`, `"bad"`, `"stale"`},
	reflect.TypeFor[TimeQuality]():       {`"synchronised"`, `"unsynchronised"`, `"missing"`, `"suspect"`},
	reflect.TypeFor[UsageStatus]():       {`"unrestricted"`, `"in_inspection"`, `"restricted"`, `"blocked"`, `"other"`},
	reflect.TypeFor[Lane]():              {`"quality"`, `"telemetry"`},
	reflect.TypeFor[ScopeKind]():         {`"sublot"`, `"material"`, `"supplier"`, `"equipment"`},
	reflect.TypeFor[GapReason]():         {`"agent_restart"`, `"session_lost"`, `"disconnect"`, `"watchdog"`, `"server_restart"`, `"connector_crash"`, `"queue_overflow"`, `"event_overflow"`, `"backpressure"`, `"sequence_jump"`, `"sequence_reset"`, `"seq_gap"`, `"torn"`, `"status_change"`, `"item_missing"`, `"trust_refused"`, `"clock_step"`, `"file_rotated"`},
	reflect.TypeFor[InspectionType]():    {`"incoming"`, `"in_process"`, `"final"`, `"outgoing"`, `"periodic"`, `"reinspection"`},
	reflect.TypeFor[Verdict]():           {`"pass"`, `"fail"`, `"indeterminate"`, `"none"`},
	reflect.TypeFor[Decision]():          {`"release"`, `"conditional_release"`, `"rework"`, `"regrade"`, `"return_to_supplier"`, `"scrap"`, `"reject"`},
	reflect.TypeFor[CertificateKind]():   {`"CoA"`, `"CoC"`},
	reflect.TypeFor[EpochDecision]():     {`"accepted"`, `"quarantined"`},
	reflect.TypeFor[LossCause]():         {`"shed"`, `"damaged"`},
	reflect.TypeFor[Outcome]():           {`"applied"`, `"already_applied"`, `"rejected"`, `"conflict"`, `"retry_later"`, `"unknown"`, `"cancelled"`},
	reflect.TypeFor[MoveReason]():        {`"open_hold"`, `"no_disposition"`, `"gap"`, `"parked"`, `"quarantine"`, `"barrier"`, `"foreign_restriction"`, `"usage_not_verified"`},
	reflect.TypeFor[map[string]string](): {`{"tag":"1m30s","":""}`, `{}`, `{"provenance":"x"}`},
}

// otherKinds has values of each JSON type, and odd numbers.
var otherKinds = []string{
	`null`, `true`, `"true"`, `[]`, `[null]`, `["x"]`, `{}`, `{"a":1}`, `{"a":"b"}`, `{"value":"1"}`, `{"source":"x"}`,
	`-1`, `0.5`, `4.5e0`, `45e-1`, `1e-400`, `-1e-400`, `9007199254740992`, `9007199254740993`, `9.007199254740992e15`,
	`9007199254740991.5`, `9007199254740990.99999999999999999999999999999999999999999999999`, `18446744073709551620`, `1e16`,
	`1e400`, `-1e400`, `"4"`,
}

// foul has texts that are wrong in most places, at the edges of what is right.
var foul = []string{
	// Lengths and characters.
	`""`, `"x"`, `" "`, `"\u0000"`, `"a\nb"`, `"\u007f"`, `"\u0080"`, `"\u2028"`, `"\ud800"`, `"bad"`, `"Fail"`, `"fail "`,
	`"` + strings.Repeat("a", 32) + `"`, `"` + strings.Repeat("a", 33) + `"`, `"` + strings.Repeat("0", 31) + `"`,
	`"` + strings.Repeat("a", 63) + `"`, `"` + strings.Repeat("a", 64) + `"`, `"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("A", 64) + `"`,
	`"` + strings.Repeat("x", 256) + `"`, `"` + strings.Repeat("x", 257) + `"`, `"` + strings.Repeat("é", 257) + `"`,
	// Decimals and units.
	`"-"`, `"."`, `".5"`, `"5."`, `"+1"`, `"1e3"`, `"1,5"`, `"00"`, `"01"`, `"-01.5"`, `"1.0000000000"`, `"1234567890123456789"`, `"NaN"`, `"٣"`, `"1 "`, `"1\n"`, `"N m"`, `"Ω"`,
	// Keys.
	`"lot:::L"`, `"lot::M:"`, `"lot::M"`, `"lot:a:b:c:d"`, `"lot::M:%41"`, `"lot::M:%2d"`, `"lot::M:%2D"`, `"lot::M:%2F"`, `"lot::M:%0A"`, `"lot::M:%7F"`, `"lot::M:%7E"`, `"lot::M:%5F"`, `"lot::M:%FF"`, `"lot::M:%"`,
	`"lot::M:é"`, `"LOT::M:L"`, `"lot::M:L\n"`, `"lot::M:` + strings.Repeat("L", 1024-6) + `"`,
	`"a:b"`, `"a:b:c"`, `"a:b:c:d"`, `"a:"`, `"a::b"`, `":a"`, `"A:b"`, `"1:b"`, `"a:%30"`, `"a:%3A"`, `"` + strings.Repeat("a", 33) + `:x"`, `"a:` + strings.Repeat("x", 1023) + `"`,
	`"p"`, `"P1"`, `"1p"`, `"p_1"`, `"a1234567890123456"`, `"a b"`, `"n-32A482b26791ea8c88f3e8e225202ab4"`, `"n-"`, `"0193f3a0000070008000000000000001"`, `"0193F3A0-0000-7000-8000-000000000001"`,
	`"none;"`, `"40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=01;telemetry=0"`, `"40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=0"`, `"40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=0;telemetry=10000000000000000"`,
	// Times.
	`"2026-11-24T06:30:00.120Z"`, `"2026-11-24T06:30:00.Z"`, `"2026-11-24T06:30:00.0Z"`, `"2026-11-24T06:30:00,5Z"`, `"2026-11-24T06:30:00.1234567891Z"`, `"2026-11-24T07:30:00+01:00"`, `"2026-11-24T06:30:00+00:00"`, `"2026-11-24T06:30:00-00:00"`,
	`"2026-11-24T06:30:00"`, `"2026-11-24t06:30:00Z"`, `"2026-11-24T06:30:00z"`, `"2026-11-24 06:30:00Z"`, `"2026-11-24T6:30:00Z"`, `"2026-11-24T06:30Z"`, `"2026-11-24"`,
	`"2016-12-31T23:59:60Z"`, `"2026-11-24T06:30:60Z"`, `"2026-11-24T24:00:00Z"`, `"2026-11-24T06:60:00Z"`, `"2026-02-30T00:00:00Z"`, `"2026-02-29T00:00:00Z"`, `"1900-02-29T00:00:00Z"`, `"2026-04-31T00:00:00Z"`, `"2026-00-10T00:00:00Z"`, `"2026-13-10T00:00:00Z"`, `"2026-11-00T00:00:00Z"`,
	`"0001-01-01T00:00:00Z"`, `"0001-01-01T00:00:01Z"`, `"10000-01-01T00:00:00Z"`, `"-001-01-01T00:00:00Z"`, `"2026-11-24T06:30:00Z\n"`, `" 2026-11-24T06:30:00Z"`,
}

// long has the edges of free text. It is apart from foul since it is slow.
var long = []string{`"` + strings.Repeat("é", 65536) + `"`, `"` + strings.Repeat("x", 65537) + `"`}

// whole returns a valid value of t. pick chooses among n things and says whether an optional member is there.
func whole(t reflect.Type, pick func(n int, what string) int) *node {
	switch {
	case good[t] != nil:
		return &node{typ: t, text: good[t][pick(len(good[t]), "value")]}
	case t.Kind() == reflect.Pointer:
		return whole(t.Elem(), pick)
	case t.Kind() == reflect.Slice:
		n := &node{typ: t, isArray: true}
		for range pick(3, "length") {
			n.array = append(n.array, whole(t.Elem(), pick))
		}
		return n
	}
	n := &node{typ: t}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if options == "" || pick(2, "there") == 1 {
			n.members = append(n.members, pair{name, whole(f.Type, pick)})
		}
	}
	return n
}

// forms has, per type, the groups of members of which valid data has exactly one, whole.
var forms = map[Type][][]string{TypeEvidenceAccepted: {{"gap_id"}, {"plant", "agent", "barrier"}}}

// skeleton returns data of a type, of one of its forms.
func skeleton(typ Type, pick func(n int, what string) int) *node {
	data := whole(specs[typ].data, pick)
	if forms[typ] == nil {
		return data
	}
	one := forms[typ][pick(len(forms[typ]), "form")]
	data.members = slices.DeleteFunc(data.members, func(p pair) bool { return slices.Contains(slices.Concat(forms[typ]...), p.name) })
	for _, f := range reflect.VisibleFields(specs[typ].data) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); slices.Contains(one, name) {
			data.members = slices.Insert(data.members, 0, pair{name, whole(f.Type, pick)})
		}
	}
	return data
}

// plain picks the first value, one element, and every optional member.
func plain(_ int, what string) int {
	if what == "value" {
		return 0
	}
	return 1
}

// agree fails the test if schema and DecodeData differ, and returns whether they accept the value.
func agree(t rapid.TB, schema *jsonschema.Schema, typ Type, value string) bool {
	tree, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
	if err != nil {
		t.Fatalf("the test wrote what is no JSON: %v\n%.2000s", err, value)
	}
	bySchema := schema.Validate(tree)
	_, byGo := DecodeData(typ, []byte(value))
	if (bySchema == nil) != (byGo == nil) {
		t.Fatalf("schema and Go differ on %s\nschema: %v\nGo: %v\n%.2000s", typ, bySchema, byGo, value)
	}
	return byGo == nil
}

// TestDecodeData_AgreesWithSchemaOnEachChange makes single changes at every place of every type. Each value type meets
// all texts at its first place; elsewhere it meets those of other JSON types, since TestTypes_MirrorSchemas proves that
// the place has the same value type in Go and in the schema.
func TestDecodeData_AgreesWithSchemaOnEachChange(t *testing.T) {
	tried := map[reflect.Type]bool{}
	for i, typ := range Types() {
		t.Run(string(typ), func(t *testing.T) {
			schema := schemaOf(t, typ)
			data := skeleton(typ, plain)
			if i > 0 {
				data.members[len(data.members)-1].node = &node{text: `{"source":"mes-mqtt"}`}
			}
			accepted, refused := 0, 0
			try := func() {
				if agree(t, schema, typ, data.String()) {
					accepted++
				} else {
					refused++
				}
			}
			for _, n := range data.all() {
				old := *n
				texts := slices.Concat(good[n.typ], otherKinds)
				if !tried[n.typ] {
					texts = slices.Concat(texts, foul, long)
				}
				tried[n.typ] = true
				for _, text := range texts {
					n.text = text
					try()
				}
				*n = old
				for i := range old.members {
					change(n, i, try)
				}
			}
			if accepted == 0 || refused == 0 {
				t.Errorf("%d accepted, %d refused: the changes are one-sided", accepted, refused)
			}
		})
	}
}

// change calls try with member i of n left out, renamed, and with an unknown member in front of it.
func change(n *node, i int, try func()) {
	members := n.members
	for _, with := range [][]pair{
		{},
		{{strings.ToUpper(members[i].name), members[i].node}},
		{{members[i].name + " ", members[i].node}},
		{{"x-unknown", &node{text: `{"deep":[null,0.5,""]}`}}, members[i]},
	} {
		n.members = append(append(append([]pair(nil), members[:i]...), with...), members[i+1:]...)
		try()
	}
	n.members = members
}

// TestDecodeData_AgreesWithSchemaOnRules goes through all combinations of the members that a rule ties together.
func TestDecodeData_AgreesWithSchemaOnRules(t *testing.T) {
	const absent = ""
	scopes := []string{absent}
	for _, kind := range good[reflect.TypeFor[ScopeKind]()] {
		scopes = append(scopes, `{"kind":`+kind+`,"value":"x"}`, `{"kind":`+kind+`,"value":"x","plant":"p1"}`)
	}
	aSignature := `[{"by":"a","printed_name":"A","meaning":"m","at":"2026-11-24T06:30:00Z","record_hash":"` + strings.Repeat("0a", 32) + `"}]`
	lotOrScope := []choice{{"lot", []string{absent, `"lot::M:L"`}}, {"scope", scopes}}
	for typ, choices := range map[Type][]choice{
		TypeCharacteristicRecorded: {
			{"kind", good[reflect.TypeFor[ValueKind]()]}, {"evaluation", good[reflect.TypeFor[Evaluation]()]},
			{"value", []string{`"61.2"`, `"ok"`}}, {"unit", []string{absent, `"N.m"`}},
			{"lsl", []string{absent, `"40"`}}, {"usl", []string{absent, `"50"`}}, {"target", []string{absent, `"45"`}},
		},
		TypeSafetyFailed: {{"evaluation", good[reflect.TypeFor[Evaluation]()]}, {"lsl", []string{absent, `"40"`}}},
		TypeHoldPlaced:   lotOrScope,
		TypeHoldLifted:   lotOrScope,
		TypeEvidenceAccepted: {
			{"gap_id", []string{absent, `"gap:gw1:7"`}}, {"plant", []string{absent, `"p1"`}}, {"agent", []string{absent, `"gw1"`}},
			{"barrier", []string{absent, `0`, `0.0`, `1`, `4e0`}}, {"by", []string{`[]`, `["anna.berg"]`}}, {"signatures", []string{`[]`, aSignature}},
		},
		TypeCertificateReceived: {{"lot", []string{absent, `"lot::M:L"`}}, {"kind", good[reflect.TypeFor[CertificateKind]()]}},
	} {
		t.Run(string(typ), func(t *testing.T) {
			schema, data := schemaOf(t, typ), skeleton(typ, plain)
			combine(data, choices, func() { agree(t, schema, typ, data.String()) })
		})
	}
}

// choice lists what a member may be, as JSON; "" leaves it out.
type choice struct {
	member string
	texts  []string
}

// combine calls try with data in each combination of the choices.
func combine(data *node, choices []choice, try func()) {
	if len(choices) == 0 {
		try()
		return
	}
	members := data.members
	for _, text := range choices[0].texts {
		data.members = slices.DeleteFunc(slices.Clone(members), func(p pair) bool { return p.name == choices[0].member })
		if text != "" {
			data.members = append(data.members, pair{choices[0].member, &node{text: text}})
		}
		combine(data, choices[1:], try)
	}
	data.members = members
}

// TestDecodeData_AgreesWithSchema draws valid data with up to four changes.
func TestDecodeData_AgreesWithSchema(t *testing.T) {
	for _, typ := range Types() {
		t.Run(string(typ), func(t *testing.T) {
			schema := schemaOf(t, typ)
			accepted, refused := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				data := skeleton(typ, func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) })
				for i := range rapid.IntRange(0, 4).Draw(t, "changes") {
					drawChange(t, data, fmt.Sprintf("x-%d", i))
				}
				if agree(t, schema, typ, data.String()) {
					accepted++
				} else {
					refused++
				}
			})
			if accepted == 0 || refused == 0 {
				t.Errorf("%d accepted, %d refused: the draws are one-sided", accepted, refused)
			}
		})
	}
}

// drawChange changes one place of the data. Unknown is a name that no member has yet.
func drawChange(t *rapid.T, data *node, unknown string) {
	places := slices.DeleteFunc(data.all(), func(n *node) bool { return n.typ == nil })
	n := places[rapid.IntRange(0, len(places)-1).Draw(t, "place")]
	if n.text != "" || len(n.members) == 0 {
		n.text = rapid.SampledFrom(slices.Concat(good[n.typ], otherKinds, foul)).Draw(t, "text")
		return
	}
	i := rapid.IntRange(0, len(n.members)-1).Draw(t, "member")
	switch rapid.IntRange(0, 2).Draw(t, "change") {
	case 0:
		n.members = append(n.members[:i:i], n.members[i+1:]...)
	case 1: // order says nothing
		j := rapid.IntRange(0, len(n.members)-1).Draw(t, "other")
		n.members[i], n.members[j] = n.members[j], n.members[i]
	case 2:
		n.members = append(n.members, pair{unknown, &node{text: "null"}})
	}
}

// TestDecodeData_StricterThanSchema names all that a schema cannot see.
func TestDecodeData_StricterThanSchema(t *testing.T) {
	const rest = `"timer":"t","object":"o","due":"2026-11-24T06:30:00Z","provenance":{"source":"holdfast"}}`
	for name, value := range map[string]string{
		"NameTwice":       `{"timer":"s",` + rest,
		"NameTwiceInside": `{"x":{"a":1,"a":1},` + rest,
		"NestedTooDeep":   `{"x":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `,` + rest,
		"NumberTooLarge":  `{"x":1e400,` + rest,
		"NotUTF8":         "{\"x\":\"\xff\"," + rest,
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(value)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schemaOf(t, TypeTimerFired).Validate(tree); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
			if _, err := DecodeData(TypeTimerFired, []byte(value)); err == nil {
				t.Error("DecodeData accepts it")
			}
		})
	}
}

// TestEvent_SealedIsDecoded proves that what a producer can seal, every reader takes, and that it comes out the same.
func TestEvent_SealedIsDecoded(t *testing.T) {
	for _, typ := range Types() {
		t.Run(string(typ), func(t *testing.T) {
			sealed := 0
			rapid.Check(t, func(t *rapid.T) {
				value := skeleton(typ, func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) })
				data, err := DecodeData(typ, []byte(value.String()))
				if err != nil {
					return // members that do not go together
				}
				at := clock("6h30m0s").Time
				e := &Event{ID: pressID, Source: "/p1/mes1", Time: at, Recorded: at, Plant: "p1", Data: data}
				if err := e.Seal("gw1"); err != nil {
					if strings.Count(value.String(), `"provenance":`) > 1 {
						return
					}
					t.Fatalf("valid data is not sealed: %v\n%s", err, value)
				}
				sealed++
				again, err := Decode(e.Message())
				if err != nil {
					t.Fatalf("a sealed event is refused: %v\n%s", err, e.Value)
				}
				if diff := difference(e, again); diff != "" {
					t.Fatalf("a sealed event comes out changed (-sealed +read):\n%s", diff)
				}
				if text, sound := encode(again.Data); !sound || !bytes.Equal(text, e.Value) {
					t.Fatalf("encoded again it is\n%s (sound %t), want\n%s", text, sound, e.Value)
				}
			})
			if sealed == 0 {
				t.Error("no event was sealed")
			}
		})
	}
}

// difference compares events, their data by its encoding: an empty list and an absent one are the same.
func difference(a, b *Event) string {
	first, second := *a, *b
	inFirst, sound1 := encode(a.Data)
	inSecond, sound2 := encode(b.Data)
	if !sound1 || !sound2 || !bytes.Equal(inFirst, inSecond) || !bytes.Equal(a.Value, b.Value) {
		return fmt.Sprintf("-%s (sound %t)\n+%s (sound %t)", inFirst, sound1, inSecond, sound2)
	}
	first.Data, second.Data, first.Value, second.Value = nil, nil, nil, nil // cmp is slow on long values
	return cmp.Diff(first, second)
}
