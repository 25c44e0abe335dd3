package badinput

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/cloud"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestB091_Config spoils a good configuration in one place each: it is refused at that line and column, by code.
func TestB091_Config(t *testing.T) {
	const press, signals = `- { id: press4, equipment`, `- { id: press4-signals, equipment`
	for _, c := range []struct {
		name, file, from, to string
		code                 problem.Code
		text                 string // part of the finding
	}{
		{"UnknownKey", "agent.yaml", "queue: { disk:", "queue: { disc:", problem.ConfigUnknownKey, `did you mean "disk"`},
		{"DuplicateSource", "agent.yaml", signals, press, problem.ConfigDuplicate, `"press4" stands twice`},
		{"NegativeTime", "agent.yaml", "allow_tmpfs: true", "allow_tmpfs: true, keep_sent: -1h", problem.ConfigValue, "keep_sent"},
		{"TimeWithoutUnit", "agent.yaml", "allow_tmpfs: true", "allow_tmpfs: true, keep_sent: 1e9", problem.ConfigValue, "keep_sent"},
		{"EndlessTime", "agent.yaml", "allow_tmpfs: true", "allow_tmpfs: true, keep_sent: 1000000h", problem.ConfigValue, "keep_sent"},
		{"NoDisk", "agent.yaml", "disk: 1GiB", "disk: 0B", problem.ConfigValue, "too small"},
		{"InFlight1e9", "agent.yaml", "mqtt: {", "mqtt: { in_flight: 1000000000,", problem.ConfigValue, "in_flight is 1000000000"},
		{"BadBrokerURL", "agent.yaml", `broker: "tcp:`, `broker: "http:`, problem.ConfigValue, `scheme "http"`},
		{"SecretInURL", "agent.yaml", `broker: "tcp://`, `broker: "tcp://joe:hunter2@`, problem.ConfigSecret, "in plain text"},
		{"SecretKey", "agent.yaml", "mqtt: {", "mqtt: { password: hunter2,", problem.ConfigSecret, "in plain text"},
		{"NoNaturalKey", "press.yaml", `      key: ['"hold"', p.record]` + "\n", "", problem.MappingKey, "event has no key"},
		{"SampleFails", "press.yaml", `value: "45.10", evaluation: pass`, `value: "45.11", evaluation: pass`, problem.MappingSample, `the sample wants "45.11"`},
		{"NotYAML", "agent.yaml", "sources:\n", "sources: [\n", problem.ConfigSyntax, ""},

		{"CloudUnknownKey", "cloud.yaml", "ledger: { key_file:", "ledger: { keyfile:", problem.ConfigUnknownKey, `did you mean "key_file"`},
		{"CloudDuplicateSystem", "cloud.yaml", "id: qms1, rest", "id: s4, rest", problem.ConfigDuplicate, `"s4" stands twice`},
		{"CloudBadURL", "cloud.yaml", `sap: { url: "http:`, `sap: { url: "ftp:`, problem.ConfigValue, "no http or https address"},
		{"CloudSecret", "cloud.yaml", "token_file: alice.token", "token: hf_hunter2", problem.ConfigSecret, "in plain text"},
		{"CloudRateNegative", "cloud.yaml", "rate: 500", "rate: -1", problem.ConfigValue, "rate is -1"},
		{"CloudRate1e9", "cloud.yaml", "rate: 500", "rate: 1000000000", problem.ConfigValue, "rate is 1e+09"},
		{"CloudNoERP", "cloud.yaml", "erp: s4", "erp: s5", problem.ConfigValue, `"s5"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := settings(t)
			line := spoil(t, filepath.Join(dir, c.file), c.from, c.to)
			err := load(dir, c.file)
			list, ok := errors.AsType[config.Errors](err)
			if !ok {
				t.Fatalf("error is %v: want config.Errors", err)
			}
			place := regexp.MustCompile(fmt.Sprintf(`%s:%d:[1-9][0-9]* .*\(%s\)`, regexp.QuoteMeta(c.file), line, c.code))
			found := false
			for finding := range strings.Lines(list.Error()) {
				found = found || place.MatchString(finding) && strings.Contains(finding, c.text)
			}
			if !found || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("no finding at line %d of %s with %s and %q, or one that shows a secret:\n%v", line, c.file, c.code, c.text, err)
			}
		})
	}
	t.Run("ProgramRefuses", func(t *testing.T) {
		dir := settings(t)
		spoil(t, filepath.Join(dir, "agent.yaml"), "queue: { disk:", "queue: { disc:")
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := stack.Start(ctx, "agent", dir, filepath.Join(world.bin, "holdfast-agent"), nil, "run", "--config", filepath.Join(dir, "agent.yaml"))
		if err == nil || !strings.Contains(err.Error(), string(problem.ConfigUnknownKey)) {
			t.Errorf("run gives %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "agent-data")); !os.IsNotExist(err) {
			t.Errorf("a refused agent made its directory: %v", err)
		}
	})
}

// settings writes good configurations of both programs.
func settings(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := stack.Settings{MQTT: "tcp://127.0.0.1:1883", Kafka: "127.0.0.1:9092", WAN: "127.0.0.1:9093", SAP: "127.0.0.1:8001", QMS: "127.0.0.1:8002"}
	if _, err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"agent.yaml", "cloud.yaml"} {
		if err := load(dir, file); err != nil {
			t.Fatalf("%s is not good to begin with: %v", file, err)
		}
	}
	return dir
}

func load(dir, file string) (err error) {
	env := func(string) (string, bool) { return "", false }
	if file == "cloud.yaml" {
		_, err = cloud.Load(filepath.Join(dir, file), env)
		return err
	}
	_, _, err = agent.Load(filepath.Join(dir, "agent.yaml"), env)
	return err
}

// spoil replaces a text in a file, once, and returns the line on which the finding is expected: that of the text, or, where
// text is taken away, that of the mapping's event which lacks it.
func spoil(t *testing.T, path, from, to string) (line int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), from)
	if !found {
		t.Fatalf("%s has no %q", path, from)
	}
	if err := os.WriteFile(path, []byte(before+to+after), 0o644); err != nil {
		t.Fatal(err)
	}
	line = 1 + strings.Count(before, "\n")
	if to == "" {
		line = 1 + strings.Count(before[:strings.LastIndex(before, "    event:")], "\n")
	}
	return line
}
