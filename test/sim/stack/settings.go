package stack

import (
	"cmp"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

//go:embed agent.yaml.tmpl press.yaml cloud.yaml.tmpl company.yaml.tmpl qms.yaml wms.yaml notice.yaml orders.yaml
var files embed.FS

// Settings is what the configurations of agents and cloud say about the world around them. Addresses are host:port.
type Settings struct {
	Kafka string
	SAP   string // of the system s4
	QMS   string
	Rate  int // calls a second to each business system; 0 = 500

	// Gateways are those of the plants; the address of Kafka is filled in. None: the one plant p1 that press.yaml is
	// written for, whose gateway the fields below describe.
	Gateways []Gateway
	// Systems are the addresses of systems by their ids, as [Systems.At] gives them: those that are no field here.
	Systems map[string]string
	// Links stand at the foot of the console's pages.
	Links []Link

	MQTT string // URL of the plant's broker
	WAN  string // where the agent reaches Kafka
	Disk string // queue.disk of the agent; empty = 1GiB
}

// Link leads from the console to another page.
type Link struct{ Text, URL string }

// Write writes agent.yaml, cloud.yaml and what they name into dir, and returns the token of the API's caller alice, who
// has the roles quality, operator and auditor. Each of several gateways has a folder of its own there, named by its plant.
func (s Settings) Write(dir string) (token string, err error) {
	s.Disk, s.Rate = cmp.Or(s.Disk, "1GiB"), cmp.Or(s.Rate, 500)
	sources := map[string]string{ // by the name under which each is written
		"agent.yaml": "agent.yaml.tmpl", "press.yaml": "press.yaml", "cloud.yaml": "cloud.yaml.tmpl", "qms.yaml": "qms.yaml",
	}
	if len(s.Gateways) > 0 {
		sources = map[string]string{
			"cloud.yaml": "company.yaml.tmpl", "qms.yaml": "qms.yaml", "wms.yaml": "wms.yaml", "notice.yaml": "notice.yaml", "orders.yaml": "orders.yaml",
		}
	}
	for name, source := range sources {
		if err := s.fill(filepath.Join(dir, name), source); err != nil {
			return "", err
		}
	}
	for _, g := range s.Gateways {
		g.Kafka = s.Kafka
		if err := g.write(filepath.Join(dir, g.Site.Plant)); err != nil {
			return "", fmt.Errorf("gateway of plant %s: %w", g.Site.Plant, err)
		}
	}
	return writeSecrets(dir)
}

// ERPOf returns the id of a plant's ERP.
func (s Settings) ERPOf(plant string) string {
	if own := (ScopedERP{Plant: plant}).ID(); s.Systems[own] != "" {
		return own
	}
	return ERP
}

// ERPAt is an ERP with its address, and the level at which its batch numbers are unique.
type ERPAt struct{ ID, Address, Scope string }

// ERPs returns all of them.
func (s Settings) ERPs() []ERPAt {
	all := []ERPAt{{ERP, s.SAP, "material"}}
	for _, site := range s.Plants() {
		if id := s.ERPOf(site.Plant); id != ERP {
			all = append(all, ERPAt{id, s.Systems[id], "plant"})
		}
	}
	return all
}

// ERPPlant returns the code under which a plant's ERP knows it.
func (s Settings) ERPPlant(site dialect.Site) string { return ERPPlant(site) }

// ERPPlant returns the code under which a plant's ERP knows it: that of its batches where it has an ERP of its own, else
// 1010 for p1 and so on.
func ERPPlant(site dialect.Site) string {
	if site.Scope != "" {
		return site.Scope
	}
	return "10" + strings.TrimPrefix(site.Plant, "p") + "0"
}

// Services returns the names of mapping and token of each system that is neither ERP nor QMS, by its id.
func (s Settings) Services() map[string]string {
	return map[string]string{WMS: "wms", Notice: "notice", Orders: "orders"}
}

// Plants returns the sites of the gateways.
func (s Settings) Plants() []dialect.Site {
	var all []dialect.Site
	for _, g := range s.Gateways {
		all = append(all, g.Site)
	}
	return all
}

func (g Gateway) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return g.Write(dir)
}

func writeSecrets(dir string) (token string, err error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	token = "hf_" + base64.RawURLEncoding.EncodeToString(b[:])
	for name, secret := range map[string]string{
		"sap.pw": ERPPassword, "qms.token": QMSToken, "wms.token": WMSToken, "notice.token": NoticeToken, "orders.token": OrderToken, "alice.token": token,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	return token, nil
}

// fill writes one of our files to path; one that is a template is filled in.
func (s Settings) fill(path, name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, ".tmpl") {
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
	return os.WriteFile(path, text, 0o644)
}
