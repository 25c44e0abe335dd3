package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// way is a trace in the making.
type way struct {
	tx      *store.Tx
	trace   Trace
	rows    []store.InboxRow
	effects []store.EffectRow
	kept    []store.DeadletterRow

	accepted map[event.ID]time.Time
	asked    map[string]bool // cause, system and kind of changes whose asking is shown
	changes  map[event.ID][]string
}

func (w *way) plantOf(e *event.Event) (event.PlantID, error) {
	lot := e.Data.Concerns()
	if e.Plant != "" || lot == "" {
		return e.Plant, nil
	}
	l, err := w.tx.Lot(lot)
	if err != nil || l == nil {
		return "", err
	}
	return l.Plant, nil
}

func (w *way) walk() error {
	w.accepted = map[event.ID]time.Time{}
	for i := range w.rows {
		w.accepted[w.rows[i].Event.ID] = w.rows[i].Accepted
	}
	if err := w.readChanges(); err != nil {
		return err
	}
	for i := range w.rows {
		w.event(&w.rows[i])
	}
	for i := range w.effects {
		w.effect(&w.effects[i])
	}
	for i := range w.kept {
		r := &w.kept[i]
		text := fmt.Sprintf("dead letter %d (%s): %s (%s)", r.ID, r.State, causeOf(r), r.Code)
		w.add(Hop{At: r.At, Stage: StageKept, Where: place(&r.Place, "cloud"), Text: text, EventID: r.EventID})
	}
	slices.SortStableFunc(w.trace.Hops, func(a, b Hop) int { return a.At.Compare(b.At) })
	if len(w.trace.Hops) > 0 {
		w.trace.StartedAt = w.trace.Hops[0].At
	}
	for i := range w.trace.Hops {
		w.trace.Hops[i].After = w.trace.Hops[i].At.Sub(w.trace.StartedAt).Seconds()
	}
	return nil
}

// readChanges reads from the ledger what each event changed.
func (w *way) readChanges() error {
	w.changes = map[event.ID][]string{}
	lots := map[event.LotKey]bool{}
	for i := range w.rows {
		lots[w.rows[i].Event.Data.Concerns()] = true
	}
	delete(lots, "")
	for lot := range lots {
		entries, err := w.tx.EntriesOf(lot)
		if err != nil {
			return err
		}
		for i := range entries {
			if text := changed(&entries[i].Entry); text != "" {
				w.changes[entries[i].EventID] = append(w.changes[entries[i].EventID], text)
			}
		}
	}
	return nil
}

func (w *way) add(h Hop) { w.trace.Hops = append(w.trace.Hops, h) }

// event adds the hops of one accepted event.
func (w *way) event(r *store.InboxRow) {
	e := r.Event
	switch d := e.Data.(type) {
	case *event.EffectSettled:
		w.settled(r, d)
		return
	case *event.TimerFired:
		w.add(Hop{At: r.Accepted, Wait: seconds(r.Accepted, d.Due.Time), Stage: StageTimer, Where: "cloud", Text: w.with(describe(d), e.ID), EventID: e.ID})
		return
	}
	w.add(Hop{At: e.Time, Stage: StageSource, Where: sourceOf(r), Text: describe(e.Data), EventID: e.ID})
	last := e.Time
	if e.Origin.Agent != "" {
		last = e.Recorded
		text := fmt.Sprintf("%s seq %d%s, on disk", e.Origin.Lane, e.Origin.Seq, urgency(e.Data.Type()))
		w.add(Hop{At: e.Recorded, Wait: seconds(e.Recorded, e.Time), Stage: StageAgent, Where: string(e.Plant) + "/" + e.Origin.Agent, Text: text, EventID: e.ID})
	}
	w.add(Hop{At: r.Accepted, Wait: seconds(r.Accepted, last), Stage: StageCloud, Where: place(&r.Place, "api"), Text: w.with(string(e.Data.Type())+" applied", e.ID), EventID: e.ID})
}

func urgency(t event.Type) string {
	if spec, _ := event.Lookup(t); spec.Urgent {
		return " (urgent)"
	}
	return ""
}

// with adds what an event changed.
func (w *way) with(text string, id event.ID) string {
	if changes := w.changes[id]; len(changes) > 0 {
		return text + ": " + strings.Join(changes, ", ")
	}
	return text
}

// settled adds the end of a change in another system, and where it was asked for.
func (w *way) settled(r *store.InboxRow, d *event.EffectSettled) {
	e := r.Event
	asked, known := w.accepted[e.Causation]
	if known {
		w.ask(asked, string(d.System), quality.Kind(d.Kind), e.Causation)
	}
	h := Hop{At: r.Accepted, Stage: StageSettled, Where: string(d.System), Text: w.with(describe(d), e.ID), EventID: e.ID, Outcome: d.Outcome}
	if known {
		h.Wait = seconds(r.Accepted, asked)
	}
	w.add(h)
}

func (w *way) ask(at time.Time, system string, kind quality.Kind, cause event.ID) {
	if key := string(cause) + "|" + system + "|" + string(kind); !w.asked[key] {
		w.asked[key] = true
		w.add(Hop{At: at, Stage: StageAsked, Where: system, Text: kindWord(kind) + " wanted", EventID: cause})
	}
}

// effect adds a change that is not done.
func (w *way) effect(r *store.EffectRow) {
	if r.State != store.EffectDue && r.State != store.EffectLeased {
		return
	}
	w.ask(r.Asked, r.System, r.Kind, r.Cause)
	v := effectView(r)
	text := kindWord(r.Kind) + " not done yet"
	if v.Tries > 0 {
		text += ", " + tries(v.Tries) + v.said()
	}
	at := r.Due
	if r.State == store.EffectLeased {
		at, text = r.Asked, text+", being tried now"
	} else {
		text += "; next try"
	}
	w.add(Hop{At: at, Wait: seconds(at, r.Asked), Stage: StageWaiting, Where: r.System, Text: text, EventID: r.Cause, Outcome: r.Outcome})
}

func seconds(at, before time.Time) float64 { return at.Sub(before).Seconds() }

// place writes where a record was read.
func place(p *store.Place, none string) string {
	if p.Topic == "" {
		return none
	}
	return fmt.Sprintf("%s p%d@%d", p.Topic, p.Partition, p.Offset)
}

// sourceOf names who said it: the source at the plant, or the person at the cloud.
func sourceOf(r *store.InboxRow) string {
	if r.Door == "C" && r.Principal != "" {
		return r.Principal
	}
	p := r.Event.Data.ReadBy()
	if p.Item != "" {
		return string(p.Source) + " " + p.Item
	}
	return string(p.Source)
}
