package event

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-mesh/holdfast/schemas"
)

// schemaOf returns the compiled JSON Schema of a type. Nothing is loaded from outside of package schemas.
func schemaOf(t testing.TB, typ Type) *jsonschema.Schema {
	t.Helper()
	all, err := compiledSchemas()
	if err != nil {
		t.Fatal(err)
	}
	if all[typ] == nil {
		t.Fatalf("no schema of %s", typ)
	}
	return all[typ]
}

var compiledSchemas = sync.OnceValues(func() (map[Type]*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	for _, name := range append(schemas.Types(), schemas.Head, "defs") {
		b, err := fs.ReadFile(schemas.Files(), name+".json")
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if err := c.AddResource(schemas.Base+name+".json", doc); err != nil {
			return nil, err
		}
	}
	all := map[Type]*jsonschema.Schema{}
	for _, name := range append(schemas.Types(), schemas.Head) {
		s, err := c.Compile(schemas.Base + name + ".json")
		if err != nil {
			return nil, err
		}
		all[Type(name)] = s
	}
	return all, nil
})

// property is what a schema says about one member, for the comparison with a Go field.
type property struct {
	Name  string
	Value string // name of the value type; [] in front of that of an array's items
}

// objectSchema is the part of a schema that has to mirror a Go struct. Properties are in the order of the text.
type objectSchema struct {
	Properties orderedProperties
	Required   []string
}

type orderedProperties []property

func (o *orderedProperties) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var s struct {
			Ref   string `json:"$ref"`
			Type  string
			Items struct {
				Ref string `json:"$ref"`
			}
		}
		if err := d.Decode(&s); err != nil {
			return err
		}
		value := s.Type
		switch _, def, _ := strings.Cut(s.Ref+s.Items.Ref, "#/$defs/"); s.Type {
		case "":
			value = def
		case "array":
			value = "[]" + def
		}
		*o = append(*o, property{name.(string), value})
	}
	return nil
}

// mirror returns what the schema of a Go struct has to say, from its fields and tags.
func mirror(t reflect.Type) objectSchema {
	var o objectSchema
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		o.Properties = append(o.Properties, property{name, valueName(f.Type)})
		if options == "" {
			o.Required = append(o.Required, name)
		}
	}
	return o
}

// valueName is the name in $defs of a Go type: its own, with a small first letter.
func valueName(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return valueName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + valueName(t.Elem())
	case t == reflect.TypeFor[LotKey]():
		return "lotKey"
	case t == reflect.TypeFor[ID]():
		return "eventId"
	case t == reflect.TypeFor[ObjectID]():
		return "objectId"
	case t == reflect.TypeFor[PlantID]():
		return "plantId"
	case t == reflect.TypeFor[EquipmentID]():
		return "equipmentId"
	case t == reflect.TypeFor[AgentID]():
		return "agentId"
	case t == reflect.TypeFor[string]():
		return "text"
	case t == reflect.TypeFor[map[string]string]():
		return "texts"
	case t == reflect.TypeFor[int64]():
		return "integer"
	case t == reflect.TypeFor[bool]():
		return "boolean"
	}
	return strings.ToLower(t.Name()[:1]) + t.Name()[1:]
}

// TestTypes_MirrorSchemas proves that each schema has the members of the Go struct: same names, order, value types
// and required list. The order is that of the bytes on the wire, so that a reader can find it in the schema.
func TestTypes_MirrorSchemas(t *testing.T) {
	var typed []string
	for _, typ := range Types() {
		typed = append(typed, string(typ))
		text, ok := schemas.Read(string(typ))
		if !ok {
			t.Errorf("no schema of %s", typ)
			continue
		}
		var got objectSchema
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(mirror(specs[typ].data), got); diff != "" {
			t.Errorf("%s: Go (-) and schema (+) differ:\n%s", typ, diff)
		}
		if last := got.Properties[len(got.Properties)-1]; last.Name != "provenance" {
			t.Errorf("%s: last member is %s", typ, last.Name)
		}
	}
	if !slices.Equal(typed, schemas.Types()) {
		t.Errorf("types are\n%v, schemas are of\n%v", typed, schemas.Types())
	}
}

func TestTypes_MirrorSharedValues(t *testing.T) {
	text, err := fs.ReadFile(schemas.Files(), "defs.json")
	if err != nil {
		t.Fatal(err)
	}
	var defs struct {
		Defs map[string]objectSchema `json:"$defs"`
	}
	if err := json.Unmarshal(text, &defs); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Quantity](), reflect.TypeFor[Scope](), reflect.TypeFor[Salvage](), reflect.TypeFor[OpenHold](),
		reflect.TypeFor[SystemUsage](), reflect.TypeFor[Provenance](), reflect.TypeFor[Signature](), reflect.TypeFor[Wanted](),
		reflect.TypeFor[Covered](), reflect.TypeFor[DecidedEpoch](), reflect.TypeFor[AgentStatus](), reflect.TypeFor[LaneBacklog](),
		reflect.TypeFor[HostClock](), reflect.TypeFor[SourceStanding](),
	} {
		if diff := cmp.Diff(mirror(typ), defs.Defs[valueName(typ)]); diff != "" {
			t.Errorf("%s: Go (-) and schema (+) differ:\n%s", typ.Name(), diff)
		}
	}
}

// TestTypes_DescribeThemselves keeps what a reader of a schema learns in line with the registry.
func TestTypes_DescribeThemselves(t *testing.T) {
	for _, typ := range Types() {
		var s struct{ Description string }
		text, _ := schemas.Read(string(typ))
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		spec := specs[typ]
		want := []string{`\b[Kk]ey: `, `\b(Not|Never) urgent\b`}
		if spec.Urgent {
			want[1] = `\bUrgent: `
		}
		switch {
		case spec.Lane == "":
			want = append(want, `Made by the cloud\.`)
		case spec.Cloud:
			want = append(want, `Lane `+string(spec.Lane), `rom the plant or the cloud\.`)
		default:
			want = append(want, `Lane `+string(spec.Lane), `rom the plant only\.`)
		}
		for _, part := range want {
			if !regexp.MustCompile(part).MatchString(s.Description) {
				t.Errorf("%s does not say %q: %s", typ, part, s.Description)
			}
		}
	}
}
