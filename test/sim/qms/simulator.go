// Package qms is a simulator of a plain quality management system: nonconformance records over REST with JSON.
//
// It has the manners of the real ones: a reference is not unique, so that a repeated create makes a second record; an
// illegal change of state is answered with 200 and a message, and changes nothing; a field that it does not know is
// taken and dropped. Every effect is entered in a [book.Book] under the nonconformance's id; faults come from package
// fault, by [Simulator.Faults] or by POST /control; GET /book shows the book.
package qms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
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
	// Handler serves /records, /book and /control.
	Handler http.Handler
	// Faults are those in force.
	Faults *fault.Set

	cfg  Config
	book *book.Book

	// mu guards all below. It is held while one request is served: this system does one thing at a time.
	mu      sync.Mutex
	records []*record // by id
	saved   []*record
	bad     int // refused tokens
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b, err := book.Open(cfg.BookFile)
	if err != nil {
		return nil, err
	}
	s := &Simulator{cfg: cfg, book: b, Faults: &fault.Set{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /book", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, append([]book.Entry{}, s.Book()...))
	})
	mux.Handle("POST /control", s.Faults.Control(map[string]func(){"snapshot": s.Snapshot, "restore": s.Restore}))
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /records": s.list, "POST /records": s.create, "GET /records/{id}": s.show, "PATCH /records/{id}": s.change,
	} {
		mux.Handle(pattern, s.Faults.Wrap(s.guarded(serve)))
	}
	s.Handler = mux
	return s, nil
}

// Book returns all effects so far.
func (s *Simulator) Book() []book.Entry { return s.book.Entries() }

// Nonconformance returns the effects on the records of one nonconformance.
func (s *Simulator) Nonconformance(id string) []book.Entry { return s.book.Of(id) }

// Close closes the book's file.
func (s *Simulator) Close() error { return s.book.Close() }

// Snapshot keeps the present records for [Simulator.Restore].
func (s *Simulator) Snapshot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = clone(s.records)
}

// Restore brings back the records of the last snapshot, as a restored backup does. The book keeps what it has.
func (s *Simulator) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = clone(s.saved)
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(id); r != nil {
		s.move(r, state)
	}
}

// BadTokens returns how many requests had a wrong token.
func (s *Simulator) BadTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}

// guarded checks the token, reads the body and lets one request in at a time.
func (s *Simulator) guarded(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Token {
			s.bad++
			answer(w, http.StatusUnauthorized, problem("unauthorized", "token is missing or wrong"))
			return
		}
		serve(w, r)
	})
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
		answer(w, http.StatusBadRequest, problem("unknown_filter", "there is no field ref"))
		return
	}
	since, err := time.Parse(time.RFC3339, q.Get("updated_since"))
	if q.Get("updated_since") != "" && err != nil {
		answer(w, http.StatusBadRequest, problem("bad_time", "updated_since is no time"))
		return
	}
	found := []map[string]any{}
	for _, rec := range s.records {
		if rec.id > q.Get("after") && rec.matches(q.Get("ref"), q.Get("external_id"), since) {
			found = append(found, rec.show())
		}
	}
	total := len(found)
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n >= 0 && n < len(found) {
		found = found[:n]
	}
	answer(w, http.StatusOK, map[string]any{"records": found, "total": total})
}

func (r *record) matches(ref, external string, since time.Time) bool {
	latest := r.changed
	if latest.IsZero() {
		latest = r.created
	}
	return (ref == "" || r.fields["ref"] == ref) && (external == "" || r.fields["external_id"] == external) && !latest.Before(since)
}

func (r *record) show() map[string]any {
	out := maps.Clone(r.fields)
	out["id"], out["state"], out["created_at"], out["updated_at"] = r.id, r.state, r.created.UTC().Format(time.RFC3339Nano), nil
	if !r.changed.IsZero() {
		out["updated_at"] = r.changed.UTC().Format(time.RFC3339Nano)
	}
	return out
}

func (r *record) etag() string { return strconv.Quote(strconv.Itoa(r.version)) }

func (s *Simulator) create(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, http.StatusBadRequest, problem("malformed", err.Error()))
		return
	}
	if title, _ := in["title"].(string); title == "" {
		answer(w, http.StatusUnprocessableEntity, problem("title_missing", "a record needs a title"))
		return
	}
	rec := &record{id: fmt.Sprintf("QE-%05d", len(s.records)+1), fields: map[string]any{}, state: "opened", version: 1, created: s.cfg.Now()}
	for field, value := range in {
		if known(field) && (field != "ref" || s.cfg.References == "") {
			rec.fields[field] = value
		}
	}
	s.records = append(s.records, rec)
	s.enter(rec, "record_created", rec.state)
	w.Header().Set("Location", "/records/"+rec.id)
	w.Header().Set("ETag", rec.etag())
	answer(w, http.StatusCreated, rec.show())
}

func (s *Simulator) show(w http.ResponseWriter, r *http.Request) {
	rec := s.find(r.PathValue("id"))
	if rec == nil {
		answer(w, http.StatusNotFound, problem("not_found", "there is no such record"))
		return
	}
	w.Header().Set("ETag", rec.etag())
	answer(w, http.StatusOK, rec.show())
}

// change patches a record. What is not allowed is left out and named in the messages of a 200.
func (s *Simulator) change(w http.ResponseWriter, r *http.Request) {
	rec := s.find(r.PathValue("id"))
	var in map[string]any
	switch {
	case rec == nil:
		answer(w, http.StatusNotFound, problem("not_found", "there is no such record"))
		return
	case r.Header.Get("If-Match") == "":
		answer(w, http.StatusPreconditionRequired, problem("if_match", "If-Match is required"))
		return
	case r.Header.Get("If-Match") != rec.etag():
		answer(w, http.StatusPreconditionFailed, problem("changed", "the record was changed by someone else"))
		return
	case json.NewDecoder(r.Body).Decode(&in) != nil:
		answer(w, http.StatusBadRequest, problem("malformed", "the body is no JSON"))
		return
	}
	messages := []string{}
	for _, field := range slices.Sorted(maps.Keys(in)) {
		if field == "state" {
			messages = append(messages, s.transition(rec, fmt.Sprint(in[field])))
		} else if known(field) && rec.fields[field] != nil && fmt.Sprint(rec.fields[field]) != fmt.Sprint(in[field]) {
			rec.fields[field] = in[field]
			rec.version++
			rec.changed = s.cfg.Now()
			s.enter(rec, "field_changed", field)
			messages = append(messages, field+" changed")
		}
	}
	w.Header().Set("ETag", rec.etag())
	answer(w, http.StatusOK, map[string]any{"messages": messages})
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
	rec.state, rec.changed = to, s.cfg.Now()
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
	s.book.Add(book.Entry{At: s.cfg.Now(), Key: key, Kind: kind, Record: rec.id, Reference: text("ref"), Detail: detail})
}

func problem(code, message string) map[string]any {
	return map[string]any{"error": map[string]string{"code": code, "message": strings.ToUpper(message[:1]) + message[1:]}}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// AddRecord makes a record as a person in the system would, and returns its id.
func (s *Simulator) AddRecord(nonconformance, title string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := &record{
		id: fmt.Sprintf("QE-%05d", len(s.records)+1), state: "opened", version: 1, created: s.cfg.Now(),
		fields: map[string]any{"external_id": nonconformance, "title": title, "ref": ""},
	}
	s.records = append(s.records, rec)
	s.enter(rec, "record_created", rec.state)
	return rec.id
}
