package rest

import (
	"context"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// version is what a conditional change goes back to.
type version struct{ id, etag string }

// readRecord returns a record.
func (c *Client) readRecord(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	record, a, bad := c.one(ctx, c.mapping.Read, o, c.mapping.Record.Root, c.mapping.Record.ID)
	switch {
	case bad != nil:
		return connector.View{}, nil, *bad
	case record == nil:
		return connector.View{Object: o, Ref: c.ref(o.Kind, o.ID, "")}, nil, nil
	}
	v := c.view(record)
	if c.mapping.Record.ETag == "" {
		v.Ref.ETag = a.Header.Get("ETag")
	}
	return v, version{id: o.ID, etag: v.Ref.ETag}, nil
}

// view shows a record's JSON.
func (c *Client) view(record any) connector.View {
	p := c.mapping.Record
	get := func(path Path) string { return text(atPath(record, path)) }
	v := connector.View{
		Object: connector.Object{Kind: connector.ObjectRecord, ID: get(p.ID)}, Exists: true,
		Ref: c.ref(connector.ObjectRecord, get(p.ID), get(p.ETag)), State: get(p.State), Reached: c.mapping.ours(get(p.State)), Decision: get(p.Decision),
		Fields: map[string]string{},
	}
	for name, path := range p.Fields {
		v.Fields[name] = get(path)
	}
	v.Fields[connector.FieldReference] = get(p.Reference)
	v.ChangedAt = latest(get(p.ChangedAt), get(p.CreatedAt))
	return v
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
	return c.made(&a, e.Ref, place{
		op: c.mapping.Create, kind: connector.ObjectRecord, root: c.mapping.Record.Root, id: c.mapping.Record.ID,
		reference: c.mapping.Record.Reference, state: c.mapping.Record.State,
	})
}

// place says where the parts of a new record stand in the answer to the operation that made it.
type place struct {
	op                         *Operation
	kind                       connector.ObjectKind
	root, id, reference, state Path
}

// made judges the answer to an operation that makes a record: it names the record, and shows the reference if it shows
// the record at all.
func (c *Client) made(a *httpcall.Answer, ref quality.EffectRef, p place) connector.Result {
	r := c.told(a, false)
	if r.Outcome != "" {
		return r
	}
	body, err := decode(a.Body)
	if err != nil || !a.JSON() {
		return a.Unclear("no_json", "the answer is no JSON; it may be a log-in page")
	}
	id := idOf(p.op, a, body)
	if id == "" {
		return a.Unclear("no_record", "the answer names no record")
	}
	record := at(body, p.root)
	shown := atPath(record, p.state) != nil // some answer with the id alone, and a read tells then
	if got := text(atPath(record, p.reference)); got != string(ref) && (shown || got != "") {
		r = a.As(event.Rejected, "reference_lost", "record "+id+" was made, but the system did not keep its reference; a person has to look at it")
	}
	r.Ref = c.ref(p.kind, id, a.Header.Get("ETag"))
	return r
}

// changed judges the answer to a change of what exists. Whether it took place is for a read to say.
func (c *Client) changed(op *Operation, a *httpcall.Answer) connector.Result {
	r := c.told(a, false)
	if r.Outcome != "" || len(a.Body) == 0 {
		return r
	}
	body, err := decode(a.Body)
	switch {
	case err != nil || !a.JSON():
		return a.Unclear("no_json", "the answer is no JSON; it may be a log-in page")
	case !op.suits(body):
		return a.Unclear("other_answer", "the answer is no "+op.Answer+"; it may be that of another program")
	}
	return r
}

// idOf returns the id of the record that was made: where the mapping says, else the end of its address.
func idOf(op *Operation, a *httpcall.Answer, body any) string {
	if op.ID != "" {
		return text(at(body, op.ID))
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
	header, bad := c.ifMatch(read.etag)
	if bad != nil {
		return *bad
	}
	a, bad := c.call(ctx, c.mapping.Update, v, header)
	if bad != nil {
		return *bad
	}
	r := c.changed(c.mapping.Update, &a)
	r.Ref = c.ref(connector.ObjectRecord, read.id, a.Header.Get("ETag"))
	return r
}
