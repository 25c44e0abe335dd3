package rest

import (
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
	for _, l := range c.probes() {
		items, a, bad := c.items(ctx, l.op, l.values)
		switch {
		case bad != nil && l.absent && a.Status == http.StatusNotFound: // there is no such lot
		case bad != nil && bad.Outcome == event.Rejected:
			findings = append(findings, connector.Finding{Fatal: true, What: l.what + " is refused: " + bad.Message, Fix: l.fix})
		case bad != nil:
			return nil, *bad
		case l.empty && len(items) > 0:
			findings = append(findings, connector.Finding{
				Fatal: true, What: l.what + " finds objects that do not have it", Fix: "correct the query of " + l.name + " in the mapping",
			})
		}
		date = a.Date()
	}
	if p := c.mapping.Check; p != nil {
		probe := c.http.Do(ctx, httpcall.Request{Method: http.MethodGet, Path: p.Path, Header: http.Header{"Accept": {"application/json"}}})
		if !probe.OK() {
			return findings, c.told(&probe, true)
		}
		if !strings.Contains(string(probe.Body), p.Contains) {
			findings = append(findings, connector.Finding{Fatal: true, What: p.Path + " does not show " + p.Contains, Fix: "make the field that keeps the reference"})
		}
	}
	if !date.IsZero() && c.now().Sub(date).Abs() > maxSkew {
		findings = append(findings, connector.Finding{
			What: fmt.Sprintf("the system's clock differs from ours by %s", c.now().Sub(date).Round(time.Second)), Fix: "synchronise both clocks",
		})
	}
	return findings, nil
}

// probe is a list that the preflight reads.
type probe struct {
	name, what, fix string
	op              *Operation
	values          values
	empty           bool // nothing may be found
	absent          bool // that the object does not exist is in order
}

func (c *Client) probes() (all []probe) {
	m := c.mapping
	byRef := func(name, fields string, op *Operation) {
		all = append(all, probe{
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
		all = append(all, probe{name: "tasks.list", what: "the list of a lot's tasks", fix: "correct tasks.list in the mapping, or the user's rights", op: m.Tasks.List, values: v, absent: true})
	}
	for _, l := range m.lists() {
		all = append(all, probe{
			name: l.name, what: "the list of changed " + l.name, fix: "correct the operation changes of " + l.name + " in the mapping, or the user's rights", op: l.op,
			values: values{Limit: 1},
		})
	}
	return all
}
