package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Reasons for which releases wait, in the order of the table.
const (
	WaitHold       = "hold"
	WaitAnswer     = "answer"
	WaitGap        = "gap"
	WaitParked     = "parked"
	WaitQuarantine = "quarantine"
)

// WaitReasons returns all reasons for which releases wait.
func WaitReasons() []string {
	return []string{WaitHold, WaitAnswer, WaitGap, WaitParked, WaitQuarantine}
}

// Row is what came of the lots of one plant.
type Row struct {
	Plant    string
	Lots     int
	Released int                      // lots that were decided about so and became free in their ERP
	Waiting  map[string]int           // lots that were decided about so and still wait, by reason
	Waited   map[string]time.Duration // how long all releases together waited for a reason
	Holds    []time.Duration          // from each hold at the plant to its lot being restricted in the ERP; sorted
	Releases []time.Duration          // from each decision in the QMS to its lot being free in the ERP; sorted
}

// Table has a row for each plant, by its id.
type Table []Row

// Summarise works out the table of a run. Until is its end.
func Summarise(r *Run, until time.Time) Table {
	s := &summary{
		run: r, until: until, rows: map[string]*Row{}, shown: map[event.LotKey][]*history.Fact{}, signed: map[string]time.Time{}, grants: r.grants(),
		unread: byLot(r.History, history.Parked, history.Quarantined),
	}
	for _, x := range r.History.Of(history.Offered) {
		if x.Object != "" && !x.At.IsZero() {
			s.signed[x.Object] = x.At
		}
	}
	for _, x := range r.History.Of(history.EffectSeen) {
		if r.isERP(x.System) && x.Lot != "" {
			s.shown[x.Lot] = append(s.shown[x.Lot], x)
		}
	}
	s.judge = judgement{
		finder: &finder{}, run: r, holds: r.holds(), events: byLot(r.History, history.Inbox), gaps: r.History.Of(history.Gap),
	}
	made := map[event.LotKey]string{}
	for _, x := range applied(r.History) {
		switch x.Type {
		case event.TypeLotCreated:
			made[x.Lot] = x.Plant
			s.row(x.Plant).Lots++
		case event.TypeDispositionDecided, event.TypeDispositionRevised:
			if x.Detail == string(event.DecisionRelease) {
				s.release(s.row(made[x.Lot]), x)
			}
		}
	}
	s.restricted(made)
	var t Table
	for _, plant := range slices.Sorted(maps.Keys(s.rows)) {
		row := s.rows[plant]
		slices.Sort(row.Holds)
		slices.Sort(row.Releases)
		t = append(t, *row)
	}
	return t
}

type summary struct {
	run    *Run
	until  time.Time
	rows   map[string]*Row
	shown  map[event.LotKey][]*history.Fact // what the ERP shows of each lot
	signed map[string]time.Time             // when people decided, by disposition
	grants map[event.LotKey][]*history.Fact
	unread map[event.LotKey][]*history.Fact // parked and quarantined
	judge  judgement
}

func (s *summary) row(plant string) *Row {
	if s.rows[plant] == nil {
		s.rows[plant] = &Row{Plant: plant, Waiting: map[string]int{}, Waited: map[string]time.Duration{}}
	}
	return s.rows[plant]
}

// span is a time from one moment to another.
type span struct{ from, to time.Time }

// release follows one decision to the lot being free.
func (s *summary) release(row *Row, decision *history.Fact) {
	began, end, freed := decision.At, s.until, false
	for _, x := range s.shown[decision.Lot] {
		if x.Free && !x.At.Before(began) {
			end, freed = x.At, true
			break
		}
	}
	signed, ok := s.signed[decision.Object]
	if !ok {
		signed = began
	}
	if freed {
		row.Released++
		row.Releases = append(row.Releases, end.Sub(signed))
	}
	spans := s.waits(decision, end)
	var others []span
	for _, reason := range WaitReasons() {
		if reason == WaitAnswer {
			continue
		}
		clipped := clip(spans[reason], span{began, end})
		row.Waited[reason] += length(clipped)
		others = append(others, clipped...)
		if open := slices.ContainsFunc(clipped, func(x span) bool { return !x.to.Before(end) }); open && !freed {
			row.Waiting[reason]++
		}
	}
	granted := end
	if g := newest(s.grants[decision.Lot]); g != nil && g.Pos > decision.Pos && g.At.Before(end) {
		granted = g.At
	} else if !freed && len(clip(others, span{s.until, s.until})) == 0 && !slices.ContainsFunc(others, func(x span) bool { return !x.to.Before(s.until) }) {
		row.Waiting[WaitAnswer]++
	}
	row.Waited[WaitAnswer] += granted.Sub(began) - length(clip(others, span{began, granted}))
}

// waits returns when each reason stood against a lot's release.
func (s *summary) waits(decision *history.Fact, end time.Time) map[string][]span {
	all := map[string][]span{}
	stood := func(reason string, from, to time.Time) {
		if to.IsZero() {
			to = s.until
		}
		all[reason] = append(all[reason], span{from, to})
	}
	for _, x := range s.judge.holds.own[decision.Lot] {
		if x.State == history.Placed {
			stood(WaitHold, x.At, s.liftedAt(decision.Lot, x))
		}
	}
	for _, x := range s.unread[decision.Lot] {
		switch {
		case waits(x):
		case x.Kind == history.Quarantined:
			stood(WaitQuarantine, x.At, x.Until)
		default:
			stood(WaitParked, x.At, x.Until)
		}
	}
	now := &history.Fact{Lot: decision.Lot, Pos: last, At: end}
	for _, g := range s.judge.gaps {
		if g.State == history.Open && s.judge.touches(g, now) {
			reason := WaitGap
			if g.Type == event.TypeRecordQuarantined {
				reason = WaitQuarantine
			}
			stood(reason, g.At, s.closedAt(decision.Lot, g))
		}
	}
	return all
}

func (s *summary) liftedAt(lot event.LotKey, hold *history.Fact) (at time.Time) {
	for _, x := range s.judge.holds.own[lot] {
		if x.State == history.Lifted && x.Hold == hold.Hold && x.Pos > hold.Pos {
			return x.At
		}
	}
	return at
}

func (s *summary) closedAt(lot event.LotKey, gap *history.Fact) (at time.Time) {
	for _, x := range s.judge.gaps {
		if x.Gap == gap.Gap && (x.State == history.Closed || x.State == history.Accepted && x.Lot == lot) {
			return x.At
		}
	}
	return at
}

// clip returns the parts of spans that lie within a window, united.
func clip(spans []span, window span) []span {
	var in []span
	for _, x := range spans {
		x.from, x.to = maxTime(x.from, window.from), minTime(x.to, window.to)
		if x.from.Before(x.to) {
			in = append(in, x)
		}
	}
	slices.SortFunc(in, func(a, b span) int { return a.from.Compare(b.from) })
	var united []span
	for _, x := range in {
		if n := len(united); n > 0 && !x.from.After(united[n-1].to) {
			united[n-1].to = maxTime(united[n-1].to, x.to)
			continue
		}
		united = append(united, x)
	}
	return united
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func length(spans []span) (sum time.Duration) {
	for _, x := range clip(spans, span{time.Time{}, time.Unix(1<<40, 0)}) {
		sum += x.to.Sub(x.from)
	}
	return sum
}

// restricted measures each hold on a lot that nothing else held until its ERP restricts it. Where another hold stands, or
// the ERP restricts the lot already, there is nothing to be done.
func (s *summary) restricted(made map[event.LotKey]string) {
	recorded := map[event.ID]time.Time{}
	for _, x := range s.run.History.Of(history.Put) {
		if before, ok := recorded[x.Event]; !ok || x.At.Before(before) {
			recorded[x.Event] = x.At
		}
	}
	for lot, holds := range s.judge.holds.own {
		for _, hold := range holds {
			if hold.State != history.Placed || len(s.judge.holds.open(lot, hold.Pos)) > 0 {
				continue
			}
			from := hold.At
			if at, ok := recorded[hold.Event]; ok {
				from = at
			}
			if at, ok := s.restrictedAt(lot, from); ok {
				row := s.row(made[lot])
				row.Holds = append(row.Holds, at.Sub(from))
			}
		}
	}
}

// restrictedAt returns when the lot's ERP restricted it after a time; ok is false where it did before, or never.
func (s *summary) restrictedAt(lot event.LotKey, from time.Time) (at time.Time, ok bool) {
	restricted := false
	for _, x := range s.shown[lot] {
		switch {
		case x.Effect == "flag_cleared":
			restricted = false
		case x.Effect != "flag_set" && !strings.HasPrefix(x.Effect, "transfer_344"):
		case x.At.Before(from):
			restricted = true
		default:
			return x.At, !restricted
		}
	}
	return at, false
}

// Percentile returns the value that so many in a hundred of sorted ones do not exceed; 0 if there is none.
func Percentile(sorted []time.Duration, inHundred int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, (len(sorted)*inHundred+99)/100-1)]
}

// String writes two tables, aligned and at most 100 columns wide: what releases waited for, all of a plant together, and
// how many still did at the end; and how long holds and releases took, outages included.
func (t Table) String() string {
	waits := [][]string{append([]string{"RELEASES WAITED FOR", "lots", "released"}, WaitReasons()...)}
	took := [][]string{{"HOLDS AND RELEASES TOOK", "holds", "half", "99 in 100", "releases", "half", "99 in 100"}}
	for i := range t {
		r := &t[i]
		cells := []string{"plant " + r.Plant, fmt.Sprint(r.Lots), fmt.Sprint(r.Released)}
		for _, reason := range WaitReasons() {
			cell := seconds(r.Waited[reason])
			if n := r.Waiting[reason]; n > 0 {
				cell += fmt.Sprintf(", %d still", n)
			}
			cells = append(cells, cell)
		}
		waits = append(waits, cells)
		took = append(took, []string{
			"plant " + r.Plant, fmt.Sprint(len(r.Holds)), millis(r.Holds, 50), millis(r.Holds, 99), fmt.Sprint(len(r.Releases)), millis(r.Releases, 50), millis(r.Releases, 99),
		})
	}
	return aligned(waits) + "\n" + aligned(took)
}

// aligned writes lines of cells: the first to the left, the others to the right of their columns.
func aligned(lines [][]string) string {
	widths := map[int]int{}
	for _, cells := range lines {
		for i, c := range cells {
			widths[i] = max(widths[i], len(c))
		}
	}
	var b strings.Builder
	for _, cells := range lines {
		for i, c := range cells {
			if i == 0 {
				fmt.Fprintf(&b, "%-*s", widths[i], c)
			} else {
				fmt.Fprintf(&b, "  %*s", widths[i], c)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func millis(sorted []time.Duration, inHundred int) string {
	if len(sorted) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", Percentile(sorted, inHundred).Milliseconds())
}
