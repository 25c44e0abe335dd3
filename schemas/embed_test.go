package schemas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-mesh/holdfast/schemas"
)

// A validator gets all documents under their $id, so that it never looks for one elsewhere.
func ExampleFiles() {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range append(schemas.Types(), "defs") {
		b, err := fs.ReadFile(schemas.Files(), name+".json")
		if err != nil {
			fmt.Println(err)
			return
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := c.AddResource(schemas.Base+name+".json", doc); err != nil {
			fmt.Println(err)
			return
		}
	}
	schema, err := c.Compile(schemas.Base + "workflow.timer.fired.v1.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(
		`{"timer":"hold.unenforced","object":"lot::M:L","due":"2026-11-24T06:35:00Z","provenance":{"source":"holdfast"}}`))
	fmt.Println(err, schema.Validate(value))
	// Output: <nil> <nil>
}

func ExampleRead() {
	schema, ok := schemas.Read("quality.hold.placed.v1")
	var head struct{ Title string }
	err := json.Unmarshal(schema, &head)
	fmt.Println(head.Title, ok, err)
	// Output: Hold placed true <nil>
}

func ExampleUnits() {
	units := schemas.Units()
	fmt.Println(units["KGM"], units["NU"], units["CEL"], units["C62"])
	// Output: kg N.m Cel {each}
}

func TestRead(t *testing.T) {
	for _, typ := range append(schemas.Types(), schemas.Head) {
		if _, ok := schemas.Read(typ); !ok {
			t.Errorf("no schema of %s", typ)
		}
	}
	for _, other := range []string{"", "defs", "units", "quality.hold.placed.v2", "../embed.go"} {
		if _, ok := schemas.Read(other); ok {
			t.Errorf("Read(%q) found a schema", other)
		}
	}
}

// TestFiles_Schemas holds every schema to the meta-schema and to the form that this package promises.
func TestFiles_Schemas(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	for _, name := range append(schemas.Types(), schemas.Head, "defs") {
		b, err := fs.ReadFile(schemas.Files(), name+".json")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.AddResource(schemas.Base+name+".json", doc); err != nil {
			t.Fatal(err)
		}
		top := doc.(map[string]any)
		if top["$id"] != schemas.Base+name+".json" || top["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s has $id %v and $schema %v", name, top["$id"], top["$schema"])
		}
		if name != "defs" && top["additionalProperties"] != true {
			t.Errorf("%s does not say that further members are allowed", name)
		}
		for _, place := range lacking(name, doc) {
			t.Errorf("%s has no description", place)
		}
	}
	for _, typ := range append(schemas.Types(), schemas.Head) {
		if _, err := c.Compile(schemas.Base + typ + ".json"); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// lacking names the documents, properties and value types without a description.
func lacking(name string, doc any) []string {
	var places []string
	d := doc.(map[string]any)
	if s, _ := d["description"].(string); !strings.HasSuffix(s, ".") {
		places = append(places, name)
	}
	for _, members := range []string{"properties", "$defs"} {
		all, _ := d[members].(map[string]any)
		for member, of := range all {
			places = append(places, lacking(name+" "+member, of)...)
		}
	}
	return places
}

func TestUnits(t *testing.T) {
	units := schemas.Units()
	if len(units) < 100 {
		t.Fatalf("the table has %d units", len(units))
	}
	code, ucum := regexp.MustCompile(`^[0-9A-Z]{2,3}$`), regexp.MustCompile(`^[!-~]{1,32}$`)
	for from, to := range units {
		if !code.MatchString(from) || !ucum.MatchString(to) {
			t.Errorf("%q -> %q has not the form of a unit", from, to)
		}
	}
	units["KGM"] = "g"
	if schemas.Units()["KGM"] != "kg" {
		t.Error("a caller can change the table")
	}
	b, err := fs.ReadFile(schemas.Files(), "units.json")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range regexp.MustCompile(`(?m)^  "(\w+)":`).FindAllSubmatch(b, -1) {
		codes = append(codes, string(m[1]))
	}
	if len(codes) != len(units) || !slices.IsSorted(codes) {
		t.Errorf("%d lines for %d codes: want one each, sorted", len(codes), len(units))
	}
}
