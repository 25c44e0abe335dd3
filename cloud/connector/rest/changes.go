package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
)

// defaultOverlap is how far a sweep looks back behind the begin of the one before: a change becomes visible when its
// transaction ends.
const defaultOverlap = 2 * time.Minute

// position is where a feed of changes stands: it goes through the records changed since a time in order of their ids,
// one list after the other. An id never moves, so no change while paging makes a record slip through; one that changes
// behind us is seen by the next sweep, which looks back to the begin of this one.
type position struct {
	Since time.Time `json:"since,omitzero"` // zero = everything
	Began time.Time `json:"began,omitzero"` // of this sweep, by the system's clock; zero = not begun
	List  string    `json:"list,omitempty"` // that is being read; empty = the first
	After string    `json:"after,omitempty"`
}

// list is a list of what changed.
type list struct {
	name string
	op   *Operation
	view func(*Client, any) connector.View
}

// lists returns what the feed goes through, decisions before all others.
func (m *Mapping) lists() (all []list) {
	if m.Decisions != nil {
		all = append(all, list{"decisions", m.Decisions.Changes, m.Decisions.view})
	}
	if m.Allocations != nil {
		all = append(all, list{"allocations", m.Allocations.Changes, m.Allocations.view})
	}
	if m.Changes != nil {
		all = append(all, list{"records", m.Changes, (*Client).view})
	}
	return all
}

// Changes returns the next page of a sweep over what changed. A page that is not full ends the sweep; its cursor begins
// a new one.
func (c *Client) Changes(ctx context.Context, since connector.Cursor, limit int) ([]connector.View, connector.Cursor, error) {
	lists := c.mapping.lists()
	if len(lists) == 0 {
		return nil, since, rejected("changes", "the mapping has no operation that lists changes")
	}
	var p position
	if since != "" && json.Unmarshal([]byte(since), &p) != nil {
		return nil, since, rejected("cursor", fmt.Sprintf("cursor %.60q is none of this connector", string(since)))
	}
	i := p.of(lists)
	var views []connector.View
	for i < len(lists) && len(views) < limit {
		page, more, bad := c.page(ctx, lists[i], &p, limit-len(views))
		if bad != nil {
			return nil, since, *bad
		}
		views = append(views, page...)
		if more {
			continue
		}
		if i++; i < len(lists) {
			p.List, p.After = lists[i].name, ""
		}
	}
	if i == len(lists) {
		next := position{Since: p.Since}
		if !p.Began.IsZero() { // without a date the next sweep looks at the same time again
			next.Since = p.Began.Add(-c.mapping.Overlap)
		}
		p = next
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, since, rejected("cursor", err.Error())
	}
	return views, connector.Cursor(raw), nil
}

// of returns the place of the list at which the position stands. One that the mapping no longer has starts the sweep
// again.
func (p *position) of(lists []list) int {
	for i, l := range lists {
		if l.name == p.List {
			return i
		}
	}
	if p.List != "" {
		p.After = ""
	}
	p.List = lists[0].name
	return 0
}

// page reads at most limit records of a list and moves the position behind them. More tells whether the list goes on there.
func (c *Client) page(ctx context.Context, l list, p *position, limit int) (views []connector.View, more bool, bad *connector.Result) {
	v := values{After: p.After, Limit: limit}
	if !p.Since.IsZero() {
		v.Since = p.Since.UTC().Format(time.RFC3339)
	}
	found, bad := c.items(ctx, l.op, v)
	if bad != nil {
		return nil, false, bad
	}
	a := &found.answer
	if p.Began.IsZero() {
		p.Began = a.Date()
	}
	for _, item := range found.items {
		view := l.view(c, item)
		switch view.ID {
		case "":
			r := a.Unclear("no_id", "a record of the list has no id")
			return nil, false, &r
		case v.After:
			r := a.Unclear("no_progress", "the list of "+l.name+" does not go on behind the id "+v.After)
			return nil, false, &r
		}
		views = append(views, view)
		p.After = view.ID
	}
	if found.more && len(views) == 0 {
		r := a.Unclear("no_progress", "the list of "+l.name+" says that it goes on, and holds nothing")
		return nil, false, &r
	}
	return views, found.more, nil
}
