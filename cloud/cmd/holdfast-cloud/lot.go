package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// printLot tells all about a lot: first the three facts, then the whole in sentences, then what lies behind it.
func (p *program) printLot(l *api.Lot) error {
	switch p.global.output {
	case formatJSON, formatLines:
		return p.printJSON(l)
	}
	at := p.at(l.Zone)
	var b strings.Builder
	fmt.Fprintf(&b, "Lot %s of material %s, plant %s\n", plain(l.Number), plain(l.Material), dash(string(l.Plant)))
	facts := newTable("  key", string(l.Key))
	facts.add("  disposition", orElse(string(l.Disposition), "none yet"))
	facts.add("  holds", holdCount(l))
	for _, u := range l.Usage {
		facts.add("  usage in "+u.System, fmt.Sprintf("%s, read %s%s", u.Usage, at(u.VerifiedAt), raw(u.Raw)))
	}
	if len(l.Usage) == 0 {
		facts.add("  usage", "not read yet")
	}
	facts.add("  release", release(l, at))
	facts.add("  version", fmt.Sprintf("%d, of %s", l.Version, at(l.UpdatedAt)))
	if err := facts.print(&b); err != nil {
		return err
	}
	b.WriteString("\n")
	for i, w := range l.InWords(at) {
		if i == 0 && !l.MayMove {
			w = p.red(w)
		}
		b.WriteString(plainKeepColour(w) + "\n")
	}
	for _, section := range []*table{waitTable(l, at), moveTable(l, at), holdTable(l, at), ncTable(l, at), effectTable(l, at), letterTable(l, at)} {
		if len(section.rows) > 1 {
			b.WriteString("\n")
			if err := section.print(&b); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func release(l *api.Lot, at func(time.Time) string) string {
	text := dash(strings.ReplaceAll(string(l.Release), "_", " "))
	if !l.ReleaseSince.IsZero() {
		text += ", since " + at(l.ReleaseSince)
	}
	if l.ReleaseLate {
		text += ", longer than it should be"
	}
	return text
}

// waitTable lists what the release waits for, in the order in which it has to be done.
func waitTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("RELEASE WAITS FOR", "WHERE", "SINCE", "WHAT")
	for i := range l.WaitsFor {
		w := &l.WaitsFor[i]
		where := string(w.Plant)
		if w.Agent != "" {
			where += "/" + w.Agent
		}
		t.add(string(w.Kind), dash(where), at(w.Since), plain(w.Words))
	}
	return t
}

// moveTable lists what moved between the release and what took it back.
func moveTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("MOVED", "SYSTEM", "KIND", "QUANTITY", "FOR", "WHEN", "STATE")
	if l.Takeback == nil {
		return t
	}
	for i := range l.Takeback.Moved {
		m := &l.Takeback.Moved[i]
		quantity, state := "-", "posted"
		if m.Quantity != nil {
			quantity = string(m.Quantity.Value) + " " + string(m.Quantity.Unit)
		}
		switch {
		case m.UnderWay:
			state = "begun: stop it"
		case m.Warehouse:
			state = "done"
		}
		t.add(plain(m.Document), m.System, dash(plain(m.Kind)), quantity, dash(plain(m.To)), at(m.At), state)
	}
	return t
}

func holdCount(l *api.Lot) string {
	switch len(l.OpenHolds) {
	case 0:
		return "none open, " + strconv.Itoa(len(l.LiftedHolds)) + " lifted"
	default:
		return fmt.Sprintf("%d open, %d lifted", len(l.OpenHolds), len(l.LiftedHolds))
	}
}

func raw(text string) string {
	if text == "" {
		return ""
	}
	return " (" + plain(text) + ")"
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// plainKeepColour cleans a sentence, whose parts come from outside, but for the colour that we put around it.
func plainKeepColour(s string) string {
	if inner, ok := strings.CutPrefix(s, "\x1b[31m"); ok {
		return "\x1b[31m" + plain(strings.TrimSuffix(inner, "\x1b[0m")) + "\x1b[0m"
	}
	return plain(s)
}

func holdTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("HOLD", "KIND", "PLACED", "BY", "ENFORCED", "LIFTED", "REASON")
	for _, list := range [][]api.Hold{l.OpenHolds, l.LiftedHolds} {
		for i := range list {
			h := &list[i]
			lifted := "-"
			if h.LiftedBy != "" {
				lifted = at(h.LiftedAt) + " by " + plain(h.LiftedBy)
			}
			t.add(string(h.ID), string(h.Kind), at(h.PlacedAt), plain(h.PlacedBy), at(h.EnforcedAt), lifted, plain(h.Reason))
		}
	}
	return t
}

func ncTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("NONCONFORMANCE", "STATE", "SEVERITY", "OPENED", "QMS RECORD", "FOUND BY")
	for i := range l.Nonconformances {
		n := &l.Nonconformances[i]
		record := "none yet"
		if n.Record != "" {
			record = n.System + " " + plain(n.Record)
		}
		t.add(string(n.ID), string(n.State), string(n.Severity), at(n.OpenedAt), record, plain(n.Source))
	}
	return t
}

func effectTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("EFFECT", "SYSTEM", "STATE", "OUTCOME", "WRITES", "ASKED", "WHEN", "SAID")
	for i := range l.Effects {
		e := &l.Effects[i]
		when := "settled " + at(e.SettledAt)
		switch e.State {
		case store.EffectDue:
			when = "next try " + at(e.NextTryAt)
		case store.EffectLeased:
			when = "now"
		}
		t.add(string(e.Kind), e.System, string(e.State), dash(string(e.Outcome)), strconv.FormatInt(e.Attempts, 10), at(e.AskedAt), when,
			dash(strings.TrimSpace(e.Code+" "+e.Message)))
	}
	return t
}

func letterTable(l *api.Lot, at func(time.Time) string) *table {
	t := newTable("DEAD LETTER", "STATE", "KEPT", "CODE", "CAUSE")
	for i := range l.Deadletters {
		d := &l.Deadletters[i]
		t.add(strconv.FormatInt(d.ID, 10), string(d.State), at(d.At), string(d.Code), plain(d.Cause))
	}
	return t
}
