package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Seqs is a set of seqs, as sorted intervals that neither overlap nor touch.
type Seqs [][2]int64

// NewSeqs unites intervals, in any order.
func NewSeqs(intervals ...[2]int64) Seqs {
	sorted := slices.Clone(intervals)
	slices.SortFunc(sorted, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	var s Seqs
	for _, x := range sorted {
		switch last := len(s) - 1; {
		case x[0] > x[1]:
		case last < 0 || x[0] > s[last][1]+1:
			s = append(s, x)
		default:
			s[last][1] = max(s[last][1], x[1])
		}
	}
	return s
}

// ParseSeqs reads intervals such as 1-40,45-45.
func ParseSeqs(text string) (Seqs, error) {
	var all [][2]int64
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			continue
		}
		from, to, _ := strings.Cut(item, "-")
		f, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("interval %q of seqs: %w", item, err)
		}
		t, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("interval %q of seqs: %w", item, err)
		}
		all = append(all, [2]int64{f, t})
	}
	return NewSeqs(all...), nil
}

// And returns the union of two sets.
func (s Seqs) And(more ...[2]int64) Seqs { return NewSeqs(append(slices.Clone(s), more...)...) }

// Last returns the greatest seq, 0 if there is none.
func (s Seqs) Last() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1][1]
}

// Missing returns what the set lacks of 1 to last.
func (s Seqs) Missing(last int64) Seqs {
	var missing Seqs
	next := int64(1)
	for _, x := range s {
		if next > last {
			return missing
		}
		if x[0] > next {
			missing = append(missing, [2]int64{next, min(x[0]-1, last)})
		}
		next = max(next, x[1]+1)
	}
	if next <= last {
		missing = append(missing, [2]int64{next, last})
	}
	return missing
}

// String writes the set as 1-40,45-45.
func (s Seqs) String() string {
	parts := make([]string, len(s))
	for i, x := range s {
		parts[i] = fmt.Sprintf("%d-%d", x[0], x[1])
	}
	return strings.Join(parts, ",")
}
