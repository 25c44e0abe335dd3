package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// preflight is a reference that no effect has.
const preflight quality.EffectRef = "HFPREFLIGHT00000"

// maxSkew is how far the system's clock may be from ours before a person should know.
const maxSkew = 2 * time.Minute

// Check looks at what the connector rests on: log-in, every list that it reads, the query by reference, the field that
// keeps it, the clock.
func (c *Client) Check(ctx context.Context) ([]connector.Finding, error) {
	var findings []connector.Finding
	var date time.Time
	for _, l := range c.listings() {
		found, bad := c.items(ctx, l.op, l.values)
		a := &found.answer
		switch {
		case bad != nil && l.absent && a.Status == http.StatusNotFound: // there is no such lot
		case bad != nil && refused(bad, a):
			findings = append(findings, connector.Finding{Fatal: true, What: l.what + " is refused: " + bad.Message, Fix: l.fix})
		case bad != nil:
			return nil, *bad
		case l.empty && len(found.items) > 0:
			findings = append(findings, connector.Finding{
				Fatal: true, What: l.what + " finds objects that do not have it", Fix: "correct the query of " + l.name + " in the mapping",
			})
		}
		date = a.Date()
	}
	for i := range c.mapping.Check {
		missing, bad := c.probe(ctx, &c.mapping.Check[i])
		if bad != nil {
			return findings, *bad
		}
		findings = append(findings, missing...)
	}
	if !date.IsZero() && c.now().Sub(date).Abs() > maxSkew {
		findings = append(findings, connector.Finding{
			What: fmt.Sprintf("the system's clock differs from ours by %s", c.now().Sub(date).Round(time.Second)), Fix: "synchronise both clocks",
		})
	}
	return findings, nil
}

// probe looks for what the mapping says must be there.
func (c *Client) probe(ctx context.Context, p *Probe) ([]connector.Finding, *connector.Result) {
	missing := connector.Finding{Fatal: true, Fix: cmp.Or(p.Fix, "make what the mapping looks for there, or give the user the right to see it")}
	body, a, bad := c.read(ctx, p.op, values{User: c.user})
	if bad != nil && !refused(bad, &a) {
		return nil, bad
	}
	shown := at(body, p.At)
	switch {
	case bad != nil:
		missing.What = p.Path + " is refused: " + bad.Message
	case shown == nil:
		missing.What = fmt.Sprintf("%s shows nothing at %s", p.Path, p.At)
	case !strings.Contains(text(shown), p.Contains):
		missing.What = fmt.Sprintf("%s does not show %q", cmp.Or(string(p.At), p.Path), p.Contains)
	default:
		return nil, nil
	}
	return []connector.Finding{missing}, nil
}

// refused tells whether the system has answered that this read is not possible. Some say of what does not exist that it is
// forbidden; who is logged in has to be told which.
func refused(r *connector.Result, a *httpcall.Answer) bool {
	return r.Outcome == event.Rejected || a.Err == nil && a.Status == http.StatusForbidden
}

// listing is a list that the preflight reads.
type listing struct {
	name, what, fix string
	op              *Operation
	values          values
	empty           bool // nothing may be found
	absent          bool // that the object does not exist is in order
}

func (c *Client) listings() (all []listing) {
	m := c.mapping
	byRef := func(name, fields string, op *Operation) {
		all = append(all, listing{
			name: name, what: "the query by reference", fix: "make the field that " + fields + " and " + name + " name", op: op,
			values: values{Ref: string(preflight), Limit: 1}, empty: true,
		})
	}
	if m.Find != nil {
		byRef("find", "record.reference", m.Find)
	}
	if m.Inspections != nil {
		byRef("inspections.find", "inspections.reference", m.Inspections.Find)
	}
	if m.Notices != nil && m.Notices.Find != nil {
		byRef("notices.find", "notices.reference", m.Notices.Find)
	}
	if m.Tasks != nil {
		v, _ := lotValues("lot::HFPREFLIGHT:HFPREFLIGHT") // a key that is in order
		all = append(all, listing{name: "tasks.list", what: "the list of a lot's tasks", fix: "correct tasks.list in the mapping, or the user's rights", op: m.Tasks.List, values: v, absent: true})
	}
	for _, l := range m.lists() {
		all = append(all, listing{
			name: l.name, what: "the list of changed " + l.name, fix: "correct the operation changes of " + l.name + " in the mapping, or the user's rights", op: l.op,
			values: values{Limit: 1},
		})
	}
	return all
}
