package rest_test

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
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

const token = "canary+token/7f3c=="

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
	connectortest.Run(t, func(t *testing.T) *connectortest.Rig { return suiteRig(t, qms.Config{}) }, &connectortest.Bare{})
}

func dial(t *testing.T, mapping, url, secret string, log zerolog.Logger) *rest.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := rest.DefaultConfig()
	cfg.URL, cfg.Mapping, cfg.TokenFile = url, config.Path(mapping), config.SecretFile(file)
	client, err := rest.New(cfg, rest.Deps{System: "sys1", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func suiteRig(t *testing.T, cfg qms.Config) *connectortest.Rig {
	clock := &connectortest.Clock{}
	cfg.Token, cfg.Now = token, clock.Now
	sim, err := qms.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rig := serviceRig(t, "testdata/qms.rest.yaml", sim.Service)
	rig.Effect = func(_ *testing.T, kind quality.Kind, n int) quality.Effect { return suiteEffect(sim, kind, n) }
	rig.Count = func(e quality.Effect) int { return countEffects(sim, e) }
	rig.Touch = func(_ *testing.T, e quality.Effect) { // an inspection's record never changes
		for _, entry := range sim.Nonconformance(e.Object) {
			sim.SetState(entry.Record, "contained")
		}
	}
	rig.UnknownWord = "under appeal"
	rig.Unknown = func(*testing.T) connector.Object {
		id := sim.AddRecord("nc:odd", "odd")
		sim.SetState(id, rig.UnknownWord)
		return connector.Object{Kind: connector.ObjectRecord, ID: id}
	}
	rig.Forgetful = func(t *testing.T, how string) *connectortest.Rig { return suiteRig(t, qms.Config{References: how}) }
	rig.Exact = func(*testing.T) []connectortest.Exact { return append(exactRecords(sim), exactInspections(sim)...) }
	rig.Freeze, rig.Snapshot, rig.Restore = clock.Freeze, sim.Snapshot, sim.Restore
	return rig
}

// serviceRig returns what the rigs of all simulated services have in common.
func serviceRig(t *testing.T, mapping string, sim *service.Service) *connectortest.Rig {
	t.Helper()
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	logs := &journal{}
	connect := func(t *testing.T, secret string) connector.System {
		return dial(t, mapping, server.URL, secret, zerolog.New(logs))
	}
	return &connectortest.Rig{
		System:   connect(t, token),
		Client:   func(t *testing.T) connector.System { return connect(t, token) },
		Stranger: func(t *testing.T) connector.System { return connect(t, "wrong-"+token) },
		Refusals: sim.BadTokens,
		Break: func(f connectortest.Fault, n int, argument string) {
			out := fault.Fault{Kind: fault.Kind(f), Times: n, RetryAfter: argument}
			switch f {
			case connectortest.LoginPage, connectortest.ErrorBody, connectortest.Garbage, connectortest.Echo, connectortest.Throttle:
				out.On = "any"
			}
			sim.Faults.Add(out)
		},
		Heal:    sim.Faults.Clear,
		Secrets: []string{token},
		Logs:    logs.String,
	}
}

func suiteEffect(sim *qms.Simulator, kind quality.Kind, n int) quality.Effect {
	if kind == quality.InspectionSubmit {
		return inspectionEffect(n)
	}
	object := fmt.Sprintf("nc:n-%032d", n)
	id := quality.CommandID("w3", object, string(kind), 1)
	e := quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: kind, System: "qms1", Object: object, Lot: "lot::MAT-100:L-1", Generation: 1,
		Record: &quality.Record{
			Title: "Torque 61.2 N.m above 50", Description: "press 4", Severity: event.Major, State: quality.NCOpened,
			Lots: []event.LotKey{"lot::MAT-100:L-1"}, Source: "press4",
		},
	}
	if kind == quality.NonconformanceAdvance {
		e.Record.State = quality.NCContained
		sim.AddRecord(object, e.Record.Title)
	}
	return e
}

func countEffects(sim *qms.Simulator, e quality.Effect) int {
	if e.Kind == quality.InspectionSubmit {
		return len(sim.Of(string(e.Lot) + "#" + e.Object))
	}
	n := 0
	for _, entry := range sim.Nonconformance(e.Object) {
		if e.Kind == quality.NonconformanceEnsure && entry.Kind == "record_created" ||
			e.Kind == quality.NonconformanceAdvance && entry.Kind == "state_changed" && entry.Detail == string(e.Record.State) {
			n++
		}
	}
	return n
}

func exactRecords(sim *qms.Simulator) []connectortest.Exact {
	var out []connectortest.Exact
	for i, title := range []string{
		"0007", `He said "no" \ <b>&amp;</b> {{.Ref}}`, strings.Repeat("x", 40), "尺寸超差 ±0.001\nsecond line", "1234567890.123",
	} {
		e := suiteEffect(sim, quality.NonconformanceEnsure, 100+i)
		record := *e.Record
		record.Title = title
		e.Record = &record
		out = append(out, connectortest.Exact{Name: fmt.Sprint(i), Effect: e, Same: func(v connector.View) error {
			if v.Fields["title"] != title {
				return fmt.Errorf("title %q, want %q", v.Fields["title"], title)
			}
			return nil
		}})
	}
	return out
}
