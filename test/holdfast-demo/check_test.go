package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/check"
)

// TestCheck_FewLots makes the proof with few lots and short faults: everything must hold, and every row must have judged
// something.
func TestCheck_FewLots(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	out, err := exec.Command(filepath.Join(bin, program()), "check", "--lots", "40", "--seed", "2", "--data", filepath.Join(parent, "demo")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"no longer: the WAN of p2 is cut", "no longer: the agent of p3 is killed", "no longer: the press line of p4 is frozen", "each lot ends as its facts ask for"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, id := range []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15"} {
		judged := regexp.MustCompile(`(?m)^` + id + ` .* ([1-9]\d*) +0$`)
		if !judged.Match(out) {
			t.Errorf("nothing was judged by %s, or something is broken", id)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s", out)
	}
}

// TestCheck_ErrBroken proves that one row with something broken, or nothing judged, makes the whole proof fail, and is named.
func TestCheck_ErrBroken(t *testing.T) {
	var out strings.Builder
	p := &proof{out: &out}
	path, whole := filepath.Join(t.TempDir(), brokenFile), []row{{what: "this holds", judged: 3}}
	if err := p.print(whole, path); err != nil || !strings.Contains(out.String(), "this holds") {
		t.Errorf("%v\n%s", err, &out)
	}
	broken := rowOf("that does not", check.Finding{Judged: 1, Violations: []check.Violation{{Invariant: "I5", What: "a lot was freed under a hold", Lot: "lot::M:L-1"}}})
	if err := p.print(append(whole, row{what: "nothing to judge"}), path); err == nil || !strings.Contains(out.String(), "nothing was judged, so nothing is proven") {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := p.print(append(whole, broken), path); err == nil || !strings.Contains(out.String(), "a lot was freed under a hold; lot lot::M:L-1") {
		t.Errorf("%v\n%s", err, &out)
	}
	if all, err := os.ReadFile(path); err != nil || !strings.Contains(string(all), "a lot was freed under a hold") {
		t.Errorf("%v\n%s", err, all)
	}
}

func TestLatencyRow(t *testing.T) {
	many := make([]time.Duration, fewest)
	for name, c := range map[string]struct {
		took   []time.Duration
		broken bool
	}{
		"all are fast enough":          {many, false},
		"the slowest hundredth counts": {append([]time.Duration{time.Second, time.Second, time.Second}, many...), true},
		"few prove nothing":            {many[1:], true},
		"none":                         {nil, true},
	} {
		if r := latencyRow("it", c.took, time.Second); (len(r.wrong) > 0) != c.broken || r.judged != len(c.took) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestScript_Scaled proves that a short proof has short outages, in the same order, which all end before it does.
func TestScript_Scaled(t *testing.T) {
	whole, short := script(time.Hour), script(12*time.Second)
	for i := range whole {
		if whole[i].what != short[i].what || short[i].last >= whole[i].last || short[i].last <= 0 {
			t.Errorf("%s lasts %s, in a short proof %s", whole[i].what, whole[i].last, short[i].last)
		}
		if end := short[i].at + short[i].last; end > 14*time.Second {
			t.Errorf("%s ends after %s", short[i].what, end)
		}
	}
}
