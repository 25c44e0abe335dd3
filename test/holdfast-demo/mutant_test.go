package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/mutant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// defect is a patch of the product that breaks one claim of the proof.
type defect struct {
	claim string
	row   string // beginning of the row that must find it
	says  string // part of what the row says
	args  []string
}

// defects are by the names of their patches.
func defects() map[string]defect {
	const ends = "each lot ends as its facts ask for"
	few, lossy := []string{"--lots", "60", "--settle", "30s"}, []string{"--lots", "60", "--settle", "30s", "--lose", "4"}
	return map[string]defect{
		"one-record":       {"exactly one record of each nonconformance in the QMS", ends, " has 2 records", lossy},
		"right-status":     {"the ERP's status is the right one", ends, "it is in_inspection and should be restricted", []string{"--lots", "200", "--settle", "30s"}},
		"freed-once":       {"tasks are released once", ends, "its tasks were freed 2 times", lossy},
		"notice-of-a-hold": {"a notice only where an order was held", ends, "customer service was told at_risk 1 times, want 0 to 0", few},
		"no-duplicate":     {"no effect takes place twice", "I3 ", "a message was delivered twice", lossy},
		"nothing-lost":     {"nothing is lost", "I1 ", "it was acknowledged and is lost", few},
		"in-order":         {"the events of a lot apply in their order", "I4 ", " was applied after seq ", few},
		"not-under-a-hold": {"no release under a hold", "I5 ", "its release was granted under hold", []string{"--lots", "120", "--settle", "30s"}},
		"contents-kept":    {"two contents under one id are both kept", "I9 ", "stands beside another one", few},
		"state-is-a-fold":  {"the state is a fold of the inbox", "I13 ", "applying the inbox anew changed", few},
		"gap-named":        {"every gap is closed or named", "what was not seen is a gap", "no gap is declared", []string{"--lots", "250", "--settle", "30s"}},
	}
}

// TestMutants_Apply looks whether each patch still fits and can be built.
func TestMutants_Apply(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) != len(defects()) {
		t.Fatalf("%d patches for %d defects, %v", len(patches), len(defects()), err)
	}
	for name := range defects() {
		o, err := mutant.New("../..", t.TempDir(), filepath.Join("mutants", name+".patch"))
		if err != nil {
			t.Error(err)
			continue
		}
		build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", o.Path}, o.Packages...)...)
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestMutants makes the proof with each defect: it must fail, by the row that stands for the claim.
func TestMutants(t *testing.T) {
	if os.Getenv("HOLDFAST_CRASH") != "full" {
		t.Skip("mutants of the proof are built and run by make crash, which takes some minutes")
	}
	for _, name := range slices.Sorted(maps.Keys(defects())) {
		t.Run(name, func(t *testing.T) {
			d := defects()[name]
			o, err := mutant.New("../..", t.TempDir(), filepath.Join("mutants", name+".patch"))
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if err := stack.Build(t.Context(), dir, "-overlay", o.Path, "github.com/holdfast-mesh/holdfast/test/holdfast-demo"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			broken, out := prove(t, dir, d.args)
			t.Logf("%s: broken after %s are %q", d.claim, time.Since(began).Round(time.Second), slices.Sorted(maps.Keys(broken)))
			caught := func(row string) bool { return strings.HasPrefix(row, d.row) && strings.Contains(broken[row], d.says) }
			if !slices.ContainsFunc(slices.Collect(maps.Keys(broken)), caught) {
				t.Errorf("no row %q says %q\n%s", d.row, d.says, out)
			}
		})
	}
}

// prove makes the proof by the programs of a directory. It returns what the broken rows say, by the rows; none means that
// it passed.
func prove(t *testing.T, dir string, args []string) (broken map[string]string, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args = append([]string{"check", "--seed", "2", "--data", filepath.Join(dir, "data")}, args...)
	text, err := exec.CommandContext(ctx, filepath.Join(dir, program()), args...).CombinedOutput()
	if exit, ended := errors.AsType[*exec.ExitError](err); err != nil && (!ended || exit.ExitCode() != 1) {
		t.Fatalf("%v\n%s", err, text)
	}
	broken = brokenRows(string(text))
	if all, err := os.ReadFile(filepath.Join(dir, "data", brokenFile)); err == nil { // it is there where something is broken
		broken = brokenRows(string(text) + string(all))
	}
	if (err == nil) != (len(broken) == 0) {
		t.Errorf("the proof ends with %v, and %d rows are broken", err, len(broken))
	}
	return broken, string(text)
}

// brokenRows reads a report: rows with more than nothing behind what was judged, and the lines below their titles.
func brokenRows(report string) map[string]string {
	broken, title := map[string]string{}, ""
	row := regexp.MustCompile(`^(\S.*?) +\d+ +(\d+|\?)$`)
	for line := range strings.Lines(report) {
		line = strings.TrimRight(line, "\n")
		if found := row.FindStringSubmatch(line); found != nil {
			if n, err := strconv.Atoi(found[2]); err != nil || n > 0 {
				broken[found[1]] = ""
			}
			continue
		}
		if _, is := broken[line]; is {
			title = line
		} else if title != "" && strings.HasPrefix(line, "  ") {
			broken[title] += line + "\n"
		} else if line != "" {
			title = ""
		}
	}
	return broken
}
