package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// certificateDir has certificates of one OPC UA server, and one of an agent.
const certificateDir = "cmd/holdfast-agent/testdata/cert"

// trusting returns a configuration whose OPC UA sources have these certificates in their trust folder.
func trusting(t *testing.T, files map[string]string) Config {
	t.Helper()
	cfg, _, err := Load("testdata/opcua.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data = config.Path(t.TempDir())
	for to, from := range files {
		path := filepath.Join(cfg.PKI(), to)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, must(os.ReadFile(filepath.Join(certificateDir, from)))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func printOf(t *testing.T, file string) string {
	t.Helper()
	return opcua.ReadEntry(opcua.UseTrusted, filepath.Join(certificateDir, file)).Thumbprint()
}

// TestCertificateMetrics_OPCUA shows the agent's own certificate by each source that shows it, and those of servers by
// thumbprint, but for one that its server has gone on from, and those that no one accepted.
func TestCertificateMetrics_OPCUA(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	cfg := trusting(t, map[string]string{
		"own/holdfast.pem": "own.der", "trusted/new.der": "server.der", "trusted/old.der": "server-old.der", "trusted/plain.der": "no-uri.der",
		"rejected/x.der": "server-expired.der",
	})
	reg := prometheus.NewRegistry()
	reg.MustRegister(certificateMetrics{cfg.Certificates, func() time.Time { return now }})
	got := series(t, reg)
	day := (24 * time.Hour).Seconds()
	want := map[string]float64{"press1": 12 * day, "press1-parts": 12 * day, "trusted:" + printOf(t, "server.der"): 463 * day, "trusted:" + printOf(t, "no-uri.der"): 463 * day}
	for use, seconds := range want {
		if got["holdfast_agent_certificate_expiry_seconds "+use] != seconds {
			t.Errorf("%s has %v, want %v", use, got["holdfast_agent_certificate_expiry_seconds "+use], seconds)
		}
	}
	if len(got) != len(want) {
		t.Errorf("series are %v", got)
	}
}

func TestEnding(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // of which files
	}{
		"Own":           {map[string]string{"own/holdfast.pem": "own.der", "trusted/a.der": "server.der"}, []string{"holdfast.pem"}},
		"Trusted":       {map[string]string{"trusted/a.der": "server-old.der"}, []string{"a.der"}},
		"ServerWentOn":  {map[string]string{"trusted/a.der": "server-old.der", "trusted/b.der": "server.der"}, nil},
		"NotYetTrusted": {map[string]string{"trusted/a.der": "server-old.der", "rejected/b.der": "server.der"}, []string{"a.der"}},
		"Rejected":      {map[string]string{"rejected/a.der": "server-expired.der"}, nil},
		"Ended":         {map[string]string{"trusted/a.der": "server-expired.der"}, []string{"a.der"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := trusting(t, c.files)
			soon := ending(must(cfg.Certificates(now))(t), now)
			for i, e := range soon {
				if i >= len(c.want) || filepath.Base(e.File) != c.want[i] {
					t.Errorf("%s ends", e.File)
				}
			}
			if len(soon) != len(c.want) {
				t.Errorf("%d end, want %v", len(soon), c.want)
			}
			if len(c.want) > 0 && c.want[0] == "holdfast.pem" && !soon[0].Renewable {
				t.Error("the agent cannot make its own anew")
			}
		})
	}
}

// TestConfig_Certificates names what cannot be read: a source is refused for it.
func TestConfig_Certificates(t *testing.T) {
	cfg := trusting(t, nil)
	all := must(cfg.Certificates(time.Now()))(t)
	if len(all) != 0 {
		t.Errorf("before the first start there are %+v", all)
	}
	if err := os.MkdirAll(filepath.Join(cfg.PKI(), "trusted"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.PKI(), "trusted", "half.der"), []byte{0x30}, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Sources[1].OPCUA.Certificate = config.Path(filepath.Join(string(cfg.Data), "none.pem"))
	all = must(cfg.Certificates(time.Now()))(t)
	problems := map[string]string{}
	for _, c := range all {
		problems[filepath.Base(c.File)] = c.Problem
	}
	if len(all) != 2 || problems["half.der"] != "is no certificate" || problems["none.pem"] != "does not exist" {
		t.Errorf("certificates are %+v", all)
	}
	if soon := ending(all, time.Now()); len(soon) != 0 {
		t.Errorf("what cannot be read ends: %+v", soon)
	}
}
