// Package qms is a simulator of a plain quality management system: nonconformance records, inspections and signed
// dispositions over REST with JSON, with a quality engineer who decides by a rule.
//
// It has the manners of the real ones: a reference is not unique, so that a repeated create makes a second record; an
// illegal change of state is answered with 200 and a message, and changes nothing; a field that it does not know is
// taken and dropped. Every effect is entered in a [book.Book] under the nonconformance's id; faults come from package
// fault, by the field Faults or by POST /control; GET /book shows the book.
package qms

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// Config says what kind of system is simulated. The zero Config needs no token and keeps every reference.
type Config struct {
	Token string // bearer token; empty = none needed
	// References says what happens to the field ref: kept (empty), dropped (taken and lost), missing (refused).
	References string
	BookFile   string           // empty = the book is in memory alone
	Now        func() time.Time // nil = time.Now
}

// Simulator is one system. It is safe for concurrent use.
type Simulator struct {
	// The frame serves /records, /inspections, /dispositions, /book and /control, and holds the lock of all below.
	*service.Service

	cfg     Config
	records []*record // by id
	saved   []*record

	dispositions, savedDispositions []*disposition
	inspections, savedInspections   []*inspection
}

type record struct {
	id               string
	fields           map[string]any // title, description, severity, lots, ref, external_id
	state            string
	version          int
	created, changed time.Time // changed is zero until the first change
}

// New returns a simulator without records. Its error is that of the book's file.
func New(cfg Config) (*Simulator, error) {
	s := &Simulator{cfg: cfg}
	frame, err := service.New(service.Config{Token: cfg.Token, BookFile: cfg.BookFile, Now: cfg.Now},
		map[string]func(){"snapshot": s.Snapshot, "restore": s.Restore})
	if err != nil {
		return nil, err
	}
	s.Service = frame
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /records": s.list, "POST /records": s.create, "GET /records/{id}": s.show, "PATCH /records/{id}": s.change,
		"GET /inspections": s.listInspections, "POST /inspections": s.createInspection, "GET /inspections/{id}": s.showInspection,
		"GET /dispositions": s.listDispositions, "GET /dispositions/{id}": s.showDisposition, "POST /dispositions": s.openDisposition,
		"POST /dispositions/{id}/sign": s.signDisposition, "POST /dispositions/{id}/revise": s.reviseDisposition,
	} {
		frame.Handle(pattern, serve)
	}
	return s, nil
}

// Nonconformance returns the effects on the records of one nonconformance.
func (s *Simulator) Nonconformance(id string) []book.Entry { return s.Of(id) }

// Records returns how many records a nonconformance has now.
func (s *Simulator) Records(nonconformance string) (n int) {
	defer s.Lock()()
	for _, r := range s.records {
		if r.fields["external_id"] == nonconformance {
			n++
		}
	}
	return n
}

// Snapshot keeps the present records for [Simulator.Restore].
func (s *Simulator) Snapshot() {
	defer s.Lock()()
	s.saved, s.savedDispositions, s.savedInspections = clone(s.records), cloneDispositions(s.dispositions), slices.Clone(s.inspections)
}

// Restore brings back the records of the last snapshot, as a restored backup does. The book keeps what it has.
func (s *Simulator) Restore() {
	defer s.Lock()()
	s.records, s.dispositions, s.inspections = clone(s.saved), cloneDispositions(s.savedDispositions), slices.Clone(s.savedInspections)
}

func clone(records []*record) []*record {
	out := make([]*record, 0, len(records))
	for _, r := range records {
		c := *r
		c.fields = maps.Clone(r.fields)
		out = append(out, &c)
	}
	return out
}

// SetState moves a record as a person in the system would, past the API and its rules.
func (s *Simulator) SetState(id, state string) {
	defer s.Lock()()
	if r := s.find(id); r != nil {
		s.move(r, state)
	}
}

func (s *Simulator) find(id string) *record {
	for _, r := range s.records {
		if r.id == id {
			return r
		}
	}
	return nil
}

func known(field string) bool {
	return slices.Contains([]string{"title", "description", "severity", "lots", "source", "ref", "external_id"}, field)
}

// list answers the records that match ref or external_id, or changed since a time, in order of id; after and limit
// page through them.
func (s *Simulator) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Has("ref") && s.cfg.References == "missing" {
		service.Refuse(w, http.StatusBadRequest, "unknown_filter", "there is no field ref")
		return
	}
	items := []service.Item{}
	for _, rec := range s.records {
		if rec.matches(q.Get("ref"), q.Get("external_id")) {
			items = append(items, service.Item{ID: rec.id, Changed: rec.latest(), Body: rec.show()})
		}
	}
	service.Feed(w, r, "records", items)
}

func (r *record) matches(ref, external string) bool {
	return (ref == "" || r.fields["ref"] == ref) && (external == "" || r.fields["external_id"] == external)
}

func (r *record) latest() time.Time {
	if r.changed.IsZero() {
		return r.created
	}
	return r.changed
}

func (r *record) show() map[string]any {
	out := maps.Clone(r.fields)
	out["id"], out["state"], out["created_at"], out["updated_at"] = r.id, r.state, r.created.UTC().Format(time.RFC3339Nano), nil
	if !r.changed.IsZero() {
		out["updated_at"] = r.changed.UTC().Format(time.RFC3339Nano)
	}
	return out
}

func (r *record) etag() string { return service.ETag(r.version) }

func (s *Simulator) create(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if !service.Read(w, r, &in) {
		return
	}
	if title, _ := in["title"].(string); title == "" {
		service.Refuse(w, http.StatusUnprocessableEntity, "title_missing", "a record needs a title")
		return
	}
	rec := &record{id: service.Number("QE", len(s.records)+1), fields: map[string]any{}, state: "opened", version: 1, created: s.Now()}
	for field, value := range in {
		if known(field) && (field != "ref" || s.cfg.References == "") {
			rec.fields[field] = value
		}
	}
	s.records = append(s.records, rec)
	s.enter(rec, "record_created", rec.state)
	w.Header().Set("Location", "/records/"+rec.id)
	w.Header().Set("ETag", rec.etag())
	service.Answer(w, http.StatusCreated, rec.show())
}

func (s *Simulator) show(w http.ResponseWriter, r *http.Request) {
	rec := s.find(r.PathValue("id"))
	if rec == nil {
		service.Refuse(w, http.StatusNotFound, "not_found", "there is no such record")
		return
	}
	w.Header().Set("ETag", rec.etag())
	service.Answer(w, http.StatusOK, rec.show())
}

// change patches a record. What is not allowed is left out and named in the messages of a 200.
func (s *Simulator) change(w http.ResponseWriter, r *http.Request) {
	rec := s.find(r.PathValue("id"))
	var in map[string]any
	switch {
	case rec == nil:
		service.Refuse(w, http.StatusNotFound, "not_found", "there is no such record")
		return
	case !service.Match(w, r, rec.version), !service.Read(w, r, &in):
		return
	}
	messages := []string{}
	for _, field := range slices.Sorted(maps.Keys(in)) {
		if field == "state" {
			messages = append(messages, s.transition(rec, fmt.Sprint(in[field])))
		} else if known(field) && rec.fields[field] != nil && fmt.Sprint(rec.fields[field]) != fmt.Sprint(in[field]) {
			rec.fields[field] = in[field]
			rec.version++
			rec.changed = s.Now()
			s.enter(rec, "field_changed", field)
			messages = append(messages, field+" changed")
		}
	}
	w.Header().Set("ETag", rec.etag())
	service.Answer(w, http.StatusOK, map[string]any{"messages": messages})
}

func (s *Simulator) transition(rec *record, to string) string {
	next := map[string][]string{
		"opened": {"contained", "voided"}, "contained": {"disposition", "closed"}, "disposition": {"contained", "closed"},
		"closed": nil, "voided": nil,
	}
	if _, ok := next[to]; !ok {
		return fmt.Sprintf("state '%s' isn't a valid state for records", to)
	}
	if !slices.Contains(next[rec.state], to) {
		return fmt.Sprintf("you can't change state from '%s' to '%s'", rec.state, to)
	}
	from := rec.state
	s.move(rec, to)
	return fmt.Sprintf("state changed from '%s' to '%s'", from, to)
}

func (s *Simulator) move(rec *record, to string) {
	rec.state, rec.changed = to, s.Now()
	rec.version++
	s.enter(rec, "state_changed", to)
}

// enter puts an effect into the book, under the nonconformance's id, else under the reference, else under the record's.
func (s *Simulator) enter(rec *record, kind, detail string) {
	text := func(field string) string { v, _ := rec.fields[field].(string); return v }
	key := rec.id
	for _, field := range []string{"ref", "external_id"} {
		if v := text(field); v != "" {
			key = v
		}
	}
	s.Enter(book.Entry{Key: key, Kind: kind, Record: rec.id, Reference: text("ref"), Detail: detail})
}

// AddRecord makes a record as a person in the system would, and returns its id.
func (s *Simulator) AddRecord(nonconformance, title string) string {
	defer s.Lock()()
	rec := &record{
		id: service.Number("QE", len(s.records)+1), state: "opened", version: 1, created: s.Now(),
		fields: map[string]any{"external_id": nonconformance, "title": title, "ref": ""},
	}
	s.records = append(s.records, rec)
	s.enter(rec, "record_created", rec.state)
	return rec.id
}
