package sap

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// movementPass takes stock out of inspection where quality management does not have it.
const movementPass = "321"

// toFree is the stock type to which an inspection lot's stock is posted by a release.
const toFree = "VMENGE01"

// releaseText begins the item text of our postings out of an inspection lot; the effect's reference follows.
const releaseText = "HOLDFAST RELEASE "

// release takes the next step towards a lot that is free. Nothing is touched before every inspection lot whose stock
// would move has its usage decision. The flag is cleared before stock is posted: while it is set, stock that leaves
// inspection lands in restricted stock.
func (c *Client) release(ctx context.Context, e quality.Effect, l *lot) connector.Result {
	if bad := c.undecided(l); bad != nil {
		return *bad
	}
	if l.has(stockBlocked) {
		items, bad := c.ownBlocked(ctx, l)
		if bad != nil {
			return *bad
		}
		if len(items) > 0 {
			return c.post(ctx, usageText, e.Ref, l, items)
		}
	}
	if l.restricted {
		return c.setFlag(ctx, l, false)
	}
	for n := range l.inspections {
		if i := &l.inspections[n]; l.holds(i) {
			return c.postOut(ctx, e, i)
		}
	}
	if l.has(stockInspection) {
		return c.post(ctx, usageText, e.Ref, l, take(l, stockInspection, movementPass))
	}
	return noStep(e, l)
}

// holds tells whether stock of the lot waits in inspection for a posting by the inspection lot. One that was never posted
// to inspection stock has a quantity to be posted and no stock.
func (l *lot) holds(i *inspection) bool {
	return i.ToPost.Rat().Sign() > 0 && slices.ContainsFunc(l.rows, func(r stockRow) bool {
		return r.Type == stockInspection && r.Plant == i.Plant && (i.Location == "" || r.Location == i.Location)
	})
}

// undecided returns why stock in inspection must not be freed yet, or nil.
func (c *Client) undecided(l *lot) *connector.Result {
	if !l.has(stockInspection) {
		return nil
	}
	if l.unread != nil {
		return l.unread
	}
	for n := range l.inspections {
		i := &l.inspections[n]
		stands := c.stands(i.decision)
		switch {
		case !l.holds(i):
		case !*i.Decided:
			return &connector.Result{
				Outcome: event.RetryLater, Code: "usage_decision_missing", Waits: true,
				Message: "stock waits for the usage decision on inspection lot " + string(i.Number),
			}
		case !slices.Contains(stands, quality.Release) && !slices.Contains(stands, quality.ConditionalRelease):
			r := otherDecision(i, "its stock is to be freed")
			return &r
		}
	}
	return nil
}

// postOut posts what an inspection lot still has to unrestricted stock. It cannot be reversed, so it is looked up first by
// our reference: one that was posted is never posted again, however long the lot takes to show it.
func (c *Client) postOut(ctx context.Context, e quality.Effect, i *inspection) connector.Result {
	if !i.versioned() {
		return noVersion(i)
	}
	text := releaseText + string(e.Ref)
	found, bad := c.posted(ctx, i.Number, text)
	if bad != nil {
		return *bad
	}
	if found {
		return connector.Result{
			Outcome: event.RetryLater, Code: "posting_not_visible", Waits: true,
			Message: "inspection lot " + string(i.Number) + " was posted as " + text + ", but does not show it yet",
		}
	}
	a, bad := c.postToLot(ctx, lotPostings, i, map[string]string{
		"InspectionLot": string(i.Number), "InspLotQtyPosted": floor(i.ToPost.Rat()).FloatString(3), "UsageDecisionStockType": toFree,
		"StorageLocation": i.Location, "MaterialDocumentItemText": text, "ChangedDateTime": i.changed(),
	})
	if bad != nil {
		return *bad
	}
	var p postingEntity
	if bad := unwrap(&a, &p); bad != nil {
		return c.refused(ctx, i, *bad)
	}
	if p.Number != i.Number {
		return a.Unclear("no_posting", "the answer does not name the inspection lot")
	}
	r := a.Result()
	if p.Text != text {
		r = a.As(event.Rejected, "reference_lost", "inspection lot "+string(i.Number)+
			" was posted, but the system did not keep the item text; a person has to look at it")
	}
	r.Ref = event.Ref{System: c.system, Kind: "inspection_lot", ID: string(i.Number)}
	return r
}

type postingEntity struct {
	Number lotNumber `json:"InspectionLot"`
	Text   string    `json:"MaterialDocumentItemText"`
	Type   string    `json:"UsageDecisionStockType"`
}

// posted tells whether a posting of the lot carries the text.
func (c *Client) posted(ctx context.Context, number lotNumber, text string) (bool, *connector.Result) {
	filter := "InspectionLot eq " + quoted(string(number)) + " and MaterialDocumentItemText eq " + quoted(text)
	found, _, bad := list[postingEntity](ctx, c, lotPostings, url.Values{"$filter": {filter}})
	if bad != nil {
		return false, bad
	}
	return slices.ContainsFunc(found, func(p postingEntity) bool { return p.Number == number && p.Text == text }), nil
}

// noStep says that nothing more can be done towards what is wanted.
func noStep(e quality.Effect, l *lot) connector.Result {
	return rejected("no_step", strings.TrimSpace("nothing that is left to do here makes the batch "+string(e.Usage)+"; it shows "+l.raw()))
}
