package check

import (
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Signatures is I6. What was accepted for a lot carries the signatures of distinct persons over the same record, which is
// the one that the export gives. A release rests on the lot's newest disposition, which releases it and which the QMS
// itself has.
func Signatures(r *Run) Finding {
	f := &finder{invariant: "I6"}
	for _, g := range r.History.Of(history.Gap) {
		if g.State == history.Accepted {
			f.judge()
			r.signed(f, g)
		}
	}
	told := map[string]*history.Fact{} // dispositions that the QMS has
	for _, x := range r.History.Of(history.Offered) {
		if x.Object != "" && x.Detail != "" {
			told[x.Object] = x
		}
	}
	decisions := map[event.LotKey][]*history.Fact{}
	for _, x := range applied(r.History) {
		if decides(x) {
			decisions[x.Lot] = append(decisions[x.Lot], x)
		}
	}
	for _, grant := range r.History.Of(history.Release) {
		f.judge()
		r.decided(f, grant, decisions[grant.Lot], told)
	}
	return f.found
}

// decides tells whether an applied event is a disposition.
func decides(x *history.Fact) bool {
	return x.Type == event.TypeDispositionDecided || x.Type == event.TypeDispositionRevised
}

// signed looks at the signatures of one acceptance.
func (r *Run) signed(f *finder, g *history.Fact) {
	var persons []string
	for _, s := range g.Signatures {
		if slices.Contains(persons, s.By) {
			f.wrong(g, "%s signed twice for %s", s.By, g.Gap)
			continue
		}
		persons = append(persons, s.By)
		switch {
		case s.Hash == "":
			f.wrong(g, "the signature of %s covers no record", s.By)
		case s.Hash != g.Signatures[0].Hash:
			f.wrong(g, "%s and %s signed two different records", g.Signatures[0].By, s.By)
		case r.Records != nil && s.Hash != r.Records(g):
			f.wrong(g, "%s signed record %.12s, which is not the one of the export", s.By, s.Hash)
		}
	}
	want := 2
	if slices.Contains(r.OneSigner, g.Plant) {
		want = 1
	}
	if len(persons) < want {
		f.wrong(g, "%d persons signed for %s, %d have to", len(persons), g.Gap, want)
	}
}

// decided looks at the disposition behind a release.
func (r *Run) decided(f *finder, grant *history.Fact, decisions []*history.Fact, told map[string]*history.Fact) {
	superseded := map[string]bool{}
	var counts []*history.Fact
	for _, x := range decisions {
		if x.Pos < grant.Pos {
			counts = append(counts, x)
			superseded[x.Record] = true
		}
	}
	counts = slices.DeleteFunc(counts, func(x *history.Fact) bool { return superseded[x.Object] })
	if _, material, _, err := grant.Lot.Parts(); len(counts) == 0 && (err != nil || !slices.Contains(r.Undecided, material)) {
		f.wrong(grant, "its release was granted and nobody decided so")
	}
	for _, x := range counts {
		q := told[x.Object]
		switch {
		case x.Detail != string(event.DecisionRelease) && x.Detail != string(event.DecisionConditionalRelease):
			f.wrong(grant, "its release was granted although disposition %s says %s", x.Object, x.Detail)
		case q == nil:
			f.wrong(grant, "its release was granted by disposition %s, which the QMS does not have", x.Object)
		case q.Detail != x.Detail:
			f.wrong(grant, "its release was granted by disposition %s, which says %s in the QMS", x.Object, q.Detail)
		}
	}
}
