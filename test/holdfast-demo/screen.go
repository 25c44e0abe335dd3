package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// view is all that is shown.
type view struct {
	facts
	Plants     []plantView
	Chosen     int // index of the plant that keys are for
	Seed       uint64
	Running    time.Duration // since the start of the program
	FirstEvent time.Duration // from there until the cloud had accepted an event; 0 = not yet
	ERPStopped time.Time     // zero = running
	QMSStopped time.Time     // zero = running
	Said       string        // what the last key did
	Console    string        // where a browser finds the console
	API        string
	Metrics    string // of the cloud
	Dir        string
}

// plantView is what is shown of a plant besides the facts.
type plantView struct {
	ID, Zone string
	Line     bool      // it has a press line that can be frozen
	WANCut   time.Time // zero = whole
	Killed   time.Time // when the agent was killed; zero = it runs
	Frozen   time.Time // when its press line was frozen; zero = it is not
	Metrics  string    // of the agent; empty while it starts
}

// label is the width of the first column.
const label = 11

// table lays the view out in rows of a terminal. Lots take what room the rest leaves; on a low terminal the addresses go
// first, then the blank lines.
func (v *view) table(columns, rows int) []line {
	const fewest = 5 // rows of lots that are worth more than addresses
	sections := [][]line{
		{v.title(columns)}, v.plantLines(columns), {v.cloudLine(), v.releaseLine(), v.latencyLine()}, v.systemLines(), nil,
		{
			line{}.add(label, dim, "console").add(0, normal, "%s", v.Console),
			line{}.add(label, dim, "API").add(0, normal, "%s   (token: alice.token)", v.API),
			line{}.add(label, dim, "metrics").add(0, normal, "%s", v.metrics()),
			line{}.add(label, dim, "logs, data").add(0, normal, "%s", v.Dir),
		},
		append([]line{line{}.add(0, dim, "%s", v.Said)}, v.keys(columns)...),
	}
	const lots, where = 4, 5
	blank := line{}
	room := func() int {
		left := rows
		for i, s := range sections {
			left -= len(s)
			if i > 0 && blank != nil && (len(s) > 0 || i == lots) {
				left--
			}
		}
		return left
	}
	if room() < fewest {
		sections[where] = nil
	}
	if room() < fewest {
		blank = nil
	}
	sections[lots] = v.lotLines(columns, max(room(), 2))
	var all []line
	for i, s := range sections {
		if i > 0 && blank != nil && len(s) > 0 {
			all = append(all, blank)
		}
		all = append(all, s...)
	}
	return all
}

func (v *view) title(columns int) line {
	left := fmt.Sprintf("HOLDFAST DEMO   seed %d   running %s", v.Seed, short(v.Running))
	right := "waiting for the first event"
	if v.FirstEvent > 0 {
		right = v.firstEvent()
	}
	return line{}.add(columns-utf8.RuneCountInString(right), bold, "%s", left).add(0, normal, "%s", right)
}

func (v *view) firstEvent() string {
	return fmt.Sprintf("first event after %.1f s", v.FirstEvent.Seconds())
}

func (v *view) metrics() string {
	text := v.Metrics
	if v.Chosen < len(v.Plants) && v.Plants[v.Chosen].Metrics != "" {
		text += fmt.Sprintf("  %s (agent of %s)", v.Plants[v.Chosen].Metrics, v.Plants[v.Chosen].ID)
	}
	return text
}

// plantLines shows each plant: how its agent is connected, and what waits in it, in the agent's own figures.
func (v *view) plantLines(columns int) []line {
	const waits, waitsHead = 78, "RELEASES WAIT FOR" // columns in front of it
	all := []line{line{}.add(2, normal, "").add(14, bold, "PLANT").add(13, bold, "LINK").add(14, bold, "UNSENT (URG.)").add(7, bold, "OLDEST").
		add(5, bold, "LIVE").add(9, bold, "ANSWERED").add(6, bold, "%5s", "LOTS").add(8, bold, "%5s", "HELD")}
	if columns > waits+len(waitsHead) {
		all[0] = all[0].add(0, bold, waitsHead)
	}
	for i := range v.Plants {
		p, mark, name := &v.Plants[i], "  ", normal
		if i == v.Chosen {
			mark, name = "> ", bold
		}
		l := line{}.add(2, name, "%s", mark).cut(12, name, p.name())
		link, backlog, oldest, live := v.agent(i)
		lots, held := v.lotsOf(p.ID)
		all = append(all, l.add(13, link.style, "%s", link.text).cut(12, normal, backlog).add(7, normal, "%s", oldest).
			add(5, live.style, "%s", live.text).add(9, normal, "%s", v.answered(i)).add(6, normal, "%5d", lots).add(8, normal, "%5d", held).
			add(0, yellow, "%s", v.waitsOf(p.ID)))
	}
	return all
}

// name is the plant's id with its town, as the time zone has it.
func (p *plantView) name() string {
	_, town, _ := strings.Cut(p.Zone, "/")
	return strings.ReplaceAll(p.ID+" "+town, "_", " ")
}

// agent says how a plant's agent is connected, and what waits in it, in the agent's own figures.
func (v *view) agent(i int) (link span, backlog, oldest string, live span) {
	p := &v.Plants[i]
	if !p.Killed.IsZero() {
		return span{"KILLED " + short(v.At.Sub(p.Killed)), red}, "?", "?", span{"-", normal}
	}
	if i >= len(v.Agents) || v.Agents[i].Err != nil {
		return span{"starting", yellow}, "?", "?", span{"-", normal}
	}
	a := &v.Agents[i]
	depth, urgent, since := uint64(0), 0, time.Time{}
	for _, lane := range a.Lanes {
		depth += lane.Depth
		urgent += lane.Urgent
		if !lane.Oldest.IsZero() && (since.IsZero() || lane.Oldest.Before(since)) {
			since = lane.Oldest
		}
	}
	backlog, oldest = fmt.Sprint(depth), "-"
	if urgent > 0 {
		backlog = fmt.Sprintf("%d (%d)", depth, urgent)
	}
	if depth > 0 && !since.IsZero() {
		oldest = short(v.At.Sub(since))
	}
	reading := 0
	for _, s := range a.Sources {
		if s.State == source.Live {
			reading++
		}
	}
	if live.text = fmt.Sprintf("%d/%d", reading, len(a.Sources)); reading < len(a.Sources) {
		live.style = yellow
	}
	if a.Uplink.Up {
		return span{"up " + short(v.At.Sub(a.Uplink.Since)), green}, backlog, oldest, live
	}
	return span{"DOWN " + short(v.At.Sub(a.Uplink.Since)), red}, backlog, oldest, live
}

// answered is the end of the number of the newest barrier that a plant's agent has answered: where all show the same,
// all have answered it.
func (v *view) answered(i int) string {
	if i >= len(v.Agents) || v.Agents[i].Err != nil || v.Agents[i].Uplink.Answered == 0 {
		return "-"
	}
	return fmt.Sprintf("…%06d", v.Agents[i].Uplink.Answered%1_000_000)
}

// waitsOf says what releases wait for at a plant; at all plants together for an empty id.
func (v *view) waitsOf(plant string) string {
	var reasons []string
	lots := map[string]int{}
	for _, w := range v.Waits {
		if plant != "" && w.Plant != plant {
			continue
		}
		if lots[w.Reason] == 0 {
			reasons = append(reasons, w.Reason)
		}
		lots[w.Reason] += w.Lots
	}
	for i, r := range reasons {
		reasons[i] = fmt.Sprintf("%d %s", lots[r], r)
	}
	return strings.Join(reasons, ", ")
}

func (v *view) releaseLine() line {
	l := line{}.add(label, bold, "RELEASES")
	if waits := v.waitsOf(""); waits != "" {
		return l.add(0, normal, "wait for: ").add(0, yellow, "%s", waits)
	}
	return l.add(0, dim, "none waits")
}

func (v *view) lotsOf(plant string) (lots, held int64) {
	for _, p := range v.Cloud.Plants {
		if string(p.Plant) == plant {
			return p.Lots, p.Held
		}
	}
	return 0, 0
}

func (v *view) cloudLine() line {
	l := line{}.add(label, bold, "CLOUD")
	if v.CloudErr != nil {
		return l.add(0, red, "does not answer: %v", v.CloudErr)
	}
	lots, held, last := v.counts()
	accepted := "no event yet"
	if !last.IsZero() {
		accepted = fmt.Sprintf("last event %s ago", short(v.At.Sub(last)))
	}
	l = l.add(0, normal, "%s   %d lots, %d held", accepted, lots, held)
	dead := int64(0)
	for _, n := range v.Cloud.Deadletters {
		dead += n
	}
	if dead > 0 {
		l = l.add(0, yellow, "   %d dead letters", dead)
	}
	return l
}

func (v *view) counts() (lots, held int64, last time.Time) {
	for _, p := range v.Cloud.Plants {
		lots, held = lots+p.Lots, held+p.Held
		if p.LastAccepted.After(last) {
			last = p.LastAccepted
		}
	}
	return lots, held, last
}

func (v *view) latencyLine() line {
	l := line{}.add(label, bold, "LAST HOLD")
	b := v.Blocked
	switch {
	case v.BookErr != nil:
		return l.add(0, red, "%v", v.BookErr)
	case b.Lot == "":
		return l.add(0, dim, "none yet")
	}
	return l.add(0, normal, "%s at %s: not free in the ERP after ", b.Lot, clock(b.Failed)).
		add(0, bold, "%s", exact(b.Done.Sub(b.Failed)))
}

// lotLines lists the held lots, newest first, in so many rows at most.
func (v *view) lotLines(columns, rows int) []line {
	const number, since, shown = 10, 10, 13
	why := max(columns-number-since-shown-2, 20)
	all := []line{line{}.add(number, bold, "LOT HELD").add(since, bold, "SINCE").add(why+2, bold, "WHY").add(0, bold, "ERP SHOWS")}
	held := slices.SortedStableFunc(slices.Values(v.Held), func(a, b api.LotLine) int { return b.HeldSince.Compare(a.HeldSince) })
	if len(held) == 0 {
		return append(all, line{}.add(0, dim, "none"))
	}
	for i := range held {
		if left := len(held) - i; len(all) == rows-1 && left > 1 {
			return append(all, line{}.add(0, dim, "and %d more: holdfast-cloud lots list --state held", left))
		}
		h := &held[i]
		usage, colour := erpShows(h)
		all = append(all, line{}.cut(number-2, normal, h.Number).add(since, normal, "%s", h.HeldSince.Local().Format("15:04:05")).
			cut(why, normal, h.HeldFor).add(0, colour, "%s", usage))
	}
	return all
}

// erpShows says what the ERP was last verified to enforce for a held lot.
func erpShows(l *api.LotLine) (string, style) {
	if len(l.Usage) == 0 {
		return "not read yet", yellow
	}
	u := l.Usage[0].Usage
	if u == event.Unrestricted {
		return "still free", red
	}
	return strings.ReplaceAll(string(u), "_", " "), green
}

// systemLines shows each business system, with its effects by their outcome.
func (v *view) systemLines() []line {
	all := []line{line{}.add(10, bold, "SYSTEM").add(14, bold, "STATE").add(7, bold, "%6s", "DONE").add(8, bold, "%7s", "WAITING").
		add(8, bold, "%6s", "PERSON").add(0, bold, "DONE, BY KIND")}
	for _, s := range v.systems() {
		state := span{"running", green}
		if since := v.stopped(s.id); !since.IsZero() {
			state = span{"STOPPED " + short(v.At.Sub(since)), red}
		}
		waiting, person := normal, normal
		if s.waiting > 0 {
			waiting = yellow
		}
		if s.person > 0 {
			person = red
		}
		all = append(all, line{}.cut(8, normal, s.id).add(14, state.style, "%s", state.text).add(7, normal, "%6d", s.done).
			add(8, waiting, "%7d", s.waiting).add(8, person, "%6d", s.person).add(0, dim, "%s", strings.Join(s.kinds, ", ")))
	}
	if len(all) == 1 {
		all = append(all, line{}.add(0, dim, "nothing was asked of any yet"))
	}
	return all
}

// stopped returns since when a key has stopped a system; zero: it runs.
func (v *view) stopped(id string) time.Time {
	switch {
	case strings.HasPrefix(id, stack.ERP):
		return v.ERPStopped
	case id == stack.QMS:
		return v.QMSStopped
	}
	return time.Time{}
}

// systemView is what was asked of a business system.
type systemView struct {
	id                    string
	done, waiting, person int64
	kinds                 []string // how much of each was done
}

// systems sums up the effects by system.
func (v *view) systems() []systemView {
	var all []systemView
	for i := range v.Cloud.Effects {
		e := &v.Cloud.Effects[i]
		if n := len(all); n == 0 || all[n-1].id != e.System {
			all = append(all, systemView{id: e.System})
		}
		s := &all[len(all)-1]
		s.done, s.waiting, s.person = s.done+done(e), s.waiting+e.Waiting, s.person+e.Exception
		s.kinds = append(s.kinds, fmt.Sprintf("%d %s", done(e), effectWords(e.Kind)))
	}
	return all
}

func done(e *api.EffectOverview) (n int64) {
	return e.Outcomes[event.Applied] + e.Outcomes[event.AlreadyApplied]
}

func effectWords(k quality.Kind) string {
	switch k {
	case quality.LotUsageSet:
		return "usages set"
	case quality.StockTransfer:
		return "transfers"
	case quality.UsageDecisionPost:
		return "decisions"
	case quality.TasksGate:
		return "gates"
	case quality.NoticeSend:
		return "notices"
	case quality.NonconformanceEnsure:
		return "records"
	case quality.NonconformanceAdvance:
		return "records advanced"
	}
	return string(k)
}

// keys tells what each key does now.
func (v *view) keys(columns int) []line {
	choose := func(since time.Time, on, back string) string {
		if since.IsZero() {
			return on
		}
		return back
	}
	var p plantView
	if v.Chosen < len(v.Plants) {
		p = v.Plants[v.Chosen]
	}
	all, width := []line{{}}, 0
	for _, k := range [][2]string{
		{"1-5", "plant"},
		{"f", "fail a part"},
		{"w", choose(p.WANCut, "cut WAN", "mend WAN")},
		{"k", choose(p.Killed, "kill agent", "start agent")},
		{"z", choose(p.Frozen, "freeze line", "thaw line")},
		{"e", choose(v.ERPStopped, "stop ERPs", "start ERPs")},
		{"m", choose(v.QMSStopped, "stop QMS", "start QMS")},
		{"q", "quit"},
	} {
		if width += len(k[0]) + len(k[1]) + 4; width > columns+3 && len(all[len(all)-1]) > 0 {
			all, width = append(all, line{}), len(k[0])+len(k[1])+4
		}
		l := &all[len(all)-1]
		*l = l.add(0, bold, "%s", k[0]).add(0, normal, " %s   ", k[1])
	}
	return all
}

// status is the view in one line, for a log.
func (v *view) status() string {
	text := v.At.Local().Format("15:04:05") + " "
	for i := range v.Plants {
		link, backlog, _, _ := v.agent(i)
		text += fmt.Sprintf("%s %s, unsent %s; ", v.Plants[i].ID, link.text, backlog)
	}
	if v.CloudErr != nil {
		return clean(text + fmt.Sprintf("cloud does not answer: %v", v.CloudErr))
	}
	lots, held, _ := v.counts()
	var finished, waiting, person int64
	for _, s := range v.systems() {
		finished, waiting, person = finished+s.done, waiting+s.waiting, person+s.person
	}
	text += fmt.Sprintf("%d lots, %d held; effects: %d done, %d waiting, %d for a person", lots, held, finished, waiting, person)
	if waits := v.waitsOf(""); waits != "" {
		text += "; releases wait for: " + waits
	}
	if b := v.Blocked; b.Lot != "" {
		text += fmt.Sprintf("; last hold: %s blocked in the ERP %s after its source", b.Lot, exact(b.Done.Sub(b.Failed)))
	}
	return clean(text)
}
