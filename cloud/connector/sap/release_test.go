package sap_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/dispatch"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

func decides(t *testing.T, d quality.Decision) quality.Effect {
	t.Helper()
	lot := lotKey(t, material, batch)
	id := quality.CommandID("w1", "disp:qms:1", "usage_decision", 1)
	return quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: quality.UsageDecisionPost, System: "s4", Object: "disp:qms:1", Lot: lot,
		Generation: 1, Decision: d,
	}
}

// write makes one write on what is there now.
func (r *rig) write(t *testing.T, e quality.Effect) connector.Result {
	t.Helper()
	_, version := r.read(t, e.Lot)
	return r.Write(t.Context(), e, version)
}

// settle takes an effect through the write protocol.
func (r *rig) settle(t *testing.T, e quality.Effect) (dispatch.Ending, error) {
	t.Helper()
	p := &dispatch.Protocol{
		System: r, Effect: e, Mark: func(context.Context) error { return nil },
		Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) { return e, nil },
	}
	return p.Run(t.Context())
}

// inspected returns a rig with one lot of 100 KG in inspection stock, under an inspection lot.
func inspected(t *testing.T, cfg simulator.Config) *rig {
	t.Helper()
	cfg.QM = []string{material}
	r := newRig(t, cfg)
	r.receive(t, "1010", "100")
	return r
}

func (r *rig) receive(t *testing.T, plant, quantity string) {
	t.Helper()
	if _, err := r.sim.Receive(material, batch, plant, quantity); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) decideByHand(t *testing.T, code string) {
	t.Helper()
	if err := r.sim.DecideByHand(material, batch, code); err != nil {
		t.Fatal(err)
	}
}

func TestClient_Write_Release(t *testing.T) {
	blocked, free := event.Blocked, event.Unrestricted
	for _, c := range []struct {
		name   string
		cfg    simulator.Config
		stock  func(t *testing.T, r *rig)
		wanted []event.UsageStatus // after the usage decision, if the lot is under an inspection lot
		book   string
		ends   [4]string // in 01, 02, 07, 08
	}{
		{"an inspected lot is decided, then posted", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "100") }, []event.UsageStatus{free},
			"usage_decision lot_posting_VMENGE01", [4]string{"100", "0", "0", "0"}},
		{"the flag is cleared before the posting, which would land in restricted stock", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "100") }, []event.UsageStatus{event.Restricted, free},
			"usage_decision flag_set flag_cleared lot_posting_VMENGE01", [4]string{"100", "0", "0", "0"}},
		{"a lot that is blocked comes back by 343 and then as in a release", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) {
				r.sim.AddBatch(material, batch, "1010", "60", "01")
				r.receive(t, "1010", "40")
			},
			[]event.UsageStatus{blocked, free},
			"usage_decision flag_set transfer_344 transfer_343 flag_cleared lot_posting_VMENGE01", [4]string{"100", "0", "0", "0"}},
		{"each inspection lot is decided and posted by itself", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "70"); r.receive(t, "1020", "30.5") }, []event.UsageStatus{free},
			"usage_decision usage_decision lot_posting_VMENGE01 lot_posting_VMENGE01", [4]string{"100.5", "0", "0", "0"}},
		{"a code that posts the stock itself leaves nothing to post", simulator.Config{QM: []string{"*"}, Codes: posting("VMENGE01")},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "100") }, []event.UsageStatus{free},
			"usage_decision lot_posting_VMENGE01", [4]string{"100", "0", "0", "0"}},
		{"what such a code posts under the flag comes free with it", simulator.Config{QM: []string{"*"}, Codes: posting("VMENGE01")},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "100"); r.sim.SetFlag(material, batch, true) }, []event.UsageStatus{free},
			"flag_set usage_decision lot_posting_VMENGE01 flag_cleared", [4]string{"100", "0", "0", "0"}},
		{"stock without quality management passes by 321", simulator.Config{},
			func(_ *testing.T, r *rig) { r.sim.AddBatch(material, batch, "1010", "100", "02") }, []event.UsageStatus{event.Restricted, free},
			"flag_set flag_cleared transfer_321", [4]string{"100", "0", "0", "0"}},
		{"part of a lot that is free already does not make it released", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) {
				r.sim.AddBatch(material, batch, "1010", "60", "01")
				r.receive(t, "1010", "40")
			}, []event.UsageStatus{free},
			"usage_decision lot_posting_VMENGE01", [4]string{"100", "0", "0", "0"}},
		{"a blocked lot keeps its stock in inspection, held by the flag", simulator.Config{QM: []string{"*"}},
			func(t *testing.T, r *rig) { r.receive(t, "1010", "100") }, []event.UsageStatus{blocked},
			"usage_decision flag_set", [4]string{"0", "100", "0", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			c.stock(t, r)
			if end, err := r.settle(t, decides(t, quality.Release)); err != nil || end.Outcome == event.Rejected {
				t.Fatalf("usage decision: %+v, %v", end, err)
			}
			for i, usage := range c.wanted {
				if end, err := r.settle(t, wants(t, usage, int64(i+1))); err != nil || end.Outcome == event.Rejected {
					t.Fatalf("%s: %+v, %v", usage, end, err)
				}
			}
			if got := strings.Join(r.kinds(), " "); got != c.book {
				t.Errorf("effects %s, want %s", got, c.book)
			}
			for i, kind := range []string{"01", "02", "07", "08"} {
				if got := r.sim.Stock(material, batch, kind); got != c.ends[i] {
					t.Errorf("stock type %s holds %s, want %s", kind, got, c.ends[i])
				}
			}
		})
	}
}

// posting are codes of which the one that accepts posts all stock to a stock type.
func posting(to string) []simulator.Code {
	codes := simulator.DefaultCodes()
	codes[0].Posts = to
	return codes
}

func TestClient_Write_ReleaseCarriesTheReference(t *testing.T) {
	r := inspected(t, simulator.Config{})
	r.decideByHand(t, "A")
	e := wants(t, event.Unrestricted, 1)
	r.reach(t, e)
	if got := r.sim.Inspections(material, batch)[0].Texts; len(got) != 1 || !strings.HasSuffix(got[0], string(e.Ref)) {
		t.Errorf("item texts %v, want the reference %s", got, e.Ref)
	}
}

func TestClient_Write_ReleaseWhoseReferenceIsLost(t *testing.T) {
	r := inspected(t, simulator.Config{})
	r.decideByHand(t, "A")
	e := wants(t, event.Unrestricted, 1)
	_, version := r.read(t, e.Lot)
	forgetful := altered(t, r.sim, "A_InspLotMatlDocItem", `"MaterialDocumentItemText":"HOLDFAST`, `"MaterialDocumentItemText":"LOST`)
	if got := forgetful.Write(t.Context(), e, version); got.Outcome != event.Rejected || got.Code != "reference_lost" {
		t.Errorf("a posting without its item text: %+v, want a task for a person", got)
	}
}

func TestClient_Read_OriginOfInspectionLots(t *testing.T) {
	r := inspected(t, simulator.Config{})
	other := dial(t, r.url, password, func(c *sap.Config) { c.InspectionOrigins = []string{"08"} })
	v, version, err := other.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: lotKey(t, material, batch)})
	if err != nil || len(v.Inspections) != 0 {
		t.Errorf("an inspection lot whose origin is none of ours: %+v, %v", v.Inspections, err)
	}
	if got := other.Write(t.Context(), wants(t, event.Unrestricted, 1), version); got.Outcome != event.Rejected || got.Code != "QV/226" {
		t.Errorf("stock under it: %+v, want it refused by the system", got)
	}
}

func TestClient_Write_ReleaseWaits(t *testing.T) {
	for name, c := range map[string]struct {
		stock   func(t *testing.T, r *rig)
		outcome event.Outcome
		code    string
	}{
		"until the lot is decided": {func(*testing.T, *rig) {}, event.RetryLater, "usage_decision_missing"},
		"until each of its inspection lots is": {func(t *testing.T, r *rig) { r.decideByHand(t, "A"); r.receive(t, "1020", "5") },
			event.RetryLater, "usage_decision_missing"},
		"for a person where it was rejected": {func(t *testing.T, r *rig) { r.decideByHand(t, "R") }, event.Rejected, "usage_decision_other"},
		"while inspection lots cannot be read": {func(_ *testing.T, r *rig) {
			r.sim.Faults.Add(fault.Fault{Kind: fault.Status, Status: 403, On: "read", Path: "INSPECTIONLOT"})
		}, event.RetryLater, "http_403"},
	} {
		t.Run(name, func(t *testing.T) {
			r := inspected(t, simulator.Config{})
			r.sim.SetFlag(material, batch, true)
			c.stock(t, r)
			before := len(r.sim.Book())
			got := r.write(t, wants(t, event.Unrestricted, 1))
			if got.Outcome != c.outcome || got.Code != c.code || got.Waits != (c.outcome == event.RetryLater) || got.Refused {
				t.Errorf("%+v, want %s %s", got, c.outcome, c.code)
			}
			if len(r.sim.Book()) != before || !r.sim.Restricted(material, batch) {
				t.Errorf("something was done all the same: %v", r.kinds())
			}
		})
	}
}

func TestClient_Write_HoldNeedsNoInspectionService(t *testing.T) {
	for _, status := range []int{403, 404, 500} {
		r := inspected(t, simulator.Config{})
		r.sim.AddBatch(material, batch, "1010", "7", "01")
		r.sim.Faults.Add(fault.Fault{Kind: fault.Status, Status: status, On: "any", Path: "INSPECTIONLOT"})
		if end, err := r.settle(t, wants(t, event.Blocked, 1)); err != nil || end.Outcome != event.Applied {
			t.Errorf("a hold while the inspection service answers %d: %+v, %v", status, end, err)
		}
		if got := r.write(t, decides(t, quality.Release)); got.Outcome != event.RetryLater || !got.Waits || got.Refused {
			t.Errorf("a usage decision while the inspection service answers %d: %+v, want it to wait", status, got)
		}
		if v, _ := r.read(t, lotKey(t, material, batch)); len(v.Inspections) != 1 || len(v.Inspections[0].Decisions) != 0 {
			t.Errorf("lots that could not be read count as decided, or as none: %+v", v.Inspections)
		}
	}
}

func TestClient_Write_UsageDecision(t *testing.T) {
	for _, c := range []struct {
		name     string
		cfg      simulator.Config
		before   func(t *testing.T, r *rig)
		decision quality.Decision
		outcome  event.Outcome
		code     string // of the result, or on the inspection lot
		message  string // part of it
	}{
		{"is posted with the code of the configuration", simulator.Config{}, nil, quality.ConditionalRelease, event.Applied, "01/AC", ""},
		{"a reject is posted, too", simulator.Config{}, nil, quality.Reject, event.Applied, "01/R", ""},
		{"one with the same code is there already", simulator.Config{}, func(t *testing.T, r *rig) { r.decideByHand(t, "A") }, quality.Release,
			event.AlreadyApplied, "01/A", ""},
		{"one that stands for more than one decision is there already", simulator.Config{}, func(t *testing.T, r *rig) { r.decideByHand(t, "R") },
			quality.Scrap, event.AlreadyApplied, "01/R", ""},
		{"another code is for a person, with the facts", simulator.Config{}, func(t *testing.T, r *rig) { r.decideByHand(t, "R") }, quality.Release,
			event.Rejected, "usage_decision_other", "code R of group 01, selected set 01 of plant 1010, valuation R, by MILLER"},
		{"a code that nobody configured is for a person", simulator.Config{Codes: append(simulator.DefaultCodes(), simulator.Code{Set: "01", Group: "01", Code: "X9"})},
			func(t *testing.T, r *rig) { r.decideByHand(t, "X9") }, quality.Release, event.Rejected, "usage_decision_other", "code X9"},
		{"a decision without a code is for a person", simulator.Config{}, nil, quality.Regrade, event.Rejected, "usage_decision_unmapped", "000000001"},
		{"a digital signature is a person's", simulator.Config{Signatures: true}, nil, quality.Release, event.Rejected, "signature_required", "signature"},
		{"so is documentation", simulator.Config{Documentation: true}, nil, quality.Release, event.Rejected, "documentation_required", "documentation"},
		{"a code that customizing does not have is refused in the vendor's words", simulator.Config{Codes: []simulator.Code{{Set: "02", Group: "02", Code: "A"}}}, nil,
			quality.Release, event.Rejected, "QA/317", "not allowed in selected set 01"},
		{"a cancelled inspection lot needs none", simulator.Config{}, func(t *testing.T, r *rig) {
			if err := r.sim.CancelInspection(material, batch); err != nil {
				t.Fatal(err)
			}
		}, quality.Release, event.AlreadyApplied, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := inspected(t, c.cfg)
			if c.before != nil {
				c.before(t, r)
			}
			end, err := r.settle(t, decides(t, c.decision))
			if err != nil || end.Outcome != c.outcome {
				t.Fatalf("settled as %+v, %v; want %s", end, err, c.outcome)
			}
			lot := r.sim.Inspections(material, batch)[0]
			if c.outcome == event.Rejected {
				if end.Result.Code != c.code || !strings.Contains(end.Result.Message, c.message) {
					t.Errorf("%s %q, want %s with %q", end.Result.Code, end.Result.Message, c.code, c.message)
				}
				return
			}
			if lot.Code != c.code {
				t.Errorf("the inspection lot shows %q, want %q", lot.Code, c.code)
			}
		})
	}
}

func TestClient_Write_UsageDecisionWithoutInspectionLot(t *testing.T) {
	r := newRig(t, simulator.Config{})
	r.sim.AddBatch(material, batch, "1010", "100", "01")
	end, err := r.settle(t, decides(t, quality.Release))
	if err != nil || end.Outcome != event.AlreadyApplied || len(end.View.Inspections) != 0 || len(r.sim.Book()) != 0 {
		t.Errorf("a batch without inspection lot: %+v, %v", end, err)
	}
}

func TestClient_Write_UsageDecisionOfHistory(t *testing.T) {
	r := inspected(t, simulator.Config{Codes: append(posting("VMENGE01"), simulator.Code{Set: "01", Group: "01", Code: "B", Posts: "VMENGE04"})})
	r.decideByHand(t, "B") // the first lot was blocked; what is received after that is inspected by itself
	r.receive(t, "1010", "5")
	if end, err := r.settle(t, decides(t, quality.Release)); err != nil || end.Outcome != event.Applied {
		t.Errorf("a new inspection lot beside one that is history: %+v, %v", end, err)
	}
	lots := r.sim.Inspections(material, batch)
	if lots[0].Code != "01/B" || lots[1].Code != "01/A" {
		t.Errorf("decided as %s and %s", lots[0].Code, lots[1].Code)
	}
}

func TestClient_Write_LotChangedMeanwhile(t *testing.T) {
	clock := newClock()
	r := inspected(t, simulator.Config{Now: clock.now})
	_, version := r.read(t, lotKey(t, material, batch))
	clock.tick()
	r.sim.Require(material, batch, false, false) // any change
	if got := r.Write(t.Context(), decides(t, quality.Release), version); got.Outcome != event.Conflict {
		t.Errorf("a usage decision on an old version: %+v, want conflict", got)
	}
	r.decideByHand(t, "A")
	e := wants(t, event.Unrestricted, 1)
	_, version = r.read(t, e.Lot)
	clock.tick()
	r.sim.Require(material, batch, false, false)
	if got := r.Write(t.Context(), e, version); got.Outcome != event.Conflict {
		t.Errorf("a posting on an old version: %+v, want conflict", got)
	}
	r.reach(t, e)
}

func TestClient_Write_LotChangedInTheSameSecond(t *testing.T) {
	clock := newClock() // stands still, so that the lock shows no change
	r := inspected(t, simulator.Config{Now: clock.now})
	e := decides(t, quality.Release)
	_, version := r.read(t, e.Lot)
	if got := r.Write(t.Context(), e, version); got.Outcome != "" {
		t.Fatalf("usage decision: %+v", got)
	}
	if got := r.Write(t.Context(), e, version); got.Outcome != event.Conflict || got.Code != "QA/332" {
		t.Errorf("a second decision, refused because the first has landed: %+v, want conflict", got)
	}
	if end, err := r.settle(t, e); err != nil || end.Outcome != event.AlreadyApplied {
		t.Errorf("read again: %+v, %v", end, err)
	}
	first, second := wants(t, event.Unrestricted, 1), wants(t, event.Unrestricted, 2)
	_, version = r.read(t, e.Lot)
	if got := r.Write(t.Context(), first, version); got.Outcome != "" {
		t.Fatalf("posting: %+v", got)
	}
	if got := r.Write(t.Context(), second, version); got.Outcome != event.Conflict || got.Code != "QA/513" {
		t.Errorf("a posting of what another one has posted: %+v, want conflict", got)
	}
	r.reach(t, second)
	r.once(t)
}

func TestClient_Write_PostingThatDoesNotShowYet(t *testing.T) {
	r := inspected(t, simulator.Config{})
	r.decideByHand(t, "A")
	e := wants(t, event.Unrestricted, 1)
	_, version := r.read(t, e.Lot)
	if got := r.Write(t.Context(), e, version); got.Outcome != "" {
		t.Fatalf("posting: %+v", got)
	}
	if got := r.Write(t.Context(), e, version); got.Outcome != event.RetryLater || got.Code != "posting_not_visible" || !got.Waits {
		t.Errorf("on a lot that still shows its quantity: %+v, want it looked up and not posted again", got)
	}
	if got := strings.Join(r.kinds(), " "); got != "usage_decision lot_posting_VMENGE01" {
		t.Errorf("effects %s", got)
	}
}

func TestClient_PlantScope(t *testing.T) {
	sim, err := simulator.New(simulator.Config{User: user, Password: password, Plant: "1030", BatchPlant: "1030", QM: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	defer server.Close()
	r := &rig{Client: dial(t, server.URL, password, func(c *sap.Config) { c.LotScope = "plant" }), sim: sim}
	r.receive(t, "", "100")
	lot, err := event.NewLotKey("1030", material, batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []quality.Effect{wants(t, event.Restricted, 1), decides(t, quality.Release), wants(t, event.Unrestricted, 2)} {
		e.Lot = lot
		if end, err := r.settle(t, e); err != nil || end.Outcome != event.Applied {
			t.Fatalf("%s: %+v, %v", e.Kind, end, err)
		}
	}
	views, _, err := r.Changes(t.Context(), "", 10)
	if err != nil || len(views) != 1 || views[0].Lot != lot || sim.Stock(material, batch, "01") != "100" {
		t.Errorf("changes %+v, %v, free %s", views, err, sim.Stock(material, batch, "01"))
	}
}

func TestClient_Read_Inspection(t *testing.T) {
	r := inspected(t, simulator.Config{})
	r.receive(t, "1020", "0.125")
	r.decideByHand(t, "AC")
	r.receive(t, "1030", "1")
	v, _ := r.read(t, lotKey(t, material, batch))
	want := []string{"1010:02:100.000000", "1020:02:0.125000", "1030:02:1.000000"}
	var got []string
	for _, s := range v.Stock {
		got = append(got, s.Plant+":"+s.Raw+":"+s.Q.Value.Rat().FloatString(6))
	}
	if !slices.Equal(got, want) || v.Usage != event.InInspection || v.Stock[2].Location != "0001" {
		t.Errorf("stock %v (%+v), want %v in inspection", got, v.Stock, want)
	}
	if len(v.Inspections) != 3 || len(v.Inspections[0].ID) != 12 || v.Inspections[2].Plant != "1030" || v.Inspections[2].Raw != "" ||
		!slices.Equal(v.Inspections[1].Decisions, []quality.Decision{quality.ConditionalRelease}) || len(v.Inspections[2].Decisions) != 0 {
		t.Errorf("inspection lots %+v", v.Inspections)
	}
}
