package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
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
func (p *proof) ends(now *history.Dump) (f check.Finding, err error) {
	known, err := lines(now)
	if err != nil {
		return f, err
	}
	p.allowUnseen(known)
	s := p.readERPs()
	f = check.Ends(p.stream.Lots, check.Books{
		Free: func(l *company.Lot) bool { return s.free(p, l) },
		QMS:  p.QMS.Book(), Warehouse: p.WMS.Book(), Notices: p.Notices.Book(),
	})
	for i := range p.stream.Lots {
		l := &p.stream.Lots[i]
		usage, want := s.usage(p, l), l.Want.Usage
		switch {
		case usage == want, (usage == event.Unrestricted) != (want == event.Unrestricted): // the second is found above
			continue
		case l.Want.Maybe && usage == event.InInspection:
			continue
		case usage == event.Restricted && want == event.Blocked && p.inspected(l):
			continue
		}
		f.Violations = append(f.Violations, check.Violation{
			Invariant: "end", Lot: l.Key, Place: "ERP",
			What: fmt.Sprintf("it is %s and should be %s: %s (%s)", usage, want, l.Story, strings.Join(l.Want.Why, ", ")),
		})
	}
	return f, nil
}

// inspected tells whether all of a lot stands under an inspection lot in its ERP. Nobody moves it from there into blocked
// stock: the flag on its batch is the strictest that there is, and lets nothing of it be used.
func (p *proof) inspected(l *company.Lot) bool {
	erp := p.ERPOf(l.Plant)
	return erp.Stock(l.Material, l.Number, "02") != "0" && erp.Stock(l.Material, l.Number, "01") == "0" && erp.Stock(l.Material, l.Number, "08") == "0"
}

// eyes is what is known of the press lines: what their agents declared as not seen, and which readings came.
type eyes struct {
	gaps []lineGap
	came map[event.ID]event.Hash
}

// lineGap is a time in which a press line was not seen, as its agent has declared it.
type lineGap struct {
	Kind      string    `json:"kind"`
	Plant     string    `json:"plant"`
	Equipment string    `json:"equipment"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`

	caused bool // a part that was made then never came
}

// lines reads what the cloud knows of the press lines. A server that was frozen, or too slow to show each part, lets parts
// pass that nobody can know of.
func lines(d *history.Dump) (e eyes, err error) {
	e.came = d.Inbox
	for name, doc := range d.Objects {
		if !strings.HasPrefix(name, "gap ") {
			continue
		}
		var g lineGap
		if err := json.Unmarshal([]byte(doc), &g); err != nil {
			return e, fmt.Errorf("read %s: %w", name, err)
		}
		if g.Kind == "observation" && strings.HasPrefix(g.Equipment, "line") {
			e.gaps = append(e.gaps, g)
		}
	}
	return e, nil
}

// allowUnseen works out anew what must come of the lots that ran on a press line while it was not seen. Without the parts
// that never came nobody can know what was wrong with them; with all of them the lot may still wait for the gap. That holds
// for gaps with a cause alone: a fault at the plant, or a part that never came. Any other one must close by itself, and
// no lot may wait for it in the end.
func (p *proof) allowUnseen(e eyes) {
	clear(p.blind)
	unseen := map[string]bool{} // by plant, line and number
	for i := range p.stream.Parts {
		part := &p.stream.Parts[i]
		if _, came := e.came[part.Offers[0].ID]; came {
			continue
		}
		unseen[fmt.Sprintf("%s/%s/%d", part.Plant, part.Line, part.Part.Seq)] = true
		for j := range e.gaps {
			g := &e.gaps[j]
			g.caused = g.caused || g.takesIn(part.Plant, part.Line, part.Part.At, part.Part.At)
		}
	}
	for i := range p.stream.Lots {
		l := &p.stream.Lots[i]
		r := &l.Runs[0]
		if !strings.HasPrefix(r.Machine, "line") {
			continue
		}
		gone := func(line string, seq int64) bool { return unseen[fmt.Sprintf("%s/%s/%d", r.Plant, line, seq)] }
		dark := func(g lineGap) bool {
			return g.takesIn(r.Plant, r.Machine, r.From, r.To) && (g.caused || p.broke(g.Plant, g.From, g.To))
		}
		if !slices.ContainsFunc(e.gaps, dark) {
			gone = func(string, int64) bool { return false }
		}
		l.Want = l.Missing(p.start, gone)
		if slices.ContainsFunc(e.gaps, dark) {
			p.blind[l.Key] = true
			allowGap(&l.Want)
		}
	}
}

// takesIn tells whether a gap is about a line, and about a part of a time.
func (g *lineGap) takesIn(plant, line string, from, to time.Time) bool {
	return g.Plant == plant && g.Equipment == line && !from.After(g.To) && !to.Before(g.From)
}

// broke tells whether something of a plant was broken in a time, or was coming back.
func (p *proof) broke(plant string, from, to time.Time) bool {
	return slices.ContainsFunc(p.faults, func(o outage) bool {
		return o.plant >= 0 && p.Plants[o.plant].ID == plant && !to.Before(o.began) && !from.After(o.ended.Add(recovery))
	})
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
