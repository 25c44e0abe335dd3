package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// TestF62_DropByTwoPersons: a record that can't be applied keeps its lot until two persons drop it. What waited behind it goes
// on, and the record can still be exported.
func TestF62_DropByTwoPersons(t *testing.T) {
	t.Parallel()
	s := startManned(t)
	p := publisher(t, s, "press")
	poison := lot("L-STUCK", "m") // metres of a material that is counted in kilograms
	poison.Record += "-typed"
	send(t, p, plant.TopicLot, poison)
	send(t, p, plant.TopicLot, lot("L-STUCK", "kg"))
	kept := func() int {
		out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "jsonl")
		return strings.Count(out, "\n")
	}
	eventually(t, 20*time.Second, "the record is kept, and the one behind it", func() bool { return kept() == 2 })

	drop := []string{"deadletter", "drop", "1", "--reason", "typing error, checked on paper"}
	const refused = 4
	if _, _, code := cloudCLI(t, s, append(drop, "--signer", "anna", "--signer", "anna", "--password-file", s.Path("anna.password"), "--password-file", s.Path("anna.password"))...); code != refused {
		t.Fatalf("one person twice: exits %d, want %d", code, refused)
	}
	if _, stderr, code := cloudCLI(t, s, both(s, drop...)...); code != 0 || !strings.Contains(stderr, "deadletter redrive 2") {
		t.Fatalf("drop exits %d: %s", code, stderr)
	}
	if _, _, code := cloudCLI(t, s, "deadletter", "redrive", "2", "--reason", "the wrong one was dropped"); code != 0 {
		t.Fatalf("redrive exits %d", code)
	}
	eventually(t, 20*time.Second, "the lot is released", func() bool { return released(t, s, "L-STUCK") })
	if n := kept(); n != 0 {
		t.Errorf("%d records still wait", n)
	}
	if out, _, _ := cloudCLI(t, s, "deadletter", "export", "--all"); !strings.Contains(out, `"state":"dropped"`) || !strings.Contains(out, "L-STUCK-typed") {
		t.Error("the dropped record can't be exported")
	}
	if out, _, _ := cloudCLI(t, s, "ledger", "show", "-o", "jsonl"); !strings.Contains(out, "typing error, checked on paper") || !strings.Contains(out, `"anna, bert"`) {
		t.Error("reason and persons are not in the ledger")
	}
}
