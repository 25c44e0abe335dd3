package opcua

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// ownLife is two years: servers trust a certificate by hand, so that each new one is work for a person at each of
	// them.
	ownLife = 2 * 365 * 24 * time.Hour
	// ownWarning is how long before its end a person is told. Servers may take an expired one in silence, and stop one day.
	ownWarning = 30 * 24 * time.Hour
	ownKeyBits = 2048
)

// identity is our certificate with its key.
type identity struct {
	der  []byte
	leaf *x509.Certificate
	key  *rsa.PrivateKey
}

// ownIdentity reads the configured certificate and key, or those made at the first start.
func ownIdentity(cfg *Config, t trust, uri string, now time.Time) (identity, error) {
	if cfg.Certificate != "" {
		return readIdentity(string(cfg.Certificate), string(cfg.Key))
	}
	file := ownFile(t)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := makeIdentity(file, uri, now); err != nil {
			return identity{}, problem.New(problem.ConfigFile, "make our certificate: %w", err)
		}
	}
	return readIdentity(file, file)
}

// CheckIdentity reads the certificate and key that the configuration names; nil where it names none, since then they are
// made at the first start.
func (c *Config) CheckIdentity() error {
	if c.Certificate == "" {
		return nil
	}
	_, err := readIdentity(string(c.Certificate), string(c.Key))
	return err
}

// ownFile returns the file with the certificate and key that are made at the first start.
func ownFile(t trust) string { return filepath.Join(t.path("own"), "holdfast.pem") }

// readIdentity refuses a key that others may read.
func readIdentity(certificate, key string) (id identity, err error) {
	info, err := os.Stat(key)
	if err != nil {
		return id, problem.New(problem.ConfigFile, "read our key: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return id, problem.New(problem.ConfigFile, "our key %s has the mode %04o: want 0600", key, mode)
	}
	if id.der, err = readPEM(certificate, "CERTIFICATE"); err != nil {
		return id, problem.New(problem.ConfigFile, "read our certificate: %w", err)
	}
	chain, err := x509.ParseCertificates(id.der)
	if err != nil || len(chain) == 0 {
		return id, problem.New(problem.ConfigFile, "our certificate %s is none", certificate)
	}
	id.leaf = chain[0]
	if id.key, err = readKey(key); err != nil {
		return id, problem.New(problem.ConfigFile, "our key %s: %w", key, err)
	}
	switch pub, ok := id.leaf.PublicKey.(*rsa.PublicKey); {
	case !ok || !id.key.PublicKey.Equal(pub):
		return id, problem.New(problem.ConfigFile, "our certificate %s belongs to another key than %s", certificate, key)
	case len(id.leaf.URIs) == 0:
		return id, problem.New(problem.ConfigFile, "our certificate %s names no application URI, without which servers refuse it", certificate)
	}
	return id, nil
}

func readKey(file string) (*rsa.PrivateKey, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			if k, ok := key.(*rsa.PrivateKey); ok {
				return k, nil
			}
			return nil, errors.New("it is no RSA key")
		}
	}
	return nil, errors.New("it holds no private key in PEM")
}

// makeIdentity writes certificate and key as one file, so that no half of a pair is ever found, and the certificate
// alone beside it, for the server's trust folder. Several sources may be here at once: the first file stands.
func makeIdentity(file, uri string, now time.Time) error {
	key, err := rsa.GenerateKey(rand.Reader, ownKeyBits)
	if err != nil {
		return err
	}
	der, err := selfSigned(key, uri, now)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	f, err := os.CreateTemp(filepath.Dir(file), "new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return os.WriteFile(publicFile(file), der, 0o600)
}

// publicFile returns where the certificate stands alone, without its key.
func publicFile(file string) string { return strings.TrimSuffix(file, ".pem") + ".der" }

// selfSigned makes an application instance certificate (OPC 10000-6, 6.2.2).
func selfSigned(key *rsa.PrivateKey, uri string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, fmt.Errorf("application URI: %w", err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Holdfast agent", Organization: []string{"Holdfast"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment |
			x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, URIs: []*url.URL{u}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if host, err := os.Hostname(); err == nil {
		c.DNSNames = []string{host}
	}
	return x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
}
