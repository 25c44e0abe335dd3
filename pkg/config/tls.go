package config

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// TLS says how a link is secured; it means the same wherever the key tls stands.
type TLS struct {
	CA   Path       `yaml:"ca" doc:"certificates that may sign the server's, PEM; empty: those of the system"`
	Cert Path       `yaml:"cert" doc:"own certificate with its chain, PEM; needs key"`
	Key  SecretFile `yaml:"key" doc:"own private key, PEM, mode 0600"`
}

// Config reads the files and returns a configuration for TLS 1.2 or newer.
func (t *TLS) Config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(string(t.CA))
		if err != nil {
			return nil, problem.New(problem.ConfigFile, "tls ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, problem.New(problem.ConfigFile, "tls ca %s holds no certificate in PEM form", t.CA)
		}
	}
	if t.Cert == "" && t.Key == "" {
		return out, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, problem.New(problem.ConfigMissing, "tls cert and key belong together, one is missing")
	}
	pem, err := os.ReadFile(string(t.Cert))
	if err != nil {
		return nil, problem.New(problem.ConfigFile, "tls cert: %w", err)
	}
	key, err := t.Key.Read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(pem, []byte(key.Reveal()))
	if err != nil {
		return nil, problem.New(problem.ConfigFile, "tls cert %s and key %s: %w", t.Cert, t.Key, err)
	}
	out.Certificates = []tls.Certificate{pair}
	return out, nil
}

// SASL is a user with a password from a file; it means the same wherever it stands.
type SASL struct {
	User         string     `yaml:"user" doc:"name at the server"`
	PasswordFile SecretFile `yaml:"password_file" doc:"file with the password, mode 0600"`
}
