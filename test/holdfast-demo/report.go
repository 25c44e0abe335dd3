package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
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

// shown is how many violations of a row are printed. All of them stand in a file beside the logs.
const (
	shown      = 10
	brokenFile = "broken.txt"
)

// judge judges all that was left behind, and prints it. Its error is [errViolated] where something does not hold.
func (p *proof) judge(ctx context.Context) error {
	until := time.Now()
	run, sent, err := p.left(ctx)
	if err != nil {
		return fmt.Errorf("read what was left behind: %w", err)
	}
	ends, err := p.ends(run.End)
	if err != nil {
		return err
	}
	p.say("all stands still; the state is made anew from the inbox, and all topics are read once more")
	if err := p.again(ctx, run, sent); err != nil {
		return fmt.Errorf("make the state anew: %w", err)
	}
	rows := []row{
		rowOf(fmt.Sprintf("each lot ends as its facts ask for, in all systems (%d ran on an unseen line)", len(p.blind)), ends),
		rowOf("what was not seen is a gap, and each gap has a name", check.Observed(run)),
	}
	for _, i := range check.Invariants() {
		rows = append(rows, rowOf(i.ID+" "+i.Says, i.Check(run)))
	}
	if p.lots >= wholeProof {
		rows = append(rows, latencyRow("hold to block, undisturbed", p.holdTimes(run.History), holdLimit),
			latencyRow("signature to free, undisturbed", p.releaseTimes(), releaseLimit))
	} else {
		p.say("%d lots are too few to judge times by: that takes %d", p.lots, wholeProof)
	}
	rows = append(rows, p.scriptRow())
	_, _ = fmt.Fprintf(p.out, "\n%s", check.Summarise(run, until))
	return p.print(rows, p.Path(brokenFile))
}

func rowOf(what string, f check.Finding) row {
	r := row{what: what, judged: f.Judged}
	for _, v := range f.Violations {
		r.wrong = append(r.wrong, v.String())
	}
	return r
}

// left is all that the run has left behind once everything stands still, and what of it was sent by the plants.
func (p *proof) left(ctx context.Context) (run *check.Run, sent history.History, err error) {
	if sent, err = p.rest(ctx); err != nil {
		return nil, nil, err
	}
	run = &check.Run{ERPs: []string{stack.ERP}}
	for _, erp := range p.Scoped {
		run.ERPs = append(run.ERPs, erp.ID())
	}
	kept, err := p.kept(ctx)
	if err != nil {
		return nil, nil, err
	}
	anchors, err := history.OfAnchors(p.Path("anchors.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	run.History = slices.Concat(p.offered(), kept, anchors, sent, p.seen(), p.broken())
	run.End, err = p.dump(ctx, p.Path(ownDatabase), "end")
	return run, sent, err
}

// kept is what the cloud has kept of the run.
func (p *proof) kept(ctx context.Context) (history.History, error) {
	db, err := history.OpenStore(p.Path(ownDatabase))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	return db.History(ctx)
}

// scriptRow proves that what should have been broken was, that people did what they should have done, and that programs
// end when they are told to.
func (p *proof) scriptRow() row {
	r := row{what: "the script took place, faults and people; programs end when told to", judged: len(p.faults) + 2 + p.ended, wrong: p.unruly}
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

// print writes the report, and all that is broken to a file. A row that had nothing to judge proves nothing, and fails.
func (p *proof) print(rows []row, path string) error {
	failed := false
	_, _ = fmt.Fprintf(p.out, "\n%-82s %8s %7s\n", "WHAT MUST HOLD", "JUDGED", "BROKEN")
	for i := range rows {
		r := &rows[i]
		broken := fmt.Sprint(len(r.wrong))
		if r.judged == 0 {
			broken, r.wrong = "?", append(r.wrong, "nothing was judged, so nothing is proven")
		}
		_, _ = fmt.Fprintf(p.out, "%-82s %8d %7s\n", r.what, r.judged, broken)
		failed = failed || len(r.wrong) > 0
	}
	if !failed {
		_, _ = fmt.Fprintf(p.out, "\nall of it holds\n")
		return nil
	}
	explain(p.out, rows, shown)
	file, err := os.Create(path)
	if err != nil {
		return errors.Join(errViolated, err)
	}
	explain(file, rows, math.MaxInt)
	_, _ = fmt.Fprintf(p.out, "\nall that is broken stands in %s\n", path)
	return errors.Join(errViolated, file.Close())
}

// explain writes what broke each row, so many of each.
func explain(out io.Writer, rows []row, most int) {
	for _, r := range rows {
		if len(r.wrong) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(out, "\n%s\n", r.what)
		for _, w := range r.wrong[:min(most, len(r.wrong))] {
			_, _ = fmt.Fprintf(out, "  %s\n", w)
		}
		if more := len(r.wrong) - most; more > 0 {
			_, _ = fmt.Fprintf(out, "  and %d more\n", more)
		}
	}
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
		part := &p.stream.Parts[i]
		for _, o := range part.Offers { // the line's own clock is part of their content
			h = append(h, history.Fact{
				At: p.start.Add(part.Offset), Kind: history.Offered, By: part.Line, Plant: part.Plant, Equipment: part.Line, Event: o.ID, Type: o.Type, Lot: o.Lot, Door: "P",
			})
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
