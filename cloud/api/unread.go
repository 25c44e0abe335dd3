package api

import (
	"context"
	"encoding/base64"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// UnreadLine is a message that an agent did not understand, as a list shows it. It is a gap until its correction comes.
type UnreadLine struct {
	ID        event.ID          `json:"id" doc:"of the agent's record of it"`
	Gap       event.ObjectID    `json:"gap"`
	Plant     event.PlantID     `json:"plant"`
	Zone      string            `json:"zone" doc:"time zone of the plant"`
	Agent     string            `json:"agent"`
	Source    string            `json:"source"`
	Equipment event.EquipmentID `json:"equipment,omitempty" doc:"whose lots it may concern; absent = all of the plant"`
	Lot       event.LotKey      `json:"lot,omitempty" doc:"that it names"`
	Reason    string            `json:"reason"`
	Since     time.Time         `json:"since" doc:"when the cloud knew of it"`
}

// Unread is a message that an agent did not understand, whole.
type Unread struct {
	UnreadLine
	Item      string     `json:"item" doc:"topic, node or file"`
	Code      string     `json:"code,omitempty"`
	Mapping   string     `json:"mapping,omitempty"`
	Errors    []string   `json:"errors" doc:"all that was not understood in it"`
	Flags     []string   `json:"flags,omitempty"`
	ArrivedAt time.Time  `json:"arrived_at,omitzero" doc:"by the agent's clock"`
	Raw       []byte     `json:"raw" doc:"as received, in base64"`
	Text      string     `json:"text,omitempty" doc:"the same as text, where it is UTF-8"`
	Length    int64      `json:"length" doc:"bytes of the whole message, of which raw may be the head"`
	RawSHA256 event.Hash `json:"raw_sha256" doc:"of the whole message"`
	Faults    []Fault    `json:"faults" doc:"places that the reason is about"`
	Open      bool       `json:"open" doc:"no correction has come"`
}

// UnreadList is the messages that no correction has come for, the newest first.
type UnreadList struct {
	Messages []UnreadLine `json:"messages"`
	More     bool         `json:"more,omitempty" doc:"there are more than the limit"`
}

// maxUnread bounds how many messages are looked at: a sender may send nonsense for days.
const maxUnread = 1000

type unreadInput struct {
	Plant string `query:"plant" doc:"only messages of this plant"`
}

func (s *server) unread(ctx context.Context, in *unreadInput) (*view[UnreadList], error) {
	out := UnreadList{Messages: []UnreadLine{}}
	c := callerOf(ctx)
	plants := []event.PlantID{event.PlantID(in.Plant)}
	switch {
	case in.Plant != "" && !c.sees(event.PlantID(in.Plant)):
		return &view[UnreadList]{out}, nil
	case in.Plant == "" && !c.seesAll():
		plants = c.Plants
	}
	err := s.read(ctx, func(tx *store.Tx) error {
		for _, plant := range plants {
			gaps, err := tx.Unread(plant, maxUnread+1)
			if err != nil {
				return err
			}
			if len(gaps) > maxUnread {
				out.More, gaps = true, gaps[:maxUnread]
			}
			for i := range gaps {
				out.Messages = append(out.Messages, s.unreadLine(&gaps[i]))
			}
		}
		return nil
	})
	slices.SortFunc(out.Messages, func(a, b UnreadLine) int { return b.Since.Compare(a.Since) })
	return &view[UnreadList]{out}, err
}

func (s *server) unreadLine(g *quality.Gap) UnreadLine {
	return UnreadLine{
		ID: g.Cause, Gap: g.ID, Plant: g.Plant, Zone: s.zoneOf(g.Plant), Agent: g.Agent, Source: g.Source, Equipment: g.Equipment, Lot: g.Lot,
		Reason: g.Reason, Since: g.UpdatedAt,
	}
}

type unreadMessageInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *server) unreadMessage(ctx context.Context, in *unreadMessageInput) (*view[Unread], error) {
	out := Unread{}
	err := s.read(ctx, func(tx *store.Tx) error {
		row, err := tx.InboxByID(event.ID(in.ID))
		if err != nil {
			return err
		}
		d, ok := row.Event.Data.(*event.RecordQuarantined)
		switch {
		case !ok:
			return problem.New(problem.ObjectHidden, "event %.64s is none that an agent did not understand", in.ID)
		case !callerOf(ctx).sees(row.Event.Plant):
			return hidden{in.ID, problem.New(problem.ObjectHidden, "there is no such object")}
		}
		gap, err := tx.Gap(event.ObjectOf("gap", row.Event.ID))
		if err != nil {
			return err
		}
		if gap == nil {
			return store.ErrNotFound
		}
		out, err = unreadView(s.unreadLine(gap), row.Event, d)
		out.ID, out.Since, out.Open = row.Event.ID, row.Accepted, gap.Open()
		return err
	})
	return &view[Unread]{out}, err
}

func unreadView(line UnreadLine, e *event.Event, d *event.RecordQuarantined) (Unread, error) {
	p := d.ReadBy()
	u := Unread{
		UnreadLine: line, Item: d.Item, Code: string(d.Code), Mapping: string(p.Mapping), Errors: p.Errors, ArrivedAt: p.ArrivedAt.Time,
		Raw: []byte(p.Raw), Length: p.RawLength, RawSHA256: d.RawSHA256,
	}
	u.Reason, u.Agent = d.Reason, string(e.Origin.Agent)
	for _, f := range p.Flags {
		u.Flags = append(u.Flags, string(f))
	}
	if p.RawBase64 != "" {
		var err error
		if u.Raw, err = base64.StdEncoding.DecodeString(p.RawBase64); err != nil {
			return u, problem.New(problem.EventInvalid, "raw bytes of %s: %w", e.ID, err)
		}
	}
	if u.Length == 0 {
		u.Length = int64(len(u.Raw))
	}
	if utf8.Valid(u.Raw) {
		u.Text = string(u.Raw)
	}
	if u.Errors == nil {
		u.Errors = []string{}
	}
	u.Faults = faultsOf(d.Reason, u.Raw)
	return u, nil
}
