package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
)

// erpShelf is what the ERPs' books say, by ERP and batch.
type erpShelf map[string][]book.Entry

// readERPs reads the ERPs' books once.
func (p *proof) readERPs() erpShelf {
	s := erpShelf{}
	for id, entries := range p.ERPBooks() {
		for _, e := range entries {
			s[id+" "+e.Key] = append(s[id+" "+e.Key], e)
		}
	}
	return s
}

// of returns the entries of a lot, oldest first.
func (s erpShelf) of(p *proof, l *company.Lot) []book.Entry {
	return s[p.ERPID(l.Plant)+" "+l.Material+"/"+l.Number]
}

// last returns the newest entry of a lot; nil = there is none.
func (s erpShelf) last(p *proof, l *company.Lot) *book.Entry {
	entries := s.of(p, l)
	if len(entries) == 0 {
		return nil
	}
	return &entries[len(entries)-1]
}

// free tells whether an ERP lets any of a lot be used.
func (s erpShelf) free(p *proof, l *company.Lot) bool {
	if e := s.last(p, l); e != nil {
		return e.FreeAfter
	}
	return p.ERPOf(l.Plant).Stock(l.Material, l.Number, "01") != "0" // as it was received
}

// usage returns what the ERP enforces for a lot.
func (s erpShelf) usage(p *proof, l *company.Lot) event.UsageStatus {
	if e := s.last(p, l); e != nil {
		return event.UsageStatus(e.Detail)
	}
	if s.free(p, l) {
		return event.Unrestricted
	}
	return event.InInspection
}

// ends compares what every lot has come to with what its facts ask for, in all systems.
func (p *proof) ends() check.Finding {
	s := p.readERPs()
	f := check.Ends(p.stream.Lots, check.Books{
		Free: func(l *company.Lot) bool { return s.free(p, l) },
		QMS:  p.QMS.Book(), Warehouse: p.WMS.Book(), Notices: p.Notices.Book(),
	})
	f.Violations = slices.DeleteFunc(f.Violations, func(v check.Violation) bool { return p.blind[v.Lot] && v.Place == "QMS" })
	for i := range p.stream.Lots {
		l := &p.stream.Lots[i]
		usage, want := s.usage(p, l), l.Want.Usage
		switch {
		case usage == want, (usage == event.Unrestricted) != (want == event.Unrestricted): // the second is found above
			continue
		case p.blind[l.Key], l.Want.Maybe && usage == event.InInspection:
			continue
		case usage == event.Restricted && want == event.Blocked && p.ERPOf(l.Plant).Stock(l.Material, l.Number, "02") != "0":
			continue // nobody moves what stands under an inspection lot: the flag keeps it from being free
		}
		f.Violations = append(f.Violations, check.Violation{
			Invariant: "end", Lot: l.Key, Place: "ERP",
			What: fmt.Sprintf("it is %s and should be %s: %s (%s)", usage, want, l.Story, strings.Join(l.Want.Why, ", ")),
		})
	}
	return f
}

// lineGap is a time in which a press line was not seen, as its agent has declared it.
type lineGap struct {
	Kind      string    `json:"kind"`
	Plant     string    `json:"plant"`
	Equipment string    `json:"equipment"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
}

// lineGaps reads what the agents have declared of their press lines. A server that was frozen, or too slow to show each
// part, lets parts pass that nobody can know of.
func (p *proof) lineGaps(ctx context.Context) (all []lineGap, err error) {
	dump, err := p.dump(ctx)
	if err != nil {
		return nil, err
	}
	for name, doc := range dump.Objects {
		if !strings.HasPrefix(name, "gap ") {
			continue
		}
		var g lineGap
		if err := json.Unmarshal([]byte(doc), &g); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if g.Kind == "observation" && strings.HasPrefix(g.Equipment, "line") {
			all = append(all, g)
		}
	}
	return all, nil
}

// allowUnseen lets lots that ran on a press line while it was not seen wait for that gap. A part of them that failed may
// not be known either: such a lot must not be free, and need not have a record or a notice.
func (p *proof) allowUnseen(gaps []lineGap) {
	for _, g := range gaps {
		for i := range p.stream.Lots {
			l := &p.stream.Lots[i]
			r := l.Runs[0]
			if p.blind[l.Key] || r.Plant != g.Plant || r.Machine != g.Equipment || r.From.After(g.To) || r.To.Before(g.From) {
				continue
			}
			p.blind[l.Key] = true
			allowGap(&l.Want)
			for j := range l.Want.Notices {
				l.Want.Notices[j].Held.Least = 0
			}
		}
	}
}

// allowTwoCases lets customer service be told twice that all is clear where a promise was at risk and the lot was held,
// too: these are two cases, and each has an end.
func (p *proof) allowTwoCases() {
	for i := range p.stream.Lots {
		w := &p.stream.Lots[i].Want
		for j := range w.Notices {
			if n := &w.Notices[j]; n.AtRisk.Most > 0 && w.Placed > 0 {
				n.Clear.Most++
			}
		}
	}
}

// allowGap lets a lot that would be free wait for a gap instead.
func allowGap(w *company.Want) {
	if !w.Free() {
		return
	}
	w.Maybe, w.Opened.Least = true, 0
	for i := range w.Notices {
		w.Notices[i].Clear.Least = 0
	}
}
