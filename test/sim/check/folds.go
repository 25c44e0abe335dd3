package check

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Folds is I13: the inbox applied to an empty database gives the same objects; the plants' topics read in another
// interleaving give the same coverage, the same events, the same holds and the same results.
func Folds(r *Run) Finding {
	f := &finder{invariant: "I13"}
	f.same(r.End, r.Rebuilt, "applying the inbox anew")
	if r.End == nil || r.Shuffled == nil {
		return f.found
	}
	f.compare(r.End.Coverage, r.Shuffled.Coverage, func(name string) string {
		return fmt.Sprintf("in another interleaving %s covers %q, not %q", name, r.Shuffled.Coverage[name], r.End.Coverage[name])
	})
	f.compare(hashes(r.End), hashes(r.Shuffled), func(name string) string {
		return fmt.Sprintf("in another interleaving event %s is %q, not %q", name, hashes(r.Shuffled)[name], hashes(r.End)[name])
	})
	f.compare(results(r.End), results(r.Shuffled), func(name string) string {
		return fmt.Sprintf("in another interleaving %s is %q, not %q", name, results(r.Shuffled)[name], results(r.End)[name])
	})
	return f.found
}

func hashes(d *history.Dump) map[string]string {
	all := map[string]string{}
	for id, hash := range d.Inbox {
		all[string(id)] = string(hash)
	}
	return all
}

// results are what must not depend on the order in which two plants were read: which holds there are and whether they
// are open, and the verdict on each inspection.
func results(d *history.Dump) map[string]string {
	all := map[string]string{}
	for name, doc := range d.Objects {
		table, _, _ := strings.Cut(name, " ")
		var x struct {
			Kind     string `json:"kind"`
			LiftedBy string `json:"lifted_by"`
			State    string `json:"state"`
			Verdict  string `json:"verdict"`
		}
		if json.Unmarshal([]byte(doc), &x) != nil {
			continue
		}
		switch table {
		case "hold":
			all[name] = fmt.Sprintf("%s, open %t", x.Kind, x.LiftedBy == "")
		case "inspection":
			all[name] = x.State + " " + x.Verdict
		}
	}
	return all
}
