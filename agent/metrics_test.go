package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// series gathers the values of a registry by name and the values of the labels.
func series(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				all[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				all[name] = m.GetGauge().GetValue()
			case m.GetHistogram() != nil:
				all[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return all
}

// TestAgent_Metrics holds the names that rules and dashboards rely on.
func TestAgent_Metrics(t *testing.T) {
	r := newRig(t)
	r.result("1", "45.1")
	r.result("2", "n/a")
	gap := source.Gap{From: time.Now().Add(-time.Minute), To: time.Now(), Reason: source.GapDisconnect}
	if err := r.agent.pipeline.emit(t.Context(), source.Batch{Source: "press", Gaps: []source.Gap{gap}}); err != nil {
		t.Fatal(err)
	}
	r.drained()
	r.until("a head is stated", func() bool { return !r.agent.uplink.Status().Head.IsZero() })
	got := series(t, r.agent.registry)
	var names []string
	for _, lane := range []string{"quality", "telemetry"} {
		for _, name := range []string{
			"size_events", "size_bytes", "oldest_event_age_seconds", "urgent_size_events", "reserve_used_bytes", "max_size_bytes",
			"full_in_seconds", "drain_in_seconds", "received_events_total", "sent_events_total", "shed_events_total", "sync_seconds",
		} {
			names = append(names, "queue_"+name+" "+lane)
		}
	}
	names = append(names, "uplink_up", "uplink_head_age_seconds", "uplink_urgent_events_total", "downlink_up", "downlink_age_seconds", "downlink_barrier",
		"downlink_lots", "downlink_refused_records_total", "source_up press", "source_up mes", "source_received_events_total press", "source_open_gaps press",
		"gap_events_total press", "gap_closed_events_total press", "quarantined_events_total E-6301", "repeated_events_total", "queue_full_waits_total", "queue_full_waiting_sources",
		"clock_synchronised")
	for _, name := range names {
		if _, ok := got["holdfast_agent_"+name]; !ok {
			t.Errorf("no metric holdfast_agent_%s", name)
		}
	}
	for name, want := range map[string]float64{
		"gap_events_total press": 1, "gap_closed_events_total press": 0, "quarantined_events_total E-6301": 1, "uplink_up": 1, "source_up press": 0,
	} {
		if got["holdfast_agent_"+name] != want {
			t.Errorf("%s is %v, want %v", name, got["holdfast_agent_"+name], want)
		}
	}
}

// fakeSource is a source with a fixed status.
type fakeSource struct {
	source.Source
	status source.Status
}

func (s fakeSource) Status() source.Status { return s.status }

func TestSourceMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(sourceMetrics{func() []source.Source {
		return []source.Source{
			fakeSource{status: source.Status{ID: "mqtt", State: source.Live, Received: 7}},
			fakeSource{status: source.Status{ID: "told", Items: 3, Signals: map[source.Quality]int{source.Good: 1, source.Bad: 0, source.Stale: 2}, OpenGaps: 4}},
			fakeSource{status: source.Status{ID: "troubled", Items: 12, Troubled: []string{"torque: BadNodeIdUnknown"}}},
		}
	}})
	got := series(t, reg)
	want := map[string]float64{
		"up mqtt": 1, "up told": 0, "up troubled": 0, "received_events_total mqtt": 7, "received_events_total told": 0, "received_events_total troubled": 0,
		"open_gaps mqtt": 0, "open_gaps told": 4, "open_gaps troubled": 0,
		"signals told good": 1, "signals told bad": 0, "signals told stale": 2, "signals troubled good": 11, "signals troubled bad": 1,
	}
	for name, value := range want {
		// Labels come sorted by name: source before state.
		if v, ok := got["holdfast_agent_source_"+name]; !ok || v != value {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d series, want %d: %v", len(got), len(want), got)
	}
}

func TestClockMetrics(t *testing.T) {
	offset := -250 * time.Millisecond
	for name, c := range map[string]struct {
		host hostTime
		want map[string]float64
	}{
		"told":     {hostTime{true, &offset}, map[string]float64{"synchronised": 1, "offset_seconds": -0.25}},
		"not told": {hostTime{}, map[string]float64{"synchronised": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			reg.MustRegister(clockMetrics{&clock{asked: time.Now(), last: c.host}})
			got := series(t, reg)
			for name, value := range c.want {
				if got["holdfast_agent_clock_"+name] != value {
					t.Errorf("%s is %v, want %v", name, got["holdfast_agent_clock_"+name], value)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("series are %v", got)
			}
		})
	}
}

func TestCertificateMetrics(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	good, broken, missing := filepath.Join(dir, "good.pem"), filepath.Join(dir, "broken.pem"), filepath.Join(dir, "missing.pem")
	if err := os.WriteFile(good, certificate(t, now.Add(48*time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load("testdata/press.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Kafka.TLS = &config.TLS{Cert: config.Path(good)}
	cfg.Sources[0].MQTT.TLS = config.TLS{Cert: config.Path(broken)}
	cfg.Sources[1].MQTT.TLS = config.TLS{Cert: config.Path(missing)}
	reg := prometheus.NewRegistry()
	reg.MustRegister(certificateMetrics{cfg.Certificates, func() time.Time { return now }})
	got := series(t, reg)
	if len(got) != 1 || got["holdfast_agent_certificate_expiry_seconds kafka"] != (48*time.Hour).Seconds() {
		t.Errorf("series are %v", got)
	}
}

// certificate returns a key and a certificate that ends then, in PEM form.
func certificate(t *testing.T, end time.Time) []byte {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	private := must(x509.MarshalECPrivateKey(key))(t)
	return append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
}
