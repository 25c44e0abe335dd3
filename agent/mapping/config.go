package mapping

import "github.com/holdfast-mesh/holdfast/pkg/event"

// Config is one mapping as people write it.
type Config struct {
	Name    string `yaml:"name" doc:"unique name; stands in every event it makes"`
	Version int64  `yaml:"version" doc:"from 1; raise it with every change"`
	From    From   `yaml:"from" doc:"which signals it takes"`

	Decode   Decoding   `yaml:"decode" doc:"json or text; empty: json"`
	Rows     string     `yaml:"rows" doc:"expression for the list of rows; empty: the payload is the one row"`
	Remember []Remember `yaml:"remember" doc:"values kept for state(), of each row"`
	When     string     `yaml:"when" doc:"expression; false: the row is not this mapping's; empty: true"`
	Event    Event      `yaml:"event" doc:"the event made of each row; may be left out beside remember"`

	OnError string   `yaml:"on_error" doc:"quarantine, the only value"`
	Samples []Sample `yaml:"samples" doc:"payloads with what they must give; run at load"`
}

// From says which signals a mapping takes.
type From struct {
	Source string `yaml:"source" doc:"id of a source; empty: any"`
	Topic  string `yaml:"topic" doc:"topic pattern: + and # as at the broker, {line} captures a level; a level called {site} or {plant} must be this plant"`
}

// Event says how a row becomes an event. Every text but Type and Cause is an expression.
type Event struct {
	Type  string `yaml:"type" doc:"event type with its version"`
	Lot   string `yaml:"lot" doc:"expression for the lot key, by lot()"`
	Time  string `yaml:"time" doc:"expression for the time at the source; empty: that of the signal, else its arrival"`
	Key   any    `yaml:"key" doc:"list of expressions that identify the fact in its system, or arrival"`
	Raw   string `yaml:"raw" doc:"expression for the part of the payload that matters; empty: the payload, where it is one row"`
	Cause string `yaml:"cause" doc:"name of an earlier mapping whose event of the same row causes this one"`
	// Data has an expression per member; a map for a member that is an object.
	Data map[string]any `yaml:"data" doc:"expressions by member of the event's data"`
}

// Remember keeps a value of a row under a tag, for state() in other messages of the same source.
type Remember struct {
	Tag   string `yaml:"tag" doc:"expression for the tag"`
	Value string `yaml:"value" doc:"expression for the value: text, number, true or false"`
	When  string `yaml:"when" doc:"expression; false: nothing is kept of this row; empty: true"`
	Good  string `yaml:"good" doc:"expression; false: the value is bad; empty: true"`
	Time  string `yaml:"time" doc:"expression for its time at the source; empty: that of the signal"`
}

// Sample is a payload with what it must give.
type Sample struct {
	Name      string         `yaml:"name" doc:"what the sample shows"`
	Topic     string         `yaml:"topic" doc:"empty: one made from the pattern"`
	State     map[string]any `yaml:"state" doc:"what state() finds, by tag"`
	Payload   string         `yaml:"payload" doc:"the message"`
	Want      []Want         `yaml:"want" doc:"the events it gives, in order; only what is named is compared"`
	WantError string         `yaml:"want_error" doc:"field that fails (decode, rows, when, lot, data.value ...), or a part of the error"`
}

// Want is what a sample says of one event. Absent means not compared.
type Want struct {
	Lot  string         `yaml:"lot" doc:"lot key"`
	Time string         `yaml:"time" doc:"RFC 3339, UTC"`
	Data map[string]any `yaml:"data" doc:"members of data"`
}

// Options is what a mapping needs to know of the agent.
type Options struct {
	Plant event.PlantID
	Agent string // id of the agent; the system of its own facts
	// SharedSystems are known by one record in several plants: the plant does not enter their event ids.
	SharedSystems []string
	// Standby says that a second gateway may read the same sources, so that every fact needs a natural key.
	Standby bool
	Tables  map[string]map[string]string // for lookup(): table, key, value
	Sources map[string]Source            // by id; empty = not known, so that no mapping's source is checked
}

// Source is what samples need to know of a source.
type Source struct {
	System    string // "" = the source's id
	Equipment string
	// Quality says that it states the quality of each value, in the payload's member of that name.
	Quality bool
}

// Codes of errors found at load and at run time.
const (
	CodeInvalid  = "E-1101" // a mapping does not compile
	CodeSample   = "E-1102" // a sample gives another result than it states, or is missing
	CodeKey      = "E-1103" // an event of lane quality has no natural key
	CodeFailed   = "E-6301" // a message could not be mapped
	CodeTooLarge = "E-6302" // a message above its source's limit
	CodeForeign  = "E-6303" // a message of another plant, or of no subscription
	CodeUnmapped = "E-6304" // no mapping takes the topic
	CodeQuality  = "E-6305" // the source calls the value less than good
)

// Error is one thing wrong with a mapping.
type Error struct {
	Path    string // YAML path, such as mappings[0].event.data.value
	Mapping string // its name, if it has one
	Sample  string // name of the sample; "" = none
	Code    string
	Message string
}

// Error returns path, sample, message and code.
func (e *Error) Error() string {
	where := e.Path
	if e.Sample != "" {
		where += " (" + e.Sample + ")"
	}
	return where + ": " + e.Message + " (" + e.Code + ")"
}
