package sap_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// journal is a log that several clients write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func TestSuite(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) *connectortest.Rig { return suiteRig(t, simulator.Config{}) }, &connectortest.Bare{})
}

func suiteRig(t *testing.T, cfg simulator.Config) *connectortest.Rig {
	clock := &connectortest.Clock{}
	cfg.User, cfg.Password, cfg.LockAfter, cfg.Now = user, password, 6, clock.Now
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	logs := &journal{}
	connect := func(t *testing.T, secret string) connector.System {
		file := filepath.Join(t.TempDir(), "pw")
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		c := sap.DefaultConfig()
		c.URL, c.User, c.PasswordFile, c.UsageDecisions = server.URL, user, config.SecretFile(file), codes()
		client, err := sap.New(c, sap.Deps{System: "s4", Log: zerolog.New(logs)})
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	return &connectortest.Rig{
		System:    connect(t, password),
		Client:    func(t *testing.T) connector.System { return connect(t, password) },
		Stranger:  func(t *testing.T) connector.System { return connect(t, "wrong-"+password) },
		Refusals:  sim.BadLogins,
		Refreshes: sim.TokensFetched,
		Effect:    func(t *testing.T, kind quality.Kind, n int) quality.Effect { return suiteEffect(t, sim, kind, n) },
		Count:     func(e quality.Effect) int { return countEffects(t, sim, e) },
		Touch: func(t *testing.T, e quality.Effect) {
			_, m, b, err := e.Lot.Parts()
			if err != nil {
				t.Fatal(err)
			}
			sim.SetFlag(m, b, !sim.Restricted(m, b))
		},
		Break: func(f connectortest.Fault, n int, argument string) {
			if f == connectortest.Expired {
				sim.ForgetSessions()
				return
			}
			sim.Faults.Add(playable(f, n, argument))
		},
		Heal: sim.Faults.Clear,
		Unknown: func(t *testing.T) connector.Object {
			sim.AddBatch(material, "ODD", "1010", "5", "99")
			return connector.Object{Kind: connector.ObjectLot, Lot: lotKey(t, material, "ODD")}
		},
		Forgetful: func(t *testing.T, how string) *connectortest.Rig {
			return suiteRig(t, simulator.Config{References: how})
		},
		Exact:    func(t *testing.T) []connectortest.Exact { return exactLots(t, sim) },
		Freeze:   clock.Freeze,
		Snapshot: sim.Snapshot, Restore: sim.Restore,
		Secrets: []string{password, user + ":" + password, "token-1==", "session-1"},
		Logs:    logs.String,
	}
}

func playable(f connectortest.Fault, n int, argument string) fault.Fault {
	out := fault.Fault{Kind: fault.Kind(f), Times: n, RetryAfter: argument}
	switch f {
	case connectortest.LoginPage, connectortest.ErrorBody, connectortest.Garbage, connectortest.Echo, connectortest.Throttle:
		out.On = "any"
	}
	return out
}

func suiteEffect(t *testing.T, sim *simulator.Simulator, kind quality.Kind, n int) quality.Effect {
	b := fmt.Sprintf("L-%04d", n)
	stock := "01"
	if kind == quality.UsageDecisionPost {
		stock = "02"
	}
	sim.AddBatch(material, b, "1010", "100", stock)
	sim.PutUnderInspectionLot(material, b)
	lot := lotKey(t, material, b)
	id := quality.CommandID("hold", string(lot), string(kind), 1)
	e := quality.Effect{CommandID: id, Ref: quality.Reference(id), Kind: kind, System: "s4", Object: string(lot), Lot: lot, Generation: 1}
	switch kind {
	case quality.LotUsageSet:
		e.Usage = event.Blocked
	case quality.UsageDecisionPost:
		e.Decision = quality.Release
	default:
		e.Q = event.Quantity{Value: "12.5", Unit: "kg"}
	}
	return e
}

// countEffects counts how often an effect took place, by the step of it that took place most often.
func countEffects(t *testing.T, sim *simulator.Simulator, e quality.Effect) int {
	_, m, b, err := e.Lot.Parts()
	if err != nil {
		t.Error(err)
	}
	n := map[string]int{}
	for _, entry := range sim.Batch(m, b) {
		n[entry.Kind]++ // each effect has a batch of its own
	}
	switch {
	case e.Kind == quality.UsageDecisionPost:
		return n["usage_decision"]
	case e.Kind == quality.StockTransfer:
		return n["transfer_344"]
	case e.Usage == event.Unrestricted:
		return max(n["flag_cleared"], n["transfer_343"])
	}
	return max(n["flag_set"], n["transfer_344"])
}

func exactLots(t *testing.T, sim *simulator.Simulator) []connectortest.Exact {
	var out []connectortest.Exact
	for _, c := range []struct {
		material, batch string
		quantity        event.Decimal
	}{
		{"000000000000012345", "0007", "0.001"},
		{"123456789012345678901234567890123456789X", "L/8'8 2&1", "1234567890.123"},
		{"MÄT-ß", "批次1", "10000"},
	} {
		sim.AddBatch(c.material, c.batch, "1010", string(c.quantity), "01")
		lot := lotKey(t, c.material, c.batch)
		id := quality.CommandID("hold", string(lot), "usage", 1)
		e := quality.Effect{CommandID: id, Ref: quality.Reference(id), Kind: quality.LotUsageSet, Object: string(lot), Lot: lot, Usage: event.Blocked}
		out = append(out, connectortest.Exact{Name: strings.ReplaceAll(c.batch, "/", "_"), Effect: e, Same: func(v connector.View) error {
			if len(v.Stock) != 1 || v.Stock[0].Q.Value.Cmp(c.quantity) != 0 || v.Lot != lot || v.Stock[0].Usage != event.Blocked {
				return fmt.Errorf("stock %+v of %s, want %s blocked", v.Stock, v.Lot, c.quantity)
			}
			if got := sim.Stock(c.material, c.batch, "07"); got != string(c.quantity) {
				return fmt.Errorf("the system blocked %s, want %s", got, c.quantity)
			}
			return nil
		}})
	}
	return out
}
