package sap

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Stock types (InventoryStockType).
const (
	stockFree       = "01"
	stockInspection = "02"
	stockReturns    = "03"
	stockTransfer   = "04" // between storage locations
	stockPlants     = "05" // between plants
	stockTransit    = "06"
	stockBlocked    = "07"
	stockRestricted = "08"
)

type batchEntity struct {
	Metadata struct {
		ETag string `json:"etag"`
	} `json:"__metadata"`
	Material   string `json:"Material"`
	Plant      string `json:"BatchIdentifyingPlant"`
	Batch      string `json:"Batch"`
	Restricted *bool  `json:"MatlBatchIsInRstrcdUseStock"`
	Created    moment `json:"CreationDateTime"`
	Changed    moment `json:"LastChangeDateTime"`

	lotChanged time.Time // when an inspection lot of it changed last, as far as the feed has shown; zero = not that way
}

// at returns when what the batch may be used for changed last, as far as the system says.
func (b *batchEntity) at(l *lot) time.Time {
	at := b.Changed.Time
	if at.IsZero() {
		at = b.Created.Time
	}
	if b.lotChanged.After(at) {
		at = b.lotChanged
	}
	for _, i := range l.inspections {
		if i.Changed.After(at) {
			at = i.Changed.Time
		}
	}
	return at
}

type stockRow struct {
	Material string `json:"Material"`
	Batch    string `json:"Batch"`
	Plant    string `json:"Plant"`
	Location string `json:"StorageLocation"`
	Type     string `json:"InventoryStockType"`
	Quantity amount `json:"MatlWrhsStkQtyInMatlBaseUnit"`
	Unit     string `json:"MaterialBaseUnit"`
}

// lot is a batch with its stock as it was read: what a conditional write goes back to.
type lot struct {
	id         batchID
	exists     bool
	etag       string
	restricted bool
	rows       []stockRow // with a quantity above zero, in order
	// inspections are the inspection lots that a disposition of the batch concerns, in order of their numbers; unread says
	// why they could not be read.
	inspections []inspection
	unread      *connector.Result
}

// Read returns a lot, what left its stock, or a material document.
func (c *Client) Read(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	if o.Kind == connector.ObjectRecord {
		return c.readDocument(ctx, o)
	}
	id, err := c.batchOf(o.Lot)
	if err != nil {
		return connector.View{}, nil, connector.Result{Outcome: event.Rejected, Code: "lot_key", Message: err.Error()}
	}
	if o.Kind == connector.ObjectMoves {
		return c.readMoves(ctx, id, o)
	}
	l, batch, bad := c.readLot(ctx, id)
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	v := c.view(l, o.Lot)
	v.ChangedAt = batch.at(l)
	return v, l, nil
}

// batchOf returns the batch that a lot key names here.
func (c *Client) batchOf(key event.LotKey) (batchID, error) {
	scope, material, batch, err := key.Parts()
	if err != nil {
		return batchID{}, err
	}
	if c.cfg.LotScope == scopeMaterial && scope != "" {
		return batchID{}, fmt.Errorf("lot key has the scope %q, but batches here are unique per material", scope)
	}
	if c.cfg.LotScope == scopePlant && scope == "" {
		return batchID{}, fmt.Errorf("lot key names no plant, but batches here are unique per plant")
	}
	return batchID{material: c.material(material), plant: scope, batch: batch}, nil
}

// readLot reads the batch, then its stock. A batch that does not exist is a lot that does not.
func (c *Client) readLot(ctx context.Context, id batchID) (*lot, batchEntity, *connector.Result) {
	var b batchEntity
	a, bad := c.get(ctx, id.path(), nil, &b)
	if bad != nil && a.Status == http.StatusNotFound && a.Err == nil {
		return &lot{id: id}, b, nil
	}
	if bad != nil {
		return nil, b, bad
	}
	if b.Restricted == nil || b.Batch != id.batch {
		r := a.Unclear("bad_data", "the answer is not the batch that was asked for, or lacks MatlBatchIsInRstrcdUseStock")
		return nil, b, &r
	}
	l := &lot{id: id, exists: true, etag: b.Metadata.ETag, restricted: *b.Restricted}
	if l.etag == "" {
		l.etag = a.Header.Get("ETag")
	}
	return l, b, c.readAround(ctx, []*lot{l})
}

// readAround adds to batches their stock and the inspection lots that they are under.
func (c *Client) readAround(ctx context.Context, lots []*lot) *connector.Result {
	if bad := c.readStock(ctx, lots); bad != nil {
		return bad
	}
	bad := c.readInspections(ctx, lots)
	if bad == nil {
		return nil
	}
	carried, failure := unreadable(ctx, bad)
	for _, l := range lots {
		l.inspections, l.unread = nil, carried
	}
	return failure
}

// filterOf selects what belongs to any of the batches; plant is the name of the field that holds the plant.
func filterOf(lots []*lot, plant string) string {
	var each []string
	for _, l := range lots {
		one := "Material eq " + quoted(l.id.material) + " and Batch eq " + quoted(l.id.batch)
		if l.id.plant != "" {
			one += " and " + plant + " eq " + quoted(l.id.plant)
		}
		each = append(each, one)
	}
	if len(each) == 1 {
		return each[0]
	}
	return "((" + strings.Join(each, ") or (") + "))"
}

// owner returns the lot that something belongs to, or nil. Services of one system may show a numeric material in
// different forms.
func owner(lots []*lot, material, plant, batch string) *lot {
	for _, l := range lots {
		if l.id.batch == batch && (l.id.plant == "" || l.id.plant == plant) && sameMaterial(l.id.material, material) {
			return l
		}
	}
	return nil
}

func sameMaterial(a, b string) bool {
	numeric := strings.Trim(a+b, "0123456789") == ""
	return a == b || numeric && strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0")
}

// notAsked is the result of a list that holds what the query did not ask for. Dropping that could drop what is ours in
// another spelling, and stock that is not seen is stock that is not held.
func notAsked(a *httpcall.Answer, what, material, batch string) *connector.Result {
	r := a.Unclear("not_asked_for", what+" of batch "+batch+" of material "+material+" came back, which was not asked for: is the filter ignored, or material_form wrong?")
	return &r
}

// readStock adds to batches what stands where.
func (c *Client) readStock(ctx context.Context, lots []*lot) *connector.Result {
	filter := filterOf(lots, "Plant") + " and InventorySpecialStockType eq ''"
	rows, a, bad := list[stockRow](ctx, c, stockRows, url.Values{"$filter": {filter}})
	if bad != nil {
		return bad
	}
	slices.SortFunc(rows, func(a, b stockRow) int {
		return strings.Compare(a.Plant+"\x00"+a.Location+"\x00"+a.Type, b.Plant+"\x00"+b.Location+"\x00"+b.Type)
	})
	for _, r := range rows {
		l := owner(lots, r.Material, r.Plant, r.Batch)
		if l == nil {
			return notAsked(&a, "stock", r.Material, r.Batch)
		}
		if r.Quantity.Rat().Sign() > 0 {
			l.rows = append(l.rows, r)
		}
	}
	return nil
}

// has tells whether any of the lot stands in a stock type.
func (l *lot) has(kind string) bool {
	return slices.ContainsFunc(l.rows, func(r stockRow) bool { return r.Type == kind })
}

// usage returns what a stock type means for what stands in it. Stock on its way is as free as the batch is.
func (l *lot) usage(kind string) event.UsageStatus {
	switch kind {
	case stockFree:
		return event.Unrestricted
	case stockInspection:
		if l.restricted {
			return event.Restricted // it lands in restricted stock
		}
		return event.InInspection
	case stockTransfer, stockPlants, stockTransit:
		if l.restricted {
			return event.Restricted
		}
		return event.Unrestricted
	case stockRestricted:
		return event.Restricted
	case stockBlocked, stockReturns:
		return event.Blocked
	}
	return event.OtherUsage
}

// view shows the lot. Its usage is that of the least restricted quantity; without stock, that of what will arrive.
func (c *Client) view(l *lot, key event.LotKey) connector.View {
	v := connector.View{
		Object: connector.Object{Kind: connector.ObjectLot, Lot: key}, Exists: l.exists,
		Ref: event.Ref{System: c.system, Kind: "batch", ID: l.id.String(), ETag: l.etag},
	}
	if !l.exists {
		return v
	}
	v.Inspections = c.viewInspections(l)
	v.Usage = event.Unrestricted
	if l.restricted {
		v.Usage = event.Restricted
	}
	for i, r := range l.rows {
		u := l.usage(r.Type)
		if i == 0 || quality.MoreRestrictive(v.Usage, u) {
			v.Usage = u
		}
		v.Stock = append(v.Stock, connector.Stock{
			Plant: r.Plant, Location: r.Location, Usage: u, Raw: r.Type,
			Q: event.Quantity{Value: r.Quantity.Decimal, Unit: unit(r.Unit)},
		})
	}
	v.UsageRaw = l.raw()
	v.Also = l.also(v.Usage)
	return v
}

// raw is the usage in the system's own words: flag and quantity by stock type.
func (l *lot) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "restricted=%t", l.restricted)
	for _, r := range l.rows {
		fmt.Fprintf(&b, " %s:%s=%s%s", r.Plant, r.Type, r.Quantity.Decimal, r.Unit)
	}
	return b.String()
}

// also lists what the restriction satisfies besides. Nothing is free, as under an inspection, where the flag alone keeps any
// of the lot from being so; stock that waits in inspection by itself needs no flag, and one that stays after a hold was lifted
// is still that hold's. Where nothing stands in restricted stock there is nothing left to block.
func (l *lot) also(usage event.UsageStatus) []event.UsageStatus {
	if !l.restricted || usage != event.Restricted {
		return nil
	}
	var also []event.UsageStatus
	if !l.withheld() {
		also = append(also, event.InInspection)
	}
	if !l.has(stockRestricted) {
		also = append(also, event.Blocked)
	}
	return also
}

// withheld tells whether the lot is kept from use without the batch's restriction: all of it stands in inspection or is
// blocked. A lot without stock is not, since what arrives would be free.
func (l *lot) withheld() bool {
	free := func(r stockRow) bool {
		return r.Type != stockInspection && r.Type != stockBlocked && r.Type != stockReturns
	}
	return len(l.rows) > 0 && !slices.ContainsFunc(l.rows, free)
}
