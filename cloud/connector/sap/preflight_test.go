package sap_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

func TestClient_Check_InspectionLots(t *testing.T) {
	swapped := []simulator.Code{
		{Set: "01", Group: "01", Code: "A", Valuation: "R"}, {Set: "01", Group: "01", Code: "AC", Valuation: "A"}, {Set: "01", Group: "01", Code: "R", Valuation: "A"},
	}
	for _, c := range []struct {
		name  string
		cfg   simulator.Config
		fault fault.Fault
		proof bool
		want  []string // part of each finding, in order
	}{
		{"all in order", simulator.Config{}, fault.Fault{}, true, nil},
		{"a user without rights", simulator.Config{}, fault.Fault{Kind: fault.Status, Status: 403, On: "read", Path: "INSPECTIONLOT"}, true,
			[]string{"inspection lots cannot be read"}},
		{"a service that is not there", simulator.Config{}, fault.Fault{Kind: fault.Status, Status: 404, On: "read", Path: "INSPECTIONLOT"}, true,
			[]string{"inspection lots cannot be read"}},
		{"a log-in page for a description", simulator.Config{}, fault.Fault{Kind: fault.LoginPage, On: "read", Path: "$metadata"}, true,
			[]string{"inspection lots cannot be read"}},
		{"a filter that is refused", simulator.Config{}, fault.Fault{Kind: fault.Status, Status: 400, On: "read", Path: "A_InspLotMatlDocItem"}, true,
			[]string{"does not find postings of inspection lots by their item text"}},
		{"master data that are closed to us", simulator.Config{}, fault.Fault{Kind: fault.Status, Status: 403, On: "read", Path: "PRODUCT"}, true,
			[]string{"which materials are under quality management cannot be read"}},
		{"decisions that are closed to us", simulator.Config{}, fault.Fault{Kind: fault.Status, Status: 400, On: "read", Path: "UsageDecision"}, true,
			[]string{"usage decisions cannot be read"}},
		{"codes that nobody has used", simulator.Config{}, fault.Fault{}, false,
			[]string{"conditional_release (code AC of group 01)", "reject (code R", "release (code A", "scrap (code R"}},
		{"codes that say the opposite", simulator.Config{Codes: swapped}, fault.Fault{}, true, []string{"the code of reject", "the code of release"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			if c.proof {
				prove(t, r.sim)
			}
			if c.fault.Kind != "" {
				r.sim.Faults.Add(c.fault)
			}
			found, err := r.Check(t.Context())
			if err != nil || len(found) != len(c.want) {
				t.Fatalf("found %+v, %v; want %q", found, err, c.want)
			}
			for i, want := range c.want {
				if found[i].Fatal || found[i].Fix == "" || !strings.Contains(found[i].What, want) {
					t.Errorf("%+v, want %q, and holds to go on", found[i], want)
				}
			}
		})
	}
}

func TestClient_Check_InspectionServiceDown(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.Faults.Add(fault.Fault{Kind: fault.Throttle, RetryAfter: "7", On: "read", Path: "$metadata"})
	if _, err := r.Check(t.Context()); resultOf(t, err).RetryAfter == 0 {
		t.Errorf("a system that asks to be left alone: %v", err)
	}
}

func TestClient_Check_MaterialsWithoutCode(t *testing.T) {
	sim, err := simulator.New(simulator.Config{QM: []string{"M-1", "M-2"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	defer server.Close()
	c := sap.DefaultConfig()
	c.URL = server.URL
	client, err := sap.New(c, sap.Deps{System: "s4"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := client.Check(t.Context())
	if err != nil || len(found) != 1 || !strings.Contains(found[0].What, "2 materials are posted to inspection stock (M-1 in plant 1010, M-2 in plant 1010)") {
		t.Errorf("found %+v, %v; want the materials whose releases have no code", found, err)
	}
}

// altered is a system whose answers under a path have one text in place of another.
func altered(t *testing.T, sim *simulator.Simulator, under, from, to string) *sap.Client {
	t.Helper()
	inner := httptest.NewServer(sim.Handler)
	t.Cleanup(inner.Close)
	address, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(address)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, under) {
			proxy.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_, _ = w.Write([]byte(strings.ReplaceAll(answer.Body.String(), from, to)))
	}))
	t.Cleanup(outer.Close)
	return dial(t, outer.URL, password)
}

func TestClient_Check_OlderRelease(t *testing.T) {
	for name, x := range map[string]struct{ from, to, want string }{
		"no time of change":              {`Name="ChangedDateTime"`, `Name="Other"`, "the field ChangedDateTime of A_InspLotMatlDocItemType"},
		"no item text":                   {`Name="MaterialDocumentItemText"`, `Name="Other"`, "the field MaterialDocumentItemText"},
		"postings that nobody may make":  {`<EntitySet Name="A_InspLotMatlDocItem"`, `<EntitySet sap:creatable="false" Name="A_InspLotMatlDocItem"`, "the right to make anything in A_InspLotMatlDocItem"},
		"decisions that nobody may make": {`<EntitySet Name="A_InspLotUsageDecision"`, `<EntitySet sap:creatable="false" Name="A_InspLotUsageDecision"`, "the right to make anything in A_InspLotUsageDecision"},
	} {
		sim, err := simulator.New(simulator.Config{User: user, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		prove(t, sim)
		found, err := altered(t, sim, "$metadata", x.from, x.to).Check(t.Context())
		has := func(f connector.Finding) bool { return strings.Contains(f.What, x.want) && !f.Fatal }
		if err != nil || len(found) == 0 || !has(found[0]) {
			t.Errorf("%s: found %+v, %v; want %s", name, found, err, x.want)
		}
	}
}
