package sap_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

const itemsOfBatch = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentItem?$format=json&$expand=to_MaterialDocumentHeader&$filter="

func TestSimulator_Deliver(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	issued, err := s.Issue("M-1", "0007", "", "30", "1000042")
	if err != nil {
		t.Fatal(err)
	}
	delivered, err := s.Deliver("M-1", "0007", "1010", "20.5", "80001234")
	if err != nil || delivered == issued || s.Stock("M-1", "0007", "01") != "49.5" {
		t.Fatalf("documents %s and %s, %v, left %s", issued, delivered, err, s.Stock("M-1", "0007", "01"))
	}
	got := c.do("GET", itemsOfBatch+url.QueryEscape("Material eq 'M-1' and Batch eq '0007'"), "")
	for _, want := range []string{
		`"MaterialDocument":"` + issued + `"`, `"ManufacturingOrder":"1000042"`, `"GoodsMovementType":"261"`, `"QuantityInEntryUnit":"30.000"`,
		`"MaterialDocument":"` + delivered + `"`, `"ReferenceDocument":"80001234"`, `"GoodsMovementType":"601"`, `"QuantityInEntryUnit":"20.500"`,
		`"DebitCreditCode":"H"`, `"CreationTime":"PT`,
	} {
		if !strings.Contains(got.raw, want) {
			t.Errorf("the items lack %s: %s", want, got.raw)
		}
	}
	t.Run("is refused where nothing is unrestricted", func(t *testing.T) {
		for _, usage := range []event.UsageStatus{event.Restricted, event.Blocked} {
			if err := s.SetByHand("M-1", "0007", usage); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Deliver("M-1", "0007", "1010", "1", "80001235"); err == nil {
				t.Errorf("%s stock was delivered by document %s", usage, n)
			}
		}
	})
	t.Run("is no posting of the API", func(t *testing.T) {
		c.fetch()
		if got := c.do("POST", headers, move("601", "1", "x")); got.status != 400 || got.code != "M7/003" {
			t.Errorf("%d %s", got.status, got.code)
		}
	})
}

func TestSimulator_Cancel_MarksTheDocumentThatItCancels(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	c.fetch()
	posted := c.do("POST", headers, move("344", "40", "x"))
	number, year := posted.data["MaterialDocument"].(string), posted.data["MaterialDocumentYear"].(string)
	cancel := func(number string) answer {
		return c.do("POST", "API_MATERIAL_DOCUMENT_SRV/Cancel?MaterialDocumentYear='"+year+"'&MaterialDocument='"+number+"'", "")
	}
	counter := cancel(number)
	back, _ := counter.data["MaterialDocument"].(string)
	if counter.status != 201 || !strings.Contains(counter.raw, `"ReversedMaterialDocument":"`+number+`"`) || !strings.Contains(counter.raw, `"GoodsMovementIsCancelled":false`) {
		t.Errorf("counter-document: %d %s", counter.status, counter.raw)
	}
	if got := cancel(back); got.status != 400 {
		t.Errorf("the counter-document was cancelled as well: %d", got.status)
	}
	got := c.do("GET", itemsOfBatch+url.QueryEscape("MaterialDocument eq '"+number+"'"), "")
	if !strings.Contains(got.raw, `"GoodsMovementIsCancelled":true`) {
		t.Errorf("the document is not marked: %s", got.raw)
	}
}
