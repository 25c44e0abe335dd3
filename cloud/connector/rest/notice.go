package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Notices says how messages to customer service are sent.
type Notices struct {
	Send *Operation `yaml:"send" doc:"sends one message"`
	Find *Operation `yaml:"find" doc:"list of the messages with a reference; empty: what was sent can't be looked up"`
	Read *Operation `yaml:"read" doc:"one message by its id; needed with find"`

	Header    string `yaml:"header" doc:"header that carries the reference, such as Message-ID or Idempotency-Key; empty: the body does"`
	Root      Path   `yaml:"root" doc:"where the message stands in the answer to read; empty: it is the answer"`
	ID        Path   `yaml:"id"`
	Reference Path   `yaml:"reference"`
}

func (n *Notices) given() bool { return n != nil }

func (n *Notices) check(doc *config.Document) {
	for _, op := range []named{
		{"notices.send", http.MethodPost, n.Send, true, false},
		{"notices.find", http.MethodGet, n.Find, false, true},
		{"notices.read", http.MethodGet, n.Read, n.Find != nil, false},
	} {
		op.check(doc)
	}
	if n.Find != nil {
		need(doc, "notices", map[string]Path{"id": n.ID, "reference": n.Reference})
	}
	if n.Header == "" && (n.Send == nil || !strings.Contains(n.Send.Body, ".Ref")) {
		doc.Errorf(problem.ConfigMissing, "notices.header", "neither notices.header nor the body of notices.send carries the reference: a repeated message would not be seen as one")
	}
	if strings.Trim(n.Header, headerRunes) != "" {
		doc.Errorf(problem.ConfigValue, "notices.header", "%q is no name of a header", n.Header)
	}
}

// headerRunes are those that the names of such headers are made of.
const headerRunes = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// noticeValues names a message to templates, with a title and a text for systems that only pass words on.
func noticeValues(e *quality.Effect) values {
	n := e.Notice
	v := values{
		Ref: string(e.Ref), Object: e.Object, Lot: string(n.Lot), Order: n.Order, Line: n.Line, Customer: n.Customer, Step: string(n.Step),
		Reason: n.Reason, Title: noticeTitle(n), Repeat: strings.HasPrefix(n.Reason, connector.PossibleRepeat),
	}
	if _, material, batch, err := n.Lot.Parts(); err == nil {
		v.Material, v.Batch = material, batch
	}
	v.Description = v.Title + ".\n" + n.Reason
	if !n.PromisedAt.IsZero() {
		v.PromisedAt = n.PromisedAt.UTC().Format(time.RFC3339)
		v.Description += "\nPromised for " + v.PromisedAt + "."
	}
	return v
}

func noticeTitle(n *quality.NoticeMessage) string {
	_, _, batch, err := n.Lot.Parts()
	if err != nil {
		batch = string(n.Lot)
	}
	what := map[quality.NoticeStep]string{
		quality.NoticeAtRisk: "may be late: lot " + batch + " is not released yet",
		quality.NoticeHeld:   "lot " + batch + " is held",
		quality.NoticeClear:  "lot " + batch + " may move again",
	}[n.Step]
	return "Order " + n.Order + " line " + n.Line + " of " + n.Customer + ": " + what
}

// send sends a message under the effect's reference. It is sent once: no call that writes is repeated here.
func (c *Client) send(ctx context.Context, e quality.Effect) connector.Result {
	n := c.mapping.Notices
	if e.Notice == nil {
		return rejected("no_notice", "the effect has no message")
	}
	header := http.Header{}
	if n.Header != "" {
		header.Set(n.Header, string(e.Ref))
	}
	a, bad := c.call(ctx, n.Send, noticeValues(&e), header)
	if bad != nil {
		return *bad
	}
	if n.Find == nil {
		return c.changed(n.Send, &a) // its acknowledgement is all that there will be
	}
	return c.made(&a, e.Ref, place{op: n.Send, kind: connector.ObjectNotice, root: n.Root, id: n.ID, reference: n.Reference})
}

// readNotice returns a message that was sent.
func (c *Client) readNotice(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	n := c.mapping.Notices
	message, a, bad := c.one(ctx, n.Read, o, n.Root, n.ID)
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	v := connector.View{Object: o, Ref: c.ref(o.Kind, o.ID, ""), Exists: message != nil}
	if v.Exists {
		v.Ref.ETag = a.Header.Get("ETag")
		v.Fields = map[string]string{connector.FieldReference: text(at(message, n.Reference))}
	}
	return v, nil, nil
}
