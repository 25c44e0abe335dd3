package quality

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Takeback is what became of a lot between the grant of its release and what took that back. A release that was taken back
// does not bring back what was shipped: a person has to know what it was.
type Takeback struct {
	Since time.Time `json:"since"` // of the grant: from then on the lot may have been moved
	At    time.Time `json:"at"`    // when the release was taken back
	// Read is what each system has said since, sorted by system. One that is missing was not read yet, or can't say.
	Read []SystemMoves `json:"read,omitempty"`
}

// SystemMoves is what one system knows to have moved of a lot.
type SystemMoves struct {
	System string           `json:"system"`
	At     time.Time        `json:"at"`              // when it said this first
	Moved  []event.Movement `json:"moved,omitempty"` // in its own order; none = nothing moved
}

// mostMoves bounds how many movements a text names.
const mostMoves = 50

// MovedSince returns since when systems are asked for what moved of the lot; zero = there is nothing to ask for.
func (l *Lot) MovedSince() time.Time {
	if l.Takeback == nil {
		return time.Time{}
	}
	return l.Takeback.Since
}

// takenBack notes that the release of the lot as it was is taken back by what the lot is now. One that only asks anew is
// restricted by nobody.
func (l *Lot) takenBack(was *Lot, now time.Time) {
	if was == nil || !was.Release.Granted() || l.Release.Granted() || l.Release.State == Asking {
		return
	}
	since := was.Release.GrantedAt
	if since.IsZero() {
		since = was.Release.Since // it was released before the time of the grant was kept
	}
	l.Takeback = &Takeback{Since: since, At: now}
}

// noteMoved takes what a system says to have moved, and tells whether that is news.
func (l *Lot) noteMoved(d *event.EffectSettled, now time.Time) bool {
	if l.Takeback == nil || d.MovedSince.IsZero() {
		return false
	}
	t := *l.Takeback
	t.Read = slices.Clone(t.Read)
	said := SystemMoves{System: string(d.System), At: now, Moved: d.Moved}
	i, found := slices.BinarySearchFunc(t.Read, said, func(a, b SystemMoves) int { return cmpText(a.System, b.System) })
	switch {
	case !found:
		t.Read = slices.Insert(t.Read, i, said)
	case slices.EqualFunc(t.Read[i].Moved, said.Moved, sameMovement):
		return false
	default:
		t.Read[i] = said
	}
	l.Takeback = &t
	return true
}

func sameMovement(a, b event.Movement) bool {
	same := a.At.Equal(b.At.Time)
	a.At, b.At = event.Time{}, event.Time{}
	return same && a == b
}

// readOf returns what a system has said; ok is false if it has not.
func (t *Takeback) readOf(system string) (s SystemMoves, ok bool) {
	if t == nil {
		return s, false
	}
	i := slices.IndexFunc(t.Read, func(s SystemMoves) bool { return s.System == system })
	if i < 0 {
		return s, false
	}
	return t.Read[i], true
}

// Words lists what moved, empty if nothing is known to have.
func (t *Takeback) Words() string {
	if t == nil {
		return ""
	}
	var all []string
	for _, s := range t.Read {
		for i := range s.Moved {
			all = append(all, MovementWords(s.System, &s.Moved[i]))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("moved between the release of %s and %s: %s", event.At(t.Since), event.At(t.At), listMoves(all))
}

func listMoves(all []string) string {
	if len(all) > mostMoves {
		return strings.Join(all[:mostMoves], "; ") + fmt.Sprintf("; and %d more", len(all)-mostMoves)
	}
	return strings.Join(all, "; ")
}

// MovementWords says in words what moved in a system.
func MovementWords(system string, m *event.Movement) string {
	var words []string
	if m.Q.Value != "" {
		words = append(words, string(m.Q.Value)+" "+string(m.Q.Unit))
	}
	name := "document " + m.Document
	if m.Warehouse {
		name = "task " + m.Document
	}
	if m.Kind != "" {
		name += " (" + m.Kind + ")"
	}
	words = append(words, name)
	if m.To != "" {
		words = append(words, "for "+m.To)
	}
	switch {
	case m.UnderWay:
		words = append(words, "begun, not done")
	case m.Warehouse:
		words = append(words, "done")
	}
	if !m.At.IsZero() {
		words = append(words, "at "+m.At.String())
	}
	return strings.Join(words, " ") + ", " + system
}

// StopList says what persons have to stop in a warehouse that does not show the gate: the tasks that have begun and those
// that are done, as it was read last, and the orders that count on the lot.
func (l *Lot) StopList(g *GateWait) string {
	var words []string
	said, read := l.Takeback.readOf(g.System)
	var tasks []string
	for i := range said.Moved {
		tasks = append(tasks, MovementWords(g.System, &said.Moved[i]))
	}
	switch {
	case !read:
		words = append(words, "it was not read since, so that every task of the lot may have begun")
	case len(tasks) == 0:
		words = append(words, "read at "+event.At(said.At).String()+", when no task of the lot had begun")
	default:
		words = append(words, "read at "+event.At(said.At).String()+": "+listMoves(tasks))
	}
	if len(g.Orders) > 0 {
		words = append(words, "order lines that count on the lot: "+listMoves(g.Orders))
	}
	return strings.Join(words, "; ")
}

// tellMoved puts what moved into the records of the nonconformances whose holds are open on the lot.
func (c *Change) tellMoved(lot *Lot, e *event.Event, o Objects) {
	words := lot.Takeback.Words()
	for _, n := range merge(o.Nonconformances, c.Nonconformances, func(n *Nonconformance) string { return string(n.ID) }) {
		holds := slices.ContainsFunc(o.Open, func(h Hold) bool { return h.Scope == nil && n.placed(h.ID) })
		if n.Over() || !holds || n.Moved[lot.Key] == words {
			continue
		}
		if n.Moved = maps.Clone(n.Moved); n.Moved == nil {
			n.Moved = map[event.LotKey]string{}
		}
		n.Moved[lot.Key] = words
		n.UpdatedAt, n.Cause = o.Now, e.ID
		c.putNonconformance(n)
		c.wantRecord(&n, o)
	}
}

func (c *Change) putNonconformance(n Nonconformance) {
	if i := slices.IndexFunc(c.Nonconformances, func(x Nonconformance) bool { return x.ID == n.ID }); i >= 0 {
		c.Nonconformances[i] = n
		return
	}
	c.Nonconformances = append(c.Nonconformances, n)
}

// movedFor lists what moved for an order line, empty if nothing did.
func (t *Takeback) movedFor(order, line string) string {
	if t == nil {
		return ""
	}
	var all []string
	for _, s := range t.Read {
		for i := range s.Moved {
			if to := s.Moved[i].To; to == order || to == order+"/"+line {
				all = append(all, MovementWords(s.System, &s.Moved[i]))
			}
		}
	}
	return listMoves(all)
}
