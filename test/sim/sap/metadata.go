package sap

import (
	"encoding/xml"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// The form of $metadata that callers look at: entity types with their properties, sets with what may be made in them.
type (
	edmx struct {
		XMLName  xml.Name     `xml:"edmx:Edmx"`
		Edmx     string       `xml:"xmlns:edmx,attr"`
		Version  string       `xml:"Version,attr"`
		Services dataServices `xml:"edmx:DataServices"`
	}
	dataServices struct {
		Schema schema `xml:"Schema"`
	}
	schema struct {
		Namespace string       `xml:"Namespace,attr"`
		Xmlns     string       `xml:"xmlns,attr"`
		SAP       string       `xml:"xmlns:sap,attr"`
		Types     []entityType `xml:"EntityType"`
		Container container    `xml:"EntityContainer"`
	}
	entityType struct {
		Name       string     `xml:"Name,attr"`
		Properties []property `xml:"Property"`
	}
	property struct {
		Name   string `xml:"Name,attr"`
		Type   string `xml:"Type,attr"`
		Format string `xml:"sap:display-format,attr,omitempty"`
	}
	container struct {
		Sets []entitySet `xml:"EntitySet"`
	}
	entitySet struct {
		Name      string `xml:"Name,attr"`
		Type      string `xml:"EntityType,attr"`
		Creatable string `xml:"sap:creatable,attr,omitempty"`
	}
)

// serveMetadata describes the inspection service by what it shows of a lot made up for the purpose.
func (s *Simulator) serveMetadata(w http.ResponseWriter, r *http.Request) {
	l := s.specimen()
	shown := []struct {
		set       string
		row       map[string]any
		creatable string
	}{
		{"A_InspectionLot", s.showLot(l, target{}, r), ""},
		{"A_InspectionLotWithStatus", l.showStatus(), "false"},
		{"A_InspLotUsageDecision", l.showDecision(), ""},
		{"A_InspLotMatlDocItem", s.showPosting(l, 0), ""},
		{"A_InspectionResult", l.showResult(result{}), ""},
	}
	out := edmx{Edmx: "http://schemas.microsoft.com/ado/2007/06/edmx", Version: "1.0"}
	sc := &out.Services.Schema
	sc.Namespace, sc.Xmlns, sc.SAP = inspectionService, "http://schemas.microsoft.com/ado/2008/09/edm", "http://www.sap.com/Protocols/SAPData"
	for _, x := range shown {
		t := entityType{Name: x.set + "Type"}
		for name, value := range x.row {
			if s.cfg.References == "missing" && name == "MaterialDocumentItemText" {
				continue
			}
			if p, ok := describe(name, value); ok {
				t.Properties = append(t.Properties, p)
			}
		}
		slices.SortFunc(t.Properties, func(a, b property) int { return strings.Compare(a.Name, b.Name) })
		sc.Types = append(sc.Types, t)
		sc.Container.Sets = append(sc.Container.Sets, entitySet{Name: x.set, Type: inspectionService + "." + t.Name, Creatable: x.creatable})
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(out)
}

// specimen is a lot with one of each, which is in no system.
func (s *Simulator) specimen() *inspection {
	return &inspection{
		number: padded(""), quantity: new(big.Rat), toPost: new(big.Rat), decision: &decision{},
		postings: []posting{{quantity: new(big.Rat)}},
	}
}

// describe returns the property that a value is shown as; links and inner entities are none.
func describe(name string, value any) (property, bool) {
	p := property{Name: name, Type: "Edm.String"}
	switch value.(type) {
	case bool:
		p.Type = "Edm.Boolean"
	case dateTime:
		p.Type = "Edm.DateTime"
	case dateTimeOffset:
		p.Type = "Edm.DateTimeOffset"
	case nonNegative:
		p.Format = "NonNegative"
	case string:
		if name == "InspLotExternalNumber" {
			p.Format = "UpperCase"
		}
	default:
		return p, false
	}
	return p, true
}

// serveMaster serves the part of API_PRODUCT_SRV that tells which materials are under quality management.
func (s *Simulator) serveMaster(w http.ResponseWriter, r *http.Request, t target) {
	if t.set != "A_ProductPlantQualityMgmt" || t.key != nil || r.Method != http.MethodGet {
		unknownSet(w, t)
		return
	}
	rows := []map[string]any{}
	for _, m := range s.cfg.QM {
		if m != "*" {
			rows = append(rows, map[string]any{
				"Product": m, "Plant": s.cfg.Plant, "QualityMgmtCtrlKey": "0000", "HasPostToInspectionStock": true,
				"InspLotDocumentationIsRequired": s.cfg.Documentation,
			})
		}
	}
	s.list(w, r, rows)
}
