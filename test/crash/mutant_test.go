package crash

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overlay applies a patch to copies of the files that it names, and returns an overlay for go build: product code holds
// no branch for mutants. A patch that no longer applies fails the test.
func overlay(t *testing.T, patch string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ b/")
		if !ok {
			continue
		}
		copied := filepath.Join(dir, name)
		source, err := os.ReadFile(filepath.Join(root, name))
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(copied), 0o755), os.WriteFile(copied, source, 0o644)); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = copied
	}
	absolute, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "apply", absolute)
	cmd.Dir = dir
	// Without this a repository around the temporary directory would be patched instead.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_DIR="+filepath.Join(dir, ".none"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s no longer applies: %v\n%s", filepath.Base(patch), err, out)
	}
	spec, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, spec, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// mutantRest is some three times what the programs themselves need after the load.
const mutantRest = 15 * time.Second

// TestMutants builds each mutant and runs it in its rig, which must find something wrong: a rig that can't fail proves
// nothing.
func TestMutants(t *testing.T) {
	if !full() {
		t.Skip("mutants are built and run by make crash, which takes some minutes")
	}
	type campaign func(*testing.T, string, int, time.Duration, *rand.Rand) []string
	rigs := map[string]campaign{"M02": killAgent, "M04": killCloud, "M05": killCloud, "M07": killCloud}
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) != len(rigs) {
		t.Fatalf("%d patches for %d rigs, %v", len(patches), len(rigs), err)
	}
	for _, patch := range patches {
		name := strings.TrimSuffix(filepath.Base(patch), ".patch")
		t.Run(name, func(t *testing.T) {
			run, ok := rigs[name[:3]]
			if !ok {
				t.Fatal("no rig for this mutant")
			}
			wrong := run(t, build(t, overlay(t, patch)), 8, mutantRest, seed(t))
			if len(wrong) == 0 {
				t.Fatal("the mutant survived")
			}
			t.Logf("caught: %d findings, the first: %.200s", len(wrong), wrong[0])
		})
	}
}
