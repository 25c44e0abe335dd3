package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// arrived is when the signals of the tests arrive.
var arrived = time.Date(2026, 11, 24, 6, 30, 0, 398e6, time.UTC)

func options() Options {
	return Options{
		Plant: "p1", Agent: "gw1",
		Tables:  map[string]map[string]string{"ie-names": {"201": "torque"}},
		Sources: map[string]Source{"mes-mqtt": {System: "mes1"}, "kepware": {}},
	}
}

func load(t testing.TB, file string) []Config {
	t.Helper()
	var doc struct {
		Mappings []Config `yaml:"mappings"`
	}
	if _, err := config.Load(file, &doc, config.Options{}); err != nil {
		t.Fatal(err)
	}
	return doc.Mappings
}

func compile(t testing.TB, configs []Config, opts Options) *Mapper {
	t.Helper()
	m, errs := Compile(configs, opts)
	for _, err := range errs {
		t.Error(err)
	}
	if errs != nil {
		t.FailNow()
	}
	return m
}

type goldenSignal struct {
	Topic   string `yaml:"topic"`
	Payload string `yaml:"payload"`
	Base64  string `yaml:"payload_b64"`
}

func signals(t testing.TB, file, sourceID string) []source.Signal {
	t.Helper()
	var doc struct {
		Signals []goldenSignal `yaml:"signals"`
	}
	if _, err := config.Load(file, &doc, config.Options{}); err != nil {
		t.Fatal(err)
	}
	var out []source.Signal
	for _, s := range doc.Signals {
		raw := []byte(s.Payload)
		if s.Base64 != "" {
			raw, _ = base64.StdEncoding.DecodeString(s.Base64)
		}
		out = append(out, message(sourceID, s.Topic, raw))
	}
	return out
}

func message(sourceID, topic string, raw []byte) source.Signal {
	return source.Signal{
		Source: sourceID, System: "mes1", Transport: "mqtt", Ref: topic, Kind: source.KindMessage, Raw: raw,
		Quality: source.Uncertain, Arrived: arrived, Clock: source.ClockState{Synchronised: true},
	}
}

// goldenEvent is an event as the golden files have it.
type goldenEvent struct {
	ID        event.ID        `json:"id,omitempty"`
	Type      event.Type      `json:"type"`
	Source    string          `json:"source"`
	Time      string          `json:"time"`
	Causation event.ID        `json:"causation,omitempty"`
	Value     json.RawMessage `json:"value"`
}

func golden(t testing.TB, e *event.Event) *goldenEvent {
	t.Helper()
	if e == nil {
		return nil
	}
	sealed := *e
	if sealed.ID == "" {
		sealed.ID = placeholderID
	}
	if err := sealed.Seal("gw1"); err != nil {
		t.Fatalf("event cannot be sealed: %v", err)
	}
	return &goldenEvent{e.ID, e.Data.Type(), e.Source, event.At(e.Time).String(), e.Causation, sealed.Value}
}

func TestMapper_Map_Golden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/mapping.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			configs := load(t, file)
			m := compile(t, configs, options())
			id := configs[0].From.Source
			if id == "" {
				id = "cells"
			}
			type result struct {
				Events     []*goldenEvent `json:"events,omitempty"`
				Quarantine *goldenEvent   `json:"quarantine,omitempty"`
				Skipped    int            `json:"skipped,omitempty"`
				Changes    []Change       `json:"changes,omitempty"`
			}
			var state State
			var got []result
			for _, sig := range signals(t, filepath.Join(dir, "signals.yaml"), id) {
				r := m.Map(sig, View{State: &state})
				state.Apply(r.Changes)
				res := result{Quarantine: golden(t, r.Quarantine), Skipped: r.Skipped, Changes: r.Changes}
				for _, e := range r.Events {
					res.Events = append(res.Events, golden(t, e))
				}
				got = append(got, res)
			}
			compareGolden(t, filepath.Join(dir, "want.json"), got)
		})
	}
}

func compareGolden(t *testing.T, file string, got any) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), buf.String()); d != "" {
		t.Errorf("result differs from %s (-want +got):\n%s", file, d)
	}
}
