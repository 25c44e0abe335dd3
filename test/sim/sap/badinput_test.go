package sap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	connected "github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// erp is the simulated system with the connector in front of it.
type erp struct {
	*connected.Client
	sim *sap.Simulator
	url string
}

func connectERP(t *testing.T) *erp {
	t.Helper()
	sim, err := sap.New(sap.Config{User: "U", Password: "P"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(sim.Handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return &erp{Client: dialERP(t, server.URL, "P"), sim: sim, url: server.URL}
}

func dialERP(t *testing.T, url, password string) *connected.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := connected.DefaultConfig()
	cfg.URL, cfg.User, cfg.PasswordFile = url, "U", config.SecretFile(file)
	cfg.UsageDecisions = map[quality.Decision]connected.UsageDecision{quality.Release: {Code: "A", CodeGroup: "01", SelectedSet: "01"}}
	c, err := connected.New(cfg, connected.Deps{System: "s4"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// block returns the effect that blocks lot n, whose batch it makes, and the version to write on.
func (e *erp) block(t *testing.T, n int) (quality.Effect, connector.Version) {
	t.Helper()
	batch := fmt.Sprintf("L-%d", n)
	e.sim.AddBatch("M-1", batch, "1010", "100", "01")
	lot, err := event.NewLotKey("", "M-1", batch)
	if err != nil {
		t.Fatal(err)
	}
	id := quality.CommandID("w2", string(lot), "usage", 1)
	effect := quality.Effect{CommandID: id, Ref: quality.Reference(id), Kind: quality.LotUsageSet, Object: string(lot), Lot: lot, Usage: event.Blocked}
	return effect, e.version(t, effect)
}

// inspected returns the effect that decides lot n, or with freed the one that frees it after that, and the version to
// write on.
func (e *erp) inspected(t *testing.T, n int, freed bool) (quality.Effect, connector.Version) {
	t.Helper()
	batch := fmt.Sprintf("I-%d", n)
	e.sim.AddBatch("M-1", batch, "1010", "100", "02")
	e.sim.PutUnderInspectionLot("M-1", batch)
	lot, err := event.NewLotKey("", "M-1", batch)
	if err != nil {
		t.Fatal(err)
	}
	id := quality.CommandID("w1", string(lot), "usage_decision", 1)
	effect := quality.Effect{CommandID: id, Ref: quality.Reference(id), Kind: quality.UsageDecisionPost, Object: string(lot), Lot: lot, Decision: quality.Release}
	if freed {
		if err := e.sim.DecideByHand("M-1", batch, "A"); err != nil {
			t.Fatal(err)
		}
		effect.Kind, effect.Usage = quality.LotUsageSet, event.Unrestricted
	}
	return effect, e.version(t, effect)
}

// each runs a case for a hold, a usage decision and a posting out of inspection, each on a lot of its own.
func (e *erp) each(t *testing.T, n int, run func(effect quality.Effect, version connector.Version)) {
	t.Helper()
	run(e.block(t, n))
	run(e.inspected(t, 2*n, false))
	run(e.inspected(t, 2*n+1, true))
}

func (e *erp) version(t *testing.T, effect quality.Effect) connector.Version {
	t.Helper()
	_, version, err := e.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: effect.Lot})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// settles fails unless the effect ends as wanted, with each of its steps once at the target.
func (e *erp) settles(t *testing.T, effect quality.Effect, want event.Outcome) {
	t.Helper()
	s := &connectortest.Bare{}
	if got := s.Settle(t.Context(), e, effect, func(w quality.Effect) quality.Effect { return w }); got != want {
		t.Errorf("settled as %s, want %s", got, want)
	}
	_, _, batch, _ := effect.Lot.Parts()
	kinds := []string{}
	for _, entry := range e.sim.Batch("M-1", batch) {
		kinds = append(kinds, entry.Kind)
	}
	steps := map[event.UsageStatus]string{event.Blocked: "flag_set transfer_344", event.Unrestricted: "usage_decision lot_posting_VMENGE01", "": "usage_decision"}
	if got := strings.Join(kinds, " "); got != steps[effect.Usage] {
		t.Errorf("the book shows %q, want %q", got, steps[effect.Usage])
	}
}

func TestB071_RefusedOrTimedOut(t *testing.T) {
	e := connectERP(t)
	effect, version := e.block(t, 1)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	if r := dialERP(t, closed.URL, "P").Write(t.Context(), effect, version); r.Outcome != event.RetryLater {
		t.Errorf("nobody listens: %v, want retry_later", r)
	}
	e.settles(t, effect, event.Applied)
	effect, version = e.block(t, 2)
	e.sim.Faults.Add(fault.Fault{Kind: fault.Stuck, Delay: fault.Duration(200 * time.Millisecond), Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := e.Write(ctx, effect, version); r.Outcome != event.Unknown {
		t.Errorf("bytes were sent, no answer in time: %v, want unknown", r)
	}
	e.settles(t, effect, event.Applied) // whether the first write lands before, between or after: one effect
}

// afterwards is how an effect ends that is settled after its first write: a hold has a second step to take.
func afterwards(effect quality.Effect, landed bool) event.Outcome {
	if landed && effect.Usage != event.Blocked {
		return event.AlreadyApplied
	}
	return event.Applied
}

func TestB072_AnswerLostAfterTheEffect(t *testing.T) {
	e := connectERP(t)
	e.each(t, 1, func(effect quality.Effect, _ connector.Version) {
		e.sim.Faults.Add(fault.Fault{Kind: fault.LostAfter})
		e.settles(t, effect, event.AlreadyApplied)
		e.sim.Faults.Clear()
	})
}

func TestB073_RetryAfter(t *testing.T) {
	e := connectERP(t)
	effect, version := e.block(t, 1)
	for after, want := range map[string]time.Duration{
		"5": 5 * time.Second, "86400": connector.MaxRetryAfter, "abc": 0, "-1": 0,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		e.sim.Faults.Add(fault.Fault{Kind: fault.Throttle, RetryAfter: after})
		if r := e.Write(t.Context(), effect, version); r.Outcome != event.RetryLater || r.RetryAfter != want {
			t.Errorf("Retry-After %q: %v after %s, want %s", after, r, r.RetryAfter, want)
		}
		e.sim.Faults.Clear()
	}
	e.settles(t, effect, event.Applied)
}

func TestB074_ServerError(t *testing.T) {
	e := connectERP(t)
	for n, kind := range []fault.Kind{fault.Status, fault.StatusAfter} {
		e.each(t, n, func(effect quality.Effect, version connector.Version) {
			e.sim.Faults.Add(fault.Fault{Kind: kind, Status: 500, Times: 1})
			if r := e.Write(t.Context(), effect, version); r.Outcome != event.Unknown {
				t.Errorf("%s 500: %v, want unknown: it is looked up", kind, r)
			}
			e.settles(t, effect, afterwards(effect, kind == fault.StatusAfter))
		})
	}
}

func TestB075_Conflict(t *testing.T) {
	e := connectERP(t)
	for n, kind := range []fault.Kind{fault.Status, fault.StatusAfter} { // another version; already in that state
		e.each(t, n, func(effect quality.Effect, version connector.Version) {
			e.sim.Faults.Add(fault.Fault{Kind: kind, Status: 409, Times: 1})
			if r := e.Write(t.Context(), effect, version); r.Outcome != event.Conflict {
				t.Errorf("%s 409: %v, want conflict: read and decided again", kind, r)
			}
			e.settles(t, effect, afterwards(effect, kind == fault.StatusAfter))
		})
	}
}

func TestB076_RefusedForGood(t *testing.T) {
	e := connectERP(t)
	effect, _ := e.block(t, 1)
	effect.Kind, effect.Q = quality.StockTransfer, event.Quantity{Value: "100", Unit: "kg"}
	version := e.version(t, effect)
	e.sim.Restore() // nothing of it is there any more
	if r := e.Write(t.Context(), effect, version); r.Outcome != event.Rejected || !strings.Contains(r.Message, "does not exist") || r.Code != "M7/042" {
		t.Errorf("400: %v, want rejected in the vendor's words", r)
	}
}

func TestB077_LogInRefused(t *testing.T) {
	e := connectERP(t)
	effect, version := e.block(t, 1)
	g := connector.NewGuard(dialERP(t, e.url, "wrong"), connector.GuardConfig{})
	for range 20 {
		if r := g.Write(t.Context(), effect, version); r.Outcome != event.RetryLater || !r.Refused {
			t.Fatalf("wrong password: %v, want refused", r)
		}
	}
	if n := e.sim.BadLogins(); n > 2 || !g.Open() {
		t.Errorf("%d log-ins of 20 calls, stopped %t; want at most 2 and true", n, g.Open())
	}
}

func TestB078_NoAnswerUnder200(t *testing.T) {
	e := connectERP(t)
	for n, kind := range []fault.Kind{fault.LoginPage, fault.ErrorBody, fault.Garbage, fault.Nothing} {
		e.each(t, n, func(effect quality.Effect, version connector.Version) {
			e.sim.Faults.Add(fault.Fault{Kind: kind, Times: 1})
			r := e.Write(t.Context(), effect, version)
			want := event.Unknown
			if effect.Usage == event.Blocked && kind == fault.Nothing { // an empty 204 shows only by the look afterwards
				want = ""
			}
			if r.Outcome != want {
				t.Errorf("%s: %v, want %q", kind, r, want)
			}
			e.settles(t, effect, event.Applied)
		})
	}
}

func TestB079_AnswerWithoutEnd(t *testing.T) {
	e := connectERP(t)
	effect, version := e.block(t, 1)
	e.sim.Faults.Add(fault.Fault{Kind: fault.Huge, On: "any"})
	if r := e.Write(t.Context(), effect, version); r.Outcome == "" {
		t.Error("an answer without end to a write counts as acknowledged")
	}
	_, _, err := e.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: effect.Lot})
	var r connector.Result
	if !errors.As(err, &r) || r.Code != "answer_too_large" {
		t.Errorf("an answer without end to a read: %v", err)
	}
	e.sim.Faults.Clear()
	e.settles(t, effect, event.Applied)
}

func TestB080_RedirectToAnotherHost(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host was called, with credentials %t", r.Header.Get("Authorization") != "")
	}))
	defer other.Close()
	e := connectERP(t)
	effect, version := e.block(t, 1)
	e.sim.Faults.Add(fault.Fault{Kind: fault.Redirect, On: "any", Location: other.URL})
	if r := e.Write(t.Context(), effect, version); r.Outcome != event.RetryLater {
		t.Errorf("write: %v", r)
	}
	if _, _, err := e.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: effect.Lot}); err == nil {
		t.Error("read: a redirect counts as an answer")
	}
	e.sim.Faults.Clear()
	e.settles(t, effect, event.Applied)
}

func TestB081_UntrustedCertificate(t *testing.T) {
	e := connectERP(t)
	effect, version := e.block(t, 1)
	server := httptest.NewUnstartedServer(e.sim.Handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if r := dialERP(t, server.URL, "P").Write(t.Context(), effect, version); r.Outcome != event.RetryLater || r.Code != "tls" {
		t.Errorf("a certificate of an unknown authority: %v", r)
	}
	if len(e.sim.Book()) != 0 {
		t.Error("an effect took place all the same")
	}
}

func TestB082_RestoredFromBackup(t *testing.T) {
	e := connectERP(t)
	effect, _ := e.block(t, 1)
	e.sim.Snapshot()
	e.settles(t, effect, event.Applied)
	e.sim.Restore()
	v, _, err := e.Read(t.Context(), connector.Object{Kind: connector.ObjectLot, Lot: effect.Lot})
	if err != nil || v.Shows(&effect) {
		t.Errorf("the restored system: %+v, %v; want it to show that the effect is gone", v, err)
	}
	if n := len(e.sim.Book()); n != 2 {
		t.Errorf("%d effects after looking, want the 2 from before", n)
	}
}
