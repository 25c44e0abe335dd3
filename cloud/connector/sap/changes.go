package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// overlap is how far a sweep looks back behind the begin of the one before: a change becomes visible when its
// transaction ends, up to a minute after the time that it carries.
const overlap = 2 * time.Minute

// position is where a feed of changes stands. It goes through the batches changed since a time in order of their keys,
// page by page, and then through the inspection lots. A key never moves, so no change while paging makes one slip
// through; one that changes behind us is seen by the next sweep, which looks back to the begin of this one.
type position struct {
	Since time.Time `json:"since,omitzero"` // zero = everything
	Began time.Time `json:"began,omitzero"` // of this sweep, by the system's clock; zero = not begun
	After []string  `json:"after,omitempty"`
	Lots  bool      `json:"lots,omitempty"` // the batches are through
	Lot   lotNumber `json:"lot,omitempty"`  // last inspection lot that was seen; empty = none yet
	// Owed is since when inspection lots were not read, because their service failed; zero = since Since.
	Owed time.Time `json:"owed,omitzero"`
}

func readCursor(cursor connector.Cursor) (position, error) {
	var p position
	if cursor == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(cursor), &p); err != nil || len(p.After) != 0 && len(p.After) != 3 {
		return p, fmt.Errorf("cursor %.60q is none of this connector", string(cursor))
	}
	return p, nil
}

func (p position) cursor() connector.Cursor {
	raw, err := json.Marshal(p)
	if err != nil { // a year beyond 9999
		return ""
	}
	return connector.Cursor(raw)
}

// filter selects the batches that the sweep has not passed yet. A batch that was never changed has no time of change.
func (p position) filter() string {
	var filter string
	if !p.Since.IsZero() {
		since := instant(p.Since)
		filter = "(LastChangeDateTime ge " + since + " or CreationDateTime ge " + since + ")"
	}
	if len(p.After) == 0 {
		return filter
	}
	material, plant, batch := quoted(p.After[0]), quoted(p.After[1]), quoted(p.After[2])
	if filter != "" {
		filter += " and "
	}
	return filter + "(Material gt " + material + " or (Material eq " + material + " and (BatchIdentifyingPlant gt " + plant +
		" or (BatchIdentifyingPlant eq " + plant + " and Batch gt " + batch + "))))"
}

// lotFilter selects the inspection lots that the sweep has not passed yet.
func (p position) lotFilter() string {
	var filter string
	if since := p.lotsSince(); !since.IsZero() {
		filter = "ChangedDateTime ge " + instant(since)
	}
	if p.Lot == "" {
		return filter
	}
	if filter != "" {
		filter += " and "
	}
	return filter + "InspectionLot gt " + quoted(string(p.Lot))
}

func (p position) lotsSince() time.Time {
	if !p.Owed.IsZero() {
		return p.Owed
	}
	return p.Since
}

// instant is a time as a filter writes it.
func instant(t time.Time) string { return "datetimeoffset'" + t.UTC().Format(time.RFC3339) + "'" }

// shown tells whether the first half of the sweep has shown a batch. What has changed since then is for the next one.
func (p position) shown(b batchEntity) bool {
	return !b.Changed.Before(p.Since) || !b.Created.Before(p.Since)
}

// next returns where the sweep after this one begins.
func (p position) next() position {
	next := position{Since: p.Since}
	if !p.Began.IsZero() { // without a date the next sweep looks at the same time again
		next.Since = p.Began.Add(-overlap)
	}
	return next
}

// Changes returns the next page of a sweep over the batches that changed, and the batches whose inspection lots did: what
// someone else restricted, freed or decided shows there. Stock that someone moves by a document of his own changes
// neither; only a sweep over everything, from the zero cursor, sees it. Behind the last page the cursor begins a new
// sweep.
func (c *Client) Changes(ctx context.Context, since connector.Cursor, limit int) ([]connector.View, connector.Cursor, error) {
	p, err := readCursor(since)
	if err != nil {
		return nil, since, rejected("cursor", err.Error())
	}
	var views []connector.View
	for ended := false; !ended && len(views) < limit; { // a short page is the end of a sweep
		half := c.changedBatches
		if p.Lots {
			half = c.changedLots
		}
		var bad *connector.Result
		if ended, bad = half(ctx, &p, limit-len(views), &views); bad != nil {
			return nil, since, *bad
		}
	}
	return views, p.cursor(), nil
}

// page reads the next rows of a sweep in order of their keys.
func page[T any](ctx context.Context, c *Client, path, order, filter string, limit int) ([]T, httpcall.Answer, *connector.Result) {
	query := url.Values{"$orderby": {order}, "$top": {strconv.Itoa(limit)}}
	if filter != "" {
		query.Set("$filter", filter)
	}
	return list[T](ctx, c, path, query)
}

// changedBatches adds the next batches of the first half of a sweep, limit at the most.
func (c *Client) changedBatches(ctx context.Context, p *position, limit int, views *[]connector.View) (ended bool, bad *connector.Result) {
	found, first, bad := page[batchEntity](ctx, c, batches, "Material,BatchIdentifyingPlant,Batch", p.filter(), limit)
	if bad != nil {
		return false, bad
	}
	if p.Began.IsZero() {
		p.Began = first.Date()
	}
	for some := range slices.Chunk(found, together) {
		if bad := c.show(ctx, some, views); bad != nil {
			return false, bad
		}
		last := some[len(some)-1]
		p.After = []string{last.Material, last.Plant, last.Batch}
	}
	switch {
	case len(found) == limit:
	case p.Since.IsZero(): // all batches were shown, whatever changed
		*p = p.next()
		return true, nil
	default:
		p.After, p.Lots = nil, true
	}
	return false, nil
}

// changedLots adds the batches of the next inspection lots that changed, of limit lots at the most. Where only their
// service fails the sweep ends without them, so that the batches' flags are still followed, and a later one makes up for
// it. What waits for them meanwhile, a decision or a release, says so.
func (c *Client) changedLots(ctx context.Context, p *position, limit int, views *[]connector.View) (ended bool, bad *connector.Result) {
	found, _, bad := page[inspectionEntity](ctx, c, inspectionLots, "InspectionLot", p.lotFilter(), limit)
	if bad != nil {
		if _, failure := unreadable(ctx, bad); failure != nil {
			return false, failure
		}
		owed := p.lotsSince()
		*p = p.next()
		p.Owed = owed
		return true, nil
	}
	for some := range slices.Chunk(found, together) {
		those, bad := c.batchesOf(ctx, some)
		those = slices.DeleteFunc(those, func(b batchEntity) bool { return p.shown(b) })
		if bad == nil {
			bad = c.show(ctx, those, views)
		}
		if bad != nil {
			return false, bad
		}
		p.Lot = some[len(some)-1].Number
	}
	if len(found) == limit {
		return false, nil
	}
	*p = p.next()
	return true, nil
}

// batchesOf reads the batches of inspection lots, each once, with the time at which their lots changed last.
func (c *Client) batchesOf(ctx context.Context, lots []inspectionEntity) ([]batchEntity, *connector.Result) {
	var wanted []*lot
	changed := map[batchID]time.Time{}
	for _, i := range lots {
		id := batchID{material: i.Material, batch: i.Batch}
		if c.cfg.LotScope == scopePlant {
			id.plant = i.Plant
		}
		if _, again := changed[id]; i.Batch != "" && !again {
			wanted = append(wanted, &lot{id: id})
		}
		if i.Changed.After(changed[id]) {
			changed[id] = i.Changed.Time
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	found, _, bad := list[batchEntity](ctx, c, batches, url.Values{"$filter": {filterOf(wanted, "BatchIdentifyingPlant")}})
	found = slices.DeleteFunc(found, func(b batchEntity) bool { return owner(wanted, b.Material, b.Plant, b.Batch) == nil })
	for n := range found {
		found[n].lotChanged = changed[batchID{found[n].Material, found[n].Plant, found[n].Batch}]
	}
	return found, bad
}

// show adds to batches of the feed what else tells what they may be used for, and views them.
func (c *Client) show(ctx context.Context, found []batchEntity, views *[]connector.View) *connector.Result {
	if len(found) == 0 {
		return nil
	}
	var lots []*lot
	for _, b := range found {
		l := &lot{id: batchID{b.Material, b.Plant, b.Batch}, exists: true, etag: b.Metadata.ETag}
		if b.Restricted != nil {
			l.restricted = *b.Restricted
		}
		lots = append(lots, l)
	}
	if bad := c.readAround(ctx, lots); bad != nil {
		return bad
	}
	for n, l := range lots {
		key, err := c.keyOf(l.id)
		if err != nil {
			continue // it can be no lot of ours, and must not stop the others
		}
		v := c.view(l, key)
		v.ChangedAt = found[n].at(l)
		if found[n].Restricted == nil {
			v.Usage, v.UsageRaw, v.Also = event.OtherUsage, "no MatlBatchIsInRstrcdUseStock; "+v.UsageRaw, nil
		}
		*views = append(*views, v)
	}
	return nil
}

// keyOf returns the lot key of a batch.
func (c *Client) keyOf(id batchID) (event.LotKey, error) {
	if c.cfg.LotScope != scopePlant {
		return event.NewLotKey("", id.material, id.batch)
	}
	if id.plant == "" {
		return "", fmt.Errorf("batch %s has no plant", id)
	}
	return event.NewLotKey(id.plant, id.material, id.batch)
}
