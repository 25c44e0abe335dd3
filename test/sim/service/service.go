// Package service is the frame of a simulated business system that speaks JSON over HTTP: a token, one request at a
// time, faults by package fault, a book of effects, a control endpoint. What the system is about stands in the package
// that uses the frame.
package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
)

// Config is what all simulated services have in common.
type Config struct {
	Token    string           // bearer token; empty = none needed
	BookFile string           // empty = the book is in memory alone
	Now      func() time.Time // nil = time.Now
}

// Service is the frame of one system. It is safe for concurrent use.
type Service struct {
	// Handler serves what was given to [Service.Handle], /book and /control.
	Handler http.Handler
	// Faults are those in force.
	Faults *fault.Set

	cfg  Config
	book *book.Book
	mux  *http.ServeMux

	mu  sync.Mutex // guards bad, and what the system keeps: it does one thing at a time
	bad int        // refused tokens
}

// New returns a frame without operations. More holds the system's own verbs of /control. Its error is that of the
// book's file.
func New(cfg Config, more map[string]func()) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b, err := book.Open(cfg.BookFile)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, book: b, Faults: &fault.Set{}, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /book", func(w http.ResponseWriter, _ *http.Request) {
		Answer(w, http.StatusOK, append([]book.Entry{}, s.Book()...))
	})
	s.mux.Handle("POST /control", s.Faults.Control(more))
	s.Handler = s.mux
	return s, nil
}

// Handle adds an operation. It is called with the system's lock held.
func (s *Service) Handle(pattern string, serve http.HandlerFunc) {
	s.mux.Handle(pattern, s.Faults.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		defer s.Lock()()
		if s.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Token {
			s.bad++
			Refuse(w, http.StatusUnauthorized, "unauthorized", "token is missing or wrong")
			return
		}
		serve(w, r)
	})))
}

// Lock takes the system's lock and returns what gives it back.
func (s *Service) Lock() (unlock func()) {
	s.mu.Lock()
	return s.mu.Unlock
}

// Now returns the system's time.
func (s *Service) Now() time.Time { return s.cfg.Now() }

// Enter puts an effect into the book.
func (s *Service) Enter(e book.Entry) {
	e.At = s.cfg.Now()
	s.book.Add(e)
}

// Book returns all effects so far.
func (s *Service) Book() []book.Entry { return s.book.Entries() }

// Of returns the effects on one business key.
func (s *Service) Of(key string) []book.Entry { return s.book.Of(key) }

// BadTokens returns how many requests had a wrong token.
func (s *Service) BadTokens() int {
	defer s.Lock()()
	return s.bad
}

// Close closes the book's file.
func (s *Service) Close() error { return s.book.Close() }

// Answer writes a JSON answer.
func Answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// Refuse writes an error in the services' own form.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	Answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": strings.ToUpper(message[:1]) + message[1:]}})
}

// ETag writes a version as a header of a conditional change.
func ETag(version int) string { return strconv.Quote(strconv.Itoa(version)) }

// Match checks the version that a conditional change goes back to; it has answered where it returns false.
func Match(w http.ResponseWriter, r *http.Request, version int) bool {
	switch r.Header.Get("If-Match") {
	case "":
		Refuse(w, http.StatusPreconditionRequired, "if_match", "If-Match is required")
	case ETag(version):
		return true
	default:
		Refuse(w, http.StatusPreconditionFailed, "changed", "the object was changed by someone else")
	}
	return false
}

// Read decodes a request's JSON; it has answered where it returns false.
func Read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		Refuse(w, http.StatusBadRequest, "malformed", "the body is not as expected: "+err.Error())
		return false
	}
	return true
}

// Item is an entry of a feed.
type Item struct {
	ID      string
	Changed time.Time
	Body    any
}

// Feed answers a list of what changed, in order of id: updated_since, after and limit of the query narrow it.
func Feed(w http.ResponseWriter, r *http.Request, name string, items []Item) {
	q := r.URL.Query()
	since, err := time.Parse(time.RFC3339, q.Get("updated_since"))
	if q.Get("updated_since") != "" && err != nil {
		Refuse(w, http.StatusBadRequest, "bad_time", "updated_since is no time")
		return
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.ID, b.ID) })
	found := []any{}
	for _, i := range items {
		if i.ID > q.Get("after") && !i.Changed.Before(since) {
			found = append(found, i.Body)
		}
	}
	total := len(found)
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n >= 0 && n < len(found) {
		found = found[:n]
	}
	Answer(w, http.StatusOK, map[string]any{name: found, "total": total})
}

// Number returns the n-th number of a kind, such as DSP-00007: ids are in the order in which they were given.
func Number(kind string, n int) string { return fmt.Sprintf("%s-%05d", kind, n) }

// Parts cuts a lot key into scope, material and batch.
func Parts(key string) (scope, material, batch string) {
	p := strings.SplitN(key, ":", 4)
	if len(p) < 4 {
		return "", "", key
	}
	for i := range p {
		if plain, err := url.PathUnescape(p[i]); err == nil {
			p[i] = plain
		}
	}
	return p[1], p[2], p[3]
}

// Stamp writes a time, or null for none.
func Stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}
