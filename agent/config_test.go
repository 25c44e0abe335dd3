package agent

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

func noEnv(string) (string, bool) { return "", false }

// TestLoad_Bad compares all findings of each bad configuration with the file beside it.
func TestLoad_Bad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			_, _, err := Load(file, noEnv)
			if _, ok := errors.AsType[config.Errors](err); !ok {
				t.Fatalf("error is %v: want config.Errors", err)
			}
			got := filepath.ToSlash(err.Error()) + "\n"
			if strings.Contains(got, "hunter2") {
				t.Error("the error shows a secret")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("findings differ (-want +got; -update rewrites them):\n%s", diff)
			}
		})
	}
}

func TestLoad_Good(t *testing.T) {
	cfg, mapper, err := Load("testdata/press.good.yaml", noEnv)
	if err != nil || mapper == nil {
		t.Fatalf("error is %v", err)
	}
	if got := cfg.mixed(); len(got) != 0 {
		t.Errorf("sources that mix urgent types with others: %v", got)
	}
	if got := mapper.Arrival(); len(got) != 0 {
		t.Errorf("mappings with key: arrival: %v", got)
	}
}

func TestConfig_Hash(t *testing.T) {
	cfg, _, err := Load("testdata/press.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.Queue.Disk++
	if first, second := cfg.hash(), cfg.hash(); first != second || len(first) != 12 {
		t.Errorf("hash is %q, then %q", first, second)
	}
	if cfg.hash() == other.hash() {
		t.Error("another configuration has the same hash")
	}
}

func TestConfig_Mixed(t *testing.T) {
	press := Source{ID: "press", MQTT: &mqtt.Config{Subscribe: []string{"acme/+/result", "acme/+/state/#"}}}
	mes := Source{ID: "mes", MQTT: &mqtt.Config{Subscribe: []string{"mes/#"}}}
	take := func(source, topic, typ string) mapping.Config {
		return mapping.Config{From: mapping.From{Source: source, Topic: topic}, Event: mapping.Event{Type: typ}}
	}
	const safety, sampled = "quality.safety.failed.v1", "signal.value.sampled.v1"
	for _, c := range []struct {
		name     string
		mappings []mapping.Config
		want     []localapi.Mixed
	}{
		{"one topic that gives both is no mixture", []mapping.Config{take("press", "a/{x}/result", safety), take("press", "a/{x}/result", sampled)}, []localapi.Mixed{}},
		{"two topics of one source are", []mapping.Config{take("press", "a/{x}/result", safety), take("press", "a/{x}/state", sampled)},
			[]localapi.Mixed{{Source: "press", Urgent: []string{"a/{x}/result"}, Others: []string{"a/{x}/state"}}}},
		{"two sources are not", []mapping.Config{take("press", "a/{x}/result", safety), take("mes", "mes/lot", sampled)}, []localapi.Mixed{}},
		{"a mapping of any source counts where its topics can come", []mapping.Config{take("press", "acme/{x}/result", safety), take("", "{e}/{x}/state/{y}", sampled), take("", "mes/lot", sampled)},
			[]localapi.Mixed{{Source: "press", Urgent: []string{"acme/{x}/result"}, Others: []string{"{e}/{x}/state/{y}"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Sources: []Source{press, mes}, Mappings: c.mappings}
			if diff := cmp.Diff(c.want, cfg.mixed()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
