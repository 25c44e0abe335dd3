package opcua

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// maxMarks bounds the items whose place stands in the cursor, which is written with every batch: 500 are some 40 kB.
// Of more, samples share one.
const maxMarks = 500

// maxHeld bounds the conditions that are remembered as active.
const maxHeld = 1000

// position is the source's cursor: how far each item was read, and which gaps are not explained yet. It survives a
// restart of the agent.
type position struct {
	Server      string          `json:"server,omitempty"`      // application URI
	Certificate string          `json:"certificate,omitempty"` // thumbprint of the one that was accepted last
	Started     time.Time       `json:"started,omitzero"`      // of the server, by itself
	Contact     time.Time       `json:"contact,omitzero"`      // newest source time: nothing before it is missing
	GapTo       time.Time       `json:"gap_to,omitzero"`       // end of the newest gap of the whole source
	Items       map[string]mark `json:"items,omitempty"`       // by name
	Samples     time.Time       `json:"samples,omitzero"`      // newest source time of samples that have no mark
	Outages     []outage        `json:"outages,omitempty"`
	Held        map[string]held `json:"held,omitempty"` // active conditions, by condition and branch
	Open        int             `json:"open,omitempty"` // gaps that stay open, whatever comes
}

// mark is an item's place.
type mark struct {
	Time  time.Time `json:"t,omitzero"`
	Seq   *uint64   `json:"s,omitempty"`
	Print string    `json:"p,omitempty"` // of the value that came with the number
}

// held is a condition that was active when it was last heard of.
type held struct {
	Event  string `json:"event"` // its EventId
	Source string `json:"source,omitempty"`
	Name   string `json:"name,omitempty"`
}

// load reads a cursor; nil gives the first position.
func load(raw []byte) (position, error) {
	p := position{}
	if raw != nil {
		if err := json.Unmarshal(raw, &p); err != nil {
			return p, problem.New(problem.QueueVersion, "cursor: %w", err)
		}
	}
	if p.Items == nil {
		p.Items = map[string]mark{}
	}
	if p.Held == nil {
		p.Held = map[string]held{}
	}
	return p, nil
}

// bytes returns the cursor as it is kept.
func (p *position) bytes() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("cursor: %v", err)) // texts, numbers and times always encode
	}
	return b
}

// outage is a time in which the source, or one item of it, was not observed, until data explains it.
type outage struct {
	Item        string          `json:"item,omitempty"` // "" = the whole source
	Gaps        []recorded      `json:"gaps"`           // that are over, as they were recorded, oldest first; one that goes on is the supervisor's
	Reason      string          `json:"reason"`         // of the part that is not recorded yet
	Unexplained map[string]bool `json:"unexplained,omitempty"`
	Filled      int64           `json:"filled,omitempty"` // values read afterwards

	// Of the life that is to explain it.
	contact  time.Time       // newest source time before it
	pending  map[*track]bool // items from which nothing has come yet
	ranges   []*source.Gap   // what sequences left out
	unknown  bool            // something is missing of which no sequence tells
	resuming bool            // its items are read again
	settled  bool            // what is not explained by now was recorded
}

// recorded is what identifies a gap, with its end.
type recorded struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

func (o *outage) closings(equipment, how string) []source.Closing {
	var all []source.Closing
	for i, g := range o.Gaps {
		c := source.Closing{Gap: source.Gap{Equipment: equipment, Item: o.Item, From: g.From, To: g.To, Reason: g.Reason}, Reason: how}
		if i == 0 {
			c.Filled = o.Filled
		}
		all = append(all, c)
	}
	return all
}
