package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Duplicates is I10: an event stands in the inbox once, and records that are delivered again change no object and cause
// no write.
func Duplicates(r *Run) Finding {
	f := &finder{invariant: "I10"}
	seen := map[event.ID]bool{}
	for _, x := range applied(r.History) {
		f.judge()
		if seen[x.Event] {
			f.wrong(x, "it was applied twice")
		}
		seen[x.Event] = true
	}
	f.same(r.End, r.Redelivered, "delivering records again")
	f.noWrites(r.End, r.Redelivered, "delivering records again")
	return f.found
}

// shown is how many differences of two dumps are named; the rest are counted.
const shown = 10

// same compares the objects of two dumps, if there are two.
func (f *finder) same(before, after *history.Dump, by string) {
	if before == nil || after == nil {
		return
	}
	f.compare(before.Objects, after.Objects, func(name string) string {
		return fmt.Sprintf("%s changed %s, from %s to %s", by, name, state(before.Objects[name]), state(after.Objects[name]))
	})
}

func state(doc string) string {
	if doc == "" {
		return "nothing"
	}
	return doc
}

// compare notes the keys under which two maps differ.
func (f *finder) compare(a, b map[string]string, say func(string) string) {
	names := map[string]bool{}
	for _, m := range []map[string]string{a, b} {
		for name := range m {
			names[name] = true
		}
	}
	different := 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f.judge()
		if a[name] == b[name] {
			continue
		}
		if different++; different <= shown {
			f.found.Violations = append(f.found.Violations, Violation{Invariant: f.invariant, Place: name, What: say(name)})
		}
	}
	if different > shown {
		f.found.Violations = append(f.found.Violations, Violation{Invariant: f.invariant, What: fmt.Sprintf("and %d more differ", different-shown)})
	}
}

// noWrites compares the effects that the targets counted.
func (f *finder) noWrites(before, after *history.Dump, by string) {
	if before == nil || after == nil {
		return
	}
	for system, kinds := range after.Writes {
		for kind, n := range kinds {
			f.judge()
			if was := before.Writes[system][kind]; n != was {
				f.found.Violations = append(f.found.Violations, Violation{
					Invariant: f.invariant, Place: system, What: fmt.Sprintf("%s had %d effects %s at %s", by, n-was, kind, system),
				})
			}
		}
	}
}
