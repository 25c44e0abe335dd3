package qms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// Decisions, in the system's own words.
const (
	Accepted     = "accepted"
	AcceptedWith = "accepted_with_deviation"
	Rework       = "rework"
	Downgraded   = "downgraded"
	Returned     = "returned"
	Scrapped     = "scrapped"
	Rejected     = "rejected"
)

// States of a disposition.
const (
	Open       = "open"
	Signed     = "signed"
	Superseded = "superseded"
)

// Signature is an electronic signature with what it is given for.
type Signature struct {
	Decision  string `json:"decision"`
	Name      string `json:"name"`
	Reason    string `json:"reason"`
	Condition string `json:"condition,omitempty"`
}

// Disposition is a decision on a lot, or a part of it.
type Disposition struct {
	ID         string
	Lot        string // lot key
	Q, Unit    string
	State      string // open, signed, superseded
	Revision   int    // how often it was signed
	SignedAt   time.Time
	Supersedes string // id of the one whose place it takes; empty = none
	Created    time.Time
	Signature
}

type disposition struct {
	Disposition
	changed time.Time // zero until the first change
}

// AwaitDisposition opens a disposition, as the system's own link to the ERP does, and returns its id.
func (s *Simulator) AwaitDisposition(lot, q, unit string) string {
	defer s.Lock()()
	return s.await(lot, q, unit).ID
}

func (s *Simulator) await(lot, q, unit string) *disposition {
	d := &disposition{Disposition: Disposition{
		ID: service.Number("DSP", len(s.dispositions)+1), Lot: lot, Q: q, Unit: unit, State: Open, Created: s.Now(),
	}}
	s.dispositions = append(s.dispositions, d)
	s.Enter(book.Entry{Key: lot, Kind: "disposition_opened", Record: d.ID, Quantity: q})
	return d
}

// Sign decides. Its error says why the system refuses the signature.
func (s *Simulator) Sign(id string, sig Signature) error {
	defer s.Lock()()
	return s.sign(s.disposition(id), sig)
}

func (s *Simulator) sign(d *disposition, sig Signature) error {
	switch {
	case d == nil:
		return errors.New("there is no such disposition")
	case d.State != Open:
		return fmt.Errorf("disposition %s is %s already", d.ID, d.State)
	}
	if err := sig.check(); err != nil {
		return err
	}
	s.put(d, sig, "disposition_signed")
	return nil
}

func (s *Simulator) put(d *disposition, sig Signature, kind string) {
	d.Signature, d.State, d.SignedAt, d.changed = sig, Signed, s.Now(), s.Now()
	d.Revision++
	s.Enter(book.Entry{Key: d.Lot, Kind: kind, Record: d.ID, Reference: d.Supersedes, Quantity: d.Q, Detail: sig.Decision})
}

func (g Signature) check() error {
	switch g.Decision {
	case Accepted, AcceptedWith, Rework, Downgraded, Returned, Scrapped, Rejected:
	default:
		return fmt.Errorf("%q is no decision", g.Decision)
	}
	if strings.TrimSpace(g.Name) == "" || strings.TrimSpace(g.Reason) == "" {
		return errors.New("a signature needs a name and a reason")
	}
	return nil
}

// Revise takes a signed decision back by a new one that supersedes it, and returns the new one's id.
func (s *Simulator) Revise(id string, sig Signature) (string, error) {
	defer s.Lock()()
	d, err := s.revise(s.disposition(id), sig)
	if err != nil {
		return "", err
	}
	return d.ID, nil
}

func (s *Simulator) revise(old *disposition, sig Signature) (*disposition, error) {
	switch {
	case old == nil:
		return nil, errors.New("there is no such disposition")
	case old.State != Signed:
		return nil, fmt.Errorf("disposition %s is %s: only a signed one is revised", old.ID, old.State)
	}
	if err := sig.check(); err != nil {
		return nil, err
	}
	d := &disposition{Disposition: Disposition{
		ID: service.Number("DSP", len(s.dispositions)+1), Lot: old.Lot, Q: old.Q, Unit: old.Unit, Supersedes: old.ID, Created: s.Now(),
	}}
	s.dispositions = append(s.dispositions, d)
	s.put(d, sig, "disposition_revised")
	old.State, old.changed = Superseded, s.Now()
	return d, nil
}

// Amend signs a decision again in its own record, as careless systems allow.
func (s *Simulator) Amend(id string, sig Signature) error {
	defer s.Lock()()
	d := s.disposition(id)
	if d == nil || d.State != Signed {
		return errors.New("there is no such signed disposition")
	}
	s.put(d, sig, "disposition_revised")
	return nil
}

func (s *Simulator) disposition(id string) *disposition {
	for _, d := range s.dispositions {
		if d.ID == id {
			return d
		}
	}
	return nil
}

// Dispositions returns those of a lot, oldest first.
func (s *Simulator) Dispositions(lot string) (all []Disposition) {
	defer s.Lock()()
	for _, d := range s.dispositions {
		if d.Lot == lot {
			all = append(all, d.Disposition)
		}
	}
	return all
}

// InForce returns the signed decision on a lot that nothing supersedes, the newest if there are several.
func (s *Simulator) InForce(lot string) (Disposition, bool) {
	all := s.Dispositions(lot)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].State == Signed {
			return all[i], true
		}
	}
	return Disposition{}, false
}

// pending returns those that wait for a signature, oldest first.
func (s *Simulator) pending() (all []Disposition) {
	defer s.Lock()()
	for _, d := range s.dispositions {
		if d.State == Open {
			all = append(all, d.Disposition)
		}
	}
	return all
}

// Engineer decides on the dispositions that wait.
type Engineer struct {
	Name string // on the signature
	// Decide returns what to sign, and how long after the disposition was opened; ok is false for one that waits to be told.
	// It is asked about each waiting disposition at every look, so that it may change its mind.
	Decide func(d Disposition) (sig Signature, after time.Duration, ok bool)
}

// look is how often an engineer looks at what waits.
const look = 20 * time.Millisecond

// Engage lets an engineer work until ctx ends. A disposition that someone else signed meanwhile is left alone.
func (s *Simulator) Engage(ctx context.Context, e Engineer) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		s.decide(e)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// decide signs what is due.
func (s *Simulator) decide(e Engineer) {
	for _, d := range s.pending() {
		sig, after, ok := e.Decide(d)
		if !ok || s.Now().Before(d.Created.Add(after)) {
			continue
		}
		if sig.Name == "" {
			sig.Name = e.Name
		}
		_ = s.Sign(d.ID, sig) // signed by someone else meanwhile
	}
}

func cloneDispositions(all []*disposition) []*disposition {
	out := make([]*disposition, 0, len(all))
	for _, d := range all {
		c := *d
		out = append(out, &c)
	}
	return out
}

func (d *disposition) show() map[string]any {
	scope, material, batch := service.Parts(d.Lot)
	out := map[string]any{
		"id": d.ID, "lot": d.Lot, "scope": scope, "material": material, "batch": batch, "quantity": d.Q, "unit": d.Unit,
		"status": d.State, "outcome": nil, "revision": d.Revision, "signature": nil, "reason": d.Reason, "condition": d.Condition,
		"supersedes": nil, "created_at": service.Stamp(d.Created), "updated_at": service.Stamp(d.changed),
	}
	if d.Supersedes != "" {
		out["supersedes"] = d.Supersedes
	}
	if d.Revision > 0 {
		out["outcome"] = d.Decision
		out["signature"] = map[string]any{"name": d.Name, "meaning": "disposition of the lot", "at": service.Stamp(d.SignedAt)}
	}
	return out
}

func (s *Simulator) listDispositions(w http.ResponseWriter, r *http.Request) {
	items := []service.Item{}
	for _, d := range s.dispositions {
		latest := d.changed
		if latest.IsZero() {
			latest = d.Created
		}
		if lot := r.URL.Query().Get("lot"); lot == "" || lot == d.Lot {
			items = append(items, service.Item{ID: d.ID, Changed: latest, Body: d.show()})
		}
	}
	service.Feed(w, r, "dispositions", items)
}

func (s *Simulator) showDisposition(w http.ResponseWriter, r *http.Request) {
	d := s.disposition(r.PathValue("id"))
	if d == nil {
		service.Refuse(w, http.StatusNotFound, "not_found", "there is no such disposition")
		return
	}
	service.Answer(w, http.StatusOK, d.show())
}

func (s *Simulator) openDisposition(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Lot      string `json:"lot"`
		Quantity string `json:"quantity"`
		Unit     string `json:"unit"`
	}
	if !service.Read(w, r, &in) {
		return
	}
	if in.Lot == "" {
		service.Refuse(w, http.StatusUnprocessableEntity, "lot_missing", "a disposition needs a lot")
		return
	}
	service.Answer(w, http.StatusCreated, s.await(in.Lot, in.Quantity, in.Unit).show())
}

func (s *Simulator) signDisposition(w http.ResponseWriter, r *http.Request) {
	var sig Signature
	if !service.Read(w, r, &sig) {
		return
	}
	d := s.disposition(r.PathValue("id"))
	if err := s.sign(d, sig); err != nil {
		service.Refuse(w, http.StatusUnprocessableEntity, "not_signed", err.Error())
		return
	}
	service.Answer(w, http.StatusOK, d.show())
}

func (s *Simulator) reviseDisposition(w http.ResponseWriter, r *http.Request) {
	var sig Signature
	if !service.Read(w, r, &sig) {
		return
	}
	d, err := s.revise(s.disposition(r.PathValue("id")), sig)
	if err != nil {
		service.Refuse(w, http.StatusUnprocessableEntity, "not_signed", err.Error())
		return
	}
	service.Answer(w, http.StatusCreated, d.show())
}
