package check

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// unanchored is how old the part of the chain may be that no anchor covers.
const unanchored = time.Minute

// Chain is I12: each version of each object has exactly one entry, by somebody; the newest entry of an object is that of
// its version at the end; the chain has no hole and each link fits; every anchor agrees with it, and the newest leaves a
// minute uncovered at the most.
func Chain(r *Run) Finding {
	f := &finder{invariant: "I12"}
	versions := map[string][]*history.Fact{}
	var sealed, anchors []*history.Fact
	for _, x := range r.History.Of(history.Ledger) {
		f.judge()
		if x.State == history.Anchored {
			anchors = append(anchors, x)
			continue
		}
		if x.Principal == "" {
			f.wrong(x, "version %d of %s was changed by nobody", x.Version, x.Object)
		}
		versions[x.Object] = append(versions[x.Object], x)
		if x.Place.Offset > 0 {
			sealed = append(sealed, x)
		}
	}
	newest := map[string]int64{}
	for _, object := range slices.Sorted(maps.Keys(versions)) {
		newest[object] = f.versions(versions[object])
		if first := versions[object][0]; r.End != nil && r.End.Versions[object] > 0 && first.Version != 1 {
			f.wrong(first, "the ledger of %s begins with version %d", object, first.Version)
		}
	}
	if r.End != nil {
		for _, object := range slices.Sorted(maps.Keys(r.End.Versions)) {
			f.judge()
			if v := r.End.Versions[object]; v != newest[object] {
				f.wrong(&history.Fact{Object: object}, "%s has version %d, the newest in the ledger is %d", object, v, newest[object])
			}
		}
	}
	slices.SortFunc(sealed, func(a, b *history.Fact) int { return cmp.Compare(a.Place.Offset, b.Place.Offset) })
	f.links(sealed)
	f.anchored(sealed, anchors)
	return f.found
}

// versions looks for holes and doubles in the entries of one object and returns its newest version. An object that the
// cloud makes anew with each act has versions of its own beginning.
func (f *finder) versions(entries []*history.Fact) int64 {
	slices.SortStableFunc(entries, func(a, b *history.Fact) int { return cmp.Compare(a.Version, b.Version) })
	for i, x := range entries {
		switch {
		case i > 0 && x.Version == entries[i-1].Version:
			f.wrong(x, "version %d of %s has two entries", x.Version, x.Object)
		case i > 0 && x.Version != entries[i-1].Version+1:
			f.wrong(x, "the ledger of %s jumps from version %d to %d", x.Object, entries[i-1].Version, x.Version)
		}
	}
	return entries[len(entries)-1].Version
}

func (f *finder) links(sealed []*history.Fact) {
	for i, x := range sealed {
		switch {
		case i == 0 && x.Place.Offset != 1:
			f.wrong(x, "the chain begins at place %d", x.Place.Offset)
		case i > 0 && x.Place.Offset != sealed[i-1].Place.Offset+1:
			f.wrong(x, "the chain jumps from place %d to %d", sealed[i-1].Place.Offset, x.Place.Offset)
		case i > 0 && x.Before != sealed[i-1].Chain:
			f.wrong(x, "place %d does not follow place %d: its link is %.12s, not %.12s", x.Place.Offset, sealed[i-1].Place.Offset, x.Before, sealed[i-1].Chain)
		}
	}
}

func (f *finder) anchored(sealed, anchors []*history.Fact) {
	if len(anchors) == 0 {
		return
	}
	at := map[int64]*history.Fact{}
	for _, x := range sealed {
		at[x.Place.Offset] = x
	}
	newest := anchors[0]
	for _, a := range anchors {
		x := at[a.Place.Offset]
		switch {
		case x == nil:
			f.wrong(a, "the anchor knows place %d, which the chain does not have", a.Place.Offset)
		case x.Chain != a.Chain:
			f.wrong(a, "the anchor says %.12s of place %d, the chain %.12s", a.Chain, a.Place.Offset, x.Chain)
		}
		if a.Place.Offset > newest.Place.Offset {
			newest = a
		}
	}
	if len(sealed) == 0 {
		return
	}
	if end := sealed[len(sealed)-1]; end.Place.Offset > newest.Place.Offset && end.At.Sub(newest.At) > unanchored {
		f.wrong(end, "no anchor covers what came since %s", newest.At.UTC().Format(time.RFC3339))
	}
}
