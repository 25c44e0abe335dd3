package deploy

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mostExposed is what systemd's own judgement of a unit may be at the most, from 0 for nothing to 10 for all that there is.
// Units of comparable daemons have 9.
const mostExposed = 2.0

var services = []string{"holdfast-agent.service", "holdfast-cloud.service"}

func TestUnit_Security(t *testing.T) {
	for _, name := range services {
		t.Run(name, func(t *testing.T) {
			said, err := tool(t, filepath.Join(shipped, "systemd"), "systemd-analyze", "security", "--offline=yes", "--no-pager", name)
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(said)
			if found == nil {
				t.Fatalf("no judgement in:\n%s", said)
			}
			if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > mostExposed {
				t.Errorf("exposure is %s, want %.1f at the most\n%s", found[1], mostExposed, said)
			}
		})
	}
}

// directives returns the settings of a unit, all values of each.
func directives(t *testing.T, name string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(read(t, "systemd/"+name)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q is no setting", name, line)
		}
		all[key] = append(all[key], value)
	}
	return all
}

// TestUnit_Settings holds what keeps a service from staying down, or from hammering at a configuration that is refused.
func TestUnit_Settings(t *testing.T) {
	for _, name := range services {
		t.Run(name, func(t *testing.T) {
			got := directives(t, name)
			user := strings.TrimSuffix(name, ".service")
			for key, want := range map[string]string{
				"Type": "notify", "NotifyAccess": "main", "Restart": "always", "StartLimitIntervalSec": "0", "StateDirectoryMode": "0700",
				// The exit codes of both programs for usage, configuration and refusal.
				"RestartPreventExitStatus": "2 3 4",
				"User":                     user, "StateDirectory": user, "ConfigurationDirectory": user,
			} {
				if !slices.Equal(got[key], []string{want}) {
					t.Errorf("%s is %q, want %q", key, got[key], want)
				}
			}
			words := strings.Fields(strings.Join(got["ExecStart"], " "))
			if len(words) == 0 || words[0] != "/usr/bin/"+user {
				t.Fatalf("ExecStart is %q", got["ExecStart"])
			}
			if said, err := program(t, "", user, append(words[1:len(words)-2:len(words)-2], "--help")...); err != nil || !strings.Contains(said, "--config") {
				t.Errorf("%s does not take what ExecStart gives it: %v\n%s", user, err, said)
			}
			if !strings.Contains(read(t, "systemd/holdfast.sysusers"), "u "+user+" ") {
				t.Errorf("nobody makes the user %s", user)
			}
		})
	}
}

// TestUnit_Writes holds that a service may write where its sample configuration keeps things: all else is read-only to it.
func TestUnit_Writes(t *testing.T) {
	kept := regexp.MustCompile(`(?m)^[^#\n]*?(?:data|url|key_file|anchor_file): "?(?:sqlite:)?(/[^\s,"}]+)`)
	for _, side := range []string{"agent", "cloud"} {
		unit := directives(t, "holdfast-"+side+".service")
		open := []string{"/var/lib/" + unit["StateDirectory"][0]}
		for _, path := range unit["ReadWritePaths"] {
			open = append(open, strings.TrimPrefix(path, "-"))
		}
		found := kept.FindAllStringSubmatch(strings.ReplaceAll(read(t, "config/"+side+".yaml"), ", ", ",\n"), -1)
		if len(found) == 0 {
			t.Errorf("the sample of the %s keeps nothing anywhere", side)
		}
		for _, m := range found {
			if !slices.ContainsFunc(open, func(dir string) bool { return m[1] == dir || strings.HasPrefix(m[1], dir+"/") }) {
				t.Errorf("the sample of the %s writes %s, and its unit forbids it: %v", side, m[1], open)
			}
		}
	}
}
