package api

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// DeadletterLine is a record that was not applied, as a list shows it.
type DeadletterLine struct {
	ID        int64                 `json:"id"`
	State     store.DeadletterState `json:"state" doc:"quarantined, dead, parked, waiting; redriven, replaced, dropped"`
	Code      problem.Code          `json:"code"`
	Cause     string                `json:"cause"`
	Key       string                `json:"key" doc:"Kafka key that waits"`
	Lot       event.LotKey          `json:"lot,omitempty"`
	Plant     event.PlantID         `json:"plant,omitempty"`
	EventID   event.ID              `json:"event_id,omitempty"`
	EventType event.Type            `json:"event_type,omitempty"`
	Attempts  int64                 `json:"attempts"`
	At        time.Time             `json:"at" doc:"when it was kept"`
	UpdatedAt time.Time             `json:"updated_at"`
}

// Deadletter is a record that was not applied, whole.
type Deadletter struct {
	DeadletterLine
	Zone        string            `json:"zone" doc:"time zone of the plant"`
	Consequence string            `json:"consequence"`
	Next        string            `json:"next" doc:"what to do about it"`
	WaitsFor    string            `json:"waits_for,omitempty" doc:"object that is not known yet"`
	ReplacedBy  event.ID          `json:"replaced_by,omitempty" doc:"id of the correction"`
	Principal   string            `json:"principal,omitempty" doc:"who sent it to the cloud"`
	Topic       string            `json:"topic,omitempty"`
	Partition   int32             `json:"partition"`
	Offset      int64             `json:"offset"`
	Headers     map[string]string `json:"headers"`
	Raw         []byte            `json:"raw" doc:"the record's value, unchanged, in base64"`
	Text        string            `json:"text,omitempty" doc:"the same as text, where it is UTF-8"`
	Schema      string            `json:"schema,omitempty" doc:"that the sender wrote it by"`
	Faults      []Fault           `json:"faults" doc:"places that the cause is about"`
	Group       string            `json:"group,omitempty" doc:"id of the group of its cause; absent = it is closed"`
	Owner       string            `json:"owner" doc:"roles that see to it"`
	DueAt       time.Time         `json:"due_at,omitzero" doc:"when it becomes a matter for a person; absent = it is one"`
	History     []DeadletterMove  `json:"history" doc:"what was done about it, oldest first"`
	Replaces    int64             `json:"replaces,omitempty" doc:"id of the record in whose place it stands"`
	Replacement int64             `json:"replacement,omitempty" doc:"id of the record that stands in its place"`
}

// DeadletterPage is a page of records, oldest first.
type DeadletterPage struct {
	Deadletters []DeadletterLine `json:"deadletters"`
	Next        int64            `json:"next,omitempty" doc:"after of the next page; absent = this is the last"`
}

type deadlettersInput struct {
	After  int64  `query:"after" minimum:"0" doc:"only behind this id"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Closed bool   `query:"closed" doc:"the closed ones, too"`
	Lot    string `query:"lot" doc:"only the open ones of this lot"`
}

type deadletterInput struct {
	ID int64 `path:"id" minimum:"1"`
}

// FixRequest holds the corrected data of an event.
type FixRequest struct {
	Value  json.RawMessage `json:"value" doc:"the corrected data, of the same type and lot"`
	Reason string          `json:"reason" maxLength:"4000" doc:"why"`
}

type fixInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body FixRequest
}

// Fixed says which record waits for a redrive in the place of the one that was corrected.
type Fixed struct {
	ID       int64 `json:"id"`
	Replaces int64 `json:"replaces"`
}

type redriveInput struct {
	ID   int64 `path:"id" minimum:"1"`
	Body ReasonRequest
}

// Redriven says what became of the records, in order. A record that is not applied stays, and those behind it wait.
type Redriven struct {
	Results []RedriveResult `json:"results"`
	Applied int             `json:"applied"`
	Left    int             `json:"left" doc:"records of the same key that still wait"`
}

// RedriveResult says what became of one record.
type RedriveResult struct {
	Outcome    workflow.Outcome `json:"outcome"`
	Deadletter int64            `json:"deadletter,omitempty"`
	Code       problem.Code     `json:"code,omitempty"`
	Cause      string           `json:"cause,omitempty"`
}

// headerSchema is the CloudEvents attribute that names the schema of a record's value.
const headerSchema = "ce_dataschema"

func deadletterLine(r *store.DeadletterRow) DeadletterLine {
	return DeadletterLine{
		ID: r.ID, State: r.State, Code: problem.Code(r.Code), Cause: causeOf(r), Key: r.Key, Lot: r.Lot, Plant: r.Plant, EventID: r.EventID,
		EventType: r.EventType, Attempts: r.Attempts, At: r.At, UpdatedAt: r.Updated,
	}
}

// causeOf returns why the record was not applied, without the code, which stands beside it.
func causeOf(r *store.DeadletterRow) string { return strings.TrimSuffix(r.Cause, " ("+r.Code+")") }

func (s *server) deadletters(ctx context.Context, in *deadlettersInput) (*view[DeadletterPage], error) {
	page := DeadletterPage{Deadletters: []DeadletterLine{}}
	c := callerOf(ctx)
	err := s.read(ctx, func(tx *store.Tx) (err error) {
		var rows []store.DeadletterRow
		if in.Lot != "" {
			rows, err = tx.DeadlettersOf(event.LotKey(in.Lot))
		} else if rows, err = tx.Deadletters(in.After, in.Limit, in.Closed); len(rows) == in.Limit {
			page.Next = rows[len(rows)-1].ID
		}
		for i := range rows {
			sees, e := s.seesDeadletter(tx, c, &rows[i])
			if e != nil {
				return e
			}
			if sees {
				page.Deadletters = append(page.Deadletters, deadletterLine(&rows[i]))
			}
		}
		return err
	})
	return &view[DeadletterPage]{page}, err
}

// seesDeadletter asks for the plant whose topic the record came from; one of the cloud's door has that of its lot.
func (s *server) seesDeadletter(tx *store.Tx, c *Caller, r *store.DeadletterRow) (bool, error) {
	if c.seesAll() || r.Plant != "" || r.Lot == "" {
		return c.sees(r.Plant), nil
	}
	lot, err := tx.Lot(r.Lot)
	return lot != nil && c.sees(lot.Plant), err
}

// deadletter returns one record that the caller sees.
func (s *server) deadletter(ctx context.Context, id int64) (row store.DeadletterRow, err error) {
	c := callerOf(ctx)
	err = s.read(ctx, func(tx *store.Tx) error {
		if row, err = tx.Deadletter(id); err != nil {
			return err
		}
		sees, err := s.seesDeadletter(tx, c, &row)
		if err == nil && !sees {
			err = hidden{"deadletter:" + strconv.FormatInt(id, 10), problem.New(problem.ObjectHidden, "there is no such object")}
		}
		return err
	})
	return row, err
}

func (s *server) showDeadletter(ctx context.Context, in *deadletterInput) (*view[Deadletter], error) {
	r, err := s.deadletter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	page := problem.Explain(problem.Code(r.Code))
	d := Deadletter{
		DeadletterLine: deadletterLine(&r), Zone: s.zoneOf(r.Plant), Consequence: page.Consequence, Next: page.Next, WaitsFor: r.Object,
		ReplacedBy: r.ReplacedBy, Principal: r.Principal, Topic: r.Place.Topic, Partition: r.Place.Partition, Offset: r.Place.Offset,
		Headers: map[string]string{}, Raw: r.Message.Value, Schema: r.Message.Header(headerSchema), Faults: faultsOf(causeOf(&r), r.Message.Value),
		Owner: ownerOf(problem.Code(r.Code)), DueAt: dueAt(&r),
	}
	if r.State.Open() {
		d.Group, _ = groupOf(&r)
	}
	if err := s.read(ctx, func(tx *store.Tx) error {
		if d.History, err = history(tx, &r); err != nil {
			return err
		}
		d.Replaces, d.Replacement, err = relatives(tx, &r)
		return err
	}); err != nil {
		return nil, err
	}
	for _, h := range r.Message.Headers {
		d.Headers[h.Key] = string(h.Value)
	}
	if utf8.Valid(d.Raw) {
		d.Text = string(d.Raw)
	}
	return &view[Deadletter]{d}, nil
}

func (s *server) fix(ctx context.Context, in *fixInput) (*view[Fixed], error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	if _, err := s.deadletter(ctx, in.ID); err != nil {
		return nil, err
	}
	id, err := s.engine.Fix(ctx, in.ID, in.Body.Value, callerOf(ctx).Principal, in.Body.Reason)
	return &view[Fixed]{Fixed{ID: id, Replaces: in.ID}}, err
}

func (s *server) redrive(ctx context.Context, in *redriveInput) (*view[Redriven], error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	row, err := s.deadletter(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	results, err := s.engine.Redrive(ctx, in.ID, callerOf(ctx).Principal, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	out := Redriven{Results: []RedriveResult{}}
	for _, r := range results {
		if r.Cause == nil {
			out.Applied++
		}
		out.Results = append(out.Results, redriveResult(r))
	}
	err = s.read(ctx, func(tx *store.Tx) error {
		rows, err := tx.ParkedOf(row.Key)
		out.Left = len(rows)
		return err
	})
	return &view[Redriven]{out}, err
}
