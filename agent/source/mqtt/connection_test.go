package mqtt

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestSource_CutsLoseNothing(t *testing.T) {
	const n = 4000
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	p := startProxy(t, b)
	s, _ := start(t, k, Config{Broker: "tcp://" + p.Addr()}, func(s *Source) { s.pace.short = 0 })
	sourcetest.Live(t, s)
	pub := newPublisher(t, b.URL())
	for i := range 4 {
		pub.sendMany(i*n/4, (i+1)*n/4)
		p.Reset()
	}
	sourcetest.Until(t, "all messages", func() bool { return len(unique(k.All())) == n })
	if st := s.Status(); st.Reconnects == 0 || len(k.Gaps()) != 0 {
		t.Errorf("%d reconnects, %d gaps", st.Reconnects, len(k.Gaps()))
	}
	t.Logf("%d stored, %d reconnects", len(k.All()), s.Status().Reconnects)
}

func TestSource_PasswordFileMissing(t *testing.T) {
	cfg := Config{Broker: "tcp://127.0.0.1:1", User: "agent"}
	cfg.PasswordFile = "nowhere.pw"
	s, _ := start(t, &sink{}, cfg, nil)
	sourcetest.Until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
	if p := s.Status().Problem; !strings.Contains(p, "E-1007") || s.Status().Next == "" {
		t.Errorf("problem is %q", p)
	}
}

func TestSource_Unreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s, _ := start(t, &sink{}, Config{Broker: "tcp://" + l.Addr().String()}, nil)
	sourcetest.Until(t, "state is backing off", func() bool { return s.Status().State == source.BackingOff })
	if p := s.Status().Problem; !strings.Contains(p, "E-4005") || !strings.Contains(p, "refused") {
		t.Errorf("problem is %q", p)
	}
}

func TestSource_TwoClientsWithOneID(t *testing.T) {
	b := startBroker(t, broker.MQTTConfig{})
	first, _ := start(t, &sink{}, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, first)
	second, _ := start(t, &sink{}, Config{Broker: b.URL()}, nil)
	sourcetest.Until(t, "one names the other", func() bool {
		return strings.Contains(first.Status().Problem+second.Status().Problem, "E-4002")
	})
}

func TestSource_TLSRefused(t *testing.T) {
	for name, c := range map[string]struct {
		auth tls.ClientAuthType
		ours bool // whether the server's authority is in tls ca
		want string
	}{
		"UnknownAuthority":    {tls.NoClientCert, false, "authority"},
		"CertificateRequired": {tls.RequireAnyClientCert, true, "want of our certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{ClientAuth: c.auth}
			server.StartTLS()
			t.Cleanup(server.Close)
			cfg := Config{Broker: "ssl://" + server.Listener.Addr().String()}
			if c.ours {
				ca := filepath.Join(t.TempDir(), "ca.pem")
				block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
				if err := os.WriteFile(ca, block, 0o600); err != nil {
					t.Fatal(err)
				}
				cfg.TLS.CA = config.Path(ca)
			}
			s, _ := start(t, &sink{}, cfg, nil)
			sourcetest.Until(t, "state is refused", func() bool { return s.Status().State == source.Refused })
			if p := s.Status().Problem; !strings.Contains(p, "E-2201") || !strings.Contains(p, c.want) {
				t.Errorf("problem is %q", p)
			}
		})
	}
}
