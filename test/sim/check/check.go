// Package check judges a run: pure functions over what took place and what is left of it. Effects are counted at the
// target by business key, never in our own log.
//
// [All] judges the history of a whole run by the invariants I1 to I15, each in a function of its own; [Ends] compares
// what became of every lot with what its facts ask for; [Observed] looks for what was passed over in silence; [Summarise]
// counts how long releases waited, and for what. The functions of this file look at books alone, where lots are known by
// no more than their numbers.
package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// Doubled finds the effects of one kind on one business key that took place more often than its facts ask for. Limit says
// how often that is.
func Doubled(entries []book.Entry, limit func(book.Entry) int) []string {
	type effect struct{ key, kind string }
	count, allowed := map[effect]int{}, map[effect]int{}
	for _, e := range entries {
		x := effect{e.Key, e.Kind}
		count[x]++
		allowed[x] = limit(e)
	}
	var wrong []string
	for x, n := range count {
		if n > allowed[x] {
			wrong = append(wrong, fmt.Sprintf("effect %s on %s took place %d times, %d at most are asked for", x.kind, x.key, n, allowed[x]))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// EndState compares what the ERP's book says of each lot at the end with what the plant's facts ask for.
func EndState(blocked map[string]bool, free func(lot string) bool) []string {
	var wrong []string
	for _, lot := range slices.Sorted(maps.Keys(blocked)) {
		switch {
		case blocked[lot] && free(lot):
			wrong = append(wrong, fmt.Sprintf("lot %s is free and should be blocked", lot))
		case !blocked[lot] && !free(lot):
			wrong = append(wrong, fmt.Sprintf("lot %s is blocked and should be free", lot))
		}
	}
	return wrong
}
