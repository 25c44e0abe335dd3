package sap

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Write makes the next step towards what the effect wants, on the version that was read.
func (c *Client) Write(ctx context.Context, e quality.Effect, v connector.Version) connector.Result {
	l, ok := v.(*lot)
	switch {
	case !ok || l == nil:
		return connector.Result{Outcome: event.Conflict, Code: "not_read", Message: "the lot was not read before the write"}
	case !l.exists:
		return rejected("batch_missing", "batch "+l.id.String()+" does not exist")
	}
	switch e.Kind {
	case quality.LotUsageSet:
		return c.setUsage(ctx, e, l)
	case quality.StockTransfer:
		return c.transferPart(ctx, e, l)
	case quality.UsageDecisionPost:
		return c.decide(ctx, e, l)
	}
	return rejected("kind", "effects of kind "+string(e.Kind)+" do not exist in SAP")
}

func rejected(code, message string) connector.Result {
	return connector.Result{Outcome: event.Rejected, Code: code, Message: message}
}

// setUsage takes one step. The flag comes first on the way in, because it takes effect for the whole batch at once, and last
// on the way out. What waits in inspection is kept there by its stock type: the flag of a hold that was lifted goes.
func (c *Client) setUsage(ctx context.Context, e quality.Effect, l *lot) connector.Result {
	holds := e.Usage == event.Restricted || e.Usage == event.Blocked || e.Usage == event.InInspection && l.anyFree()
	switch {
	case e.Usage == event.Unrestricted:
		return c.release(ctx, e, l)
	case !holds && e.Usage != event.InInspection:
		return rejected("usage", "usage "+string(e.Usage)+" cannot be set")
	case holds && !l.restricted:
		return c.setFlag(ctx, l, true)
	case holds && l.has(stockFree):
		return rejected("not_enforced", "the batch is restricted and its stock is still free: is batch status management active?")
	case e.Usage == event.Blocked && l.has(stockRestricted):
		return c.post(ctx, usageText, e.Ref, l, take(l, stockRestricted, movementBlock))
	}
	if e.Usage != event.Blocked && l.has(stockBlocked) {
		items, bad := c.ownBlocked(ctx, l)
		if bad != nil {
			return *bad
		}
		if len(items) > 0 {
			return c.post(ctx, usageText, e.Ref, l, items)
		}
	}
	if e.Usage == event.InInspection && l.restricted && l.withheld() {
		return c.setFlag(ctx, l, false)
	}
	return noStep(e, l)
}

// anyFree tells whether any stock is or will be free; without stock, what arrives will be.
func (l *lot) anyFree() bool {
	for _, r := range l.rows {
		if l.usage(r.Type) == event.Unrestricted {
			return true
		}
	}
	return len(l.rows) == 0
}

// setFlag changes the batch's restriction, if the batch is still the one that was read.
func (c *Client) setFlag(ctx context.Context, l *lot, restricted bool) connector.Result {
	if l.etag == "" {
		return rejected("no_version", "the service gives no version of the batch, so that nothing can be changed safely")
	}
	body, err := json.Marshal(map[string]bool{"MatlBatchIsInRstrcdUseStock": restricted})
	if err != nil {
		return rejected("encode", err.Error())
	}
	a, bad := c.write(ctx, batchService, httpcall.Request{
		Method: http.MethodPatch, Path: l.id.path(), Header: http.Header{"If-Match": {l.etag}}, Body: body,
	})
	if bad != nil {
		return *bad
	}
	r := told(&a)
	if r.Outcome == "" && len(a.Body) > 0 && (!a.JSON() || !json.Valid(a.Body)) {
		r = a.Unclear("no_odata", "the answer is no OData; it may be a log-in page")
	}
	r.Ref = event.Ref{System: c.system, Kind: "batch", ID: l.id.String()}
	return r
}
