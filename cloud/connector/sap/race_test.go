package sap_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/dispatch"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// flipping is a client whose every write is noted, with what was wanted of it.
type flipping struct {
	*rig
	t      *testing.T
	wanted string
}

func (f *flipping) Write(ctx context.Context, e quality.Effect, v connector.Version) connector.Result {
	before := len(f.kinds())
	r := f.rig.Write(ctx, e, v)
	for _, kind := range f.kinds()[before:] {
		holds := kind == "flag_set" || kind == "transfer_344"
		if holds != (f.wanted == "hold") {
			f.t.Errorf("%s took place while a %s was wanted", kind, f.wanted)
		}
	}
	return r
}

var errHeld = errors.New("the lot is held")

// release takes a disposition through the protocol as a dispatcher does: usage decision, then usage, each tried again
// after what is not known. Held is asked before every write.
func (f *flipping) release(t *testing.T, held func() bool) {
	t.Helper()
	usage := func(e quality.Effect) quality.Effect {
		e.Usage, f.wanted = event.Unrestricted, "release"
		if held() {
			e.Usage, f.wanted = event.Restricted, "hold"
		}
		return e
	}
	for _, e := range []quality.Effect{decides(t, quality.Release), wants(t, event.Unrestricted, 1)} {
		for try := 0; ; try++ {
			if try == 40 {
				t.Fatalf("%s does not come to rest: %v", e.Kind, f.kinds())
			}
			p := &dispatch.Protocol{
				System: f, Effect: e, Wrote: try > 0, Mark: func(context.Context) error { return nil },
				Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
					if e.Kind == quality.LotUsageSet {
						return usage(e), nil
					}
					if f.wanted = "release"; held() {
						return e, errHeld
					}
					return e, nil
				},
			}
			end, err := p.Run(t.Context())
			if errors.Is(err, errHeld) {
				break
			}
			if err == nil && end.Result.Code == "not_done" {
				continue // a person looks, and tries again
			}
			if err == nil && end.Outcome == event.Rejected {
				t.Fatalf("%s: %+v", e.Kind, end.Result)
			}
			if err == nil {
				break
			}
			var r connector.Result
			if errors.As(err, &r) && r.Code == "usage_decision_missing" {
				return // the usage decision waits for the hold, and this for the decision
			}
		}
	}
}

// once fails if anything took place at the target more often than a lot can bear.
func (r *rig) once(t *testing.T) {
	t.Helper()
	decided, posted := map[string]int{}, map[string]int{}
	for _, e := range r.sim.Book() {
		switch e.Kind {
		case "usage_decision":
			decided[e.Record]++
		case "lot_posting_VMENGE01":
			posted[e.Record]++
		}
	}
	for _, l := range r.sim.Inspections(material, batch) {
		if decided[l.Number] > 1 || posted[l.Number] > 1 {
			t.Errorf("inspection lot %s has %d usage decisions and %d postings, want one of each at the most", l.Number, decided[l.Number], posted[l.Number])
		}
	}
}

func TestClient_Release_HoldBetweenAnyTwoSteps(t *testing.T) {
	for _, codes := range [][]simulator.Code{simulator.DefaultCodes(), posting("VMENGE01")} {
		for step := range 12 {
			r := inspected(t, simulator.Config{Codes: codes})
			r.sim.AddBatch(material, batch, "1010", "20", "01")
			r.reach(t, wants(t, event.Blocked, 7))
			f, asked := &flipping{rig: r, t: t}, 0
			f.release(t, func() bool { asked++; return asked > step })
			if asked <= step {
				if r.sim.Stock(material, batch, "01") != "120" || r.sim.Restricted(material, batch) {
					t.Errorf("without a hold the release ends with %s free: %v", r.sim.Stock(material, batch, "01"), r.kinds())
				}
			} else if v, _ := r.read(t, lotKey(t, material, batch)); r.sim.Stock(material, batch, "01") != "0" || !v.Is(event.Restricted) && !v.Is(event.Blocked) {
				t.Errorf("a hold after step %d leaves %s free, the ERP shows %s: %v", step, r.sim.Stock(material, batch, "01"), v.UsageRaw, r.kinds())
			}
			f.release(t, func() bool { return false }) // lifted
			if r.sim.Stock(material, batch, "01") != "120" {
				t.Errorf("after the hold of step %d was lifted %s is free: %v", step, r.sim.Stock(material, batch, "01"), r.kinds())
			}
			r.once(t)
		}
	}
}

func TestClient_Release_AnswerLostAtEachStep(t *testing.T) {
	for _, kind := range []fault.Kind{fault.LostAfter, fault.LostBefore, fault.StatusAfter, fault.Conflict, fault.Unversioned, fault.Expired,
		fault.TokenNeeded, fault.ErrorBody, fault.LoginPage, fault.Nothing, fault.Garbage, fault.Throttle} {
		for nth := range 5 {
			r := inspected(t, simulator.Config{})
			r.reach(t, wants(t, event.Restricted, 7))
			for range nth { // writes that go well come first
				r.sim.Faults.Add(fault.Fault{Kind: fault.Slow, Times: 1})
			}
			r.sim.Faults.Add(fault.Fault{Kind: kind, Status: 504, Times: 1})
			f := &flipping{rig: r, t: t}
			f.release(t, func() bool { return false })
			if got := strings.Join(r.kinds(), " "); got != "flag_set usage_decision flag_cleared lot_posting_VMENGE01" {
				t.Errorf("%s of write %d: effects %s", kind, nth+1, got)
			}
		}
	}
}

// TestClient_Release_Random drives releases through faults, holds that come and go, goods receipts and people who decide in
// the system: whatever happens, a held lot is not free at the end, and nothing takes place twice.
func TestClient_Release_Random(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		cfg := simulator.Config{}
		if rnd.IntN(3) == 0 {
			cfg.Codes = posting("VMENGE01")
		}
		r := inspected(t, cfg)
		kinds := []fault.Kind{fault.LostAfter, fault.LostBefore, fault.StatusAfter, fault.Status, fault.Conflict, fault.Expired, fault.Nothing, fault.ErrorBody}
		for range rnd.IntN(4) {
			r.sim.Faults.Add(fault.Fault{Kind: kinds[rnd.IntN(len(kinds))], Every: 1 + rnd.IntN(4), Times: 1 + rnd.IntN(2)})
		}
		f, held := &flipping{rig: r, t: t}, rnd.IntN(2) == 0
		for range 1 + rnd.IntN(4) {
			switch rnd.IntN(6) {
			case 0:
				r.receive(t, []string{"1010", "1020"}[rnd.IntN(2)], "3")
			case 1:
				_ = r.sim.DecideByHand(material, batch, "A") // there may be nothing to decide
			case 2:
				r.sim.SetFlag(material, batch, true)
			}
			f.release(t, func() bool {
				if rnd.IntN(5) == 0 {
					held = !held
				}
				return held
			})
		}
		r.sim.Faults.Clear()
		for _, h := range []bool{true, false} {
			f.release(t, func() bool { return h })
			free := r.sim.Stock(material, batch, "01")
			if inspection := r.sim.Stock(material, batch, "02"); h && free != "0" || !h && (free == "0" || inspection != "0" || r.sim.Restricted(material, batch)) {
				t.Errorf("seed %d, held %t: %s free, %s in inspection: %v", seed, h, free, inspection, r.kinds())
			}
		}
		r.once(t)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
