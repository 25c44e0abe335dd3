// Package notice is a simulator of the service that carries messages to customer service: it keeps every message with
// the id that its sender gave it.
//
// It has the manners of the real ones: a message that is sent twice is delivered twice, under one id; whether it can be
// asked afterwards is configuration. Every message is entered in a book under order line and lot; faults come from
// package fault.
package notice

import (
	"net/http"
	"strings"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// Duplicate is the kind of a book entry for a message whose id came before. A first one has the kind notice_ and its
// step.
const Duplicate = "notice_duplicate"

// Config says what kind of service is simulated.
type Config struct {
	service.Config
	// References says what happens to a message's id: kept (empty), dropped (taken and lost), missing (there is no query
	// for it).
	References string
}

// Message is one message that was delivered.
type Message struct {
	ID        string `json:"id"`         // the service's own
	MessageID string `json:"message_id"` // the sender's
	Order     string `json:"order"`
	Line      string `json:"line"`
	Customer  string `json:"customer"`
	Lot       string `json:"lot"`
	Step      string `json:"step"` // at_risk, held, clear
	Subject   string `json:"subject"`
	Text      string `json:"text"`
	Promised  string `json:"promised_at,omitempty"`
	Repeat    bool   `json:"possible_repeat,omitempty"` // as the sender says
	Duplicate bool   `json:"duplicate,omitempty"`       // one with the same id came before
}

// Key names what a message is about in the book.
func (m *Message) Key() string { return m.Order + "/" + m.Line + " " + m.Lot }

// Sink is one service. It is safe for concurrent use.
type Sink struct {
	*service.Service
	cfg Config

	messages, saved []Message // guarded by the service's lock
}

// New returns a service without messages. Its error is that of the book's file.
func New(cfg Config) (*Sink, error) {
	s := &Sink{cfg: cfg}
	frame, err := service.New(cfg.Config, map[string]func(){"snapshot": s.Snapshot, "restore": s.Restore})
	if err != nil {
		return nil, err
	}
	s.Service = frame
	frame.Handle("POST /messages", s.send)
	frame.Handle("GET /messages", s.list)
	frame.Handle("GET /messages/{id}", s.show)
	return s, nil
}

// Messages returns all messages, oldest first.
func (s *Sink) Messages() []Message {
	defer s.Lock()()
	return append([]Message{}, s.messages...)
}

// ByID returns the messages with a sender's id, oldest first.
func (s *Sink) ByID(messageID string) (found []Message) {
	for _, m := range s.Messages() {
		if m.MessageID == messageID {
			found = append(found, m)
		}
	}
	return found
}

// About returns the messages on an order line and a lot, oldest first.
func (s *Sink) About(order, line, lot string) (found []Message) {
	for _, m := range s.Messages() {
		if m.Order == order && m.Line == line && m.Lot == lot {
			found = append(found, m)
		}
	}
	return found
}

// Snapshot keeps the present messages for [Sink.Restore].
func (s *Sink) Snapshot() {
	defer s.Lock()()
	s.saved = append([]Message{}, s.messages...)
}

// Restore brings back the messages of the last snapshot. The book keeps what it has.
func (s *Sink) Restore() {
	defer s.Lock()()
	s.messages = append([]Message{}, s.saved...)
}

func (s *Sink) send(w http.ResponseWriter, r *http.Request) {
	var m Message
	if !service.Read(w, r, &m) {
		return
	}
	if m.Subject == "" || m.Order == "" {
		service.Refuse(w, http.StatusUnprocessableEntity, "incomplete", "a message needs a subject and an order")
		return
	}
	m.MessageID, m.Duplicate = "", false
	for _, name := range []string{"Message-ID", "Idempotency-Key"} {
		if id := r.Header.Get(name); id != "" && s.cfg.References == "" {
			m.MessageID = strings.Trim(id, "<>")
		}
	}
	m.ID = service.Number("MSG", len(s.messages)+1)
	kind := "notice_" + m.Step
	for i := range s.messages {
		if m.MessageID != "" && s.messages[i].MessageID == m.MessageID {
			m.Duplicate, kind = true, Duplicate
		}
	}
	s.messages = append(s.messages, m)
	s.Enter(book.Entry{Key: m.Key(), Kind: kind, Record: m.ID, Reference: m.MessageID, Detail: m.Step})
	w.Header().Set("Location", "/messages/"+m.ID)
	service.Answer(w, http.StatusCreated, m)
}

func (s *Sink) list(w http.ResponseWriter, r *http.Request) {
	want := r.URL.Query().Get("message_id")
	if r.URL.Query().Has("message_id") && s.cfg.References == "missing" {
		service.Refuse(w, http.StatusBadRequest, "unknown_filter", "messages can't be looked up by message_id")
		return
	}
	found := []Message{}
	for _, m := range s.messages {
		if want == "" || m.MessageID == want {
			found = append(found, m)
		}
	}
	service.Answer(w, http.StatusOK, map[string]any{"messages": found})
}

func (s *Sink) show(w http.ResponseWriter, r *http.Request) {
	for _, m := range s.messages {
		if m.ID == r.PathValue("id") {
			service.Answer(w, http.StatusOK, m)
			return
		}
	}
	service.Refuse(w, http.StatusNotFound, "not_found", "there is no such message")
}
