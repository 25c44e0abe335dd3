package sap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxPages bounds how far a list is followed. A batch in 10,000 places is no batch.
const maxPages = 20

// envelope is the outer form of every answer in JSON.
type envelope struct {
	D     json.RawMessage `json:"d"`
	Error *vendorError    `json:"error"`
}

type vendorError struct {
	Code    string          `json:"code"`
	Message json.RawMessage `json:"message"`
}

// text returns the message: an object with a language, in some gateways a plain text.
func (e *vendorError) text() string {
	var inner struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(e.Message, &inner) == nil && inner.Value != "" {
		return inner.Value
	}
	var plain string
	_ = json.Unmarshal(e.Message, &plain)
	return plain
}

// told gives an answer its meaning, in the vendor's words where it has any.
func told(a *httpcall.Answer) connector.Result {
	if tokenRequired(a) {
		r := a.Told("csrf", "the token was refused again right after it was fetched; is there a pool without session affinity?")
		r.Refused = false // this says nothing about our user
		return r
	}
	var in envelope
	if a.Err != nil || a.Status == 0 || json.Unmarshal(a.Body, &in) != nil || in.Error == nil {
		return a.Result()
	}
	if a.OK() {
		return a.Unclear(in.Error.Code, in.Error.text()) // acknowledged by its status, refused by its body
	}
	r := a.Told(in.Error.Code, in.Error.text())
	switch {
	case r.Outcome == event.Rejected && busy(r.Code, r.Message):
		r.Outcome, r.Waits = event.RetryLater, true // this object waits, the system is well
	case r.Outcome == event.Rejected && r.Code == deficit:
		// Someone moved the stock between our read and our write.
		r.Outcome = event.Conflict
	}
	return r
}

// deficit says that a place has less stock than a document wants to take.
const deficit = "M7/021"

// busy tells whether an object is locked by another user for the moment; M3/897 locks the plant data of a material.
func busy(code, message string) bool {
	return strings.Contains(message, "already being processed") || strings.Contains(message, "is locked by") || code == "M3/897"
}

// unwrap decodes the data of an answer into out. The result is nil if that went well.
func unwrap(a *httpcall.Answer, out any) *connector.Result {
	if !a.OK() {
		r := told(a)
		return &r
	}
	var in envelope
	if !a.JSON() || json.Unmarshal(a.Body, &in) != nil {
		r := a.Unclear("no_odata", "the answer is no OData; it may be a log-in page")
		return &r
	}
	if in.Error != nil {
		r := told(a)
		return &r
	}
	if len(in.D) == 0 || bytes.Equal(in.D, []byte("null")) {
		r := a.Unclear("no_data", "the answer has no data")
		return &r
	}
	if err := json.Unmarshal(in.D, out); err != nil {
		r := a.Unclear("bad_data", fmt.Sprintf("the answer does not have the form it should: %v", err))
		return &r
	}
	return nil
}

// get reads one entity.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) (httpcall.Answer, *connector.Result) {
	a := c.http.Do(ctx, httpcall.Request{Method: http.MethodGet, Path: path, Query: asJSON(query), Header: http.Header{"Accept": {"application/json"}}})
	return a, unwrap(&a, out)
}

func asJSON(query url.Values) url.Values {
	if query == nil {
		query = url.Values{}
	}
	query.Set("$format", "json")
	return query
}

// list reads all rows of a query, page by page, and returns the first page's answer for its date.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, httpcall.Answer, *connector.Result) {
	var rows []T
	var first httpcall.Answer
	for page := range maxPages {
		var in struct {
			Results []T    `json:"results"`
			Next    string `json:"__next"`
		}
		a, bad := c.get(ctx, path, query, &in)
		if page == 0 {
			first = a
		}
		if bad != nil {
			return nil, first, bad
		}
		rows = append(rows, in.Results...)
		if in.Next == "" {
			return rows, first, nil
		}
		// Only path and query of the next page are used: behind a proxy the host is not the one that we may call.
		next, err := url.Parse(in.Next)
		if err != nil || !strings.HasPrefix(next.EscapedPath(), root) {
			r := a.Unclear("bad_next", "the answer names a next page outside of its service")
			return nil, first, &r
		}
		path, query = next.EscapedPath(), next.Query()
	}
	r := first.Unclear("too_many_rows", "the list does not end")
	return nil, first, &r
}

// moment reads the three forms of a time: /Date(ms)/, /Date(ms+0000)/ and ISO text. Null is the zero moment.
type moment struct{ time.Time }

var datePattern = regexp.MustCompile(`^/Date\((-?[0-9]{1,17})(?:[+-][0-9]{4})?\)/$`)

// UnmarshalJSON reads a moment; its offset only says where it was written, the milliseconds are UTC.
func (m *moment) UnmarshalJSON(raw []byte) error {
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	m.Time = time.Time{}
	if text == nil || *text == "" {
		return nil
	}
	if match := datePattern.FindStringSubmatch(*text); match != nil {
		ms, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			return err
		}
		m.Time = time.UnixMilli(ms).UTC()
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, *text); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%.40q is no date of OData version 2", *text)
}

// amount is a decimal, written as text or, by some gateways, as a number.
type amount struct{ event.Decimal }

// UnmarshalJSON drops zeros behind the last digit that counts: the services write up to 14 places.
func (q *amount) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `"`)
	if whole, places, found := strings.Cut(text, "."); found {
		text = strings.TrimSuffix(whole+"."+strings.TrimRight(places, "0"), ".")
	}
	if err := event.CheckDecimal(text); err != nil {
		return err
	}
	q.Decimal = event.Decimal(text)
	return nil
}

// MarshalJSON writes the decimal as text.
func (q amount) MarshalJSON() ([]byte, error) { return json.Marshal(q.Decimal) }

// unit returns the UCUM unit of a unit of the system; one that is not known is kept in braces, which makes it a unit
// that converts to no other.
func unit(raw string) event.Unit {
	switch raw {
	case "KG":
		return "kg"
	case "G":
		return "g"
	case "TO":
		return "t"
	case "L":
		return "L"
	case "ML":
		return "mL"
	case "M":
		return "m"
	case "M2":
		return "m2"
	case "M3":
		return "m3"
	case "ST", "PC", "EA":
		return "{each}"
	}
	return event.Unit("{" + strings.Map(printable, raw) + "}")
}

func printable(r rune) rune {
	if r <= ' ' || r > '~' || r == '{' || r == '}' {
		return '_'
	}
	return r
}
