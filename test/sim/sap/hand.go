package sap

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// byHand marks in the book what a person did in the system, past the API.
const byHand = "by hand"

// Hand is what a person does in the system, past the API.
type Hand struct {
	Do       string `json:"do"` // restrict, block, free, decide, cancel_lot, receive, issue, deliver
	Material string `json:"material"`
	Batch    string `json:"batch"`
	Plant    string `json:"plant,omitempty"`    // empty = the configured one
	Quantity string `json:"quantity,omitempty"` // for receive, issue and deliver
	Code     string `json:"code,omitempty"`     // for decide
	For      string `json:"for,omitempty"`      // manufacturing order of an issue, number of a delivery
}

// Play does what a person does. An error is what the screen says; nothing was done then.
func (s *Simulator) Play(h Hand) (err error) {
	switch h.Do {
	case "restrict":
		return s.SetByHand(h.Material, h.Batch, event.Restricted)
	case "block":
		return s.SetByHand(h.Material, h.Batch, event.Blocked)
	case "free":
		return s.SetByHand(h.Material, h.Batch, event.Unrestricted)
	case "decide":
		return s.DecideByHand(h.Material, h.Batch, h.Code)
	case "cancel_lot":
		return s.CancelInspection(h.Material, h.Batch)
	case "receive":
		_, err = s.Receive(h.Material, h.Batch, h.Plant, h.Quantity)
		return err
	case "issue":
		_, err = s.Issue(h.Material, h.Batch, h.Plant, h.Quantity, h.For)
		return err
	case "deliver":
		_, err = s.Deliver(h.Material, h.Batch, h.Plant, h.Quantity, h.For)
		return err
	}
	return fmt.Errorf("nobody knows how to %q", h.Do)
}

func (s *Simulator) serveHand(w http.ResponseWriter, r *http.Request) {
	var h Hand
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&h)
	if err == nil {
		err = s.Play(h)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// SetByHand restricts, blocks or frees a batch as a person would: the flag for restricted and unrestricted, a transfer of
// all its free or restricted stock for blocked.
func (s *Simulator) SetByHand(material, batch string, usage event.UsageStatus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := batchKey{material, batch}
	b := s.data.batches[k]
	switch {
	case b == nil:
		return fmt.Errorf("batch %s of material %s does not exist", batch, material)
	case usage == event.Restricted || usage == event.Unrestricted:
		s.setFlag(b, usage == event.Restricted, byHand)
		return nil
	case usage != event.Blocked:
		return fmt.Errorf("no screen makes a batch %s", usage)
	}
	moved, places := new(big.Rat), s.places(k)
	doc := &document{code: "04", header: byHand}
	for _, at := range places {
		q := s.data.stock[k][at]
		if at.kind != "01" && at.kind != "08" || q.Sign() <= 0 {
			continue
		}
		q = new(big.Rat).Set(q)
		to := at
		to.kind = "07"
		s.move(at, new(big.Rat).Neg(q))
		s.move(to, q)
		moved.Add(moved, q)
		doc.items = append(doc.items, item{batchKey: k, plant: at.plant, location: at.location, movement: "344", quantity: q})
	}
	if len(doc.items) == 0 {
		return errors.New("there is no stock that could be blocked")
	}
	s.file(doc)
	s.enter(k, book.Entry{Kind: "hand_344", Record: doc.number, Reference: byHand, Quantity: decimal(moved)})
	return nil
}

// DecideByHand makes the usage decision on the batch's open inspection lots, also where it needs a signature.
func (s *Simulator) DecideByHand(material, batch, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.cfg.Codes, func(c Code) bool { return c.Code == code })
	if i < 0 {
		return fmt.Errorf("code %s does not exist", code)
	}
	done := false
	for _, l := range s.data.inspections {
		if l.batchKey == (batchKey{material, batch}) && l.decision == nil && !l.cancelled {
			s.decide(l, decision{Code: s.cfg.Codes[i], plant: l.plant, by: "MILLER", at: s.cfg.Now()}, true)
			done = true
		}
	}
	if !done {
		return errors.New("there is no open inspection lot")
	}
	return nil
}

// CancelInspection cancels the batch's open inspection lots.
func (s *Simulator) CancelInspection(material, batch string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := false
	for _, l := range s.data.inspections {
		if l.batchKey == (batchKey{material, batch}) && l.decision == nil && !l.cancelled {
			l.cancelled, l.toPost, done = true, new(big.Rat), true
			s.touch(l)
		}
	}
	if !done {
		return errors.New("there is no open inspection lot")
	}
	return nil
}

// Receive posts a goods receipt, at the configured plant if plant is empty, and makes the batch if it is new. The stock of
// a material under quality management goes into inspection, under an inspection lot of its own, whose number is returned.
func (s *Simulator) Receive(material, batch, plant, quantity string) (lot string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := new(big.Rat).SetString(quantity)
	if !ok || q.Sign() <= 0 || material == "" || batch == "" {
		return "", fmt.Errorf("no goods receipt of %q of batch %q of material %q", quantity, batch, material)
	}
	if plant == "" {
		plant = s.cfg.Plant
	}
	return s.receive(batchKey{material, batch}, plant, quantity), nil
}

func (s *Simulator) receive(k batchKey, plant, quantity string) (lot string) {
	if !s.managed(k.material) {
		s.add(k, plant, quantity, "01")
		return ""
	}
	s.add(k, plant, quantity, "02")
	q, _ := new(big.Rat).SetString(quantity)
	return s.inspect(k, plant, originReceipt, q).number
}

// Issue posts a goods issue for a manufacturing order, movement type 261, and returns the document's number: only
// unrestricted stock moves.
func (s *Simulator) Issue(material, batch, plant, quantity, order string) (document string, err error) {
	return s.takeOut("goods_issue", plant, quantity, item{batchKey: batchKey{material, batch}, movement: "261", order: order}, "")
}

// Deliver posts the goods issue of a delivery to a customer, movement type 601, and returns the document's number: only
// unrestricted stock moves.
func (s *Simulator) Deliver(material, batch, plant, quantity, delivery string) (document string, err error) {
	return s.takeOut("delivery", plant, quantity, item{batchKey: batchKey{material, batch}, movement: "601"}, delivery)
}

// CancelByHand cancels a material document.
func (s *Simulator) CancelByHand(year, number string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, _, err := s.reverse(year, number)
	return err
}

// takeOut posts an issue of unrestricted stock, at the configured plant if plant is empty.
func (s *Simulator) takeOut(kind, plant, quantity string, it item, delivery string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if plant == "" {
		plant = s.cfg.Plant
	}
	at := stockKey{it.batchKey, plant, s.cfg.Location, "01"}
	q, ok := new(big.Rat).SetString(quantity)
	if have := s.data.stock[it.batchKey][at]; !ok || q.Sign() <= 0 || have == nil || have.Cmp(q) < 0 {
		return "", fmt.Errorf("deficit of unrestricted stock: %s of batch %s of material %s in plant %s", quantity, it.batch, it.material, plant)
	}
	s.move(at, new(big.Rat).Neg(q))
	it.plant, it.location, it.quantity = plant, s.cfg.Location, q
	doc := &document{code: "03", header: byHand, reference: delivery, items: []item{it}}
	s.file(doc)
	s.enter(it.batchKey, book.Entry{Kind: kind, Record: doc.number, Reference: cmp.Or(delivery, byHand), Quantity: decimal(q)})
	return doc.number, nil
}

// Require makes the usage decisions on the batch's inspection lots need a digital signature, or documentation.
func (s *Simulator) Require(material, batch string, signature, documentation bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.data.inspections {
		if l.batchKey == (batchKey{material, batch}) {
			l.signature, l.documentation = signature, documentation
			s.touch(l)
		}
	}
}

// Inspection is an inspection lot as a test sees it.
type Inspection struct {
	Number   string // twelve digits
	Plant    string
	Code     string // of the usage decision, as group/code; empty = none
	Results  int
	ToPost   string            // quantity in inspection stock under the lot, as a decimal
	Posted   map[string]string // by stock type of the posting
	Texts    []string          // of its postings, in order
	Canceled bool
}

// Inspections returns the batch's inspection lots in order of their numbers.
func (s *Simulator) Inspections(material, batch string) []Inspection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Inspection
	for _, l := range s.data.inspections {
		if l.batchKey != (batchKey{material, batch}) {
			continue
		}
		i := Inspection{Number: l.number, Plant: l.plant, Results: len(l.results), ToPost: decimal(l.toPost), Posted: map[string]string{}, Canceled: l.cancelled}
		if l.decision != nil {
			i.Code = l.decision.Group + "/" + l.decision.Code.Code
		}
		for kind, q := range l.posted {
			i.Posted[kind] = decimal(q)
		}
		for _, p := range l.postings {
			i.Texts = append(i.Texts, p.text)
		}
		out = append(out, i)
	}
	return out
}
