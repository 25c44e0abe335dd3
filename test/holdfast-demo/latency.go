package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// What 99 in a hundred must keep, where nothing is broken.
const (
	holdLimit    = time.Second     // from a hold on the agent's disk until the ERP lets nothing of its lot be used
	releaseLimit = 3 * time.Second // from the signature in the QMS until the ERP lets the lot be used
	// recovery is how long after an outage its backlog may still be felt: holds are tried again every ten seconds at least.
	recovery = 15 * time.Second
	// fewest is how many figures there must be before the hundredth part of them says something.
	fewest = 100
	// wholeProof is how many lots it takes to have so many figures from when nothing is broken.
	wholeProof = 1000
)

// latencyRow judges figures by a limit. Too few of them prove nothing.
func latencyRow(what string, took []time.Duration, limit time.Duration) row {
	slices.Sort(took)
	p50, p99 := check.Percentile(took, 50), check.Percentile(took, 99)
	r := row{what: fmt.Sprintf("%s: half within %d ms, 99 in 100 within %d ms", what, p50.Milliseconds(), p99.Milliseconds()), judged: len(took)}
	switch {
	case len(took) < fewest:
		r.wrong = []string{fmt.Sprintf("%d figures are too few to judge by, want %d", len(took), fewest)}
	case p99 >= limit:
		r.wrong = []string{fmt.Sprintf("99 in a hundred took up to %s, want less than %s", p99.Round(time.Millisecond), limit)}
	}
	return r
}

// holdTimes are how long the first hold of each lot took from the agent's disk until nothing of it was free in its ERP.
func (p *proof) holdTimes(h history.History) (took []time.Duration) {
	put, seen := map[event.ID]time.Time{}, map[event.LotKey]bool{}
	for _, f := range h.Of(history.Put) {
		if at, ok := put[f.Event]; !ok || f.At.Before(at) {
			put[f.Event] = f.At
		}
	}
	lots := map[event.LotKey]*company.Lot{}
	for i := range p.stream.Lots {
		lots[p.stream.Lots[i].Key] = &p.stream.Lots[i]
	}
	books := p.readERPs()
	for _, f := range h.Of(history.Hold) {
		l, began := lots[f.Lot], put[f.Event]
		if f.State != history.Placed || l == nil || began.IsZero() || seen[f.Lot] {
			continue
		}
		seen[f.Lot] = true
		if p.disturbed(began, stack.ERP, l.Plant, f.Plant) {
			continue
		}
		for _, e := range books.of(p, l) {
			if !e.At.Before(began) && !e.FreeAfter {
				took = append(took, e.At.Sub(began))
				break
			}
		}
	}
	return took
}

// releaseTimes are how long the release of each lot that nothing stood against took from the signature until it was free.
func (p *proof) releaseTimes() (took []time.Duration) {
	books := p.readERPs()
	for i := range p.stream.Lots {
		l := &p.stream.Lots[i]
		decided := p.QMS.Dispositions(string(l.Key))
		if !l.Want.Free() || l.Want.Placed > 0 || l.Want.Maybe || len(decided) != 1 || decided[0].State != qms.Signed {
			continue
		}
		signed := decided[0].SignedAt
		if p.disturbed(signed, stack.ERP, l.Plants...) || p.disturbed(signed, stack.QMS) {
			continue
		}
		for _, e := range books.of(p, l) {
			if !e.At.Before(signed) && e.FreeAfter {
				took = append(took, e.At.Sub(signed))
				break
			}
		}
	}
	return took
}

// disturbed tells whether something that began then, and concerns a system and some plants, met an outage of one of them.
func (p *proof) disturbed(began time.Time, system string, plants ...string) bool {
	return slices.ContainsFunc(p.faults, func(o outage) bool {
		if began.Add(releaseLimit).Before(o.began) || began.After(o.ended.Add(recovery)) {
			return false
		}
		return o.system == system || o.plant >= 0 && slices.Contains(plants, p.Plants[o.plant].ID)
	})
}
