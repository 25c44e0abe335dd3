package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// view is all that is shown.
type view struct {
	facts
	Seed       uint64
	Running    time.Duration // since the start of the program
	FirstEvent time.Duration // from there until the cloud had accepted an event; 0 = not yet
	WANCut     time.Time     // zero = whole
	ERPStopped time.Time     // zero = running
	Killed     time.Time     // when the agent was killed; zero = it runs
	Pid        int           // of the agent
	Said       string        // what the last key did
	API        string
	Metrics    string // of the agent; empty while it starts
	Dir        string
}

// style is what a terminal is told about a text.
type style string

const (
	normal style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

type span struct {
	text string
	style
}

// line is one line of the screen.
type line []span

// add appends a text, filled up with blanks to a width.
func (l line) add(width int, s style, format string, args ...any) line {
	text := clean(fmt.Sprintf(format, args...))
	if missing := width - utf8.RuneCountInString(text); missing > 0 {
		text += strings.Repeat(" ", missing)
	}
	return append(l, span{text, s})
}

// cut adds a text that is shortened to a width, with two blanks behind it.
func (l line) cut(width int, s style, text string) line {
	if r := []rune(text); len(r) > width {
		text = string(r[:width-1]) + "…"
	}
	return l.add(width+2, s, "%s", text)
}

// render writes the line within a width.
func (l line) render(width int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		if r := []rune(s.text); len(r) > width {
			s.text = string(r[:width])
		}
		width -= utf8.RuneCountInString(s.text)
		if colour && s.style != normal && s.text != "" {
			b.WriteString("\x1b[" + string(s.style) + "m" + s.text + "\x1b[0m")
		} else {
			b.WriteString(s.text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// clean replaces what a terminal would obey: reasons hold what a plant sent.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// label is the width of the first column.
const label = 11

// table lays the view out in rows of a terminal. Held lots take what room the rest leaves.
func (v *view) table(columns, rows int) []line {
	head := []line{v.title(columns), {}, v.plantLine(), v.agentLine(), v.cloudLine(), v.erpLine(), v.latencyLine(), {}}
	effects := v.effectLines()
	where := []line{
		{},
		line{}.add(label, dim, "API").add(0, normal, "%s   (token: alice.token)", v.API),
		line{}.add(label, dim, "metrics").add(0, normal, "%s", v.Metrics),
		line{}.add(label, dim, "logs, data").add(0, normal, "%s", v.Dir),
	}
	foot := []line{line{}.add(0, dim, "%s", v.Said), v.keys()}
	room := rows - len(head) - 1 - len(effects) - len(where) - len(foot) // 1 = the blank line between lots and effects
	if room < 3 {
		room, where = room+len(where), nil // on a low terminal the addresses go first
	}
	return slices.Concat(head, v.lotLines(columns, max(room, 2)), []line{{}}, effects, where, foot)
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

func (v *view) plantLine() line {
	l := line{}.add(label, bold, "PLANT p1")
	link, backlog, oldest := v.link()
	return append(l, link).add(0, normal, "   backlog %s   oldest %s", backlog, oldest)
}

// link says how the plant is connected, and what waits in it, in the agent's own figures.
func (v *view) link() (link span, backlog, oldest string) {
	if v.AgentErr != nil {
		return span{"link unknown: no agent", red}, "?", "?"
	}
	depth, urgent, since := uint64(0), 0, time.Time{}
	for _, lane := range v.Agent.Lanes {
		depth += lane.Depth
		urgent += lane.Urgent
		if !lane.Oldest.IsZero() && (since.IsZero() || lane.Oldest.Before(since)) {
			since = lane.Oldest
		}
	}
	backlog, oldest = fmt.Sprint(depth), "-"
	if urgent > 0 {
		backlog = fmt.Sprintf("%d (%d urgent)", depth, urgent)
	}
	if depth > 0 && !since.IsZero() {
		oldest = short(v.At.Sub(since))
	}
	up := v.Agent.Uplink
	state := fmt.Sprintf("link up for %s", short(v.At.Sub(up.Since)))
	if up.Up {
		return span{state, green}, backlog, oldest
	}
	return span{fmt.Sprintf("link DOWN for %s", short(v.At.Sub(up.Since))), red}, backlog, oldest
}

func (v *view) agentLine() line {
	l := line{}.add(label, normal, "  agent")
	switch {
	case !v.Killed.IsZero():
		return l.add(0, red, "KILLED %s ago (kill -9); the broker keeps what the plant says", short(v.At.Sub(v.Killed)))
	case v.AgentErr != nil:
		return l.add(0, yellow, "starting")
	}
	live, read := 0, uint64(0)
	for _, s := range v.Agent.Sources {
		read += s.Received
		if s.State == "live" {
			live++
		}
	}
	l = l.add(0, normal, "pid %d, %d of %d sources live, %d messages read", v.Pid, live, len(v.Agent.Sources), read)
	if n := v.Agent.Quarantine.Count; n > 0 {
		l = l.add(0, yellow, ", %d not understood", n)
	}
	return l
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

func (v *view) erpLine() line {
	l := line{}.add(label, bold, "ERP s4")
	if v.ERPStopped.IsZero() {
		return l.add(0, green, "running")
	}
	return l.add(0, red, "STOPPED %s ago; effects wait", short(v.At.Sub(v.ERPStopped)))
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
	return l.add(0, normal, "%s at %s: nothing of it free in the ERP after ", b.Lot, clock(b.Failed)).
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

// effectLines counts the effects on the business systems by their outcome.
func (v *view) effectLines() []line {
	all := []line{line{}.add(6, bold, "SYSTEM").add(2, normal, "").add(28, bold, "EFFECT").
		add(8, bold, "%7s", "DONE").add(10, bold, "%9s", "WAITING").add(10, bold, "%9s", "PERSON").add(0, bold, "  LAST TRY")}
	if len(v.Cloud.Effects) == 0 {
		all = append(all, line{}.add(0, dim, "none"))
	}
	for i := range v.Cloud.Effects {
		e := &v.Cloud.Effects[i]
		waiting, person := normal, normal
		if e.Waiting > 0 {
			waiting = yellow
		}
		if e.Exception > 0 {
			person = red
		}
		all = append(all, line{}.cut(6, normal, e.System).cut(26, normal, effectWords(e.Kind)).
			add(8, normal, "%7d", done(e)).add(10, waiting, "%9d", e.Waiting).add(10, person, "%9d", e.Exception).
			add(0, normal, "  %s", strings.ReplaceAll(string(e.Last), "_", " ")))
	}
	return all
}

func done(e *api.EffectOverview) (n int64) {
	return e.Outcomes[event.Applied] + e.Outcomes[event.AlreadyApplied]
}

func effectWords(k quality.Kind) string {
	switch k {
	case quality.LotUsageSet:
		return "set the lot's usage"
	case quality.StockTransfer:
		return "transfer its stock"
	case quality.NonconformanceEnsure:
		return "record the nonconformance"
	case quality.NonconformanceAdvance:
		return "advance the nonconformance"
	}
	return string(k)
}

// keys tells what each key does now.
func (v *view) keys() line {
	choose := func(off bool, on, back string) string {
		if off {
			return back
		}
		return on
	}
	l := line{}
	for _, k := range [][2]string{
		{"f", "fail a part"},
		{"w", choose(!v.WANCut.IsZero(), "cut the WAN", "mend the WAN")},
		{"e", choose(!v.ERPStopped.IsZero(), "stop the ERP", "start the ERP")},
		{"k", choose(!v.Killed.IsZero(), "kill the agent", "start the agent")},
		{"q", "quit"},
	} {
		l = l.add(0, bold, "%s", k[0]).add(0, normal, " %s   ", k[1])
	}
	return l
}

// status is the view in one line, for a log.
func (v *view) status() string {
	link, backlog, oldest := v.link()
	text := fmt.Sprintf("%s plant p1: %s, backlog %s, oldest %s; ", v.At.Local().Format("15:04:05"), link.text, backlog, oldest)
	if v.CloudErr != nil {
		return text + fmt.Sprintf("cloud does not answer: %v", v.CloudErr)
	}
	lots, held, _ := v.counts()
	var finished, waiting, person int64
	for i := range v.Cloud.Effects {
		e := &v.Cloud.Effects[i]
		finished, waiting, person = finished+done(e), waiting+e.Waiting, person+e.Exception
	}
	text += fmt.Sprintf("%d lots, %d held; effects: %d done, %d waiting, %d for a person", lots, held, finished, waiting, person)
	if b := v.Blocked; b.Lot != "" {
		text += fmt.Sprintf("; last hold: %s blocked in the ERP %s after its source", b.Lot, exact(b.Done.Sub(b.Failed)))
	}
	return clean(text)
}

// short writes a duration in its two largest units at most.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// exact writes a latency.
func exact(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }
