package sap

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxSkew is how far the system's clock may be from ours before a person should know.
const maxSkew = 2 * time.Minute

// Check looks at what the connector rests on: log-in and token, the reference field, the batch's flag and version, the
// stock service, the form of material numbers, the clock, and what it needs of inspection lots.
func (c *Client) Check(ctx context.Context) ([]connector.Finding, error) {
	var findings []connector.Finding
	add := func(fatal bool, what, fix string) {
		findings = append(findings, connector.Finding{Fatal: fatal, What: what, Fix: fix})
	}
	if _, _, bad := c.newerToken(ctx, batchService, 0); bad != nil {
		return nil, *bad
	}
	found, first, bad := list[batchEntity](ctx, c, batches, url.Values{"$top": {"50"}, "$orderby": {"Material,BatchIdentifyingPlant,Batch"}})
	if bad != nil {
		return refused(findings, bad, "batches cannot be read", "activate API_BATCH_SRV and give the user its rights")
	}
	for _, b := range found {
		switch {
		case b.Restricted == nil:
			add(true, "batches do not show MatlBatchIsInRstrcdUseStock", "activate batch status management, or use a release that has the field")
		case b.Metadata.ETag == "":
			add(true, "batches have no ETag, so that a change by someone else would go unseen", "use a release whose batch service has ETags")
		case c.material(b.Material) != b.Material:
			add(true, "material "+b.Material+" is shown in another form than material_form "+c.cfg.MaterialForm+" says", "set material_form to what the services show")
		default:
			continue
		}
		break
	}
	for path, query := range map[string]url.Values{
		documents:     {"$filter": {"ReferenceDocument eq 'HFPREFLIGHT'"}, "$top": {"1"}},
		documentItems: {"$filter": {"Batch eq 'HFPREFLIGHT'"}, "$expand": {"to_MaterialDocumentHeader"}, "$top": {"1"}},
		stockRows:     {"$filter": {"Batch eq 'HFPREFLIGHT'"}, "$top": {"1"}},
	} {
		var none struct{}
		a, bad := c.get(ctx, path, query, &none)
		if bad == nil {
			continue
		}
		if bad.Outcome != event.Rejected && a.Status != http.StatusForbidden {
			return nil, *bad
		}
		add(true, "the query that effects are found by is refused: "+bad.Message, "activate the service and give the user its rights")
	}
	more, bad := c.checkInspection(ctx)
	if bad != nil {
		return nil, *bad
	}
	findings = append(findings, more...)
	if date := first.Date(); !date.IsZero() && c.now().Sub(date).Abs() > maxSkew {
		add(false, fmt.Sprintf("the system's clock differs from ours by %s", c.now().Sub(date).Round(time.Second)), "synchronise both clocks")
	}
	return findings, nil
}

// refused makes a finding of a read that the system refuses for good; any other failure is an error to try again.
func refused(findings []connector.Finding, bad *connector.Result, what, fix string) ([]connector.Finding, error) {
	if bad.Outcome != event.Rejected {
		return nil, *bad
	}
	return append(findings, connector.Finding{Fatal: true, What: what + ": " + bad.Message, Fix: fix}), nil
}
