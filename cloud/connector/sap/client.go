// Package sap is the connector for SAP S/4HANA, by its OData version 2 services for batches, material stock, material
// documents and inspection lots.
//
// A lot's usage is enforced by the batch's flag for restricted use, which takes effect for the whole batch in one
// conditional write, and, where a lot is to be blocked, by a document that then moves what stands in restricted stock
// to blocked stock. What stands in inspection is freed by its inspection lot: its usage decision first, then a posting.
// Each [Client.Write] makes one such step, and the next read shows it.
//
// The flag's version is exact. An inspection lot's version is the time of its last change, in whole seconds: two changes
// in one second look like one. A usage decision is found again by reading the lot, a posting by its item text, and where
// the system refuses one because it is there already, what the lot shows by then decides.
//
// What left a batch's stock since a time is read from its material documents. Their items know no time, and their headers
// know it by the system's own clock, so that a document of the hours before may be among them.
//
// Holds need no inspection lot. Where only the inspection service fails they go on, and decisions and releases wait.
//
// Not read: stock of special kinds (consignment, project, sales order), and units that differ from a material's base
// unit.
package sap

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// Config is the key sap of an entry of systems in cloud.yaml.
type Config struct {
	URL          string            `yaml:"url" doc:"address of the system, without a path"`
	User         string            `yaml:"user" doc:"technical user"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the user's password, mode 0600"`
	TLS          config.TLS        `yaml:"tls" doc:"own certificate authority or client certificate"`
	LotScope     string            `yaml:"lot_scope" doc:"level at which batch numbers are unique: material or plant"`
	MaterialForm string            `yaml:"material_form" doc:"how numeric material numbers look in the services: as_is, stripped (no leading zeros) or padded18"`
	// UsageDecisions are customizing, so there is no default.
	UsageDecisions    map[quality.Decision]UsageDecision `yaml:"usage_decisions" doc:"codes of the usage decisions on inspection lots, by decision: release, reject and so on"`
	InspectionOrigins []string                           `yaml:"inspection_origins" doc:"origins of the inspection lots that a disposition decides"`
	Rate              float64                            `yaml:"rate" doc:"calls a second at the most"`
	Burst             int                                `yaml:"burst" doc:"calls that may come at once"`
}

// DefaultConfig allows 20 calls a second: a dialog work process answers some 5 to 10, and two of them are a share that
// no administrator minds. A disposition decides the inspection lots of goods receipts (01 for an order, 04 from
// production, 05 others), of stock transfers (08) and those made by hand (89); not those of work in process (03), of
// deliveries (10 to 12) or of audits.
func DefaultConfig() Config {
	return Config{
		LotScope: scopeMaterial, MaterialForm: formAsIs, InspectionOrigins: []string{"01", "04", "05", "08", "89"}, Rate: 20, Burst: 20,
	}
}

// WithDefaults returns c with its zero values replaced by those of [DefaultConfig].
func (c Config) WithDefaults() Config {
	d := DefaultConfig()
	c.LotScope, c.MaterialForm = cmp.Or(c.LotScope, d.LotScope), cmp.Or(c.MaterialForm, d.MaterialForm)
	if len(c.InspectionOrigins) == 0 {
		c.InspectionOrigins = d.InspectionOrigins
	}
	c.Rate, c.Burst = cmp.Or(c.Rate, d.Rate), cmp.Or(c.Burst, d.Burst)
	return c
}

const (
	scopeMaterial = "material"
	scopePlant    = "plant"

	formAsIs     = "as_is"
	formStripped = "stripped"
	formPadded   = "padded18"
)

// Deps are what a client needs besides its configuration.
type Deps struct {
	System string // id of the configured system
	Log    zerolog.Logger
	Now    func() time.Time // nil = failpoint.Now
	Random func() float64   // in [0,1); nil = math/rand
}

// Client is one SAP system.
type Client struct {
	cfg     Config
	system  string
	now     func() time.Time
	http    *httpcall.Client
	session session
}

var _ connector.System = (*Client)(nil)

// New checks the configuration and reads the password's file. It makes no call.
func New(cfg Config, deps Deps) (*Client, error) {
	cfg = cfg.WithDefaults()
	if cfg.LotScope != scopeMaterial && cfg.LotScope != scopePlant {
		return nil, fmt.Errorf("lot_scope %q is neither %s nor %s", cfg.LotScope, scopeMaterial, scopePlant)
	}
	if cfg.MaterialForm != formAsIs && cfg.MaterialForm != formStripped && cfg.MaterialForm != formPadded {
		return nil, fmt.Errorf("material_form %q is none of %s, %s and %s", cfg.MaterialForm, formAsIs, formStripped, formPadded)
	}
	if err := checkDecisions(cfg.UsageDecisions); err != nil {
		return nil, err
	}
	if cfg.User != "" && cfg.PasswordFile == "" {
		return nil, errors.New("user has no password_file")
	}
	password, err := cfg.PasswordFile.Read()
	if err != nil {
		return nil, err
	}
	security, err := cfg.TLS.Config()
	if err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = failpoint.Now
	}
	if deps.Random == nil {
		deps.Random = rand.Float64
	}
	c := &Client{cfg: cfg, system: deps.System, now: deps.Now, session: newSession()}
	c.http, err = httpcall.New(httpcall.Config{
		BaseURL: strings.TrimSuffix(cfg.URL, "/"), TLS: security, Cookies: true, Log: deps.Log, Now: deps.Now, Random: deps.Random,
		Authorise: func(r *http.Request) {
			if cfg.User != "" {
				r.SetBasicAuth(cfg.User, password.Reveal())
			}
		},
		Secrets: []string{password.Reveal(), cfg.User + ":" + password.Reveal()},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Kinds returns the effects on stock and on inspection lots.
func (c *Client) Kinds() []quality.Kind {
	return []quality.Kind{quality.LotUsageSet, quality.StockTransfer, quality.UsageDecisionPost}
}

// Caps returns what the services can do.
func (c *Client) Caps() connector.Caps {
	return connector.Caps{
		LotScope: c.cfg.LotScope, Lock: connector.LockExact, Uniqueness: connector.UniqueNone,
		PartialHold: true, StockTypes: true, Reversal: true, Feed: true, ReferenceLength: quality.ReferenceLength,
	}
}

// Reset lets log-ins be tried again after the user was refused.
func (c *Client) Reset() { c.http.Reset() }

// Services, and the entity sets in them.
const (
	root          = "/sap/opu/odata/sap/"
	batchService  = root + "API_BATCH_SRV"
	stockService  = root + "API_MATERIAL_STOCK_SRV"
	moveService   = root + "API_MATERIAL_DOCUMENT_SRV"
	batches       = batchService + "/Batch"
	stockRows     = stockService + "/A_MatlStkInAcctMod"
	documents     = moveService + "/A_MaterialDocumentHeader"
	documentItems = moveService + "/A_MaterialDocumentItem"
)

// batchID names a batch in the system's own forms.
type batchID struct{ material, plant, batch string }

func (b batchID) String() string { return b.material + "/" + b.plant + "/" + b.batch }

// path returns the batch's address. Quotes are doubled, then everything is escaped, also a slash.
func (b batchID) path() string {
	return batches + "(Material=" + literal(b.material) + ",BatchIdentifyingPlant=" + literal(b.plant) + ",Batch=" + literal(b.batch) + ")"
}

func literal(text string) string {
	return "'" + url.PathEscape(strings.ReplaceAll(text, "'", "''")) + "'"
}

// quoted is a text as a filter writes it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// material returns a material number as the services show it.
func (c *Client) material(text string) string {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return text
	}
	switch stripped := strings.TrimLeft(text, "0"); c.cfg.MaterialForm {
	case formStripped:
		return stripped
	case formPadded:
		return strings.Repeat("0", max(0, 18-len(stripped))) + stripped
	}
	return text
}
