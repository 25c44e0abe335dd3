// Package order is a simulator of a system with customers' orders: order lines with promised dates, and which lots they
// count on, over REST with JSON. It is read only: nobody but its own people changes it.
//
// Each allocation of a lot to an order line is an entry of a feed; one that was taken back stays in it with the quantity
// 0. An entry that never changed has no time of change. Faults come from package fault.
package order

import (
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// Config says what kind of system is simulated.
type Config struct{ service.Config }

// Line is one line of a customer's order.
type Line struct {
	Order    string
	Line     string
	Customer string
	Promised time.Time // zero = no date was promised
}

// Allocation is what a line counts on.
type Allocation struct {
	Line
	ID      string
	Version int
	Lot     string // lot key
	Q, Unit string // a quantity of 0 is no longer allocated
}

// Simulator is one system. It is safe for concurrent use.
type Simulator struct {
	*service.Service

	// Guarded by the service's lock.
	lines       []*Line
	allocations []*allocation
}

type allocation struct {
	id               string
	line             *Line
	lot, q, unit     string
	version          int
	created, changed time.Time // changed is zero until the first change
}

// New returns a system without orders. Its error is that of the book's file.
func New(cfg Config) (*Simulator, error) {
	s := &Simulator{}
	frame, err := service.New(cfg.Config, nil)
	if err != nil {
		return nil, err
	}
	s.Service = frame
	frame.Handle("GET /allocations", func(w http.ResponseWriter, r *http.Request) {
		items := make([]service.Item, 0, len(s.allocations))
		for _, a := range s.allocations {
			latest := a.changed
			if latest.IsZero() {
				latest = a.created
			}
			items = append(items, service.Item{ID: a.id, Changed: latest, Body: a.show()})
		}
		service.Feed(w, r, "allocations", items)
	})
	frame.Handle("GET /allocations/{id}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(s.allocations, func(a *allocation) bool { return a.id == r.PathValue("id") })
		if i < 0 {
			service.Refuse(w, http.StatusNotFound, "not_found", "there is no such allocation")
			return
		}
		service.Answer(w, http.StatusOK, s.allocations[i].show())
	})
	return s, nil
}

func (a *allocation) show() map[string]any {
	_, material, batch := service.Parts(a.lot)
	return map[string]any{
		"id": a.id, "version": a.version, "order": a.line.Order, "line": a.line.Line, "customer": a.line.Customer,
		"lot": a.lot, "material": material, "batch": batch, "quantity": a.q, "unit": a.unit,
		"promised_at": service.Stamp(a.line.Promised), "created_at": service.Stamp(a.created), "updated_at": service.Stamp(a.changed),
	}
}

// AddLine makes an order line; the same line again gets the new customer and date.
func (s *Simulator) AddLine(l Line) {
	defer s.Lock()()
	if old := s.line(l.Order, l.Line); old != nil {
		*old = l
		s.touch(old)
		return
	}
	s.lines = append(s.lines, &l)
}

func (s *Simulator) line(order, line string) *Line {
	for _, l := range s.lines {
		if l.Order == order && l.Line == line {
			return l
		}
	}
	return nil
}

// touch marks all allocations of a line as changed.
func (s *Simulator) touch(l *Line) {
	for _, a := range s.allocations {
		if a.line == l {
			s.changed(a)
		}
	}
}

// Promise gives a line another date; it is an error of the test to name a line that is not there, which changes nothing.
func (s *Simulator) Promise(order, line string, at time.Time) {
	defer s.Lock()()
	if l := s.line(order, line); l != nil {
		l.Promised = at
		s.touch(l)
	}
}

// Allocate lets a line count on a quantity of a lot, whatever it was before; 0 takes it back. It returns the entry's id,
// or "" where there is no such line.
func (s *Simulator) Allocate(order, line, lot, q, unit string) string {
	defer s.Lock()()
	l := s.line(order, line)
	if l == nil {
		return ""
	}
	for _, a := range s.allocations {
		if a.line == l && a.lot == lot {
			a.q, a.unit = q, unit
			s.changed(a)
			return a.id
		}
	}
	a := &allocation{
		id: service.Number("AL", len(s.allocations)+1), line: l, lot: lot, q: q, unit: unit, version: 1, created: s.Now(),
	}
	s.allocations = append(s.allocations, a)
	s.note(a)
	return a.id
}

// Release takes a line's claim on a lot back.
func (s *Simulator) Release(order, line, lot string) {
	defer s.Lock()()
	for _, a := range s.allocations {
		if a.line.Order == order && a.line.Line == line && a.lot == lot {
			a.q = "0"
			s.changed(a)
		}
	}
}

func (s *Simulator) changed(a *allocation) {
	a.changed = s.Now()
	a.version++
	s.note(a)
}

func (s *Simulator) note(a *allocation) {
	s.Enter(book.Entry{Key: a.lot, Kind: "allocated", Record: a.id, Quantity: a.q, Detail: a.line.Order + "/" + a.line.Line})
}

// Allocations returns all entries, in order of id.
func (s *Simulator) Allocations() (all []Allocation) {
	defer s.Lock()()
	for _, a := range s.allocations {
		all = append(all, Allocation{Line: *a.line, ID: a.id, Version: a.version, Lot: a.lot, Q: a.q, Unit: a.unit})
	}
	return all
}

// AllocatedTo returns the entries of one lot that are still allocated.
func (s *Simulator) AllocatedTo(lot string) (all []Allocation) {
	for _, a := range s.Allocations() {
		if a.Lot == lot && a.Q != "0" {
			all = append(all, a)
		}
	}
	return all
}
