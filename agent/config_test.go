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

// TestCheck finds the files that a start would not look at: it leaves a source alone that lacks one.
func TestCheck(t *testing.T) {
	good := string(must(os.ReadFile("testdata/press.good.yaml"))(t))
	for name, c := range map[string]struct{ old, new, at string }{
		"OK":                  {"plant: p1", "plant: p1", ""},
		"a password":          {`{ broker: "tcp`, `{ user: gw1, password_file: none.pw, broker: "tcp`, "sources[0].mqtt.password_file"},
		"an authority":        {`{ broker: "tcp`, `{ tls: { ca: none.pem }, broker: "tcp`, "sources[0].mqtt.tls"},
		"a certificate alone": {"prefix: holdfast", "prefix: holdfast, tls: { cert: none.pem }", "kafka.tls"},
		"Kafka's password":    {"prefix: holdfast", "prefix: holdfast, sasl: { user: gw1, password_file: none.pw }", "kafka.sasl.password_file"},
		"our OPC UA identity": {"\nmappings:", "\n  - { id: line, opcua: { endpoint: opc.tcp://press1, certificate: none.pem, key: none.pem, items: [{ node: i=2258 }] } }\n\nmappings:", "sources[2].opcua.certificate"},
		"an OPC UA password":  {"\nmappings:", "\n  - { id: line, opcua: { endpoint: opc.tcp://press1, user: gw1, password_file: none.pw, items: [{ node: i=2258 }] } }\n\nmappings:", "sources[2].opcua.password_file"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "agent.yaml")
			write(t, file, strings.Replace(good, c.old, c.new, 1))
			if _, _, err := Load(file, noEnv); err != nil {
				t.Fatal(err)
			}
			_, err := Check(file, noEnv)
			found, _ := errors.AsType[config.Errors](err)
			if c.at == "" && err != nil || c.at != "" && (len(found) != 1 || found[0].Path != c.at || found[0].Line == 0) {
				t.Errorf("error is %v, want one finding at %s", err, c.at)
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
