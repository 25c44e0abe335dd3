package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// row is one line of the report: something that must hold, how often it could have been broken, and what broke it.
type row struct {
	what   string
	judged int
	wrong  []string
}

// shown is how many violations of a row are printed.
const shown = 10

// judge judges all that was left behind, and prints it. Its error is [errViolated] where something does not hold.
func (p *proof) judge(ctx context.Context, ends check.Finding) error {
	run, err := p.left(ctx)
	if err != nil {
		return fmt.Errorf("read what was left behind: %w", err)
	}
	rows := []row{rowOf("each lot ends as its facts ask for, in every system", ends)}
	rows[0].what += fmt.Sprintf(" (%d waited for a line that was not seen)", len(p.blind))
	for _, i := range check.Invariants() {
		r := rowOf(i.ID+" "+i.Says, i.Check(run))
		if r.judged == 0 && !slices.Contains(elsewhere(), i.ID) {
			r.wrong = append(r.wrong, "nothing was judged, so nothing is proven")
		}
		rows = append(rows, r)
	}
	rows = append(rows, latencyRow("hold to block, where nothing is broken", p.holdTimes(run.History), holdLimit),
		latencyRow("signature to free, where nothing is broken", p.releaseTimes(), releaseLimit), p.scriptRow())
	_, _ = fmt.Fprintf(p.out, "\n%s\n", check.Summarise(run, time.Now()))
	return p.print(rows)
}

// elsewhere lists the invariants that a run like this one need not give anything to judge: contents that differ under one
// id, a database that is built anew, a replay, a record that failed.
func elsewhere() []string { return []string{"I9", "I13", "I14", "I15"} }

func rowOf(what string, f check.Finding) row {
	r := row{what: what, judged: f.Judged}
	for _, v := range f.Violations {
		r.wrong = append(r.wrong, v.String())
	}
	return r
}

// left is all that the run has left behind.
func (p *proof) left(ctx context.Context) (*check.Run, error) {
	db, err := history.OpenStore(p.Path("cloud-data/holdfast.db"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	run := &check.Run{ERPs: []string{stack.ERP}}
	for _, erp := range p.Scoped {
		run.ERPs = append(run.ERPs, erp.ID())
	}
	kept, err := db.History(ctx)
	if err != nil {
		return nil, err
	}
	if run.End, err = p.dump(ctx); err != nil {
		return nil, err
	}
	var topics []string
	for _, at := range p.Plants {
		topics = append(topics, "holdfast."+at.ID+".quality.v1", "holdfast."+at.ID+".telemetry.v1")
	}
	sent, err := history.OfTopics(ctx, p.Kafka.Addrs(), topics...)
	run.History = slices.Concat(p.offered(), kept, sent, p.seen(), p.broken())
	return run, err
}

// dump is the cloud's state now.
func (p *proof) dump(ctx context.Context) (*history.Dump, error) {
	db, err := history.OpenStore(p.Path("cloud-data/holdfast.db"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	return db.Dump(ctx, "now")
}

// scriptRow proves that what should have been broken was, and that people did what they should have done.
func (p *proof) scriptRow() row {
	r := row{what: "the script took place, faults and people", judged: len(p.faults) + 2}
	for i := range p.faults {
		if p.faults[i].ended.IsZero() {
			r.wrong = append(r.wrong, "not seen: "+p.faults[i].what)
		}
	}
	if p.lost() == 0 {
		r.wrong = append(r.wrong, "no answer was lost after its effect")
	}
	if p.undone {
		r.wrong = append(r.wrong, "something that people should have done could not be done in time")
	}
	return r
}

// print writes the report.
func (p *proof) print(rows []row) error {
	failed := false
	_, _ = fmt.Fprintf(p.out, "\n%-94s %9s %7s\n", "WHAT MUST HOLD", "JUDGED", "BROKEN")
	for _, r := range rows {
		judged := "-"
		if r.judged > 0 {
			judged = fmt.Sprint(r.judged)
		}
		_, _ = fmt.Fprintf(p.out, "%-94s %9s %7d\n", r.what, judged, len(r.wrong))
		failed = failed || len(r.wrong) > 0
	}
	for _, r := range rows {
		for i, w := range r.wrong {
			if i == shown {
				_, _ = fmt.Fprintf(p.out, "  and %d more\n", len(r.wrong)-shown)
				break
			}
			if i == 0 {
				_, _ = fmt.Fprintf(p.out, "\n%s\n", r.what)
			}
			_, _ = fmt.Fprintf(p.out, "  %s\n", w)
		}
	}
	if failed {
		return errViolated
	}
	return nil
}

// offered is what sources, feeds and people had to tell, and what the sources were told is kept: the broker had it all.
func (p *proof) offered() (h history.History) {
	for i := range p.stream.Messages {
		m := &p.stream.Messages[i]
		at := p.start.Add(m.Offset)
		for _, o := range m.Offers {
			f := history.Fact{At: at, Kind: history.Offered, By: m.Topic, Plant: m.Plant, Event: o.ID, Type: o.Type, Lot: o.Lot, Hash: o.Hash, Door: "P"}
			h = append(h, f)
			f.Kind = history.Acknowledged
			h = append(h, f)
		}
	}
	for i := range p.stream.Parts {
		for _, o := range p.stream.Parts[i].Offers { // the line's own clock is part of their content
			h = append(h, history.Fact{Kind: history.Offered, By: p.stream.Parts[i].Line, Plant: p.stream.Parts[i].Plant, Event: o.ID, Type: o.Type, Lot: o.Lot, Door: "P"})
		}
	}
	for i := range p.stream.Lots {
		lot := p.stream.Lots[i].Key
		for _, d := range p.QMS.Dispositions(string(lot)) {
			if d.State == qms.Open {
				continue
			}
			f := history.Fact{At: d.SignedAt, Kind: history.Offered, By: stack.QMS, Type: event.TypeDispositionDecided, Lot: lot, Door: "C", Detail: string(decisionOf(d.Decision))}
			if d.Supersedes != "" {
				f.Type = event.TypeDispositionRevised
			}
			if id, err := event.NewObjectID("disposition", stack.QMS, d.ID); err == nil {
				f.Object = string(id)
			}
			h = append(h, f)
		}
	}
	for _, a := range p.Orders.Allocations() {
		for range a.Version {
			h = append(h, history.Fact{Kind: history.Offered, By: stack.Orders, Type: event.TypeAllocationChanged, Lot: event.LotKey(a.Lot), Door: "C"})
		}
	}
	return append(h, p.lifted...)
}

// decisionOf is what the QMS's own word means.
func decisionOf(word string) event.Decision {
	return map[string]event.Decision{
		qms.Accepted: event.DecisionRelease, qms.AcceptedWith: event.DecisionConditionalRelease, qms.Rework: event.DecisionRework,
		qms.Downgraded: event.DecisionRegrade, qms.Returned: event.DecisionReturn, qms.Scrapped: event.DecisionScrap, qms.Rejected: event.DecisionReject,
	}[word]
}

// seen is what the business systems remember of the effects on them.
func (p *proof) seen() (h history.History) {
	for id, entries := range p.ERPBooks() {
		scope := ""
		if plant, own := strings.CutPrefix(id, stack.ERP+"-"); own {
			scope = plant
		}
		h = append(h, history.OfBook(id, entries, lotOfBatch(scope))...)
	}
	h = append(h, history.OfBook(stack.QMS, p.QMS.Book(), history.LotOfKey)...)
	h = append(h, history.OfBook(stack.WMS, p.WMS.Book(), history.LotOfKey)...)
	return append(h, history.OfBook(stack.Notice, p.Notices.Book(), nil)...)
}

// broken is what the script broke.
func (p *proof) broken() (h history.History) {
	for i := range p.faults {
		o := &p.faults[i]
		f := history.Fact{At: o.began, Kind: history.Fault, By: "script", Object: o.system, State: history.Begun, Reason: o.what}
		if o.system == "" {
			f.Object = o.what
		}
		h = append(h, f)
		f.At, f.State = o.ended, history.Ended
		h = append(h, f)
	}
	return h
}

// lotOfBatch returns the lot that an entry of an ERP's book is about, where batches are unique in a scope.
func lotOfBatch(scope string) func(book.Entry) event.LotKey {
	return func(e book.Entry) event.LotKey {
		key, err := event.NewLotKey(scope, e.Material, e.Batch)
		if err != nil {
			return ""
		}
		return key
	}
}
