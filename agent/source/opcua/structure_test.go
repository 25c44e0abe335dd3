package opcua

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// body builds an encoded structure.
type bodyOf []byte

func (b bodyOf) u8(v ...byte) bodyOf   { return append(b, v...) }
func (b bodyOf) u32(v uint32) bodyOf   { return binary.LittleEndian.AppendUint32(b, v) }
func (b bodyOf) u64(v uint64) bodyOf   { return binary.LittleEndian.AppendUint64(b, v) }
func (b bodyOf) text(s string) bodyOf  { return append(b.u32(uint32(len(s))), s...) }
func (b bodyOf) f64(v float64) bodyOf  { return b.u64(math.Float64bits(v)) }
func (b bodyOf) at(t time.Time) bodyOf { return b.u64(uint64(t.UnixNano()/100 + 116444736000000000)) }
func base(t builtin) *definition       { return &definition{base: t} }
func one(n string, t builtin) fieldDefinition {
	return fieldDefinition{name: n, typ: base(t), rank: -1}
}

func structureOf(fields ...fieldDefinition) *definition {
	return &definition{isStruct: true, fields: fields}
}

func TestDefinition_Decode(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 14, 2, 118e6, time.UTC)
	inner := structureOf(one("Lo", typeDouble), one("Hi", typeDouble))
	enum := &definition{base: typeInt32, names: map[int64]string{1: "OK"}}
	optional := structureOf(one("A", typeInt16), fieldDefinition{name: "B", typ: base(typeString), rank: -1, optional: true}, fieldDefinition{name: "C", typ: base(typeBoolean), rank: -1, optional: true})
	optional.structure = ua.StructureTypeStructureWithOptionalFields
	union := structureOf(one("Number", typeInt32), one("Text", typeString))
	union.structure = ua.StructureTypeUnion
	types := map[string]*definition{"ns=2;i=7": inner}
	for name, c := range map[string]struct {
		def  *definition
		body bodyOf
		want string // JSON, or the error
	}{
		"scalars": {
			structureOf(one("Seq", typeUInt32), one("Part", typeString), one("Torque", typeDouble), one("At", typeDateTime), one("Note", typeLocalizedText), one("Ok", typeBoolean)),
			bodyOf{}.u32(7).text("P7").f64(61.2).at(at).u8(3).text("de").text("ö").u8(1),
			`{"Seq":7,"Part":"P7","Torque":61.2,"At":"2026-11-24T09:14:02.118Z","Note":{"locale":"de","text":"ö"},"Ok":true}`,
		},
		"null text and time":          {structureOf(one("A", typeString), one("B", typeDateTime), one("C", typeByteString)), bodyOf{}.u32(math.MaxUint32).u64(0).text("\x01\x02"), `{"A":null,"B":"","C":"AQI="}`},
		"structure in a structure":    {structureOf(fieldDefinition{name: "Limits", typ: inner, rank: -1}), bodyOf{}.f64(40).f64(50), `{"Limits":{"Lo":40,"Hi":50}}`},
		"list of structures":          {structureOf(fieldDefinition{name: "L", typ: inner, rank: 1}), bodyOf{}.u32(2).f64(1).f64(2).f64(3).f64(4), `{"L":[{"Lo":1,"Hi":2},{"Lo":3,"Hi":4}]}`},
		"no list":                     {structureOf(fieldDefinition{name: "L", typ: inner, rank: 1}), bodyOf{}.u32(math.MaxUint32), `{"L":null}`},
		"matrix":                      {structureOf(fieldDefinition{name: "M", typ: base(typeByte), rank: 2}), bodyOf{}.u32(2).u32(2).u32(3).u8(1, 2, 3, 4, 5, 6), `{"M":[[1,2,3],[4,5,6]]}`},
		"enumeration":                 {structureOf(fieldDefinition{name: "R", typ: enum, rank: -1}, fieldDefinition{name: "S", typ: enum, rank: -1}), bodyOf{}.u32(1).u32(9), `{"R":{"number":1,"name":"OK"},"S":{"number":9,"name":null}}`},
		"optional members":            {optional, bodyOf{}.u32(2).u8(5, 0, 1), `{"A":5,"C":true}`},
		"union":                       {union, bodyOf{}.u32(2).text("x"), `{"Text":"x"}`},
		"empty union":                 {union, bodyOf{}.u32(0), `{}`},
		"variant":                     {structureOf(one("V", typeVariant)), bodyOf{}.u8(11).f64(1.5), `{"V":1.5}`},
		"matrix in a variant":         {structureOf(one("V", typeVariant)), bodyOf{}.u8(3|0xC0).u32(4).u8(1, 2, 3, 4).u32(2).u32(2).u32(2), `{"V":[[1,2],[3,4]]}`},
		"structure by its own id":     {structureOf(one("E", typeExtensionObject)), bodyOf{}.u8(1, 2, 7, 0, 1).u32(16).f64(1).f64(2), `{"E":{"Lo":1,"Hi":2}}`},
		"structure of an unknown id":  {structureOf(one("E", typeExtensionObject)), bodyOf{}.u8(1, 2, 8, 0, 1).u32(1).u8(9), `{"E":{"type":"nsu=urn:x;i=8","body":"CQ=="}}`},
		"value with status and times": {structureOf(one("D", typeDataValue)), bodyOf{}.u8(0x0f, 1, 1).u32(0).u64(0).u64(0), `{"D":true}`},
		"ErrShort":                    {structureOf(one("A", typeDouble)), bodyOf{}.u32(1), "ends in the middle"},
		"ErrLeftOver":                 {structureOf(one("A", typeUInt32)), bodyOf{}.u32(1).u8(0), "left over"},
		"ErrNegativeLength":           {structureOf(fieldDefinition{name: "L", typ: inner, rank: 1}), bodyOf{}.u32(0xfb303030), "list of the length"},
		"ErrHugeLength":               {structureOf(fieldDefinition{name: "L", typ: inner, rank: 1}), bodyOf{}.u32(1 << 20), "65536 at most"},
		"ErrTextBeyondEnd":            {structureOf(one("A", typeString)), bodyOf{}.u32(0x7fffffff), "ends in the middle"},
		"ErrNegativeText":             {structureOf(one("A", typeString)), bodyOf{}.u32(0x80000000), "ends in the middle"},
		"ErrUnionMember":              {union, bodyOf{}.u32(3), "member 3 of a union of 2"},
		"ErrOptionalMask":             {optional, bodyOf{}.u32(0xff).u8(5, 0).text("").u8(1), "mask of optional members"},
		"ErrVariantDepth":             {structureOf(one("V", typeVariant)), bodyOf(strings.Repeat("\x18", 40)), "deeper"},
		"ErrDimensions":               {structureOf(one("V", typeVariant)), bodyOf{}.u8(3|0xC0).u32(4).u8(1, 2, 3, 4).u32(2).u32(0).u32(7), "dimensions for 0 elements"},
		"ErrVariantType":              {structureOf(one("V", typeVariant)), bodyOf{}.u8(25), "built-in type 25"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spaces{namespaceUA, "urn:own", "urn:x"}
			o, err := c.def.decode(c.body, types)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got error %v, want %s", err, c.want)
				}
				return
			}
			got, err := s.appendJSON(nil, o, 0)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestDefinition_Recursive holds the depth against a structure that holds itself.
func TestDefinition_Recursive(t *testing.T) {
	d := structureOf()
	d.fields = []fieldDefinition{{name: "Next", typ: d, rank: 1}}
	var b bodyOf
	for range 100 {
		b = b.u32(1)
	}
	if _, err := d.decode(b, nil); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("got %v, want an error about the depth", err)
	}
}

func FuzzDefinition_Decode(f *testing.F) {
	for _, seed := range []string{"90303030fb", "18181818", "0700000002000000503711", "ffffffffffffffff", "0b0000000000000000"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(0), b)
		f.Add(uint8(255), b)
	}
	f.Fuzz(func(t *testing.T, shape uint8, b []byte) {
		d := structureOf(
			one("V", typeVariant), one("S", typeString), fieldDefinition{name: "L", typ: base(typeVariant), rank: int32(shape%4) - 1}, one("E", typeExtensionObject),
			one("N", typeNodeID), one("Q", typeQualifiedName), one("T", typeLocalizedText), one("D", typeDataValue),
		)
		d.structure = ua.StructureType(shape % 5)
		for i := range d.fields {
			d.fields[i].optional = shape&0x10 != 0
			d.fields[i].subtypes = shape&0x20 != 0
		}
		if shape&0x40 != 0 {
			d.fields = append(d.fields, fieldDefinition{name: "Self", typ: d, rank: 1})
		}
		o, err := d.decode(b, map[string]*definition{"i=8": d})
		if err != nil {
			return
		}
		text, err := spaces{namespaceUA}.appendJSON(nil, o, 0)
		if err == nil && !json.Valid(text) {
			t.Errorf("%x gives %s", b, text)
		}
	})
}
