package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSample_CheckConfig checks the sample configurations as somebody does who has copied them and put secrets and
// certificates beside them.
func TestSample_CheckConfig(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, "config")
	writePair(t, dir, "mqtt.pem", "mqtt.key")
	for _, ca := range []string{"kafka-ca.pem", "mqtt-ca.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, "mqtt.pem"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, ca, string(text))
	}
	for _, secret := range []string{"kafka.pw", "press1.pw", "s4.pw", "qms.token"} {
		write(t, dir, secret, "secret of "+secret)
	}
	write(t, dir, "planner.token", "hf_"+strings.Repeat("a", 43))

	said, err := program(t, dir, "holdfast-agent", "check-config")
	if err != nil || said != "ok   agent.yaml   sources 4   mappings 6   samples run 15" {
		t.Errorf("agent.yaml: %v, %s", err, said)
	}
	if said, err := program(t, dir, "holdfast-cloud", "check-config"); err != nil || said != "cloud.yaml is valid" {
		t.Errorf("cloud.yaml: %v, %s", err, said)
	}
	// What is missing is named, so that a half copied folder is not started with.
	if err := os.Remove(filepath.Join(dir, "s4.pw")); err != nil {
		t.Fatal(err)
	}
	if said, err := program(t, dir, "holdfast-cloud", "check-config"); err == nil || !strings.Contains(said, "s4.pw") {
		t.Errorf("a cloud without its secret: %v, %s", err, said)
	}
}

// TestSample_Comments holds that a sample teaches: each section of it has a comment before it.
func TestSample_Comments(t *testing.T) {
	for _, name := range []string{"config/agent.yaml", "config/cloud.yaml"} {
		before := ""
		for line := range strings.Lines(read(t, name)) {
			key, _, isKey := strings.Cut(line, ":")
			if isKey && key == strings.TrimSpace(key) && !strings.HasPrefix(key, "#") && !told(key) && strings.TrimSpace(before) == "" {
				t.Errorf("%s: no comment tells what %s is for", name, key)
			}
			before = line
		}
	}
}

// told tells of keys whose comments stand inside of them.
func told(key string) bool { return key == "kafka" || key == "systems" || key == "agent" }
