package agent

import (
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Config is agent.yaml.
type Config struct {
	Plant  string       `yaml:"plant" doc:"id of the plant, as in topic names"`
	Agent  string       `yaml:"agent" doc:"id of this gateway, unique in the plant"`
	Data   config.Path  `yaml:"data" doc:"directory of queue and socket"`
	Listen string       `yaml:"listen" doc:"address of the status page, /metrics, /healthz and /readyz"`
	Queue  QueueConfig  `yaml:"queue"`
	Kafka  kafka.Config `yaml:"kafka"`

	Offline OfflineConfig `yaml:"offline"`

	SharedSystems []string               `yaml:"shared_systems" doc:"systems that several plants read: the plant is no part of their event ids"`
	Standby       bool                   `yaml:"standby" doc:"true where the plant has a second agent: key: arrival is refused"`
	Tables        map[string]config.Path `yaml:"tables" doc:"CSV files of two columns, for lookup()"`
	Include       []string               `yaml:"include" doc:"more files with sources and mappings, in the order of their names"`
	Sources       []Source               `yaml:"sources" doc:"what is read"`
	Mappings      []mapping.Config       `yaml:"mappings" doc:"what becomes of it"`

	tables map[string]map[string]string // what stood in the files of Tables
}

// QueueConfig says how much disk the queue may take, and how it is shared out.
type QueueConfig struct {
	Disk      config.ByteSize `yaml:"disk" doc:"bytes of both lanes together"`
	Quality   config.Percent  `yaml:"quality" doc:"share of lane quality"`
	Telemetry config.Percent  `yaml:"telemetry" doc:"share of lane telemetry"`
	Reserve   config.Percent  `yaml:"reserve" doc:"share that only urgent, loss and gap records may use"`
	KeepSent  time.Duration   `yaml:"keep_sent" doc:"how long sent records stay for replay, while there is room"`
	Tmpfs     bool            `yaml:"allow_tmpfs" doc:"let the queue live in memory, where a power cut takes it; for tests"`
}

// OfflineConfig is about answers to "may this lot move?" while the cloud cannot be reached.
type OfflineConfig struct {
	MaxAge time.Duration `yaml:"max_age" doc:"how long after the cloud was last heard a lot may still move; a held one never may"`
}

// Source is one configured source, of exactly one kind.
type Source struct {
	ID        string       `yaml:"id" doc:"unique in the agent"`
	Equipment string       `yaml:"equipment" doc:"equipment that all of it belongs to"`
	System    string       `yaml:"system" doc:"system of record that it speaks for; enters event ids; empty = the id"`
	MQTT      *mqtt.Config `yaml:"mqtt" doc:"an MQTT broker"`

	OPCUA *opcua.Config `yaml:"opcua" doc:"an OPC UA server"`
}

// DefaultConfig: 8 GiB hold about 17 million records of 500 bytes, so three days at 65 records a second; 168 h of sent
// data outlast a week in which nobody looked.
var DefaultConfig = Config{
	Data: "data", Listen: "127.0.0.1:7480", Kafka: kafka.DefaultConfig,
	Offline: OfflineConfig{MaxAge: 4 * time.Hour},
	Queue:   QueueConfig{Disk: 8 * config.GiB, Quality: 60, Telemetry: 20, Reserve: 20, KeepSent: 168 * time.Hour},
}

// Load reads agent.yaml with what it includes, checks it whole, and compiles the mappings, whose samples run. All that
// is wrong is in the error, each with its place.
func Load(path string, lookupEnv func(string) (string, bool)) (Config, *mapping.Mapper, error) {
	l := load(path, lookupEnv)
	return l.cfg, l.mapper, l.doc.Err()
}

// Check is like [Load], and also reads the secrets and certificates that the configuration names. A start does not: a
// source whose files are missing is refused alone, and all others are read.
func Check(path string, lookupEnv func(string) (string, bool)) (Config, error) {
	l := load(path, lookupEnv)
	l.cfg.checkFiles(l.doc)
	return l.cfg, l.doc.Err()
}

// loaded is a configuration with what was made of it, and what was found wrong with it.
type loaded struct {
	cfg    Config
	mapper *mapping.Mapper // nil where there is too much wrong to say more
	doc    *config.Document
}

func load(path string, lookupEnv func(string) (string, bool)) *loaded {
	l := &loaded{cfg: DefaultConfig}
	l.doc, _ = config.Load(path, &l.cfg, config.Options{Include: []string{"sources", "mappings"}, LookupEnv: lookupEnv})
	l.cfg.check(l.doc)
	l.cfg.readTables(l.doc)
	if err := l.doc.Err(); err != nil && len(l.cfg.Mappings) == 0 {
		return l
	}
	var errs []*mapping.Error
	l.mapper, errs = mapping.Compile(l.cfg.Mappings, l.cfg.mappingOptions())
	for _, e := range errs {
		l.doc.Errorf(problem.Code(e.Code), e.Path, "%s", message(e))
	}
	return l
}

func message(e *mapping.Error) string {
	if e.Sample != "" {
		return fmt.Sprintf("mapping %s, sample %q: %s", e.Mapping, e.Sample, e.Message)
	}
	return fmt.Sprintf("mapping %s: %s", e.Mapping, e.Message)
}

func (c *Config) mappingOptions() mapping.Options {
	o := mapping.Options{
		Plant: event.PlantID(c.Plant), Agent: c.Agent, SharedSystems: c.SharedSystems, Standby: c.Standby, Tables: c.tables,
		Sources: map[string]mapping.Source{},
	}
	for _, s := range c.Sources {
		o.Sources[s.ID] = mapping.Source{System: s.System, Equipment: s.Equipment, Quality: s.OPCUA != nil}
	}
	return o
}

// check adds what the types alone do not say.
func (c *Config) check(doc *config.Document) {
	switch err := event.CheckPlant(c.Plant); {
	case c.Plant == "":
		doc.Errorf(problem.ConfigMissing, "plant", "plant is missing: want the id of the plant, as in topic names")
	case err != nil:
		doc.Add("plant", problem.New(problem.ConfigValue, "%w", err))
	}
	switch {
	case c.Agent == "":
		doc.Errorf(problem.ConfigMissing, "agent", "agent is missing: want an id of this gateway, unique in the plant")
	case event.CheckAgent(c.Agent) != nil:
		doc.Errorf(problem.ConfigValue, "agent", "%q is no agent id: want a-z, 0-9 and -", c.Agent)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		doc.Errorf(problem.ConfigValue, "listen", "%q is no host:port", c.Listen)
	}
	if n := len(c.Socket()); n > localapi.MaxPath {
		doc.Errorf(problem.ConfigValue, "data", "the path of agent.sock in it would have %d bytes: a socket's has %d at most", n, localapi.MaxPath)
	}
	if len(c.Kafka.Brokers) == 0 {
		doc.Errorf(problem.ConfigMissing, "kafka.brokers", "no brokers: name one host:port at least")
	}
	if len(c.Sources) == 0 {
		doc.Errorf(problem.ConfigMissing, "sources", "no sources: nothing would be read")
	}
	q := c.Queue
	if q.Disk < leastDisk {
		doc.Errorf(problem.ConfigValue, "queue.disk", "%s is too small: want %s at least", q.Disk, leastDisk)
	}
	if q.Quality+q.Telemetry+q.Reserve != 100 {
		doc.Errorf(problem.ConfigValue, "queue", "quality, telemetry and reserve are %s, %s and %s: want 100%% together", q.Quality, q.Telemetry, q.Reserve)
	}
	if q.KeepSent < 0 || q.KeepSent > mostKeepSent {
		doc.Errorf(problem.ConfigValue, "queue.keep_sent", "keep_sent is %s: want 0 to %s", q.KeepSent, mostKeepSent)
	}
	if age := c.Offline.MaxAge; age < leastMaxAge || age > mostMaxAge {
		doc.Errorf(problem.ConfigValue, "offline.max_age", "max_age is %s: want %s to %s", age, leastMaxAge, mostMaxAge)
	}
	c.checkSources(doc)
}

const (
	// leastMaxAge: the cloud speaks once a minute, so that a shorter time would end between two words of it.
	leastMaxAge = 3 * time.Minute
	// mostMaxAge is a week: beyond it a person decides.
	mostMaxAge = 7 * 24 * time.Hour
)

// mostKeepSent is ten years: a longer time is a typing error.
const mostKeepSent = 10 * 365 * 24 * time.Hour

// leastDisk gives each lane room for some segments.
const leastDisk = 32 * config.MiB

func (c *Config) checkSources(doc *config.Document) {
	seen := map[string]bool{}
	for i := range c.Sources {
		s := &c.Sources[i]
		path := config.Index("sources", i)
		switch {
		case event.CheckAgent(s.ID) != nil:
			doc.Errorf(problem.ConfigValue, config.Key(path, "id"), "%q is no source id: want a-z, 0-9 and -", s.ID)
		case seen[s.ID]:
			doc.Errorf(problem.ConfigDuplicate, config.Key(path, "id"), "source %q stands twice", s.ID)
		}
		seen[s.ID] = true
		if s.Equipment != "" && event.CheckAgent(s.Equipment) != nil {
			doc.Errorf(problem.ConfigValue, config.Key(path, "equipment"), "%q is no equipment id: want a-z, 0-9 and -", s.Equipment)
		}
		if s.System == "" {
			s.System = s.ID
		}
		switch {
		case s.MQTT == nil && s.OPCUA == nil:
			doc.Errorf(problem.ConfigMissing, path, "source %q has no kind: want mqtt or opcua", s.ID)
		case s.MQTT != nil && s.OPCUA != nil:
			doc.Errorf(problem.ConfigValue, path, "source %q has two kinds: want mqtt or opcua", s.ID)
		case s.OPCUA != nil:
			s.checkOPCUA(doc, config.Key(path, "opcua"))
		default:
			if !doc.Has(config.Key(config.Key(path, "mqtt"), "min_qos")) {
				s.MQTT.MinQoS = mqtt.Default().MinQoS
			}
			s.checkMQTT(doc, config.Key(path, "mqtt"))
		}
	}
	c.checkSampled(doc)
	for i, m := range c.Mappings {
		if from := m.From.Source; from != "" && !seen[from] {
			doc.Errorf(problem.ConfigValue, config.Index("mappings", i)+".from.source", "no source has the id %q", from)
		}
	}
}

// checkSampled refuses what may change a lot's release from a value that is looked at now and then: between two looks
// a part can pass unseen.
func (c *Config) checkSampled(doc *config.Document) {
	for i, m := range c.Mappings {
		spec, _ := event.Lookup(event.Type(m.Event.Type))
		if m.Event.Type == "" || spec.Lane != event.LaneQuality {
			continue
		}
		for _, s := range c.Sources {
			if s.OPCUA == nil || m.From.Source != s.ID {
				continue
			}
			if node, sampled := s.OPCUA.Sampled(m.From.Topic); sampled {
				doc.Errorf(problem.ConfigValue, config.Index("mappings", i)+".from", "%s is a sample of source %s, so that a part can pass unseen: read it by pattern record or counter, or say sampled_ok: true there", node, s.ID)
			}
		}
	}
}

func (s *Source) checkMQTT(doc *config.Document, path string) {
	if s.MQTT.Broker == "" && doc.Has(config.Key(path, "broker")) {
		return // it was named and could not be read, which is found already
	}
	placed(doc, path, s.MQTT.Check())
}

func (s *Source) checkOPCUA(doc *config.Document, path string) {
	if s.OPCUA.Endpoint == "" && doc.Has(config.Key(path, "endpoint")) {
		return // as above
	}
	placed(doc, path, s.OPCUA.Check())
}

// placed adds an error at the key with which its text begins.
func placed(doc *config.Document, path string, err error) {
	if err == nil {
		return
	}
	key, _, _ := strings.Cut(err.Error(), " ")
	if at := path + "." + key; doc.Has(at) {
		path = at
	}
	doc.Add(path, err)
}

// readTables reads the CSV files of lookup().
func (c *Config) readTables(doc *config.Document) {
	c.tables = map[string]map[string]string{}
	for name, path := range c.Tables {
		table, err := readTable(string(path))
		if err != nil {
			doc.Errorf(problem.ConfigFile, config.Key("tables", name), "table %s: %w", name, err)
		}
		c.tables[name] = table
	}
}

func readTable(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 2
	table := map[string]string{}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return table, nil
		}
		if err != nil {
			return nil, err
		}
		if old, twice := table[row[0]]; twice && old != row[1] {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("line %d: %q stands twice, with %q and %q", line, row[0], old, row[1])
		}
		table[row[0]] = row[1]
	}
}

// Socket returns the path of the local socket.
func (c *Config) Socket() string { return filepath.Join(string(c.Data), "agent.sock") }

func (c *Config) laneDir(lane event.Lane) string {
	return filepath.Join(string(c.Data), "queue", strings.ToLower(string(lane)))
}
