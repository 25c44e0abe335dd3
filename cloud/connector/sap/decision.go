package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// UsageDecision is the code that stands for a decision in the system's customizing.
type UsageDecision struct {
	Code        string `yaml:"code" doc:"code of the usage decision"`
	CodeGroup   string `yaml:"code_group" doc:"code group of the code"`
	SelectedSet string `yaml:"selected_set" doc:"selected set that the code stands in"`
	Plant       string `yaml:"plant" doc:"plant of the selected set; empty = that of the inspection lot"`
}

// checkDecisions tells what is wrong in the mapping of decisions to codes.
func checkDecisions(codes map[quality.Decision]UsageDecision) error {
	known := []quality.Decision{quality.Release, quality.ConditionalRelease, quality.ReworkLot, quality.Regrade,
		quality.ReturnToSupplier, quality.Scrap, quality.Reject}
	frees := []quality.Decision{quality.Release, quality.ConditionalRelease}
	for d, code := range codes {
		if !slices.Contains(known, d) {
			return fmt.Errorf("usage_decisions: %q is no decision; it is one of %v", d, known)
		}
		if code.Code == "" || code.CodeGroup == "" || code.SelectedSet == "" {
			return fmt.Errorf("usage_decisions: %s needs code, code_group and selected_set", d)
		}
		for other, same := range codes {
			if same.Code == code.Code && same.CodeGroup == code.CodeGroup && slices.Contains(frees, d) && !slices.Contains(frees, other) {
				return fmt.Errorf("usage_decisions: %s and %s share code %s: then one that keeps the lot back would free it", d, other, code.Code)
			}
		}
	}
	return nil
}

// decide posts the usage decision on the next of the lot's inspection lots that has none. A lot has one: where there is
// one, only its code is compared.
func (c *Client) decide(ctx context.Context, e quality.Effect, l *lot) connector.Result {
	if l.unread != nil {
		return *l.unread
	}
	var open *inspection
	for n := range l.inspections {
		i := &l.inspections[n]
		switch {
		case !*i.Decided && open == nil:
			open = i
		case *i.Decided && !slices.Contains(c.stands(i.decision), e.Decision):
			return otherDecision(i, "the disposition says "+string(e.Decision))
		}
	}
	if open == nil {
		return rejected("no_step", "no inspection lot of batch "+l.id.String()+" waits for a usage decision")
	}
	code, mapped := c.cfg.UsageDecisions[e.Decision]
	switch {
	case !mapped:
		return rejected("usage_decision_unmapped", "usage_decisions names no code for "+string(e.Decision)+"; inspection lot "+string(open.Number)+
			" has to be decided in SAP")
	case bool(open.Signature):
		return rejected("signature_required", "inspection lot "+string(open.Number)+" needs a digital signature: a person has to decide "+
			string(e.Decision)+" in SAP")
	case bool(open.Documentation):
		return rejected("documentation_required", "inspection lot "+string(open.Number)+" needs documentation: a person has to decide "+
			string(e.Decision)+" in SAP")
	case !open.versioned():
		return noVersion(open)
	}
	return c.postDecision(ctx, open, code)
}

func otherDecision(i *inspection, wanted string) connector.Result {
	return rejected("usage_decision_other", "inspection lot "+string(i.Number)+" was decided in SAP by "+i.raw()+"; "+wanted+
		". A usage decision is changed by a person only")
}

// versioned tells whether the service gave what a change has to name.
func (i *inspection) versioned() bool { return i.Metadata.ETag != "" && !i.Changed.IsZero() }

func noVersion(i *inspection) connector.Result {
	return rejected("no_version", "the service gives no version of inspection lot "+string(i.Number)+", so that nothing can be changed safely")
}

// changed is the time of the last change as the services write it: the lock, in whole seconds.
func (i *inspection) changed() string {
	return "/Date(" + strconv.FormatInt(i.Changed.UnixMilli(), 10) + "+0000)/"
}

func (c *Client) postDecision(ctx context.Context, i *inspection, code UsageDecision) connector.Result {
	plant := code.Plant
	if plant == "" {
		plant = i.Plant
	}
	a, bad := c.postToLot(ctx, usageDecisions, i, map[string]string{
		"InspectionLot": string(i.Number), "InspLotUsageDecisionLevel": "L", "InspLotUsageDecisionCatalog": "3",
		"SelectedCodeSetPlant": plant, "InspLotUsgeDcsnSelectedSet": code.SelectedSet, "InspLotUsageDecisionCodeGroup": code.CodeGroup,
		"InspectionLotUsageDecisionCode": code.Code, "ChangedDateTime": i.changed(),
	})
	if bad != nil {
		return *bad
	}
	var d decisionEntity
	if bad := unwrap(&a, &d); bad != nil {
		return c.refused(ctx, i, *bad)
	}
	if d.Number != i.Number {
		return a.Unclear("no_decision", "the answer does not name the inspection lot")
	}
	r := a.Result()
	r.Ref = event.Ref{System: c.system, Kind: "inspection_lot", ID: string(i.Number)}
	return r
}

// refused looks again at an inspection lot that the system refuses a change of. Where it is no longer the one that was
// read, the refusal is a conflict: a write of ours that was given up may have landed in between, and the lock, of whole
// seconds, does not tell. What it shows now decides.
func (c *Client) refused(ctx context.Context, i *inspection, r connector.Result) connector.Result {
	if r.Outcome != event.Rejected {
		return r
	}
	var now inspectionEntity
	if _, bad := c.get(ctx, inspectionLots+"("+literal(string(i.Number))+")", nil, &now); bad != nil || now.Number != i.Number || now.Decided == nil {
		return r
	}
	if *now.Decided != *i.Decided || now.ToPost.Cmp(i.ToPost.Decimal) != 0 || now.Metadata.ETag != i.Metadata.ETag {
		r.Outcome = event.Conflict
	}
	return r
}

// postToLot makes what belongs to an inspection lot, if the lot is still the one that was read.
func (c *Client) postToLot(ctx context.Context, path string, i *inspection, fields map[string]string) (httpcall.Answer, *connector.Result) {
	body, err := json.Marshal(fields)
	if err != nil {
		r := rejected("encode", err.Error())
		return httpcall.Answer{}, &r
	}
	return c.write(ctx, inspectionService, httpcall.Request{
		Method: http.MethodPost, Path: path, Header: http.Header{"If-Match": {i.Metadata.ETag}}, Body: body,
	})
}
