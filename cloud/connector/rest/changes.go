package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
)

// overlap is how far a sweep looks back behind the begin of the one before: a change becomes visible when its
// transaction ends.
const overlap = 2 * time.Minute

// position is where a feed of changes stands: it goes through the records changed since a time in order of their ids.
// An id never moves, so no change while paging makes a record slip through; one that changes behind us is seen by the
// next sweep, which looks back to the begin of this one.
type position struct {
	Since time.Time `json:"since,omitzero"` // zero = everything
	Began time.Time `json:"began,omitzero"` // of this sweep, by the system's clock; zero = not begun
	After string    `json:"after,omitempty"`
}

// Changes returns the next page of a sweep over the records that changed. Behind the last page the cursor begins a new
// sweep.
func (c *Client) Changes(ctx context.Context, since connector.Cursor, limit int) ([]connector.View, connector.Cursor, error) {
	if c.mapping.Changes == nil {
		return nil, since, rejected("changes", "the mapping has no operation changes")
	}
	var p position
	if since != "" && json.Unmarshal([]byte(since), &p) != nil {
		return nil, since, rejected("cursor", fmt.Sprintf("cursor %.60q is none of this connector", string(since)))
	}
	v := values{After: p.After, Limit: limit}
	if !p.Since.IsZero() {
		v.Since = p.Since.UTC().Format(time.RFC3339)
	}
	items, a, bad := c.items(ctx, c.mapping.Changes, v)
	if bad != nil {
		return nil, since, *bad
	}
	if p.Began.IsZero() {
		p.Began = a.Date()
	}
	var views []connector.View
	for _, item := range items {
		view := c.view(item)
		if view.ID == "" {
			return nil, since, a.Unclear("no_id", "a record of the list has no id")
		}
		views = append(views, view)
		p.After = view.ID
	}
	if len(items) < limit {
		next := position{Since: p.Since}
		if !p.Began.IsZero() { // without a date the next sweep looks at the same time again
			next.Since = p.Began.Add(-overlap)
		}
		p = next
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, since, rejected("cursor", err.Error())
	}
	return views, connector.Cursor(raw), nil
}
