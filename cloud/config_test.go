package cloud

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

const canary = "canary-never-to-be-seen"

// lay puts a fixture into a folder of its own, with the files that it names. Modes do not survive a clone.
func lay(t *testing.T, fixture string) string {
	t.Helper()
	dir := t.TempDir()
	mapping, err := os.ReadFile(filepath.Join("connector", "rest", "testdata", "qms.rest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"cloud.yaml": string(text), "qms1.rest.yaml": string(mapping), "broken.rest.yaml": string(mapping) + "\nfindd: {}\n",
		"alice.token": "hf_" + (canary + strings.Repeat("a", 43))[:43], "bob.token": "hf_" + (canary + strings.Repeat("b", 43))[:43],
		"open.token": "hf_" + (canary + strings.Repeat("c", 43))[:43], "short.token": canary, "s4.pw": canary, "qms1.token": canary,
	}
	for name, text := range files {
		mode := os.FileMode(0o600)
		if name == "open.token" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func noEnv(string) (string, bool) { return "", false }

// TestLoad_Bad compares all that is said about each bad fixture, with its places.
func TestLoad_Bad(t *testing.T) {
	fixtures, err := filepath.Glob(filepath.Join("testdata", "config", "*.bad.yaml"))
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, fixture := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(fixture), ".bad.yaml"), func(t *testing.T) {
			dir := lay(t, fixture)
			_, err := Load(filepath.Join(dir, "cloud.yaml"), noEnv)
			if err == nil {
				t.Fatal("the fixture is accepted")
			}
			got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
			if strings.Contains(got, canary) {
				t.Errorf("the findings show a secret:\n%s", got)
			}
			file := strings.TrimSuffix(fixture, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", file, diff)
			}
		})
	}
}

func TestLoad_Good(t *testing.T) {
	dir := lay(t, filepath.Join("testdata", "config", "whole.good.yaml"))
	cfg, err := Load(filepath.Join(dir, "cloud.yaml"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("PathsAreRelativeToTheFile", func(t *testing.T) {
		if want := "sqlite:" + filepath.Join(dir, "data", "holdfast.db"); cfg.Database.URL != want {
			t.Errorf("database %q, want %q", cfg.Database.URL, want)
		}
		if want := filepath.Join(dir, "anchors.jsonl"); string(cfg.Ledger.AnchorFile) != want {
			t.Errorf("anchor file %q, want %q", cfg.Ledger.AnchorFile, want)
		}
	})
	t.Run("SharedDatabase", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(dir, "cloud.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "shared.yaml")
		shared := strings.Replace(string(text), `"sqlite:data/holdfast.db"`, `"postgres://holdfast@db.example/holdfast", password_file: s4.pw`, 1)
		if err := os.WriteFile(file, []byte(shared), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file, noEnv)
		if err != nil || cfg.Database.URL != "postgres://holdfast@db.example/holdfast" || string(cfg.Database.PasswordFile) != filepath.Join(dir, "s4.pw") {
			t.Errorf("database %+v, %v", cfg.Database, err)
		}
	})
	t.Run("Callers", func(t *testing.T) {
		callers, err := cfg.callers()
		if err != nil || len(callers) != 2 || callers[0].Principal != "alice" || !cmp.Equal(callers[0].Plants, []event.PlantID{"p1"}) {
			t.Errorf("callers %+v, %v", callers, err)
		}
	})
	t.Run("Plants", func(t *testing.T) {
		plants := cfg.plants()
		want := quality.Plant{ID: "p1", ERP: "s4", QMS: "qms1", WMS: "qms1", Notify: "qms1", OneSigner: true}
		if p := plants["p1"]; p != want {
			t.Errorf("plant p1: %+v, want %+v", p, want)
		}
		c := &Cloud{cfg: cfg}
		if p, other := c.plantOf("s4", "1010"), c.plantOf("s4", ""); p != "p1" || other != "" {
			t.Errorf("plants of stock: %q, %q, want p1 and none", p, other)
		}
		if p, ok := plants[""]; !ok || p.ERP != "s4" {
			t.Errorf("a plant that is not named has %+v, want the one ERP that there is", p)
		}
	})
	t.Run("Environment", func(t *testing.T) {
		env := func(key string) (string, bool) { return "west", key == "HOLDFAST_KAFKA_PREFIX" }
		cfg, err := Load(filepath.Join(dir, "cloud.yaml"), env)
		if err != nil || cfg.Kafka.Prefix != "west" {
			t.Errorf("prefix %q, %v", cfg.Kafka.Prefix, err)
		}
	})
}
