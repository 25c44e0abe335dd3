package sap

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// plantQuality tells which materials of which plants are under quality management.
const plantQuality = root + "API_PRODUCT_SRV/A_ProductPlantQualityMgmt"

// neededFields are what releases rest on, by entity type of the inspection service.
var neededFields = map[string][]string{
	"A_InspectionLotType": {"InspectionLot", "Material", "Batch", "Plant", "InspectionLotOrigin", "InspectionLotHasUsageDecision",
		"InspLotQtyToBePosted", "InspLotExternalNumber", "InspLotDigitalSgntrInUsgeDcsn", "InspLotIsDocumentationRequired", "ChangedDateTime"},
	"A_InspectionLotWithStatusType": {"InspLotStatusCanceled"},
	"A_InspLotUsageDecisionType": {"InspLotUsageDecisionCodeGroup", "InspectionLotUsageDecisionCode", "InspLotUsgeDcsnSelectedSet",
		"SelectedCodeSetPlant", "ChangedDateTime"},
	"A_InspLotMatlDocItemType": {"InspLotQtyPosted", "UsageDecisionStockType", "MaterialDocumentItemText", "ChangedDateTime"},
}

// checkInspection looks at the inspection service. Nothing that it finds is fatal: holds need no inspection lot, and a
// release waits where it needs one.
func (c *Client) checkInspection(ctx context.Context) ([]connector.Finding, *connector.Result) {
	var findings []connector.Finding
	add := func(what, fix string) {
		findings = append(findings, connector.Finding{What: what, Fix: fix})
	}
	m, bad := c.metadata(ctx)
	if bad != nil {
		if _, failure := unreadable(ctx, bad); failure != nil {
			return nil, failure
		}
		add("inspection lots cannot be read, so lots that are under one are never released: "+bad.Message,
			"activate API_INSPECTIONLOT_SRV (communication scenario SAP_COM_0318) and give the user its rights")
		return findings, nil
	}
	for _, gap := range m.gaps() {
		add("the inspection service lacks "+gap, "use a release of API_INSPECTIONLOT_SRV that has it; until then a person posts these releases")
	}
	for what, q := range map[string][2]string{
		"inspection lots by their external number":         {inspectionLots, "InspLotExternalNumber eq 'HFPREFLIGHT'"},
		"postings of inspection lots by their item text":   {lotPostings, "InspectionLot eq '000000000000' and MaterialDocumentItemText eq 'HFPREFLIGHT'"},
		"inspection lots by the time of their last change": {inspectionLots, "ChangedDateTime ge datetimeoffset'2100-01-01T00:00:00Z'"},
	} {
		var none struct{}
		if _, bad := c.get(ctx, q[0], url.Values{"$filter": {q[1]}, "$top": {"1"}}, &none); bad != nil {
			add("the service does not find "+what+": "+bad.Message, "have the filter enabled; until then a person posts these releases")
		}
	}
	c.checkCodes(ctx, add)
	c.checkManaged(ctx, add)
	slices.SortFunc(findings, func(a, b connector.Finding) int { return strings.Compare(a.What, b.What) })
	return findings, nil
}

// checkCodes compares the configured codes with usage decisions that were made: the service lists no code sets.
func (c *Client) checkCodes(ctx context.Context, add func(what, fix string)) {
	for _, d := range slices.Sorted(maps.Keys(c.cfg.UsageDecisions)) {
		code := c.cfg.UsageDecisions[d]
		filter := "InspLotUsageDecisionCodeGroup eq " + quoted(code.CodeGroup) + " and InspectionLotUsageDecisionCode eq " + quoted(code.Code)
		found, _, bad := list[decisionEntity](ctx, c, usageDecisions, url.Values{"$filter": {filter}, "$top": {"1"}})
		switch name := string(d) + " (code " + code.Code + " of group " + code.CodeGroup + ")"; {
		case bad != nil:
			add("usage decisions cannot be read: "+bad.Message, "give the user the right to read A_InspLotUsageDecision")
			return
		case len(found) == 0:
			add("no usage decision in the system has the code of "+name+" yet, so it could not be proven", "compare it with the code set in customizing")
		case d == quality.Release && found[0].Valuation == "R", d == quality.Reject && found[0].Valuation == "A":
			add("the system values the code of "+name+" as "+found[0].Valuation+", which says the opposite", "correct usage_decisions: A accepts, R rejects")
		}
	}
}

// checkManaged tells which materials are under quality management where no code is configured for their release.
func (c *Client) checkManaged(ctx context.Context, add func(what, fix string)) {
	type row struct {
		Product string `json:"Product"`
		Plant   string `json:"Plant"`
	}
	rows, _, bad := list[row](ctx, c, plantQuality, url.Values{"$filter": {"HasPostToInspectionStock eq true"}, "$top": {"50"}})
	if bad != nil {
		add("which materials are under quality management cannot be read: "+bad.Message,
			"give the user the right to read API_PRODUCT_SRV, or prove by hand that their releases have codes")
		return
	}
	if _, mapped := c.cfg.UsageDecisions[quality.Release]; mapped || len(rows) == 0 {
		return
	}
	var names []string
	for _, r := range rows[:min(len(rows), 5)] {
		names = append(names, r.Product+" in plant "+r.Plant)
	}
	add(fmt.Sprintf("%d materials are posted to inspection stock (%s), and usage_decisions has no code for release", len(rows), strings.Join(names, ", ")),
		"name the code in usage_decisions; until then a person decides each of their inspection lots in SAP")
}

// metadata is what $metadata says about entity types and sets.
type metadata struct {
	fields map[string]map[string]bool // by entity type
	closed map[string]bool            // sets in which nothing may be made
}

func (c *Client) metadata(ctx context.Context) (*metadata, *connector.Result) {
	a := c.http.Do(ctx, httpcall.Request{
		Method: http.MethodGet, Path: inspectionService + "/$metadata", Header: http.Header{"Accept": {"application/xml"}},
	})
	if !a.OK() {
		r := told(&a)
		return nil, &r
	}
	m, err := readMetadata(a.Body)
	if err != nil {
		r := a.As(event.RetryLater, "no_metadata", "the answer is no $metadata; it may be a log-in page")
		return nil, &r
	}
	return m, nil
}

// readMetadata reads a description of a service, of whatever version of the language.
func readMetadata(raw []byte) (*metadata, error) {
	m := &metadata{fields: map[string]map[string]bool{}, closed: map[string]bool{}}
	d, current := xml.NewDecoder(bytes.NewReader(raw)), ""
	for {
		token, err := d.Token()
		if token == nil {
			if len(m.fields) == 0 {
				return nil, fmt.Errorf("no entity type in it: %w", err)
			}
			return m, nil
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch name := attribute(start, "Name"); start.Name.Local {
		case "EntityType":
			current = name
			m.fields[current] = map[string]bool{}
		case "Property":
			if current != "" {
				m.fields[current][name] = true
			}
		case "EntitySet":
			m.closed[name] = attribute(start, "creatable") == "false"
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// gaps lists what a release needs and the service does not have, in order.
func (m *metadata) gaps() []string {
	var gaps []string
	for _, kind := range slices.Sorted(maps.Keys(neededFields)) {
		for _, field := range neededFields[kind] {
			if !m.fields[kind][field] {
				gaps = append(gaps, "the field "+field+" of "+kind)
			}
		}
	}
	for _, set := range []string{"A_InspLotUsageDecision", "A_InspLotMatlDocItem"} {
		if m.closed[set] {
			gaps = append(gaps, "the right to make anything in "+set)
		}
	}
	return gaps
}
