package agent

import (
	"crypto/x509"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// PKI returns the trust folder of OPC UA sources whose configuration names none.
func (c *Config) PKI() string { return filepath.Join(string(c.Data), "pki") }

// ownCertificates returns the files with the certificates that the agent shows to others, and what for: kafka, or ids of
// sources.
func (c *Config) ownCertificates() map[string][]string {
	files := map[string][]string{}
	add := func(use, file string) {
		if file != "" {
			files[file] = append(files[file], use)
		}
	}
	ofTLS := func(use string, t *config.TLS) {
		if t != nil {
			add(use, string(t.Cert))
		}
	}
	ofTLS("kafka", c.Kafka.TLS)
	for i := range c.Sources {
		switch s := &c.Sources[i]; {
		case s.MQTT != nil:
			ofTLS(s.ID, &s.MQTT.TLS)
		case s.OPCUA != nil:
			if file := s.OPCUA.OwnCertificate(c.PKI()); s.OPCUA.Certificate != "" || isFile(file) { // else it is made at the first start
				add(s.ID, file)
			}
		}
	}
	return files
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// TrustFolders returns the trust folders of all OPC UA sources, with the sources that use each.
func (c *Config) TrustFolders() map[opcua.Folder][]string {
	folders := map[opcua.Folder][]string{}
	for i := range c.Sources {
		if s := &c.Sources[i]; s.OPCUA != nil {
			f := s.OPCUA.TrustFolder(c.PKI())
			folders[f] = append(folders[f], s.ID)
		}
	}
	return folders
}

// Certificates returns all certificates that the agent shows, trusts, or has rejected, from their files: own ones first.
// Of those that one server follows another by, all are there.
func (c *Config) Certificates(now time.Time) ([]localapi.Certificate, error) {
	all := []localapi.Certificate{}
	for file, uses := range c.ownCertificates() {
		own := ShowCertificate(opcua.ReadEntry(opcua.UseOwn, file), uses, now)
		own.Renewable = slices.ContainsFunc(c.Sources, func(s Source) bool {
			return s.OPCUA != nil && s.OPCUA.Certificate == "" && s.OPCUA.OwnCertificate(c.PKI()) == file
		})
		all = append(all, own)
	}
	for folder, sources := range c.TrustFolders() {
		entries, err := folder.Entries()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			all = append(all, ShowCertificate(e, sources, now))
		}
	}
	order := []string{string(opcua.UseOwn), string(opcua.UseNext), string(opcua.UseTrusted), string(opcua.UseIssuer), string(opcua.UseRejected)}
	slices.SortFunc(all, func(a, b localapi.Certificate) int {
		if d := slices.Index(order, a.Use) - slices.Index(order, b.Use); d != 0 {
			return d
		}
		return slices.Compare([]string{a.For[0], a.File}, []string{b.For[0], b.File})
	})
	return all, nil
}

// ShowCertificate shows an entry to a person; uses says what for.
func ShowCertificate(e opcua.Entry, uses []string, now time.Time) localapi.Certificate {
	c := localapi.Certificate{Use: string(e.Use), For: uses, File: e.File}
	if e.Err != nil {
		c.Problem = e.Err.Error()
		return c
	}
	x := e.Leaf
	c.Thumbprint, c.SHA256, c.Subject, c.Issuer = e.Thumbprint(), opcua.Fingerprint(x), x.Subject.String(), x.Issuer.String()
	c.NotBefore, c.NotAfter, c.Authority, c.Hosts = x.NotBefore.UTC(), x.NotAfter.UTC(), x.IsCA, hosts(x)
	c.Days = int(math.Floor(x.NotAfter.Sub(now).Hours() / 24))
	if len(x.URIs) > 0 {
		c.URI = x.URIs[0].String()
	}
	return c
}

func hosts(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// certificateWarning is how long before its end a person is told: whoever trusts it by hand needs time to plan.
const certificateWarning = 30 * 24 * time.Hour

// ending returns the certificates in use that end soon or have ended. A trusted one whose server has shown a later one
// that is trusted, too, is not in use any more.
func ending(all []localapi.Certificate, now time.Time) []localapi.Certificate {
	soon := []localapi.Certificate{}
	for _, c := range inUse(all) {
		if c.NotAfter.Sub(now) < certificateWarning {
			soon = append(soon, c)
		}
	}
	return soon
}

func inUse(all []localapi.Certificate) []localapi.Certificate {
	var used []localapi.Certificate
	for _, c := range all {
		followed := func(o localapi.Certificate) bool {
			return o.Use == c.Use && o.URI == c.URI && o.NotAfter.After(c.NotAfter)
		}
		switch {
		case c.Problem != "", c.Use != string(opcua.UseOwn) && c.Use != string(opcua.UseTrusted):
		case c.Use == string(opcua.UseTrusted) && c.URI != "" && slices.ContainsFunc(all, followed):
		default:
			used = append(used, c)
		}
	}
	return used
}

// certificateMetrics shows how long the certificates still hold that the agent shows, and those by which it knows OPC UA
// servers. The files are read when it is asked, since they are renewed without a restart:
//
//	holdfast_agent_certificate_expiry_seconds{use}   until it expires, negative afterwards; use = kafka, a source's id, or
//	                                                 trusted: and the thumbprint of a server or authority
type certificateMetrics struct {
	read func(now time.Time) ([]localapi.Certificate, error)
	now  func() time.Time
}

var certificateDesc = prometheus.NewDesc("holdfast_agent_certificate_expiry_seconds",
	"Time until a certificate of the agent, or one that it trusts, expires; negative afterwards.", []string{"use"}, nil)

// Describe implements prometheus.Collector.
func (m certificateMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDesc }

// Collect implements prometheus.Collector. A file that cannot be read has no value: what needs it says so.
func (m certificateMetrics) Collect(ch chan<- prometheus.Metric) {
	now := m.now()
	all, err := m.read(now)
	if err != nil {
		return // a folder that cannot be read refuses its sources, which says so
	}
	shown := map[string]bool{}
	for _, c := range inUse(all) {
		uses := c.For
		if c.Use == string(opcua.UseTrusted) {
			uses = []string{"trusted:" + c.Thumbprint}
		}
		for _, use := range uses {
			if !shown[use] { // two folders may hold one certificate
				shown[use] = true
				ch <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, c.NotAfter.Sub(now).Seconds(), use)
			}
		}
	}
}
