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

// Check looks at what the connector rests on: log-in, the query by reference, the field that keeps it, the clock.
func (c *Client) Check(ctx context.Context) ([]connector.Finding, error) {
	var findings []connector.Finding
	items, a, bad := c.items(ctx, c.mapping.Find, values{Ref: string(preflight), Limit: 1})
	switch {
	case bad != nil && bad.Outcome == event.Rejected:
		findings = append(findings, connector.Finding{
			Fatal: true, What: "the query by reference is refused: " + bad.Message, Fix: "make the field that record.reference and find name",
		})
	case bad != nil:
		return nil, *bad
	case len(items) > 0:
		findings = append(findings, connector.Finding{
			Fatal: true, What: "the query by reference finds records that do not have it", Fix: "correct the query of find in the mapping",
		})
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
	if date := a.Date(); !date.IsZero() && c.now().Sub(date).Abs() > maxSkew {
		findings = append(findings, connector.Finding{
			What: fmt.Sprintf("the system's clock differs from ours by %s", c.now().Sub(date).Round(time.Second)), Fix: "synchronise both clocks",
		})
	}
	return findings, nil
}
