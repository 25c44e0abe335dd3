package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// authority writes a certificate for host, which signs itself, to a file and returns it as a server shows it.
func authority(t *testing.T, host string) (file string, shown tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secure stands before a broker with TLS and returns where.
func secure(t *testing.T, shown tls.Certificate, broker string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{shown}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { _ = l.Close() })
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { pass(in, broker) })
		}
	})
	return l.Addr().String()
}

// pass carries bytes between a connection and a broker until one of them ends.
func pass(in net.Conn, broker string) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", broker)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
	_, _ = io.Copy(out, in)
	_ = out.Close()
	back.Wait()
}

// TestConfig_DialTLS reaches a broker through a relay: the certificate is for the name that the cluster has for it.
func TestConfig_DialTLS(t *testing.T) {
	k, plain := start(t)
	const name = "kafka-1.example"
	file, shown := authority(t, name)
	other, _ := authority(t, name)
	relay := secure(t, shown, k.Addrs()[0])
	for _, c := range []struct{ what, broker, ca, err string }{
		{"OK", name + ":9093", file, ""},
		{"ErrAuthority", name + ":9093", other, "certificate"},
		{"ErrName", "kafka-2.example:9093", file, "kafka-2.example"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := plain
			cfg.Brokers, cfg.TLS = []string{c.broker}, &config.TLS{CA: config.Path(c.ca)}
			cfg.Dial = map[string]string{c.broker: relay}
			opts, err := cfg.Options("test", zerolog.Nop(), nil)
			if err != nil {
				t.Fatal(err)
			}
			client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			err = client.Ping(t.Context())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
	if _, err := (&Config{Brokers: []string{"b:1"}, TLS: &config.TLS{CA: "gone.pem"}}).Options("test", zerolog.Nop(), nil); err == nil {
		t.Error("a missing file of certificates is no error")
	}
}
