package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// version is what a conditional change goes back to.
type version struct{ id, etag string }

// Read returns a record.
func (c *Client) Read(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	if o.Kind != connector.ObjectRecord || o.ID == "" {
		return connector.View{}, nil, rejected("object", "only records with an id exist here")
	}
	body, a, bad := c.read(ctx, c.mapping.Read, values{ID: o.ID})
	if bad != nil && a.Status == http.StatusNotFound && a.Err == nil {
		return connector.View{Object: o, Ref: c.ref(o.ID, "")}, nil, nil
	}
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	record := at(body, c.mapping.Record.Root)
	v := c.view(record)
	if v.ID != o.ID {
		return connector.View{}, nil, a.Unclear("other_record", "the answer is not the record that was asked for")
	}
	if c.mapping.Record.ETag == "" {
		v.Ref.ETag = a.Header.Get("ETag")
	}
	return v, version{id: o.ID, etag: v.Ref.ETag}, nil
}

// view shows a record's JSON.
func (c *Client) view(record any) connector.View {
	p := c.mapping.Record
	get := func(path string) string { return text(atPath(record, path)) }
	v := connector.View{
		Object: connector.Object{Kind: connector.ObjectRecord, ID: get(p.ID)}, Exists: true,
		Ref: c.ref(get(p.ID), get(p.ETag)), State: get(p.State), Reached: c.mapping.ours(get(p.State)), Decision: get(p.Decision),
		Fields: map[string]string{},
	}
	for name, path := range p.Fields {
		v.Fields[name] = get(path)
	}
	v.Fields[connector.FieldReference] = get(p.Reference)
	for _, path := range []string{p.ChangedAt, p.CreatedAt} {
		if t, err := time.Parse(time.RFC3339Nano, get(path)); err == nil {
			v.ChangedAt = t.UTC()
			break
		}
	}
	return v
}

// Write makes the record, or moves it towards the wanted state.
func (c *Client) Write(ctx context.Context, e quality.Effect, v connector.Version) connector.Result {
	if e.Record == nil {
		return rejected("no_record", "the effect has no record")
	}
	switch e.Kind {
	case quality.NonconformanceEnsure:
		return c.create(ctx, e)
	case quality.NonconformanceAdvance:
		if read, ok := v.(version); ok && c.mapping.Update != nil {
			return c.advance(ctx, e, read)
		}
		return connector.Result{Outcome: event.Conflict, Code: "not_read", Message: "the record was not read before the write"}
	}
	return rejected("kind", "effects of kind "+string(e.Kind)+" do not exist here")
}

func valuesOf(e quality.Effect) values {
	v := values{
		Ref: string(e.Ref), Object: e.Object, Title: e.Record.Title, Description: e.Record.Description,
		Severity: string(e.Record.Severity), Source: e.Record.Source, Lots: []string{},
	}
	for _, lot := range e.Record.Lots {
		v.Lots = append(v.Lots, string(lot))
	}
	return v
}

// create makes the record in the system's first state. A record that lost its reference could never be found again.
func (c *Client) create(ctx context.Context, e quality.Effect) connector.Result {
	v := valuesOf(e)
	v.State, _ = c.mapping.theirs(quality.NCOpened)
	a, bad := c.call(ctx, c.mapping.Create, v, nil)
	if bad != nil {
		return *bad
	}
	r := c.told(&a, false)
	if r.Outcome != "" {
		return r
	}
	body, err := decode(a.Body)
	if err != nil || !a.JSON() {
		return a.Unclear("no_json", "the answer is no JSON; it may be a log-in page")
	}
	id := c.idOf(&a, body)
	if id == "" {
		return a.Unclear("no_record", "the answer names no record")
	}
	record := at(body, c.mapping.Record.Root)
	shown := atPath(record, c.mapping.Record.State) != nil
	if got := text(atPath(record, c.mapping.Record.Reference)); got != string(e.Ref) && (shown || got != "") {
		r = a.As(event.Rejected, "reference_lost", "record "+id+" was made, but the system did not keep its reference; a person has to look at it")
	}
	r.Ref = c.ref(id, a.Header.Get("ETag"))
	return r
}

// idOf returns the id of the record that was made: where the mapping says, else the end of its address.
func (c *Client) idOf(a *httpcall.Answer, body any) string {
	if path := c.mapping.Create.ID; path != "" {
		return text(at(body, path))
	}
	location := strings.TrimSuffix(a.Header.Get("Location"), "/")
	return location[strings.LastIndexByte(location, '/')+1:]
}

// advance changes the record's state, if it is still the record that was read.
func (c *Client) advance(ctx context.Context, e quality.Effect, read version) connector.Result {
	v := valuesOf(e)
	state, ok := c.mapping.theirs(e.Record.State)
	if !ok {
		return rejected("state", "the mapping has no word for the state "+string(e.Record.State))
	}
	v.ID, v.State = read.id, state
	header := http.Header{}
	if c.mapping.Lock != connector.LockNone {
		if read.etag == "" {
			return rejected("no_version", "the system gives no version of the record, so that nothing can be changed safely")
		}
		header.Set("If-Match", read.etag)
	}
	a, bad := c.call(ctx, c.mapping.Update, v, header)
	if bad != nil {
		return *bad
	}
	r := c.told(&a, false)
	if _, err := decode(a.Body); r.Outcome == "" && len(a.Body) > 0 && (err != nil || !a.JSON()) {
		return a.Unclear("no_json", "the answer is no JSON; it may be a log-in page")
	}
	r.Ref = c.ref(read.id, a.Header.Get("ETag"))
	return r
}
