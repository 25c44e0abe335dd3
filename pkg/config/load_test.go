package config

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// settings has one field of each kind that a program's configuration uses.
type settings struct {
	Plant    string    `yaml:"plant" doc:"id of the plant"`
	Agent    string    `yaml:"agent"`
	Data     Path      `yaml:"data"`
	Listen   string    `yaml:"listen"`
	Standby  bool      `yaml:"standby"`
	Rate     float64   `yaml:"rate"`
	Burst    uint16    `yaml:"burst"`
	Queue    queue     `yaml:"queue"`
	Kafka    kafka     `yaml:"kafka"`
	Include  []string  `yaml:"include"`
	Sources  []source  `yaml:"sources"`
	Mappings []mapping `yaml:"mappings"`
	Internal int
}

type queue struct {
	Disk     ByteSize      `yaml:"disk" doc:"room on disk"`
	Quality  Percent       `yaml:"quality"`
	KeepSent time.Duration `yaml:"keep_sent"`
}

type kafka struct {
	Brokers []string          `yaml:"brokers"`
	Prefix  string            `yaml:"prefix"`
	Dial    map[string]string `yaml:"dial"`
	TLS     *TLS              `yaml:"tls"`
	SASL    *SASL             `yaml:"sasl"`
}

type source struct {
	ID   string `yaml:"id"`
	MQTT *mqtt  `yaml:"mqtt"`
}

type mqtt struct {
	Broker       string        `yaml:"broker"`
	Subscribe    []string      `yaml:"subscribe"`
	Interval     time.Duration `yaml:"interval"`
	PasswordFile SecretFile    `yaml:"password_file"`
}

type mapping struct {
	Name  string `yaml:"name"`
	Event struct {
		Type string         `yaml:"type"`
		Key  any            `yaml:"key"`
		Data map[string]any `yaml:"data"`
	} `yaml:"event"`
	Samples []struct {
		Payload string `yaml:"payload"`
		Want    any    `yaml:"want"`
	} `yaml:"samples"`
}

func defaults() settings {
	return settings{
		Data: "data", Listen: "127.0.0.1:7480", Burst: 10,
		Queue: queue{Disk: GiB, Quality: 50, KeepSent: time.Hour},
		Kafka: kafka{Prefix: "holdfast"},
	}
}

func TestLoad_Good(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := defaults()
			if _, err := Load(file, &got, Options{Include: []string{"sources", "mappings"}}); err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			wd, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, strings.ReplaceAll(string(text), wd, ".")+"\n")
		})
	}
}

func TestLoad_Bad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := defaults()
			doc, err := Load(file, &got, Options{Include: []string{"sources", "mappings"}})
			if err == nil {
				t.Fatal("loaded without a finding")
			}
			if doc.Err().Error() != err.Error() {
				t.Errorf("Err() = %v, want %v", doc.Err(), err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a finding shows a secret: %v", err)
			}
			wd, werr := os.Getwd()
			if werr != nil {
				t.Fatal(werr)
			}
			golden(t, file, strings.ReplaceAll(err.Error(), wd+"/", "")+"\n")
		})
	}
}

// golden compares got with the file beside the fixture whose name ends in .want.
func golden(t *testing.T, fixture, got string) {
	t.Helper()
	name := strings.TrimSuffix(fixture, ".yml") + ".want"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", name, diff)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	t.Run("ErrMissingFile", func(t *testing.T) {
		got := defaults()
		doc, err := Load(filepath.Join(t.TempDir(), "none.yml"), &got, Options{})
		doc.Errorf(problem.ConfigMissing, "plant", "plant is required")
		if problem.CodeOf(err) != problem.ConfigFile || doc.Err().Error() != err.Error() {
			t.Errorf("err = %v, then %v", err, doc.Err())
		}
	})
	t.Run("EmptyFileKeepsDefaults", func(t *testing.T) {
		got := defaults()
		file := write(t, "a.yml", "# nothing but this\n")
		if _, err := Load(file, &got, Options{}); err != nil {
			t.Fatal(err)
		}
		want := defaults()
		want.Data = Path(filepath.Join(filepath.Dir(file), "data"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("MarkAndCarriageReturns", func(t *testing.T) {
		got := defaults()
		doc, err := Load(write(t, "a.yml", "\ufeffplant: p1\r\nkafka:\r\n  prefix: mesh\r\n"), &got, Options{})
		if err != nil || got.Plant != "p1" || got.Kafka.Prefix != "mesh" || doc.At("kafka.prefix").Line != 3 {
			t.Errorf("got %+v at %v, err %v", got, doc.At("kafka.prefix"), err)
		}
	})
	t.Run("ListReplacesDefault", func(t *testing.T) {
		got := settings{Include: []string{"x"}}
		if _, err := Load(write(t, "a.yml", "include: []\n"), &got, Options{}); err != nil || len(got.Include) != 0 {
			t.Errorf("got %v, err %v", got.Include, err)
		}
	})
	t.Run("IncludesEachFileOnce", func(t *testing.T) {
		got := defaults()
		file := write(t, "a.yml", "include: [\"*.yaml\", \"b*\"]\nsources:\n  - id: a\n")
		for _, name := range []string{"c", "b"} {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), name+".yaml"), []byte("sources:\n  - id: "+name+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(file, &got, Options{Include: []string{"sources"}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]source{{ID: "a"}, {ID: "b"}, {ID: "c"}}, got.Sources); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("IncludeIsUnknownWhereNothingCanBeIncluded", func(t *testing.T) {
		var got struct {
			Plant string `yaml:"plant"`
		}
		if _, err := Load(write(t, "a.yml", "include: [x]\n"), &got, Options{}); problem.CodeOf(err) != problem.ConfigUnknownKey {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("LongLineOfJSON", func(t *testing.T) {
		got := defaults()
		if _, err := Load(write(t, "a.yml", "mappings: ["+strings.TrimSuffix(strings.Repeat("{name: a}, ", 2000), ", ")+"]\n"), &got, Options{}); err != nil || len(got.Mappings) != 2000 {
			t.Errorf("%d mappings, %v", len(got.Mappings), err)
		}
	})
	t.Run("ErrDeepNesting", func(t *testing.T) {
		for _, text := range []string{strings.Repeat("[", 100_000), "plant: " + strings.Repeat("{a: ", 100_000), strings.Repeat("- ", 100_000)} {
			var got settings
			if _, err := Load(write(t, "a.yml", text), &got, Options{}); err == nil {
				t.Errorf("%.20q... loaded", text)
			}
		}
	})
}

func TestLoad_Environment(t *testing.T) {
	env := map[string]string{
		"HOLDFAST_PLANT": "p9", "HOLDFAST_KAFKA_PREFIX": "mesh", "HOLDFAST_QUEUE_KEEP_SENT": "2h", "HOLDFAST_STANDBY": "true",
		"HOLDFAST_KAFKA_SASL_PASSWORD_FILE": "pw", "HOLDFAST_BURST": "many", "HOLDFAST_SOURCES": "ignored",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got := defaults()
	file := write(t, "a.yml", "plant: p1\n")
	doc, err := Load(file, &got, Options{LookupEnv: lookup})
	if want := `HOLDFAST_BURST   burst must be a whole number from 0, not "many"   (E-1004)`; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	want := defaults()
	want.Data = Path(filepath.Join(filepath.Dir(file), "data"))
	want.Plant, want.Kafka.Prefix, want.Queue.KeepSent, want.Standby = "p9", "mesh", 2*time.Hour, true
	want.Kafka.SASL = &SASL{PasswordFile: SecretFile(filepath.Join(filepath.Dir(file), "pw"))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if at := doc.At("plant"); at.String() != "HOLDFAST_PLANT" {
		t.Errorf("At = %v, want the variable", at)
	}
}

func TestDocument_At(t *testing.T) {
	got := defaults()
	doc, err := Load("testdata/full.good.yml", &got, Options{Include: []string{"sources", "mappings"}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                                     "testdata/full.good.yml:1:1",
		"plant":                                "testdata/full.good.yml:2:8",
		"queue":                                "testdata/full.good.yml:7:1",
		"queue.keep_sent":                      "testdata/full.good.yml:7:47",
		"kafka.brokers[1]":                     "testdata/full.good.yml:9:29",
		`kafka.dial["kafka-1:9093"]`:           "testdata/full.good.yml:10:27",
		`kafka.dial["kafka.9:1"]`:              "testdata/full.good.yml:10:3",
		"sources[0]":                           "testdata/full.good.yml:17:5",
		"sources[0].mqtt.broker":               "testdata/full.good.yml:19:15",
		"sources[0].mqtt.missing":              "testdata/full.good.yml:18:5",
		"sources[1].mqtt.broker":               "testdata/conf.d/10-press.yaml:3:21",
		"mappings[0].event.data.value":         "testdata/full.good.yml:27:16",
		"mappings[0].event.data.limits.upper":  "testdata/full.good.yml:28:26",
		"mappings[0].event.key[1]":             "testdata/full.good.yml:25:21",
		"mappings[0].samples[0].want[0].count": "testdata/full.good.yml:32:39",
		"mappings[0].samples[0].payload":       "testdata/full.good.yml:30:18",
		"mappings[1].event.type":               "testdata/conf.d/20-more.yaml:3:20",
	} {
		if at := doc.At(path).String(); at != want {
			t.Errorf("At(%q) = %s, want %s", path, at, want)
		}
	}
	if !doc.Has("queue.disk") || doc.Has("kafka.prefix") {
		t.Error("Has does not tell what the file names")
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Rel("sources[1].mqtt", "x.pem"), filepath.Join(wd, "testdata/conf.d/x.pem"); got != want {
		t.Errorf("Rel = %s, want %s", got, want)
	}
	if got, want := doc.Rel("sources[0].mqtt", "x.pem"), filepath.Join(wd, "testdata/x.pem"); got != want {
		t.Errorf("Rel = %s, want %s", got, want)
	}
}

func TestDocument_Errorf(t *testing.T) {
	got := defaults()
	doc, err := Load(write(t, "a.yml", "queue:\n  disk: much\nkafka: []\nsources:\n  - id: a\n  - id: a\n"), &got, Options{})
	if err == nil {
		t.Fatal("loaded without a finding")
	}
	doc.Errorf(problem.ConfigDuplicate, "sources[1].id", "source id %q stands twice", "a")
	doc.Errorf(problem.ConfigValue, "queue.disk", "left out, since it could not be read")
	doc.Errorf(problem.ConfigMissing, "kafka.brokers", "left out as well")
	doc.Errorf(problem.ConfigMissing, "plant", "plant is required")
	var codes []problem.Code
	all, _ := errors.AsType[Errors](doc.Err())
	for _, e := range all {
		codes = append(codes, e.Problem.Code)
	}
	want := []problem.Code{problem.ConfigMissing, problem.ConfigValue, problem.ConfigValue, problem.ConfigDuplicate}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("%s\n%v", diff, doc.Err())
	}
}

// FuzzLoad checks that no bytes end the process, and that a finding always has a place.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("- - - - a"))
	f.Add([]byte("? a\n: b"))
	f.Add([]byte("a: |2-\n  b\n<<: {}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 4096 {
			t.Skip("long inputs only make the search slow")
		}
		got := defaults()
		d := &Document{name: "fuzz.yml", dir: dir, places: map[string]Place{}}
		d.load(raw, &got)
		for _, e := range d.errs {
			if e.Line < 1 || e.Column < 1 || e.Problem.Cause == "" {
				t.Errorf("finding without place or cause: %v", e)
			}
		}
	})
}
