package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxNodes bounds an expression's size, memoryBudget what one evaluation may allocate, in entries.
const (
	maxNodes     = 500
	memoryBudget = 100_000
)

// mapping is one compiled mapping.
type mapping struct {
	name     string
	version  int64
	source   string
	topic    topicPattern
	decode   Decoding
	rows     *program // nil: the payload is the one row
	remember []remember
	when     *program // nil: true

	typ     event.Type // "" = it only remembers
	slots   []slot     // lot and data
	time    *program
	key     []*program
	keyless bool // the agent mints the id
	strict  bool // its event may change a lot's release, and nothing in it looks at the quality of a value
	raw     *program
	cause   int // index of the mapping whose event causes ours; -1 = none
}

// slot is one member of the event's data and what gives its value.
type slot struct {
	name  string
	field string // for errors: lot, data.value
	kind  memberKind
	prog  *program
	slots []slot // of an object
}

type remember struct {
	tag, value, when, good, time *program // the last three may be nil

	quality bool // good looks at the quality of the value
}

// Mapper turns signals into events. It is immutable and may be used by several goroutines.
type Mapper struct {
	mappings []mapping
	plant    event.PlantID
	agent    string
	shared   []string
	tables   map[string]map[string]string
}

// Compile checks and compiles mappings and runs their samples. It returns every error found; the Mapper is nil if there
// is one.
func Compile(configs []Config, opts Options) (*Mapper, []*Error) {
	c := &compiler{opts: opts, configs: configs}
	m := &Mapper{plant: opts.Plant, agent: opts.Agent, shared: opts.SharedSystems, tables: opts.Tables}
	for i := range configs {
		c.index, c.path = i, fmt.Sprintf("mappings[%d]", i)
		m.mappings = append(m.mappings, c.mapping(&configs[i]))
	}
	if len(c.errs) == 0 {
		for i := range configs {
			c.index, c.path = i, fmt.Sprintf("mappings[%d]", i)
			c.samples(m, &configs[i])
		}
	}
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return m, nil
}

// Arrival returns the names of mappings whose events of lane quality get an id at arrival: a message delivered twice
// may count twice.
func (m *Mapper) Arrival() []string {
	var names []string
	for i := range m.mappings {
		spec, _ := event.Lookup(m.mappings[i].typ)
		if m.mappings[i].keyless && spec.Lane == event.LaneQuality {
			names = append(names, m.mappings[i].name)
		}
	}
	return names
}

// Lane returns the lane of all that a source can yield: telemetry where every event that its mappings make is sampled, so
// that what it missed changes no lot. What no mapping takes is quarantined, in lane quality.
func (m *Mapper) Lane(source string) event.Lane {
	lane := event.LaneQuality
	for i := range m.mappings {
		x := &m.mappings[i]
		if x.typ == "" || x.source != "" && x.source != source {
			continue
		}
		spec, _ := event.Lookup(x.typ)
		if spec.Lane == event.LaneQuality {
			return event.LaneQuality
		}
		lane = spec.Lane
	}
	return lane
}

// compiler collects the errors of all mappings.
type compiler struct {
	opts    Options
	configs []Config
	index   int    // of the mapping at hand
	path    string // its YAML path
	quality bool   // an expression since the mapping's first looks at the quality of a value
	env     types.Map
	names   []string // of the topic's captures, in order
	errs    []*Error
}

func (c *compiler) fail(code, path, format string, args ...any) {
	full := c.path
	if path != "" {
		full += "." + path
	}
	c.errs = append(c.errs, &Error{Path: full, Mapping: c.configs[c.index].Name, Code: code, Message: fmt.Sprintf(format, args...)})
}

var mappingName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

func (c *compiler) mapping(cfg *Config) mapping {
	m := mapping{name: cfg.Name, version: cfg.Version, source: cfg.From.Source, decode: cfg.Decode, cause: -1}
	c.head(cfg)
	var err error
	if m.topic, err = parseTopic(cfg.From.Topic); err != nil {
		c.fail(CodeInvalid, "from.topic", "topic %v", err)
	}
	if m.decode == "" {
		m.decode = DecodeJSON
	}
	c.names, c.env = m.topic.names, environment(m.topic.names)
	for i, r := range cfg.Remember {
		m.remember = append(m.remember, c.remember(r, fmt.Sprintf("remember[%d]", i)))
	}
	c.quality = false
	m.rows, _ = c.optional(cfg.Rows, "rows")
	m.when, _ = c.optional(cfg.When, "when")
	if reflect.DeepEqual(cfg.Event, Event{}) && len(cfg.Remember) > 0 {
		return m
	}
	c.event(cfg, &m)
	return m
}

// head checks what is no expression.
func (c *compiler) head(cfg *Config) {
	switch {
	case !mappingName.MatchString(cfg.Name):
		c.fail(CodeInvalid, "name", "name is %.80q: want 1 to 64 of a-z, 0-9, _, . and -", cfg.Name)
	case c.indexOf(cfg.Name) >= 0:
		c.fail(CodeInvalid, "name", "name %q is used twice", cfg.Name)
	}
	if cfg.Version < 1 || cfg.Version > event.MaxInteger {
		c.fail(CodeInvalid, "version", "version is %d: want a number from 1", cfg.Version)
	}
	if _, known := c.opts.Sources[cfg.From.Source]; !known && cfg.From.Source != "" && len(c.opts.Sources) > 0 {
		c.fail(CodeInvalid, "from.source", "there is no source %.80q", cfg.From.Source)
	}
	if cfg.Decode != "" && cfg.Decode != DecodeJSON && cfg.Decode != DecodeText {
		c.fail(CodeInvalid, "decode", "decode is %.80q: want json or text", cfg.Decode)
	}
	if cfg.OnError != "" && cfg.OnError != "quarantine" {
		c.fail(CodeInvalid, "on_error", "on_error is %.80q: want quarantine", cfg.OnError)
	}
}

// indexOf returns the index of an earlier mapping, or -1.
func (c *compiler) indexOf(name string) int {
	return slices.IndexFunc(c.configs[:c.index], func(other Config) bool { return other.Name == name })
}

func (c *compiler) event(cfg *Config, m *mapping) {
	spec, known := event.Lookup(event.Type(cfg.Event.Type))
	switch {
	case cfg.Event.Type == "":
		c.fail(CodeInvalid, "event.type", "event has no type")
		return
	case !known:
		c.fail(CodeInvalid, "event.type", "event type %.80q is not known to this version%s", cfg.Event.Type, nearestType(cfg.Event.Type))
		return
	case !mappable(spec):
		c.fail(CodeInvalid, "event.type", "event type %s is not made by mappings", spec.Type)
		return
	}
	m.typ = spec.Type
	m.slots = c.data(cfg, shapeOf(spec.New()))
	m.strict = spec.Lane == event.LaneQuality && !c.quality
	m.time, _ = c.optional(cfg.Event.Time, "event.time")
	m.raw, _ = c.optional(cfg.Event.Raw, "event.raw")
	c.key(cfg, m, spec)
	c.cause(cfg, m)
}

// mappable tells whether mappings may make events of a type: those about the plant, not those about the agent itself.
func mappable(spec event.Spec) bool {
	return spec.Plant && !strings.HasPrefix(string(spec.Type), "observation.") && !strings.HasPrefix(string(spec.Type), "agent.")
}

// nearestType names the version of a type that is known, if only the version is wrong.
func nearestType(typ string) string {
	for _, t := range event.Types() {
		if t.Family() == event.Type(typ).Family() || t.Family() == typ {
			return fmt.Sprintf("; it knows %s", t)
		}
	}
	return ""
}

// data compiles event.lot and event.data against the members of the type.
func (c *compiler) data(cfg *Config, shape []member) []slot {
	given := maps.Clone(cfg.Event.Data)
	if given == nil {
		given = map[string]any{}
	}
	if _, inData := given["lot"]; inData {
		c.fail(CodeInvalid, "event.data.lot", "the lot stands in event.lot, not in data")
		delete(given, "lot")
	}
	hasLot := slices.ContainsFunc(shape, func(m member) bool { return m.name == "lot" })
	if cfg.Event.Lot != "" {
		if !hasLot {
			c.fail(CodeInvalid, "event.lot", "events of type %s have no lot", cfg.Event.Type)
		}
		given["lot"] = cfg.Event.Lot
	}
	return c.slots(given, shape, "data")
}

func (c *compiler) slots(given map[string]any, shape []member, field string) []slot {
	var slots []slot
	for _, m := range shape {
		name, path := field+"."+m.name, "event."+field+"."+m.name
		if name == "data.lot" {
			name, path = "lot", "event.lot"
		}
		value, present := given[m.name]
		delete(given, m.name)
		if !present {
			if m.required {
				c.fail(CodeInvalid, path, "%s is missing: the type requires it", name)
			}
			continue
		}
		if s, ok := c.slot(m, value, name, path); ok {
			slots = append(slots, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		c.fail(CodeInvalid, "event."+field+"."+name, "the type has no member %q%s", name, suggestion(name, shape))
	}
	return slots
}

func suggestion(name string, shape []member) string {
	names := make([]string, 0, len(shape))
	for _, m := range shape {
		if m.name != "lot" {
			names = append(names, m.name)
		}
		if strings.EqualFold(strings.ReplaceAll(m.name, "_", ""), strings.ReplaceAll(name, "_", "")) {
			return fmt.Sprintf("; did you mean %q?", m.name)
		}
	}
	return "; it has " + strings.Join(names, ", ")
}

func (c *compiler) slot(m member, value any, name, path string) (slot, bool) {
	s := slot{name: m.name, field: name, kind: m.kind}
	switch m.kind {
	case kindOther:
		c.fail(CodeInvalid, path, "%s is a list or map, which a mapping cannot make", name)
		return s, false
	case kindObject:
		object, ok := value.(map[string]any)
		if !ok {
			c.fail(CodeInvalid, path, "%s is an object: give an expression for each of its members", name)
			return s, false
		}
		s.slots = c.slots(maps.Clone(object), m.members, name)
		return s, true
	}
	var ok bool
	s.prog, ok = c.expression(value, path)
	return s, ok
}

func (c *compiler) key(cfg *Config, m *mapping, spec event.Spec) {
	switch key := cfg.Event.Key.(type) {
	case nil:
		m.keyless = true
		if spec.Lane == event.LaneQuality {
			c.fail(CodeKey, "event.key", "event has no key: lane quality takes only events that a second delivery cannot double")
		}
	case string:
		m.keyless = true
		switch {
		case key != "arrival":
			c.fail(CodeKey, "event.key", "key is %.80q: want a list of expressions, or arrival", key)
		case c.opts.Standby && spec.Lane == event.LaneQuality:
			c.fail(CodeKey, "event.key", "key is arrival: refused, since this plant has a standby agent that would send every fact again")
		case c.usesState(cfg.Event.Lot):
			c.fail(CodeKey, "event.lot", "state() gives the lot of events with key: arrival: a second delivery could name another lot")
		}
	case []any:
		if len(key) == 0 {
			c.fail(CodeKey, "event.key", "key is an empty list")
		}
		for i, part := range key {
			c.keyPart(m, part, fmt.Sprintf("event.key[%d]", i))
		}
	default:
		c.fail(CodeKey, "event.key", "key is no list of expressions, nor arrival")
	}
}

func (c *compiler) keyPart(m *mapping, part any, path string) {
	prog, rw, ok := c.compile(part, path)
	if ok && rw.arrived {
		c.fail(CodeKey, path, "the time of arrival is no part of a key: a second delivery has another one")
	}
	m.key = append(m.key, prog)
}

func (c *compiler) usesState(text string) bool {
	rw := &rewriter{tables: c.opts.Tables}
	_, err := c.program(text, rw)
	return err == nil && rw.state
}

// cause checks that the mapping named gives an event of the same row.
func (c *compiler) cause(cfg *Config, m *mapping) {
	if cfg.Event.Cause == "" {
		return
	}
	m.cause = c.indexOf(cfg.Event.Cause)
	if m.cause < 0 {
		c.fail(CodeInvalid, "event.cause", "cause is %.80q: want the name of an earlier mapping", cfg.Event.Cause)
		return
	}
	other := c.configs[m.cause]
	_, keyed := other.Event.Key.([]any)
	switch {
	case other.From != cfg.From || other.Rows != cfg.Rows || other.Decode != cfg.Decode:
		c.fail(CodeInvalid, "event.cause", "mapping %q has another from, decode or rows, so that its rows are not ours", other.Name)
	case !keyed || other.Event.Type == "":
		c.fail(CodeInvalid, "event.cause", "mapping %q makes no event with a key", other.Name)
	}
}

func (c *compiler) remember(r Remember, path string) (out remember) {
	for _, e := range []struct {
		text     string
		name     string
		into     **program
		required bool
	}{
		{r.Tag, "tag", &out.tag, true}, {r.Value, "value", &out.value, true},
		{r.When, "when", &out.when, false}, {r.Good, "good", &out.good, false}, {r.Time, "time", &out.time, false},
	} {
		if e.text == "" && e.required {
			c.fail(CodeInvalid, path+"."+e.name, "%s is missing", e.name)
			continue
		}
		c.quality = false
		*e.into, _ = c.optional(e.text, path+"."+e.name)
		out.quality = out.quality || e.into == &out.good && c.quality
	}
	return out
}

// optional compiles an expression that may be left out.
func (c *compiler) optional(text, path string) (*program, bool) {
	if text == "" {
		return nil, true
	}
	return c.expression(text, path)
}

func (c *compiler) expression(value any, path string) (*program, bool) {
	prog, _, ok := c.compile(value, path)
	return prog, ok
}

// compile compiles an expression. YAML may have read a constant as a number or a truth value.
func (c *compiler) compile(value any, path string) (*program, *rewriter, bool) {
	text, ok := sourceText(value)
	if !ok {
		c.fail(CodeInvalid, path, "is no expression: want a text, which holds constants in quotes of their own")
		return nil, nil, false
	}
	rw := &rewriter{tables: c.opts.Tables}
	prog, err := c.program(text, rw)
	if rw.err != nil {
		err = rw.err
	}
	if err != nil {
		c.fail(CodeInvalid, path, "%s", explain(err))
		return nil, rw, false
	}
	c.quality = c.quality || rw.quality
	return prog, rw, true
}

func (c *compiler) program(text string, rw *rewriter) (*program, error) {
	machine, err := expr.Compile(text, append(c.options(), expr.Patch(rw))...)
	if err != nil {
		return nil, err
	}
	return &program{machine: machine, direct: direct{captures: c.names}.compile(machine.Node())}, nil
}

func sourceText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, strings.TrimSpace(v) != ""
	case json.Number:
		return string(v), true
	case int:
		return strconv.Itoa(v), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func (c *compiler) options() []expr.Option {
	options := []expr.Option{expr.Env(c.env), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins()}
	for _, name := range builtins() {
		options = append(options, expr.EnableBuiltin(name))
	}
	for _, f := range functions() {
		options = append(options, f.option())
	}
	return options
}

var unknownName = regexp.MustCompile(`unknown name (\S+)`)

// explain adds what is most often meant by an unknown name: a constant without its own quotes.
func explain(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\ngoroutine ") // a fault of the compiler brings its stack along
	if fe, ok := errors.AsType[*file.Error](err); ok {
		if m := unknownName.FindStringSubmatch(fe.Message); m != nil {
			return fmt.Sprintf("%s\nA constant text has quotes of its own: '\"%s\"'", text, m[1])
		}
	}
	return text
}

// environment returns the names and types that expressions see.
func environment(captures []string) types.Map {
	t := types.Map{}
	for _, name := range captures {
		t[name] = types.String
	}
	sig := types.Map{
		"source": types.String, "system": types.String, "equipment": types.String, "ref": types.String, "item": types.String,
		"quality": types.String, "status": types.Int, "flags": types.TypeOf([]string(nil)),
		"time": types.TypeOf(time.Time{}), "arrived": types.TypeOf(time.Time{}),
	}
	return types.Map{
		"p": types.Any, "row": types.Any, "t": t, "sig": sig, scopeName: types.TypeOf((*scope)(nil)),
	}
}
