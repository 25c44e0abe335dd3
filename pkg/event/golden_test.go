package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// update rewrites the golden directories from the events in golden_events_test.go.
var update = flag.Bool("update", false, "rewrite schemas/testdata")

// goldenRoot holds {type}/{name}/ with key.txt, headers.json, value.json and, for a natural id, id.json; a bad value has
// value.json and error.txt. Each file ends with a line feed that is not part of what it holds.
const goldenRoot = "../../schemas/testdata"

func TestGolden_FilesAreTheStory(t *testing.T) {
	want := goldenFiles(t)
	if *update {
		writeGolden(t, want)
	}
	got := map[string]string{}
	err := filepath.WalkDir(goldenRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(goldenRoot, path)
		got[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is\n%s\nwant\n%s\n(-update rewrites it)", name, got[name], text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s belongs to no golden event", name)
		}
	}
}

// goldenFiles returns what the golden directories have to hold.
func goldenFiles(t *testing.T) map[string]string {
	t.Helper()
	files, values := map[string]string{}, map[string]string{}
	for _, g := range goldenEvents() {
		e := g.event
		dir := string(e.Data.Type()) + "/" + g.name + "/"
		if err := e.Seal("gw1"); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		m := e.Message()
		files[dir+"key.txt"] = string(m.Key) + "\n"
		files[dir+"headers.json"] = headerText(t, m.Headers)
		files[dir+"value.json"] = string(m.Value) + "\n"
		if g.parts != nil {
			files[dir+"id.json"] = jsonText(t, g.parts) + "\n"
		}
		values[dir] = string(m.Value)
	}
	for _, b := range badValues() {
		good := values[string(b.typ)+"/"+b.of+"/"]
		if !strings.Contains(good, b.old) {
			t.Fatalf("%s/%s: the good value has no %s", b.typ, b.name, b.old)
		}
		dir := string(b.typ) + "/" + b.name + "/"
		files[dir+"value.json"] = strings.Replace(good, b.old, b.text, 1) + "\n"
		files[dir+"error.txt"] = b.want + "\n"
	}
	return files
}

func writeGolden(t *testing.T, files map[string]string) {
	t.Helper()
	err := os.RemoveAll(goldenRoot)
	for name, text := range files {
		path := filepath.Join(goldenRoot, filepath.FromSlash(name))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// headerText writes headers as a JSON object, one a line, in the order of the record.
func headerText(t testing.TB, headers []Header) string {
	t.Helper()
	lines := make([]string, len(headers))
	for i, h := range headers {
		lines[i] = "  " + jsonText(t, h.Key) + ": " + jsonText(t, string(h.Value))
	}
	return "{\n" + strings.Join(lines, ",\n") + "\n}\n"
}

func jsonText(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// goldenRecord reads a golden directory as a record from Kafka.
func goldenRecord(t testing.TB, dir string) Message {
	t.Helper()
	headers := map[string]string{}
	if err := json.Unmarshal([]byte(goldenText(t, dir, "headers.json")), &headers); err != nil {
		t.Fatal(err)
	}
	m := Message{Key: []byte(goldenText(t, dir, "key.txt")), Value: []byte(goldenText(t, dir, "value.json"))}
	for key, value := range headers {
		m.Headers = append(m.Headers, Header{key, []byte(value)})
	}
	return m
}

func goldenText(t testing.TB, dir, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// goldenDirs returns the directories that hold a file of this name.
func goldenDirs(t testing.TB, file string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(goldenRoot, "*", "*", file))
	if err != nil || len(found) == 0 {
		t.Fatalf("no golden %s: %v", file, err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

func validate(t testing.TB, typ Type, value []byte) error {
	t.Helper()
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	return schemaOf(t, typ).Validate(tree)
}

func TestGolden_Good(t *testing.T) {
	seen := map[Type]bool{}
	for _, dir := range goldenDirs(t, "headers.json") {
		typ := Type(filepath.Base(filepath.Dir(dir)))
		seen[typ] = true
		t.Run(string(typ)+"/"+filepath.Base(dir), func(t *testing.T) {
			m := goldenRecord(t, dir)
			e, err := Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(t, typ, m.Value); err != nil {
				t.Error(err)
			}
			if again, sound := encode(e.Data); !sound || !bytes.Equal(again, m.Value) {
				t.Errorf("encoded again it is\n%s (sound %t), want\n%s", again, sound, m.Value)
			}
			again := e.Message()
			if got := headerText(t, again.Headers); got != goldenText(t, dir, "headers.json")+"\n" {
				t.Errorf("headers written again are\n%s", got)
			}
			if !bytes.Equal(again.Key, m.Key) {
				t.Errorf("key written again is %s, want %s", again.Key, m.Key)
			}
			if id := goldenID(t, dir, typ); id != "" && id != e.ID {
				t.Errorf("id of the parts is %s, want %s", id, e.ID)
			}
		})
	}
	for _, typ := range Types() {
		if !seen[typ] {
			t.Errorf("%s has no golden event", typ)
		}
	}
}

// goldenID returns the id that id.json leads to, "" if the id is minted.
func goldenID(t *testing.T, dir string, typ Type) ID {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "id.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var p idParts
	if err := errors.Join(err, json.Unmarshal(b, &p)); err != nil {
		t.Fatal(err)
	}
	return NaturalID(p.Plant, p.System, p.Key, typ, p.Ordinal)
}

func TestGolden_Bad(t *testing.T) {
	for _, dir := range goldenDirs(t, "error.txt") {
		typ := Type(filepath.Base(filepath.Dir(dir)))
		t.Run(string(typ)+"/"+filepath.Base(dir), func(t *testing.T) {
			value := []byte(goldenText(t, dir, "value.json"))
			want := goldenText(t, dir, "error.txt")
			if _, err := DecodeData(typ, value); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want one with %q", err, want)
			}
			if validate(t, typ, value) == nil {
				t.Error("the schema accepts it")
			}
		})
	}
}

// TestGolden_Example pins the contract's example to the byte: a change of any of it breaks every reader.
func TestGolden_Example(t *testing.T) {
	m := goldenRecord(t, filepath.Join(goldenRoot, string(TypeCharacteristicRecorded), "press4_torque"))
	if string(m.Value) != pressValue {
		t.Errorf("value is\n%s, want\n%s", m.Value, pressValue)
	}
	for header, want := range map[string]string{
		HeaderContentType: "application/json",
		headerSpec:        "1.0",
		HeaderID:          "n-32a482b26791ea8c88f3e8e225202ab4",
		HeaderType:        "quality.characteristic.recorded.v1",
		HeaderSource:      "/p1/mes1",
		HeaderSubject:     "lot::MAT-100:L-88213",
		headerSchema:      "https://holdfast.example/schemas/quality.characteristic.recorded.v1.json",
		HeaderTime:        "2026-11-24T06:30:00.125Z",
		HeaderRecorded:    "2026-11-24T06:30:00.412Z",
		HeaderPlant:       "p1",
		HeaderAgent:       "gw1",
		HeaderEpoch:       "dd05545a4e6517594c7fd66a8b21ab36",
		HeaderPrev:        "40e6c6d0c9f3f14f5eac4fd54654f0a6;quality=48211;telemetry=903377",
		HeaderLane:        "quality",
		HeaderSeq:         "1042",
		HeaderCorrelation: "inspection:mes1:INS-7731",
		HeaderCausation:   "",
		HeaderHash:        "d549c6847a750dd415dae1ded4ef44e0b7963c78c88d5e2464dca74edf042b2e",
		HeaderTrace:       "00-eafe895eb8119e6e5d06463590b2ef81-37a0025aa1f2e29f-01",
	} {
		if got := m.Header(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if string(m.Key) != "lot::MAT-100:L-88213" {
		t.Errorf("key is %s", m.Key)
	}
}
