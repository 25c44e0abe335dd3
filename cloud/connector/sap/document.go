package sap

import (
	"context"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Movement types, and the code under which transfers are posted.
const (
	movementBlock   = "344" // free, or restricted while the flag is set, to blocked
	movementUnblock = "343"
	transferCode    = "04"
)

// Texts that tell our documents apart: those that set a lot's usage are undone when it is released, those that hold a
// part of it are not. A header text has 25 characters, an item text 50.
const (
	usageText = "HOLDFAST USAGE"
	partText  = "HOLDFAST PART"
)

type documentEntity struct {
	Year      string `json:"MaterialDocumentYear"`
	Number    string `json:"MaterialDocument"`
	Reference string `json:"ReferenceDocument"`
	Items     struct {
		Results []documentItem `json:"results"`
	} `json:"to_MaterialDocumentItem"`
}

type documentItem struct {
	Year      string `json:"MaterialDocumentYear,omitempty"`
	Number    string `json:"MaterialDocument,omitempty"`
	Material  string `json:"Material"`
	Plant     string `json:"Plant"`
	Location  string `json:"StorageLocation"`
	Batch     string `json:"Batch"`
	Movement  string `json:"GoodsMovementType"`
	Quantity  amount `json:"QuantityInEntryUnit"`
	Unit      string `json:"EntryUnit"`
	Text      string `json:"MaterialDocumentItemText"`
	Cancelled bool   `json:"GoodsMovementIsCancelled,omitempty"`
	Reverses  string `json:"ReversedMaterialDocument,omitempty"` // number of the document that this one cancels
}

func (d *documentEntity) id() string { return d.Year + "/" + d.Number }

func (d *documentEntity) cancelled() bool {
	return slices.ContainsFunc(d.Items.Results, func(i documentItem) bool { return i.Cancelled })
}

// Find returns the material documents that carry the effect's reference, the first one first. A usage decision carries
// none: for it, these are the inspection lots that were decided as wanted.
func (c *Client) Find(ctx context.Context, e quality.Effect) ([]event.Ref, error) {
	if e.Kind == quality.UsageDecisionPost {
		return c.findDecided(ctx, e)
	}
	found, _, bad := list[documentEntity](ctx, c, documents, url.Values{"$filter": {"ReferenceDocument eq " + quoted(string(e.Ref))}})
	if bad != nil {
		return nil, *bad
	}
	var refs []event.Ref
	for _, d := range found {
		if d.Reference == string(e.Ref) { // a service that ignores the filter lists everything
			refs = append(refs, event.Ref{System: c.system, Kind: "material_document", ID: d.id()})
		}
	}
	slices.SortFunc(refs, func(a, b event.Ref) int { return strings.Compare(a.ID, b.ID) })
	return refs, nil
}

// readDocument returns a material document as a record.
func (c *Client) readDocument(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	year, number, ok := strings.Cut(o.ID, "/")
	if !ok {
		return connector.View{}, nil, rejected("document_id", "a material document is named by year/number")
	}
	path := documents + "(MaterialDocumentYear=" + literal(year) + ",MaterialDocument=" + literal(number) + ")"
	var d documentEntity
	a, bad := c.get(ctx, path, url.Values{"$expand": {"to_MaterialDocumentItem"}}, &d)
	v := connector.View{Object: o, Ref: event.Ref{System: c.system, Kind: "material_document", ID: o.ID}}
	if bad != nil && a.Status == http.StatusNotFound && a.Err == nil {
		return v, nil, nil
	}
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	v.Exists, v.State = true, "posted"
	if d.cancelled() {
		v.State = "cancelled"
	}
	v.Fields = map[string]string{connector.FieldReference: d.Reference}
	return v, nil, nil
}

// take returns the items that move all of a stock type.
func take(l *lot, from, movement string) []documentItem {
	var items []documentItem
	for _, r := range l.rows {
		if r.Type == from {
			items = append(items, l.item(r, movement, r.Quantity.Rat()))
		}
	}
	return items
}

func (l *lot) item(r stockRow, movement string, q *big.Rat) documentItem {
	return documentItem{
		Material: l.id.material, Batch: l.id.batch, Plant: r.Plant, Location: r.Location, Movement: movement,
		Quantity: amount{event.Decimal(floor(q).FloatString(3))}, Unit: r.Unit,
	}
}

// floor cuts a quantity to the three places that a document takes.
func floor(q *big.Rat) *big.Rat {
	scaled := new(big.Rat).Mul(q, big.NewRat(1000, 1))
	whole := new(big.Int).Quo(scaled.Num(), scaled.Denom())
	return new(big.Rat).SetFrac(whole, big.NewInt(1000))
}

// ownBlocked returns the items that take back what documents of ours have blocked and still stands there. What other
// people blocked stays.
func (c *Client) ownBlocked(ctx context.Context, l *lot) ([]documentItem, *connector.Result) {
	filter := "Material eq " + quoted(l.id.material) + " and Batch eq " + quoted(l.id.batch) +
		" and (GoodsMovementType eq '" + movementBlock + "' or GoodsMovementType eq '" + movementUnblock + "')"
	moved, _, bad := list[documentItem](ctx, c, documentItems, url.Values{"$filter": {filter}})
	if bad != nil {
		return nil, bad
	}
	type place struct{ plant, location string }
	ours := map[place]*big.Rat{}
	for _, i := range moved {
		if i.Cancelled || i.Reverses != "" || !strings.HasPrefix(i.Text, usageText+" ") {
			continue
		}
		at := place{i.Plant, i.Location}
		if ours[at] == nil {
			ours[at] = new(big.Rat)
		}
		if i.Movement == movementBlock {
			ours[at].Add(ours[at], i.Quantity.Rat())
		} else {
			ours[at].Sub(ours[at], i.Quantity.Rat())
		}
	}
	var items []documentItem
	for _, r := range l.rows {
		q := ours[place{r.Plant, r.Location}]
		if r.Type != stockBlocked || q == nil || q.Sign() <= 0 {
			continue
		}
		if have := r.Quantity.Rat(); have.Cmp(q) < 0 {
			q = have
		}
		items = append(items, l.item(r, movementUnblock, q))
	}
	return items, nil
}

// transferPart blocks a part of the lot for a hold: from what is not blocked yet, place by place.
func (c *Client) transferPart(ctx context.Context, e quality.Effect, l *lot) connector.Result {
	from := stockFree
	if l.restricted {
		from = stockRestricted
	}
	left := e.Q.Value.Rat()
	if left.Sign() <= 0 || floor(left).Cmp(left) != 0 {
		return rejected("quantity", "quantity "+string(e.Q.Value)+" is not above zero with three places at the most")
	}
	var items []documentItem
	for _, r := range l.rows {
		if r.Type != from || left.Sign() == 0 {
			continue
		}
		if unit(r.Unit) != e.Q.Unit {
			return rejected("unit", "stock is kept in "+r.Unit+", the hold names "+string(e.Q.Unit))
		}
		q := floor(r.Quantity.Rat())
		if q.Cmp(left) > 0 {
			q = left
		}
		items = append(items, l.item(r, movementBlock, q))
		left = new(big.Rat).Sub(left, q)
	}
	if left.Sign() > 0 {
		return rejected("stock", left.FloatString(3)+" "+string(e.Q.Unit)+" of the quantity are not in stock; it shows "+l.raw())
	}
	return c.post(ctx, partText, e.Ref, l, items)
}

// post makes one document of all items.
func (c *Client) post(ctx context.Context, text string, ref quality.EffectRef, l *lot, items []documentItem) connector.Result {
	items = slices.DeleteFunc(items, func(i documentItem) bool { return i.Quantity.Rat().Sign() == 0 })
	if len(items) == 0 {
		return rejected("quantity", "what is left is too little for a document; it shows "+l.raw())
	}
	for i := range items {
		items[i].Text = text + " " + string(ref)
	}
	today := c.now().UTC().Format("2006-01-02T00:00:00")
	body, err := json.Marshal(map[string]any{
		"PostingDate": today, "DocumentDate": today, "GoodsMovementCode": transferCode,
		"ReferenceDocument": string(ref), "MaterialDocumentHeaderText": text, "to_MaterialDocumentItem": items,
	})
	if err != nil {
		return rejected("encode", err.Error())
	}
	a, bad := c.write(ctx, moveService, httpcall.Request{Method: http.MethodPost, Path: documents, Body: body})
	if bad != nil {
		return *bad
	}
	return c.made(&a, ref)
}

// made judges the answer to a posting: without a document number nothing is acknowledged, and a document that lost its
// reference could never be found again.
func (c *Client) made(a *httpcall.Answer, ref quality.EffectRef) connector.Result {
	var d documentEntity
	if bad := unwrap(a, &d); bad != nil {
		return *bad
	}
	if d.Year == "" || d.Number == "" {
		return a.Unclear("no_document", "the answer names no document")
	}
	r := a.Result()
	if d.Reference != string(ref) {
		r = a.As(event.Rejected, "reference_lost", "document "+d.id()+" was posted, but the system did not keep its reference; a person has to look at it")
	}
	r.Ref = event.Ref{System: c.system, Kind: "material_document", ID: d.id()}
	return r
}
