package agent

import (
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// checkFiles reads the secrets and certificates that the configuration names, as what uses them will.
func (c *Config) checkFiles(doc *config.Document) {
	secret := func(path string, f config.SecretFile) {
		if _, err := f.Read(); err != nil {
			doc.Add(config.Key(path, "password_file"), err)
		}
	}
	secured := func(path string, t *config.TLS) {
		if _, err := t.Config(); err != nil {
			doc.Add(config.Key(path, "tls"), err)
		}
	}
	if k := &c.Kafka; k.TLS != nil {
		secured("kafka", k.TLS)
	}
	if k := &c.Kafka; k.SASL != nil {
		secret("kafka.sasl", k.SASL.PasswordFile)
	}
	for i := range c.Sources {
		path := config.Index("sources", i)
		switch s := &c.Sources[i]; {
		case s.MQTT != nil:
			path = config.Key(path, "mqtt")
			secret(path, s.MQTT.PasswordFile)
			secured(path, &s.MQTT.TLS)
		case s.OPCUA != nil:
			path = config.Key(path, "opcua")
			secret(path, s.OPCUA.PasswordFile)
			if err := s.OPCUA.CheckIdentity(); err != nil {
				doc.Add(config.Key(path, "certificate"), err)
			}
		}
	}
}
