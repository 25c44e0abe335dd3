package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Coverage(t *testing.T) {
	f := newFixture(t)
	f.seed()
	const lot = event.LotKey("lot:1000:MAT-100:L-88500")
	f.mustApply("lot-f", "p1", created(lot))
	f.gap(lot)
	golden(t, "coverage-lot", f.get("viewer", "/coverage?lot="+url.QueryEscape(string(lot))))
	golden(t, "coverage-plant", f.get("viewer", "/coverage?plant=p1"))
	golden(t, "lot-gap", f.get("viewer", lotPath(lot)))

	var c api.Coverage
	f.get("viewer", "/coverage?lot="+url.QueryEscape(string(lotB))).into(t, &c)
	if len(c.Gaps) != 0 || len(c.Answers) != 0 {
		t.Errorf("a released lot lacks %+v", c)
	}
	f.get("viewer", "/coverage").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.get("viewer", "/coverage?plant=p1&lot=x").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.get("viewer", "/coverage?plant=p9").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("viewer", "/coverage?lot=lot:1:M:none").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("alice-p1", "/coverage?plant=p2").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("alice-p1", "/coverage?lot="+url.QueryEscape(string(lotC))).refused(t, http.StatusNotFound, problem.ObjectHidden)
}
