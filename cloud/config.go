package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/console"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/reconcile"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Config is cloud.yaml.
type Config struct {
	Instance  string         `yaml:"instance" doc:"name of this copy, the same over restarts and different from all other copies; empty = the host's name"`
	Listen    string         `yaml:"listen" doc:"address of pages, API, /metrics, /healthz and /readyz"`
	Database  Database       `yaml:"database"`
	Kafka     kafka.Config   `yaml:"kafka"`
	Coverage  Coverage       `yaml:"coverage"`
	Ledger    ledger.Config  `yaml:"ledger"`
	Console   console.Config `yaml:"console"`
	Tokens    []Token        `yaml:"tokens" doc:"who may call the API"`
	Plants    []Plant        `yaml:"plants" doc:"plants and their systems"`
	Materials []Material     `yaml:"materials" doc:"materials that are known; one that is not wants an inspection"`
	Systems   []System       `yaml:"systems" doc:"ERP, QMS and other business systems"`
}

// Database says where the state is kept.
type Database struct {
	URL          string            `yaml:"url" doc:"sqlite: and a path, or postgres://user@host/name; several copies can share the latter"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the password of PostgreSQL's user, mode 0600; empty = it needs none"`
}

func (d *Database) open(ctx context.Context) (*store.Store, error) {
	password, err := d.PasswordFile.Read()
	if err != nil {
		return nil, fmt.Errorf("password of the database: %w", err)
	}
	return store.Config{URL: d.URL, Password: password}.Open(ctx)
}

func (d *Database) check(doc *config.Document) {
	if err := store.CheckURL(d.URL); err != nil {
		doc.Add("database.url", err)
	}
	if d.PasswordFile == "" {
		return
	}
	if _, err := d.PasswordFile.Read(); err != nil {
		doc.Add("database.password_file", err)
	}
	if _, file := store.IsFile(d.URL); file {
		doc.Errorf(problem.ConfigValue, "database.password_file", "a database in a file has no password: the file's rights guard it")
	}
}

// Coverage says when a silent agent is spoken about. No release depends on it.
type Coverage struct {
	MaxAge time.Duration `yaml:"max_age" doc:"how long an agent may be silent while a release waits for it, before an alert names it"`
}

// Token is one caller of the API.
type Token struct {
	Principal string            `yaml:"principal" doc:"name in the ledger"`
	Roles     []string          `yaml:"roles" doc:"viewer, operator, quality, auditor, admin"`
	Plants    []string          `yaml:"plants" doc:"plants that the caller may see; empty = all"`
	TokenFile config.SecretFile `yaml:"token_file" doc:"file with the token, mode 0600"`
}

// Plant is a plant and its systems.
type Plant struct {
	ID  string `yaml:"id" doc:"plant id, as in topic names"`
	TZ  string `yaml:"tz" doc:"time zone, such as Europe/Berlin; empty = UTC"`
	ERP string `yaml:"erp" doc:"id of the system that enforces usage"`
	// ERPPlant finds the plant in the stock that an ERP shows.
	ERPPlant string   `yaml:"erp_plant" doc:"the plant's code in that system, such as 1010; empty = its stock there tells no plant"`
	QMS      string   `yaml:"qms" doc:"id of the system that keeps nonconformances and decides about lots"`
	WMS      string   `yaml:"wms" doc:"id of the system whose tasks wait for a release; empty = none"`
	Notify   string   `yaml:"notify" doc:"id of the system that tells customer service; empty = nobody is told"`
	Policies Policies `yaml:"policies"`
}

// Policies are what a plant may decide for itself.
type Policies struct {
	OneSigner bool `yaml:"one_signer" doc:"one person alone may accept a gap or a missing answer for a lot; otherwise it takes two"`
}

// Material is what is known about a material until a feed brings it.
type Material struct {
	ID                 string                 `yaml:"id" doc:"material number, exactly as the master system writes it"`
	BaseUnit           string                 `yaml:"base_unit" doc:"UCUM unit of its quantities"`
	InspectionRequired []event.InspectionType `yaml:"inspection_required" doc:"inspection types wanted before use; empty = none"`
}

// System is one business system, of exactly one kind.
type System struct {
	ID   string       `yaml:"id" doc:"id, as plants name it"`
	SAP  *sap.Config  `yaml:"sap" doc:"SAP S/4HANA by OData v2"`
	REST *rest.Config `yaml:"rest" doc:"a system with a REST interface and a mapping file"`
	// Feed means something for a system that lists what changed.
	Feed reconcile.Config `yaml:"feed"`
}

// DefaultConfig keeps everything beside the configuration file and listens on loopback.
var DefaultConfig = Config{
	Listen:   "127.0.0.1:7490",
	Database: Database{URL: "sqlite:data/holdfast.db"},
	Kafka:    kafka.DefaultConfig,
	Coverage: Coverage{MaxAge: 2 * time.Minute},
	Ledger:   ledger.DefaultConfig,
	Console:  console.DefaultConfig,
}

// Load reads cloud.yaml and checks it whole. All that is wrong is in the error, each with its place.
func Load(path string, lookupEnv func(string) (string, bool)) (Config, error) {
	cfg := DefaultConfig
	doc, _ := config.Load(path, &cfg, config.Options{LookupEnv: lookupEnv}) // its findings stand in doc, and more come to them
	others := cfg.check(doc)
	list, _ := errors.AsType[config.Errors](doc.Err())
	list = append(list, others...)
	if file, ok := store.IsFile(cfg.Database.URL); ok {
		cfg.Database.URL = "sqlite:" + doc.Rel("database.url", file)
	}
	if len(list) > 0 {
		return cfg, list
	}
	return cfg, nil
}

// check adds what the types alone do not say. It returns what is wrong in the files that the configuration names.
func (c *Config) check(doc *config.Document) config.Errors {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		doc.Errorf(problem.ConfigValue, "listen", "%q is no host:port", c.Listen)
	}
	c.Database.check(doc)
	if len(c.Kafka.Brokers) == 0 {
		doc.Errorf(problem.ConfigMissing, "kafka.brokers", "no brokers: name one host:port at least")
	}
	if len(c.Plants) == 0 {
		doc.Errorf(problem.ConfigMissing, "plants", "no plants: without one nothing has an ERP")
	}
	c.checkTokens(doc)
	systems, others := c.checkSystems(doc)
	c.checkPlants(doc, systems)
	seen := map[string]bool{}
	for i, m := range c.Materials {
		path := config.Index("materials", i)
		unique(doc, seen, config.Key(path, "id"), "material", m.ID)
		for j, t := range m.InspectionRequired {
			if err := event.CheckInspectionType(t); err != nil {
				doc.Add(config.Index(config.Key(path, "inspection_required"), j), err)
			}
		}
	}
	if err := c.Console.Check(); err != nil {
		doc.Errorf(problem.ConfigValue, "console", "%w", err)
	}
	if c.Coverage.MaxAge <= 0 {
		doc.Errorf(problem.ConfigValue, "coverage.max_age", "%v is no age: want more than 0, such as 2m", c.Coverage.MaxAge)
	}
	return others
}

func (c *Config) checkTokens(doc *config.Document) {
	principals, tokens := map[string]bool{}, map[string]bool{}
	for i, t := range c.Tokens {
		path := config.Index("tokens", i)
		unique(doc, principals, config.Key(path, "principal"), "principal", t.Principal)
		if len(t.Roles) == 0 {
			doc.Errorf(problem.ConfigMissing, config.Key(path, "roles"), "%q has no role, so could do nothing", t.Principal)
		}
		for _, r := range t.Roles {
			if err := api.CheckRole(r); err != nil {
				doc.Add(config.Key(path, "roles"), err)
			}
		}
		for _, p := range t.Plants {
			if !slices.ContainsFunc(c.Plants, func(known Plant) bool { return known.ID == p }) {
				doc.Errorf(problem.ConfigValue, config.Key(path, "plants"), "no plant has the id %q", p)
			}
		}
		if t.TokenFile == "" {
			doc.Errorf(problem.ConfigMissing, path, "token of %q has no token_file", t.Principal)
			continue
		}
		file := config.Key(path, "token_file")
		secret, err := t.TokenFile.Read()
		if err == nil {
			err = api.CheckToken(secret)
		}
		switch {
		case err != nil:
			doc.Add(file, err)
		case tokens[secret.Reveal()]:
			doc.Errorf(problem.ConfigDuplicate, file, "the token of %q belongs to another principal, too", t.Principal)
		}
		tokens[secret.Reveal()] = true
	}
}

func (c *Config) checkSystems(doc *config.Document) (ids map[string]bool, others config.Errors) {
	ids = map[string]bool{}
	for i, s := range c.Systems {
		path := config.Index("systems", i)
		unique(doc, ids, config.Key(path, "id"), "system", s.ID)
		if (s.SAP == nil) == (s.REST == nil) {
			doc.Errorf(problem.ConfigValue, path, "system %q is not of exactly one kind: want sap or rest", s.ID)
			continue
		}
		if s.SAP != nil {
			checkRate(doc, config.Key(path, "sap"), s.SAP.Rate, s.SAP.Burst)
		} else {
			checkRate(doc, config.Key(path, "rest"), s.REST.Rate, s.REST.Burst)
		}
		if err := s.Feed.WithDefaults().Check(); err != nil {
			doc.Errorf(problem.ConfigValue, config.Key(path, "feed"), "%w", err)
		}
		// A connector makes no call when it is made, but reads the files that its configuration names.
		_, err := (&Cloud{log: zerolog.Nop()}).system(&c.Systems[i])
		if list, ok := errors.AsType[config.Errors](err); ok {
			others = append(others, list...)
		} else if err != nil {
			doc.Add(path, err)
		}
	}
	return ids, others
}

// maxRate is far above what a business system bears, in calls a second.
const maxRate = 10_000

// checkRate refuses what would be no limit at all.
func checkRate(doc *config.Document, path string, rate float64, burst int) {
	if !(rate >= 0 && rate <= maxRate) {
		doc.Errorf(problem.ConfigValue, config.Key(path, "rate"), "rate is %v: want up to %d calls a second, 0 for the default", rate, maxRate)
	}
	if burst < 0 || burst > maxRate {
		doc.Errorf(problem.ConfigValue, config.Key(path, "burst"), "burst is %d: want up to %d, 0 for the default", burst, maxRate)
	}
}

func (c *Config) checkPlants(doc *config.Document, systems map[string]bool) {
	seen, codes := map[string]bool{}, map[string]bool{}
	for i, p := range c.Plants {
		path := config.Index("plants", i)
		unique(doc, seen, config.Key(path, "id"), "plant", p.ID)
		if err := event.CheckPlant(p.ID); err != nil {
			doc.Add(config.Key(path, "id"), err)
		}
		if _, err := time.LoadLocation(p.TZ); err != nil {
			doc.Errorf(problem.ConfigValue, config.Key(path, "tz"), "%q is no time zone", p.TZ)
		}
		for key, id := range map[string]string{"erp": p.ERP, "qms": p.QMS, "wms": p.WMS, "notify": p.Notify} {
			if id != "" && !systems[id] {
				doc.Errorf(problem.ConfigValue, config.Key(path, key), "no system has the id %q", id)
			}
		}
		if p.ERPPlant != "" {
			unique(doc, codes, config.Key(path, "erp_plant"), "plant code of "+p.ERP, p.ERP+"/"+p.ERPPlant)
		}
	}
}

func unique(doc *config.Document, seen map[string]bool, path, what, id string) {
	switch {
	case id == "":
		doc.Errorf(problem.ConfigMissing, path, "%s without an id", what)
	case seen[id]:
		doc.Errorf(problem.ConfigDuplicate, path, "%s %q stands twice", what, id)
	}
	seen[id] = true
}

// plants returns what the engine knows of each plant. With the same systems for all plants, a plant that is not named has
// them, too.
func (c *Config) plants() map[event.PlantID]quality.Plant {
	all := map[event.PlantID]quality.Plant{}
	systems := map[quality.Plant]bool{}
	var common quality.Plant
	for _, p := range c.Plants {
		common = quality.Plant{ERP: p.ERP, QMS: p.QMS, WMS: p.WMS, Notify: p.Notify}
		systems[common] = true
		own := common
		own.ID, own.OneSigner = event.PlantID(p.ID), p.Policies.OneSigner
		all[own.ID] = own
	}
	if len(systems) == 1 {
		all[""] = common
	}
	return all
}

func (c *Config) materials() map[string]quality.Material {
	all := map[string]quality.Material{}
	for _, m := range c.Materials {
		all[m.ID] = quality.Material{
			BaseUnit: event.Unit(m.BaseUnit), InspectionRequired: len(m.InspectionRequired) > 0, Inspections: m.InspectionRequired,
		}
	}
	return all
}

// callers reads the tokens.
func (c *Config) callers() ([]api.Caller, error) {
	var all []api.Caller
	for _, t := range c.Tokens {
		secret, err := t.TokenFile.Read()
		if err != nil {
			return nil, fmt.Errorf("token of %s: %w", t.Principal, err)
		}
		caller := api.Caller{Principal: t.Principal, Roles: t.Roles, Token: secret}
		for _, p := range t.Plants {
			caller.Plants = append(caller.Plants, event.PlantID(p))
		}
		all = append(all, caller)
	}
	return all, nil
}
