package arch

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// maxAgent is what the agent's stripped program may have: gateways are small, and it is carried over thin links.
const maxAgent = 25 << 20

func TestBinary_HoldsNoFailpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two programs")
	}
	for pkg, limit := range map[string]int{"agent/cmd/holdfast-agent": maxAgent, "cloud/cmd/holdfast-cloud": 0} {
		t.Run(path.Base(pkg), func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(root(t), pkg)); err != nil {
				t.Skipf("%s is not written yet", pkg)
			}
			release := build(t, pkg)
			if bytes.Contains(release, []byte("HOLDFAST_FAILPOINTS")) {
				t.Error("the release program reads HOLDFAST_FAILPOINTS")
			}
			t.Logf("%s: %.1f MB stripped, %d packages outside the standard library", path.Base(pkg), float64(len(release))/1e6, dependencies(t, pkg))
			if limit > 0 && len(release) > limit {
				t.Errorf("%d bytes stripped, at most %d are allowed", len(release), limit)
			}
		})
	}
}

// TestBinary_SearchFindsFailpoints proves that the search above would find one.
func TestBinary_SearchFindsFailpoints(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	pkg := "agent/cmd/holdfast-agent"
	if _, err := os.Stat(filepath.Join(root(t), pkg)); err != nil {
		t.Skipf("%s is not written yet", pkg)
	}
	if !bytes.Contains(build(t, pkg, "-tags", "failpoint"), []byte("HOLDFAST_FAILPOINTS")) {
		t.Error("a program built with the tag failpoint does not hold the text that the search looks for")
	}
}

// build returns the stripped program of a package, built as releases are.
func build(t *testing.T, pkg string, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", out}, flags...)
	run(t, append(args, "./"+pkg)...)
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func dependencies(t *testing.T, pkg string) int {
	t.Helper()
	out := run(t, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+pkg)
	return len(strings.Fields(out))
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}
