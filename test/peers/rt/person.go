//go:build unix

package rt

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Call makes a call as a person who may do all, with body as JSON where there is one, and decodes the answer into into.
func (s *Server) Call(ctx context.Context, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr()+API+path, sent)
	if err != nil {
		return err
	}
	req.SetBasicAuth(person, persons)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// Open opens a ticket in a queue as a person does, and returns its id.
func (s *Server) Open(ctx context.Context, queue, subject string, fields map[string]any) (id string, err error) {
	var made struct {
		ID string `json:"id"`
	}
	err = s.Call(ctx, http.MethodPost, "/ticket", map[string]any{"Queue": queue, "Subject": subject, "CustomFields": fields}, &made)
	return made.ID, err
}

// Change changes a ticket as a person does, and returns RT's sentences about it.
func (s *Server) Change(ctx context.Context, id string, fields map[string]any) (said []string, err error) {
	err = s.Call(ctx, http.MethodPut, "/ticket/"+id, fields, &said)
	return said, err
}

// Event is an entry of a ticket's history.
type Event struct {
	Type               string `json:"Type"`
	Class              string `json:"type"` // of RT's objects: without it here, it would be taken for the type
	OldValue, NewValue string
	Creator            struct{ ID string }
}

// History returns what happened to a ticket, oldest first.
func (s *Server) History(ctx context.Context, id string) ([]Event, error) {
	var page struct{ Items []Event }
	err := s.Call(ctx, http.MethodGet, "/ticket/"+id+"/history?per_page=100&fields=Type,OldValue,NewValue,Creator", nil, &page)
	return page.Items, err
}

// Find returns the ids of the tickets that a query of RT's language finds, in order.
func (s *Server) Find(ctx context.Context, query string) (ids []string, err error) {
	var page struct{ Items []struct{ ID string } }
	err = s.Call(ctx, http.MethodGet, "/tickets?orderby=id&per_page=100&query="+url.QueryEscape(query), nil, &page)
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids, err
}

// Fields returns a ticket's custom fields by their names, those with several values with commas between them.
func (s *Server) Fields(ctx context.Context, id string) (map[string]string, error) {
	var ticket struct {
		CustomFields []struct {
			Name   string
			Values []string
		}
	}
	if err := s.Call(ctx, http.MethodGet, "/ticket/"+id, nil, &ticket); err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for _, f := range ticket.CustomFields {
		fields[f.Name] = strings.Join(f.Values, ",")
	}
	return fields, nil
}

// Comment writes a comment on a ticket, as a person does.
func (s *Server) Comment(ctx context.Context, id, text string) error {
	return s.Call(ctx, http.MethodPost, "/ticket/"+id+"/comment", map[string]any{"Content": text, "ContentType": "text/plain"}, nil)
}
