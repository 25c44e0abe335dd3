package agent

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// certificateMetrics shows how long the agent's own certificates still hold. The files are read when it is asked, since
// they are renewed without a restart:
//
//	holdfast_agent_certificate_expiry_seconds{use}   until it expires, negative afterwards; use = kafka, or a source's id
type certificateMetrics struct {
	files map[string]string // by use
	now   func() time.Time
}

var certificateDesc = prometheus.NewDesc("holdfast_agent_certificate_expiry_seconds",
	"Time until one of the agent's own certificates expires, negative afterwards.", []string{"use"}, nil)

// certificates returns the files of the configuration.
func (c *Config) certificates() map[string]string {
	files := map[string]string{}
	add := func(use string, t *config.TLS) {
		if t != nil && t.Cert != "" {
			files[use] = string(t.Cert)
		}
	}
	add("kafka", c.Kafka.TLS)
	for i := range c.Sources {
		if s := &c.Sources[i]; s.MQTT != nil {
			add(s.ID, &s.MQTT.TLS)
		}
	}
	return files
}

// Describe implements prometheus.Collector.
func (m certificateMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDesc }

// Collect implements prometheus.Collector. A file that cannot be read has no value: what needs it says so.
func (m certificateMetrics) Collect(ch chan<- prometheus.Metric) {
	for use, file := range m.files {
		if end, err := expiry(file); err == nil {
			ch <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, end.Sub(m.now()).Seconds(), use)
		}
	}
}

// expiry returns when the first certificate of a PEM file expires: the agent's own stands before its chain.
func expiry(file string) (time.Time, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return time.Time{}, fmt.Errorf("%s holds no certificate in PEM form", file)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, err
		}
		return c.NotAfter, nil
	}
}
