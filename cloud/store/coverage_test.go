package store

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is the plainest form of a set of seqs.
type naive map[int64]bool

func (n naive) ranges(from, to int64, in bool) Ranges {
	var r Ranges
	for s := from; s <= to; s++ {
		if n[s] != in {
			continue
		}
		if len(r) > 0 && r[len(r)-1].To == s-1 {
			r[len(r)-1].To = s
		} else {
			r = append(r, Range{s, s})
		}
	}
	return r
}

func TestRanges(t *testing.T) {
	const top = 60
	rapid.Check(t, func(t *rapid.T) {
		var r Ranges
		oracle := naive{}
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			from := rapid.Int64Range(1, top).Draw(t, "from")
			to := rapid.Int64Range(from, min(top, from+8)).Draw(t, "to")
			r = r.Add(from, to)
			for s := from; s <= to; s++ {
				oracle[s] = true
			}
			if want := oracle.ranges(1, top, true); !slices.Equal(r, want) {
				t.Fatalf("after %d-%d: want %s, got %s", from, to, want, r)
			}
		}
		last := rapid.Int64Range(0, top+5).Draw(t, "last")
		if got, want := r.Missing(last), oracle.ranges(1, last, false); !slices.Equal(got, want) {
			t.Fatalf("missing of %s up to %d: want %s, got %s", r, last, want, got)
		}
		if len(r) > 0 && r.Max() != r[len(r)-1].To || len(r) == 0 && r.Max() != 0 {
			t.Fatalf("largest of %s is %d", r, r.Max())
		}
		parsed, err := ParseRanges(r.String())
		if err != nil || !slices.Equal(parsed, r) {
			t.Fatalf("%s is read as %s, %v", r, parsed, err)
		}
	})
}

func FuzzParseRanges(f *testing.F) {
	for _, s := range []string{"", "1-40,45-45", "1-1", "0-3", "5-2", "1", "-", "1-2,", "9223372036854775807-9223372036854775807", "1--2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRanges(s)
		if err != nil {
			return
		}
		again, err := ParseRanges(r.String())
		if err != nil || !slices.Equal(again, r) {
			t.Errorf("%q is %s, read again %s, %v", s, r, again, err)
		}
		for _, x := range r {
			if x.From < 1 || x.To < x.From {
				t.Errorf("%q holds %v", s, x)
			}
		}
	})
}
