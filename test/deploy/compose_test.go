package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// compose is the form of compose.yaml.
type compose struct {
	Name     string
	Services map[string]struct {
		Image       string
		Build       struct{ Context, Dockerfile, Target string }
		User        string
		Restart     string
		DependsOn   map[string]any `yaml:"depends_on"`
		Ports       []string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		ExtraHosts  []string `yaml:"extra_hosts"`
		Secrets     []string
		Environment map[string]any
		Volumes     []string
		Healthcheck map[string]any
	}
	Secrets map[string]struct{ File string }
	Volumes map[string]any
}

// made are paths of compose.yaml that its first lines tell a person to make.
var made = []string{"./secrets/database.pw", "./data/cloud"}

// TestCompose holds what can be held without Docker: that the file has the form that it must have, that what it mounts and
// builds from exists, that nothing listens beyond this host, and that images have a fixed version.
func TestCompose(t *testing.T) {
	var c compose
	decode(t, "compose/compose.yaml", &c)
	dir := filepath.Join(shipped, "compose")
	exists := func(service, path string) {
		t.Helper()
		for _, m := range made {
			if path == m {
				if !strings.Contains(read(t, "compose/compose.yaml"), "#   mkdir -p secrets data/cloud") {
					t.Errorf("nobody is told to make %s", path)
				}
				return
			}
		}
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
	for _, name := range []string{"kafka", "postgres", "cloud", "prometheus", "grafana"} {
		if _, found := c.Services[name]; !found {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range c.Services {
		if (s.Image == "") == (s.Build.Target == "") {
			t.Errorf("%s has image %q and target %q, want one of them", name, s.Image, s.Build.Target)
		}
		if s.Image != "" && !regexp.MustCompile(`:v?\d[\w.]*$`).MatchString(s.Image) {
			t.Errorf("%s: image %q has no fixed version", name, s.Image)
		}
		if s.Build.Target != "" {
			exists(name, filepath.Join(s.Build.Context, s.Build.Dockerfile))
			exists(name, filepath.Join(s.Build.Context, "go.mod"))
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s listens beyond this host: %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				exists(name, from)
			} else if _, named := c.Volumes[from]; !named {
				t.Errorf("%s: nobody makes the volume %s", name, from)
			}
		}
		for _, secret := range s.Secrets {
			exists(name, c.Secrets[secret].File)
		}
		for other := range s.DependsOn {
			if c.Services[other].Healthcheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, other)
			}
		}
	}
}

// TestCompose_CheckConfig checks the cloud's configuration with its secret in the place that the container sees it in.
func TestCompose_CheckConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "database.pw", "secret")
	text := read(t, "compose/cloud.yaml")
	if !strings.Contains(text, "/run/secrets/database.pw") {
		t.Error("the password is not where compose puts it")
	}
	write(t, dir, "cloud.yaml", strings.ReplaceAll(text, "/run/secrets/", dir+"/"))
	if said, err := program(t, dir, "holdfast-cloud", "check-config"); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// TestCompose_Prometheus holds that the containers' Prometheus knows the programs by the names that the rules ask for.
func TestCompose_Prometheus(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, "compose/prometheus.yaml", "prometheus/holdfast.rules.yaml")
	if said, err := tool(t, dir, "promtool", "check", "config", "prometheus.yaml"); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	for _, job := range []string{"holdfast-agent", "holdfast-cloud"} {
		if !strings.Contains(read(t, "compose/prometheus.yaml"), "job_name: "+job) {
			t.Errorf("no job is called %s", job)
		}
	}
}

// TestDockerfile holds that each stage that compose builds exists, with what it copies and starts.
func TestDockerfile(t *testing.T) {
	text := read(t, "compose/Dockerfile")
	for _, side := range []string{"agent", "cloud"} {
		_, stage, found := strings.Cut(text, "FROM scratch AS "+side+"\n")
		if !found {
			t.Fatalf("no stage is called %s", side)
		}
		stage, _, _ = strings.Cut(stage, "\nFROM ")
		for _, want := range []string{"/out/holdfast-" + side + " ", `ENTRYPOINT ["/usr/bin/holdfast-` + side + `"]`, "USER 65532:65532", "ca-certificates.crt"} {
			if !strings.Contains(stage, want) {
				t.Errorf("stage %s lacks %s", side, want)
			}
		}
		if !strings.Contains(text, "./"+side+"/cmd/holdfast-"+side) {
			t.Errorf("%s is not built", side)
		}
	}
	if !strings.Contains(text, "golang:"+goVersion(t)) {
		t.Errorf("the image does not build with Go %s, as go.mod wants", goVersion(t))
	}
}

// goVersion returns the language version of go.mod, such as 1.26.
func goVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod names no version")
	}
	return string(m[1])
}
