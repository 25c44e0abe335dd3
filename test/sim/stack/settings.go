package stack

import (
	"cmp"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed agent.yaml.tmpl press.yaml cloud.yaml.tmpl qms.yaml
var files embed.FS

// What the cloud logs in with at the business systems.
const (
	ERPUser     = "HOLDFAST"
	ERPPassword = "sap-secret-1"
	QMSToken    = "qms-secret-1"
)

// Settings is what the configurations of agent and cloud say about the world around them. Addresses are host:port.
type Settings struct {
	MQTT  string // URL of the plant's broker
	Kafka string
	WAN   string // where the agent reaches Kafka
	SAP   string
	QMS   string
	Disk  string // queue.disk of the agent; empty = 1GiB
	Rate  int    // calls a second to each business system; 0 = 500
}

// Write writes agent.yaml, cloud.yaml and what they name into dir, and returns the token of the API's caller alice, who
// has the roles quality, operator and auditor.
func (s Settings) Write(dir string) (token string, err error) {
	s.Disk, s.Rate = cmp.Or(s.Disk, "1GiB"), cmp.Or(s.Rate, 500)
	for _, name := range []string{"agent.yaml.tmpl", "press.yaml", "cloud.yaml.tmpl", "qms.yaml"} {
		if err := s.fill(dir, name); err != nil {
			return "", err
		}
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	token = "hf_" + base64.RawURLEncoding.EncodeToString(b[:])
	for name, secret := range map[string]string{"sap.pw": ERPPassword, "qms.token": QMSToken, "alice.token": token} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	return token, nil
}

// fill writes one file; what ends in .tmpl is filled in.
func (s Settings) fill(dir, name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	plain, isTemplate := strings.CutSuffix(name, ".tmpl")
	if isTemplate {
		t, err := template.New(name).Parse(string(text))
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, s); err != nil {
			return err
		}
		text = []byte(b.String())
	}
	return os.WriteFile(filepath.Join(dir, plain), text, 0o644)
}
