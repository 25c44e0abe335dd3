package sap

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// outgoing marks an item by which stock went out of its place (DebitCreditCode, SAP's field SHKZG: H is credit, S debit).
const outgoing = "H"

// widestZone is how far a clock of another time zone can be from UTC. The time at which a document was entered stands in
// its header in the system's own zone, which no service tells.
const widestZone = 14 * time.Hour

// moveItem is an item of a material document as far as it tells what went where. Of posting day and time of entry it
// knows nothing: they stand in the header.
type moveItem struct {
	documentItem
	Item      string `json:"MaterialDocumentItem"`
	Direction string `json:"DebitCreditCode"`
	Order     string `json:"ManufacturingOrder"`
	ToPlant   string `json:"IssuingOrReceivingPlant"`
	ToPlace   string `json:"IssuingOrReceivingStorageLoc"`
	Header    struct {
		Reference string    `json:"ReferenceDocument"`
		Day       moment    `json:"CreationDate"`
		Time      timeOfDay `json:"CreationTime"`
	} `json:"to_MaterialDocumentHeader"`
}

// at returns when the document was entered, as if the system's clock showed UTC; zero = it is not said.
func (i *moveItem) at() time.Time {
	if i.Header.Day.IsZero() {
		return time.Time{}
	}
	return i.Header.Day.Add(time.Duration(i.Header.Time))
}

// left tells whether by the item a part of the batch left its place. A change of its stock type alone leaves it there, and
// what was cancelled has come back. An item that does not say its direction is taken for one that went out.
func (i *moveItem) left() bool {
	switch i.Movement {
	case "321", "322", movementUnblock, movementBlock, "349", "350", "341", "342":
		return false
	}
	return !i.Cancelled && i.Reverses == "" && (i.Direction == outgoing || i.Direction == "") && i.Quantity.Rat().Sign() > 0
}

// readMoves lists what left the batch's stock since a time, from the batch's material documents. API_MATERIAL_DOCUMENT_SRV
// selects items by material and batch, but not by time, so that all of them are read; a batch has tens of them. Rather
// than one that was shipped too few, it names one of the hours before.
func (c *Client) readMoves(ctx context.Context, id batchID, o connector.Object) (connector.View, connector.Version, error) {
	one := []*lot{{id: id}}
	items, a, bad := list[moveItem](ctx, c, documentItems, url.Values{
		"$filter": {filterOf(one, "Plant")}, "$expand": {"to_MaterialDocumentHeader"},
	})
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	v := connector.View{Object: o, Exists: true, Ref: event.Ref{System: c.system, Kind: "batch", ID: id.String()}}
	for n := range items {
		i := &items[n]
		if owner(one, i.Material, i.Plant, i.Batch) == nil {
			return connector.View{}, nil, *notAsked(&a, "a document", i.Material, i.Batch)
		}
		at := i.at()
		if !i.left() || !at.IsZero() && at.Before(o.Since.Add(-widestZone)) {
			continue
		}
		v.Moved = append(v.Moved, i.movement(at))
	}
	slices.SortStableFunc(v.Moved, func(a, b event.Movement) int {
		return cmp.Or(a.At.Compare(b.At.Time), strings.Compare(a.Document, b.Document))
	})
	return v, nil, nil
}

// movement shows the item.
func (i *moveItem) movement(at time.Time) event.Movement {
	m := event.Movement{
		Document: i.Year + "/" + i.Number + "/" + i.Item, Kind: i.Movement, To: cmp.Or(i.Header.Reference, i.Order),
		Q: event.Quantity{Value: i.Quantity.Decimal, Unit: unit(i.Unit)},
	}
	if m.To == "" && i.ToPlant != "" {
		m.To = strings.TrimSuffix(i.ToPlant+"/"+i.ToPlace, "/")
	}
	if !at.IsZero() {
		m.At = event.At(at)
	}
	return m
}

// timeOfDay is an Edm.Time: the time since midnight.
type timeOfDay time.Duration

var timePattern = regexp.MustCompile(`^PT(?:([0-9]{1,2})H)?(?:([0-9]{1,2})M)?(?:([0-9]{1,2})S)?$`)

// UnmarshalJSON reads PT15H04M05S; null is midnight.
func (t *timeOfDay) UnmarshalJSON(raw []byte) error {
	if *t = 0; string(raw) == "null" {
		return nil
	}
	text, err := strconv.Unquote(string(raw))
	parts := timePattern.FindStringSubmatch(text)
	if err != nil || parts == nil {
		return fmt.Errorf("%.40q is no time of day of OData version 2", raw)
	}
	for i, each := range []time.Duration{time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(parts[i+1]) // digits, or nothing
		*t += timeOfDay(time.Duration(n) * each)
	}
	return nil
}
