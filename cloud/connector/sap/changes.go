package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// overlap is how far a sweep looks back behind the begin of the one before: a change becomes visible when its
// transaction ends, up to a minute after the time that it carries.
const overlap = 2 * time.Minute

// position is where a feed of changes stands. It goes through the batches changed since a time in order of their keys,
// page by page. A key never moves, so no change while paging makes a batch slip through; one that changes behind us is
// seen by the next sweep, which looks back to the begin of this one.
type position struct {
	Since time.Time `json:"since,omitzero"` // zero = everything
	Began time.Time `json:"began,omitzero"` // of this sweep, by the system's clock; zero = not begun
	After []string  `json:"after,omitempty"`
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

// filter selects what the sweep has not passed yet. A batch that was never changed has no time of change.
func (p position) filter() string {
	var filter string
	if !p.Since.IsZero() {
		since := "datetimeoffset'" + p.Since.UTC().Format(time.RFC3339) + "'"
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

// Changes returns the next page of a sweep over the batches that changed. Behind the last page the cursor begins a new
// sweep.
func (c *Client) Changes(ctx context.Context, since connector.Cursor, limit int) ([]connector.View, connector.Cursor, error) {
	p, err := readCursor(since)
	if err != nil {
		return nil, since, rejected("cursor", err.Error())
	}
	query := url.Values{"$orderby": {"Material,BatchIdentifyingPlant,Batch"}, "$top": {strconv.Itoa(limit)}}
	if filter := p.filter(); filter != "" {
		query.Set("$filter", filter)
	}
	found, first, bad := list[batchEntity](ctx, c, batches, query)
	if bad != nil {
		return nil, since, *bad
	}
	if p.Began.IsZero() {
		p.Began = first.Date()
	}
	var views []connector.View
	for _, b := range found {
		v, bad := c.changed(ctx, b)
		if bad != nil {
			return nil, since, *bad
		}
		views = append(views, v)
		p.After = []string{b.Material, b.Plant, b.Batch}
	}
	if len(found) < limit {
		next := position{Since: p.Since}
		if !p.Began.IsZero() { // without a date the next sweep looks at the same time again
			next.Since = p.Began.Add(-overlap)
		}
		p = next
	}
	return views, p.cursor(), nil
}

func (c *Client) changed(ctx context.Context, b batchEntity) (connector.View, *connector.Result) {
	id := batchID{b.Material, b.Plant, b.Batch}
	scope := ""
	if c.cfg.LotScope == scopePlant {
		scope = b.Plant
	}
	key, err := event.NewLotKey(scope, b.Material, b.Batch)
	if err != nil || b.Restricted == nil {
		r := rejected("bad_data", "batch "+id.String()+" cannot be named or lacks its restriction")
		return connector.View{}, &r
	}
	rows, bad := c.readStock(ctx, id)
	if bad != nil {
		return connector.View{}, bad
	}
	v := c.view(&lot{id: id, exists: true, etag: b.Metadata.ETag, restricted: *b.Restricted, rows: rows}, key)
	v.ChangedAt = b.Changed.Time
	if v.ChangedAt.IsZero() {
		v.ChangedAt = b.Created.Time
	}
	return v, nil
}
