package opcua

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// DefaultPublish lets a value wait a quarter of a second at most, and a server send four times a second at most.
	DefaultPublish = 250 * time.Millisecond
	// DefaultSample is how often a server looks at a sample: a trend needs no more.
	DefaultSample = time.Second
	// DefaultSecurity is what every current server offers and none has reason to refuse.
	DefaultSecurity = "Basic256Sha256/SignAndEncrypt"

	leastPublish, mostPublish = 100 * time.Millisecond, 500 * time.Millisecond
	mostHistory               = 30 * 24 * time.Hour
	leastSilence              = time.Second
)

// Config says which server to read, and what of it. Endpoint, and one of Items and Events, are required.
type Config struct {
	Endpoint string `yaml:"endpoint" doc:"address: opc.tcp://host:4840/path"`
	Security string `yaml:"security" doc:"policy and mode, exactly as the server must offer them, such as Basic256Sha256/SignAndEncrypt; None needs an exception"`

	User         string            `yaml:"user" doc:"name at the server; empty: anonymous"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the password, mode 0600"`
	Exception    *Exception        `yaml:"exception" doc:"allows None, or a password in clear, for a time"`

	Certificate config.Path `yaml:"certificate" doc:"our certificate, DER or PEM; empty: one is made at the first start"`
	Key         config.Path `yaml:"key" doc:"its key, PEM, mode 0600"`
	Trust       config.Path `yaml:"trust" doc:"folder with trusted, issuers, crl and rejected; empty: pki in the data directory"`

	Cycle     time.Duration `yaml:"cycle" doc:"how often the machine makes a part; warns where the server looks less often than twice in it"`
	Publish   time.Duration `yaml:"publish" doc:"how often the server sends; 100ms to 500ms"`
	Heartbeat string        `yaml:"heartbeat" doc:"node that changes each second; empty: the server's clock, i=2258"`

	Items   []Item   `yaml:"items" doc:"variables to read"`
	Events  []Events `yaml:"events" doc:"events and alarms to read"`
	History *History `yaml:"history" doc:"read what was missed from the server's history; absent: do not"`
}

// Pattern says how an item is read.
type Pattern string

// Patterns, best first.
const (
	PatternRecord  Pattern = "record"  // one variable, mostly a structure, that changes once per part
	PatternCounter Pattern = "counter" // a counter that says when to read its members
	PatternSample  Pattern = "sample"  // a variable looked at now and then
)

// Item is one variable, or a counter with its members.
type Item struct {
	Node    string  `yaml:"node" doc:"nsu=<namespace uri>;s=..., also i=, g= or b="`
	Pattern Pattern `yaml:"pattern" doc:"record, counter or sample; empty: sample"`

	Seq     string `yaml:"seq" doc:"record: member that counts up by one with each record; a dot for the value itself"`
	Modulus uint64 `yaml:"modulus" doc:"of the sequence, where it wraps: after modulus-1 comes 0; 0: it does not wrap"`

	Members []string `yaml:"members" doc:"counter: nodes that are read when it changes"`

	Every      time.Duration `yaml:"every" doc:"sample: how often the server looks; empty: 1s"`
	SampledOK  bool          `yaml:"sampled_ok" doc:"sample: let it yield events that may change a lot's release, although changes between two samples are not seen"`
	MaxSilence time.Duration `yaml:"max_silence" doc:"longest time without a new value, after which the node is read; empty: none"`
}

// Events is one notifier.
type Events struct {
	Notifier string   `yaml:"notifier" doc:"node; empty: the server, i=2253"`
	Types    []string `yaml:"types" doc:"event types, with their subtypes; empty: all"`
	Fields   []string `yaml:"fields" doc:"own fields: nsu=<namespace uri>;Name, with / before a further level"`
	Seq      string   `yaml:"seq" doc:"one of the fields that counts up by one with each event"`
	Modulus  uint64   `yaml:"modulus" doc:"of the sequence, where it wraps; 0: it does not"`
}

// History bounds the reading of history.
type History struct {
	Max time.Duration `yaml:"max" doc:"how far back; empty: 24h"`
}

// Exception lets a person answer, by name and for a time, for what is refused otherwise.
type Exception struct {
	Owner  string `yaml:"owner" doc:"who answers for it"`
	Reason string `yaml:"reason" doc:"why there is no other way"`
	Until  string `yaml:"until" doc:"last day of it, such as 2027-06-30"`
}

// Check fills zero values and returns what is wrong, as a sentence that begins with the key, such as items[0].node.
func (c *Config) Check() error {
	c.fill()
	u, err := url.Parse(c.Endpoint)
	switch {
	case c.Endpoint == "":
		return problem.New(problem.ConfigMissing, "endpoint has no address")
	case err != nil || u.Scheme != "opc.tcp" || u.Host == "":
		return problem.New(problem.ConfigValue, "endpoint is no address such as opc.tcp://press1:4840/plant")
	case u.User != nil:
		return problem.New(problem.ConfigSecret, "endpoint holds a password: use user and password_file")
	}
	if err := c.checkSecurity(); err != nil {
		return err
	}
	switch {
	case c.Publish < leastPublish || c.Publish > mostPublish:
		return problem.New(problem.ConfigValue, "publish is %s: want %s to %s", c.Publish, leastPublish, mostPublish)
	case c.Cycle < 0:
		return problem.New(problem.ConfigValue, "cycle is %s: want a time above 0", c.Cycle)
	case c.History != nil && (c.History.Max < 0 || c.History.Max > mostHistory):
		return problem.New(problem.ConfigValue, "history max is %s: want up to %s", c.History.Max, mostHistory)
	case len(c.Items) == 0 && len(c.Events) == 0:
		return problem.New(problem.ConfigMissing, "items names no node, and events no notifier")
	}
	if _, err := parseNode(c.Heartbeat); err != nil {
		return problem.New(problem.ConfigValue, "heartbeat %w", err)
	}
	return c.checkItems()
}

func (c *Config) fill() {
	if c.Security == "" {
		c.Security = DefaultSecurity
	}
	if c.Publish == 0 {
		c.Publish = DefaultPublish
	}
	if c.Heartbeat == "" {
		c.Heartbeat = serverTime
	}
	if c.History != nil && c.History.Max == 0 {
		c.History.Max = 24 * time.Hour
	}
	for i := range c.Items {
		if c.Items[i].Pattern == "" {
			c.Items[i].Pattern = PatternSample
		}
		if c.Items[i].Every == 0 {
			c.Items[i].Every = DefaultSample
		}
	}
	for i := range c.Events {
		if c.Events[i].Notifier == "" {
			c.Events[i].Notifier = serverObject
		}
	}
}

func (c *Config) checkSecurity() error {
	want, err := parseSecurity(c.Security)
	switch {
	case err != nil:
		return problem.New(problem.ConfigValue, "security %w", err)
	case want.mode == ua.MessageSecurityModeNone && c.Exception == nil:
		return problem.New(problem.ConfigValue, "security is None, so that anyone on the way reads and changes values: name owner, reason and until under exception, or use %s", DefaultSecurity)
	case c.User == "" && c.PasswordFile != "":
		return problem.New(problem.ConfigMissing, "password_file needs user")
	case c.User != "" && c.PasswordFile == "":
		return problem.New(problem.ConfigMissing, "user needs password_file")
	case (c.Certificate == "") != (c.Key == ""):
		return problem.New(problem.ConfigMissing, "certificate and key go together")
	case c.Exception == nil:
		return nil
	case c.Exception.Owner == "" || c.Exception.Reason == "":
		return problem.New(problem.ConfigMissing, "exception names no owner or no reason")
	}
	if _, err := c.Exception.end(); err != nil {
		return problem.New(problem.ConfigValue, "exception until is %q: want a day such as 2027-06-30", c.Exception.Until)
	}
	return nil
}

// end returns the first instant after the exception.
func (e *Exception) end() (time.Time, error) {
	day, err := time.Parse(time.DateOnly, e.Until)
	return day.AddDate(0, 0, 1), err
}

func (c *Config) checkItems() error {
	seen := map[string]bool{}
	for i := range c.Items {
		item := &c.Items[i]
		at := fmt.Sprintf("items[%d]", i)
		if _, err := parseNode(item.Node); err != nil {
			return problem.New(problem.ConfigValue, "%s.node %q %w", at, item.Node, err)
		}
		for _, text := range item.Members {
			if _, err := parseNode(text); err != nil {
				return problem.New(problem.ConfigValue, "%s.members node %q %w", at, text, err)
			}
		}
		if seen[item.Node] {
			return problem.New(problem.ConfigDuplicate, "%s.node %q stands twice", at, item.Node)
		}
		seen[item.Node] = true
		if err := item.check(); err != nil {
			return problem.New(problem.ConfigValue, "%s %w", at, err)
		}
	}
	for i := range c.Events {
		e := &c.Events[i]
		at := fmt.Sprintf("events[%d]", i)
		if seen[e.Notifier] {
			return problem.New(problem.ConfigDuplicate, "%s.notifier %q stands twice", at, e.Notifier)
		}
		seen[e.Notifier] = true
		if err := e.check(); err != nil {
			return problem.New(problem.ConfigValue, "%s %w", at, err)
		}
	}
	return nil
}

func (i *Item) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("node %q "+format, append([]any{i.Node}, args...)...)
	}
	switch {
	case !slices.Contains([]Pattern{PatternRecord, PatternCounter, PatternSample}, i.Pattern):
		return wrong("has the pattern %q: want record, counter or sample", i.Pattern)
	case i.Seq != "" && i.Pattern != PatternRecord:
		return wrong("has seq, which belongs to pattern record; a counter is its own sequence")
	case i.Modulus != 0 && i.Seq == "" && i.Pattern != PatternCounter:
		return wrong("has a modulus and no sequence")
	case i.Modulus == 1:
		return wrong("has modulus 1: want 0, or 2 and more")
	case len(i.Members) > 0 && i.Pattern != PatternCounter:
		return wrong("has members, which belong to pattern counter")
	case len(i.Members) == 0 && i.Pattern == PatternCounter:
		return wrong("is a counter without members")
	case i.Every < 0 || i.Every > time.Hour:
		return wrong("has every %s: want up to 1h", i.Every)
	case i.MaxSilence != 0 && i.MaxSilence < leastSilence:
		return wrong("has max_silence %s: want %s at least", i.MaxSilence, leastSilence)
	}
	return nil
}

func (e *Events) check() error {
	for _, text := range append([]string{e.Notifier}, e.Types...) {
		if _, err := parseNode(text); err != nil {
			return fmt.Errorf("node %q %w", text, err)
		}
	}
	for _, text := range e.Fields {
		if _, err := parseField(text); err != nil {
			return fmt.Errorf("field %q %w", text, err)
		}
	}
	if e.Seq != "" && !slices.Contains(e.Fields, e.Seq) {
		return fmt.Errorf("seq %q is none of the fields", e.Seq)
	}
	return nil
}

// sequenced tells whether the item has a sequence of its own.
func (i *Item) sequenced() bool { return i.Seq != "" || i.Pattern == PatternCounter }

// Sampled returns the first sample that a topic pattern may take, as one with a wildcard may any, and that no one has allowed to yield events that may
// change a lot's release.
func (c *Config) Sampled(topic string) (node string, sampled bool) {
	for i := range c.Items {
		item := &c.Items[i]
		name := nodeText(item.Node)
		if (item.Pattern == PatternSample || item.Pattern == "") && !item.SampledOK && (topic == name || strings.ContainsAny(topic, "+#{")) {
			return name, true
		}
	}
	return "", false
}

// address returns host and port, by which two configurations of one server are known.
func (c *Config) address() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return c.Endpoint
	}
	if u.Port() == "" {
		return strings.ToLower(u.Host) + ":4840"
	}
	return strings.ToLower(u.Host)
}
