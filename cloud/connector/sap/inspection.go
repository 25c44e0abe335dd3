package sap

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	inspectionService = root + "API_INSPECTIONLOT_SRV"
	inspectionLots    = inspectionService + "/A_InspectionLot"
	usageDecisions    = inspectionService + "/A_InspLotUsageDecision"
	lotPostings       = inspectionService + "/A_InspLotMatlDocItem"
)

type inspectionEntity struct {
	Metadata struct {
		ETag string `json:"etag"`
	} `json:"__metadata"`
	Number        lotNumber `json:"InspectionLot"`
	Material      string    `json:"Material"`
	Batch         string    `json:"Batch"`
	Plant         string    `json:"Plant"`
	Location      string    `json:"InspectionLotStorageLocation"`
	Origin        string    `json:"InspectionLotOrigin"`
	Decided       *bool     `json:"InspectionLotHasUsageDecision"`
	ToPost        amount    `json:"InspLotQtyToBePosted"`
	Signature     switched  `json:"InspLotDigitalSgntrInUsgeDcsn"`
	Documentation switched  `json:"InspLotIsDocumentationRequired"`
	Changed       moment    `json:"ChangedDateTime"`
	Status        struct {
		Canceled switched `json:"InspLotStatusCanceled"`
	} `json:"to_InspectionLotWithStatus"`
}

type decisionEntity struct {
	Number    lotNumber `json:"InspectionLot"`
	Set       string    `json:"InspLotUsgeDcsnSelectedSet"`
	Plant     string    `json:"SelectedCodeSetPlant"`
	Group     string    `json:"InspLotUsageDecisionCodeGroup"`
	Code      string    `json:"InspectionLotUsageDecisionCode"`
	Valuation string    `json:"InspLotUsageDecisionValuation"`
	By        string    `json:"InspectionLotUsageDecidedBy"`
	On        moment    `json:"InspectionLotUsageDecidedOn"`
}

// lotNumber is the number of an inspection lot in its twelve digits: the services show it without leading zeros.
type lotNumber string

// UnmarshalJSON reads a number with or without its leading zeros.
func (n *lotNumber) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	if text != "" {
		text = strings.Repeat("0", max(0, 12-len(text))) + text
	}
	*n = lotNumber(text)
	return nil
}

// switched is a field that is a boolean in some releases and a character in others: blank is off.
type switched bool

// UnmarshalJSON reads both forms; null is off.
func (s *switched) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*s = strings.TrimSpace(text) != ""
		return nil
	}
	var on *bool
	if err := json.Unmarshal(raw, &on); err != nil {
		return err
	}
	*s = switched(on != nil && *on)
	return nil
}

// inspection is an inspection lot of a batch, with its usage decision if it has one.
type inspection struct {
	inspectionEntity
	decision *decisionEntity
}

// readInspections adds to batches the inspection lots that a disposition concerns: those that are open, and those whose
// stock is not all posted yet. Where there is none of them it is the youngest one that was decided. The others are
// history: what an earlier inspection decided says nothing about the batch of now.
func (c *Client) readInspections(ctx context.Context, lots []*lot) *connector.Result {
	query := url.Values{"$filter": {filterOf(lots, "Plant")}, "$expand": {"to_InspectionLotWithStatus"}}
	all, a, bad := list[inspectionEntity](ctx, c, inspectionLots, query)
	if bad != nil {
		return bad
	}
	slices.SortFunc(all, func(x, y inspectionEntity) int { return strings.Compare(string(x.Number), string(y.Number)) })
	youngest := map[*lot]inspectionEntity{}
	for _, e := range all {
		l := owner(lots, e.Material, e.Plant, e.Batch)
		switch {
		case e.Decided == nil || e.Number == "":
			r := a.Unclear("bad_data", "an inspection lot lacks its number or InspectionLotHasUsageDecision")
			return &r
		case l == nil:
			return notAsked(&a, "an inspection lot", e.Material, e.Batch)
		case bool(e.Status.Canceled) || !slices.Contains(c.cfg.InspectionOrigins, e.Origin):
		case *e.Decided && e.ToPost.Rat().Sign() <= 0:
			youngest[l] = e
		default:
			l.inspections = append(l.inspections, inspection{inspectionEntity: e})
		}
	}
	for l, e := range youngest {
		if len(l.inspections) == 0 {
			l.inspections = []inspection{{inspectionEntity: e}}
		}
	}
	return c.readDecisions(ctx, lots)
}

// readDecisions adds to the lots' inspection lots the usage decisions that they have.
func (c *Client) readDecisions(ctx context.Context, lots []*lot) *connector.Result {
	decided, wanted := map[lotNumber]*inspection{}, []string(nil)
	for _, l := range lots {
		for n := range l.inspections {
			if i := &l.inspections[n]; *i.Decided {
				decided[i.Number] = i
				wanted = append(wanted, "InspectionLot eq "+quoted(string(i.Number)))
			}
		}
	}
	for chunk := range slices.Chunk(wanted, together) {
		found, _, bad := list[decisionEntity](ctx, c, usageDecisions, url.Values{"$filter": {strings.Join(chunk, " or ")}})
		if bad != nil {
			return bad
		}
		for _, d := range found {
			if i := decided[d.Number]; i != nil {
				i.decision = &d
			}
		}
	}
	return nil
}

// together is how many objects one query names at the most: with long names some 4 kB of address, which every gateway
// takes.
const together = 20

// findDecided returns the inspection lots of the effect's batch whose usage decision stands for the wanted one.
func (c *Client) findDecided(ctx context.Context, e quality.Effect) ([]event.Ref, error) {
	id, err := c.batchOf(e.Lot)
	if err != nil {
		return nil, rejected("lot_key", err.Error())
	}
	l := &lot{id: id}
	if bad := c.readInspections(ctx, []*lot{l}); bad != nil {
		return nil, *bad
	}
	var refs []event.Ref
	for _, i := range l.inspections {
		if slices.Contains(c.stands(i.decision), e.Decision) {
			refs = append(refs, event.Ref{System: c.system, Kind: "inspection_lot", ID: string(i.Number)})
		}
	}
	return refs, nil
}

// unreadable turns a failure to read inspection lots into what the lot carries instead of them, or gives it back where it
// concerns the whole system. A hold needs no inspection lot, so it goes on where only that service fails; what frees
// stock, or decides, waits.
func unreadable(ctx context.Context, bad *connector.Result) (carried, failure *connector.Result) {
	if ctx.Err() != nil || bad.RetryAfter > 0 || bad.Code == "log_in_refused" || bad.Code == "http_401" {
		return nil, bad
	}
	r := *bad
	r.Outcome, r.Refused, r.Waits = event.RetryLater, false, true
	r.Message = "inspection lots cannot be read: " + r.Message
	return &r, nil
}

// raw is the usage decision in the system's own words; empty = none.
func (i *inspection) raw() string {
	d := i.decision
	switch {
	case d == nil && i.Decided != nil && *i.Decided:
		return "a code that the service does not show"
	case d == nil:
		return ""
	}
	text := "code " + d.Code + " of group " + d.Group + ", selected set " + d.Set + " of plant " + d.Plant
	if d.Valuation != "" {
		text += ", valuation " + d.Valuation
	}
	if d.By != "" {
		text += ", by " + d.By
	}
	if !d.On.IsZero() {
		text += " on " + d.On.Format("2006-01-02")
	}
	return text
}

// stands returns the decisions that a usage decision's code stands for by the configuration, in order.
func (c *Client) stands(d *decisionEntity) []quality.Decision {
	var all []quality.Decision
	for decision, code := range c.cfg.UsageDecisions {
		if d != nil && code.Code == d.Code && code.CodeGroup == d.Group {
			all = append(all, decision)
		}
	}
	slices.Sort(all)
	return all
}

// viewInspections shows the lot's inspection lots; where they could not be read, one that stands for no decision.
func (c *Client) viewInspections(l *lot) []connector.Inspection {
	if l.unread != nil {
		return []connector.Inspection{{ID: "unknown", Raw: l.unread.Message}}
	}
	var all []connector.Inspection
	for _, i := range l.inspections {
		all = append(all, connector.Inspection{ID: string(i.Number), Plant: i.Plant, Raw: i.raw(), Decisions: c.stands(i.decision)})
	}
	return all
}
