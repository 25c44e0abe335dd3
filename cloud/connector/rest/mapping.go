package rest

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Mapping says how one system speaks. It is read from a file of its own, strictly. A system has records, inspections,
// tasks, notices, decisions or allocations, one of them at least; what it does not have is left out.
type Mapping struct {
	Auth            string               `yaml:"auth" doc:"bearer (token_file), basic (user, password_file) or none"`
	Headers         map[string]string    `yaml:"headers" doc:"sent with every call"`
	Lock            connector.Lock       `yaml:"lock" doc:"how well If-Match sees a change by someone else: exact, second or none (none is sent)"`
	Uniqueness      connector.Uniqueness `yaml:"uniqueness" doc:"what keeps a record from being made twice: none, natural_key or upsert"`
	ReferenceLength int                  `yaml:"reference_length" doc:"longest reference that the system keeps, in characters"`
	Overlap         time.Duration        `yaml:"overlap" doc:"how far a feed looks back behind the begin of its last sweep: as long as the system's longest transaction"`

	Check   []Probe    `yaml:"check" doc:"what the preflight looks for, such as the reference among the fields"`
	Find    *Operation `yaml:"find" doc:"list of the records with a reference"`
	Locate  *Operation `yaml:"locate" doc:"list of the records of a nonconformance, whatever made them; empty: find"`
	Read    *Operation `yaml:"read" doc:"one record by its id"`
	Create  *Operation `yaml:"create" doc:"makes a record"`
	Update  *Operation `yaml:"update" doc:"changes a record's state"`
	Changes *Operation `yaml:"changes" doc:"list of the records changed since a time, in order of id"`

	Record Paths `yaml:"record" doc:"where the parts of a record stand"`

	Inspections *Inspections `yaml:"inspections" doc:"records of inspections with their verdict"`
	Tasks       *Tasks       `yaml:"tasks" doc:"warehouse tasks of a lot"`
	Notices     *Notices     `yaml:"notices" doc:"messages to customer service"`
	Decisions   *Decisions   `yaml:"decisions" doc:"feed of signed dispositions"`
	Allocations *Allocations `yaml:"allocations" doc:"feed of what customers' order lines count on"`

	Error struct {
		Code    Path `yaml:"code" doc:"path of the code in an error's body"`
		Message Path `yaml:"message" doc:"path of the text in an error's body"`
	} `yaml:"error"`
	States      map[string]string `yaml:"states" doc:"our state: theirs"`
	OtherStates map[string]string `yaml:"other_states" doc:"further states of theirs: ours"`
	Outcomes    []Rule            `yaml:"outcomes" doc:"what answers mean beyond their status; the first that fits counts"`
}

// Operation is one call. Path, query and body are templates over the fields of values; in a path every value ends in
// "| path", in a body in "| json". A query's parameter that is more than one field alone is in a language of its own, in
// which a value could be taken for words. There it ends in "| backslashed" or "| doubled", which write it between single
// quotes with its own quotes after a backslash or twice, or in "| json". "| unzoned" writes a time as 2026-11-24 08:00:00, in
// UTC.
type Operation struct {
	Method string            `yaml:"method" doc:"empty: GET, for what makes something POST, for update PATCH"`
	Path   string            `yaml:"path"`
	Query  map[string]string `yaml:"query" doc:"a parameter that comes out empty is left out"`
	Body   string            `yaml:"body"`
	Items  Path              `yaml:"items" doc:"path of the list in the answer"`
	More   Path              `yaml:"more" doc:"path of what stands in the answer only where the list goes on, such as the address of its next page; empty: it goes on while the answer is full"`
	Most   int               `yaml:"most" doc:"most records that the system puts into one answer, whatever it is asked for; 0: as many as it is asked for"`
	Answer string            `yaml:"answer" doc:"list or object: what the system's own answer to a change is; other JSON comes from someone else and acknowledges nothing; empty: any"`
	ID     Path              `yaml:"id" doc:"path of the new record's id in the answer; empty: the end of the header Location"`

	form *form
}

// Kinds of answers.
const (
	answerList   = "list"
	answerObject = "object"
)

// suits tells whether decoded JSON is of the kind that the system answers with.
func (o *Operation) suits(body any) bool {
	_, list := body.([]any)
	_, object := body.(map[string]any)
	return o.Answer == "" || o.Answer == answerList && list || o.Answer == answerObject && object
}

// Probe is a read whose answer must show something, such as the field that keeps our reference.
type Probe struct {
	Path     string            `yaml:"path" doc:"a template, in which User is the technical user"`
	Query    map[string]string `yaml:"query"`
	At       Path              `yaml:"at" doc:"path that must lead to something in the answer; empty: the answer as a whole"`
	Contains string            `yaml:"contains" doc:"text that must stand there; empty: any"`
	Fix      string            `yaml:"fix" doc:"what a person does about it"`

	op *Operation
}

// Paths say where the parts of a record stand in its JSON.
type Paths struct {
	Root      Path            `yaml:"root" doc:"where the record stands in the answer to read; empty: it is the answer"`
	ID        Path            `yaml:"id"`
	Object    Path            `yaml:"object" doc:"id of the nonconformance"`
	Reference Path            `yaml:"reference"`
	State     Path            `yaml:"state"`
	Decision  Path            `yaml:"decision"`
	ETag      Path            `yaml:"etag" doc:"empty: the header ETag"`
	ChangedAt Path            `yaml:"changed_at"`
	CreatedAt Path            `yaml:"created_at" doc:"counts where changed_at is null"`
	Fields    map[string]Path `yaml:"fields" doc:"name: path of the fields that we own"`
}

// Rule gives an answer a meaning.
type Rule struct {
	Status  int           `yaml:"status" doc:"0: any"`
	Path    Path          `yaml:"path" doc:"where in the answer the text is looked for; empty: in all of it"`
	Body    string        `yaml:"body" doc:"text that stands there, in any case; empty: any"`
	Outcome event.Outcome `yaml:"outcome" doc:"rejected, conflict, retry_later, unknown or acknowledged"`
}

const acknowledged event.Outcome = "acknowledged"

// Auth schemes.
const (
	authBearer = "bearer"
	authBasic  = "basic"
	authNone   = "none"
)

// LoadMapping reads a mapping file. All that is wrong with it is named at once, with its place.
func LoadMapping(path string) (*Mapping, error) {
	m := &Mapping{
		Auth: authBearer, Lock: connector.LockNone, Uniqueness: connector.UniqueNone, ReferenceLength: quality.ReferenceLength, Overlap: defaultOverlap,
	}
	doc, err := config.Load(path, m, config.Options{})
	var findings config.Errors
	if err != nil && !errors.As(err, &findings) {
		return nil, err
	}
	m.check(doc)
	return m, doc.Err()
}

// check finds what the types do not say, and makes the templates ready.
func (m *Mapping) check(doc *config.Document) {
	oneOf(doc, "auth", m.Auth, authBearer, authBasic, authNone)
	oneOf(doc, "lock", string(m.Lock), "none", "second", "exact")
	oneOf(doc, "uniqueness", string(m.Uniqueness), "none", "natural_key", "upsert")
	if m.ReferenceLength < quality.ReferenceLength {
		doc.Errorf(problem.ConfigValue, "reference_length", "is %d, but our references have %d characters", m.ReferenceLength, quality.ReferenceLength)
	}
	if m.Overlap < 0 {
		doc.Errorf(problem.ConfigValue, "overlap", "%s is negative", m.Overlap)
	}
	families := []interface {
		given() bool
		check(doc *config.Document)
	}{records{m}, m.Inspections, m.Tasks, m.Notices, m.Decisions, m.Allocations}
	some := false
	for _, f := range families {
		if f.given() {
			f.check(doc)
			some = true
		}
	}
	if !some {
		doc.Errorf(problem.ConfigMissing, "", "the mapping has no operation: want records (find, read, create), inspections, tasks, notices, decisions or allocations")
	}
	for i := range m.Check {
		m.Check[i].check(doc, config.Index("check", i))
	}
	for i, r := range m.Outcomes {
		at := config.Index("outcomes", i)
		oneOf(doc, at+".outcome", string(r.Outcome), "rejected", "conflict", "retry_later", "unknown", "acknowledged")
		if r.Status == 0 && r.Body == "" {
			doc.Errorf(problem.ConfigValue, at, "names neither status nor body and would fit every answer")
		}
	}
}

// records are the operations and paths of nonconformances and other records, at the top of the file.
type records struct{ *Mapping }

// given tells whether the mapping has anything of records.
func (m records) given() bool {
	return m.Find != nil || m.Locate != nil || m.Read != nil || m.Create != nil || m.Update != nil || m.Changes != nil || m.Record.ID != ""
}

func (m records) check(doc *config.Document) {
	for _, op := range []named{
		{"find", http.MethodGet, m.Find, true, true},
		{"locate", http.MethodGet, m.Locate, false, true},
		{"read", http.MethodGet, m.Read, true, false},
		{"create", http.MethodPost, m.Create, true, false},
		{"update", http.MethodPatch, m.Update, false, false},
		{"changes", http.MethodGet, m.Changes, false, true},
	} {
		op.check(doc)
	}
	need(doc, "record", map[string]Path{"id": m.Record.ID, "reference": m.Record.Reference, "state": m.Record.State})
	checkWords(doc, "", "state", m.States, m.OtherStates, "opened", "contained", "investigating", "disposition", "closed", "voided")
}

// need refuses paths that are missing.
func need(doc *config.Document, at string, paths map[string]Path) {
	for _, name := range slices.Sorted(maps.Keys(paths)) { // in a fixed order, so that findings are too
		if paths[name] == "" {
			doc.Errorf(problem.ConfigMissing, at+"."+name, "%s.%s is missing: without it nothing can be verified", at, name)
		}
	}
}

// checkWords refuses a table of words, ours to theirs, that is empty, has a word of ours that does not exist or stands
// for two. What is the table's name without its s.
func checkWords(doc *config.Document, at, what string, words, others map[string]string, ours ...string) {
	table, further := what+"s", "other_"+what+"s"
	if at != "" {
		table, further = at+"."+table, at+"."+further
	}
	if len(words) == 0 {
		doc.Errorf(problem.ConfigMissing, table, "%s are missing: without them no %s can be verified", table, what)
	}
	seen := map[string]string{}
	for _, our := range ours {
		their, ok := words[our]
		if ok && seen[their] != "" {
			doc.Errorf(problem.ConfigDuplicate, table+"."+our, "%s %q stands for %s already", what, their, seen[their])
		}
		if ok {
			seen[their] = our
		}
	}
	for _, our := range slices.Sorted(maps.Keys(words)) {
		oneOf(doc, config.Key(table, our), our, ours...)
	}
	for _, their := range slices.Sorted(maps.Keys(others)) {
		oneOf(doc, config.Key(further, their), others[their], ours...)
		if our := seen[their]; our != "" && our != others[their] {
			doc.Errorf(problem.ConfigDuplicate, config.Key(further, their), "%s %q stands for %s already", what, their, our)
		}
	}
}

// word returns our word for one of the system's, or "" for one that the mapping does not name.
func word(theirs string, words, others map[string]string) string {
	for our, their := range words {
		if their == theirs {
			return our
		}
	}
	return others[theirs]
}

func oneOf(doc *config.Document, path, got string, all ...string) {
	if !slices.Contains(all, got) {
		doc.Errorf(problem.ConfigValue, path, "%q is none of %s", got, strings.Join(all, ", "))
	}
}

// named is an operation at its place in the file.
type named struct {
	name, method   string
	op             *Operation // nil = not given
	required, list bool
}

func (n named) check(doc *config.Document) {
	switch {
	case n.op != nil:
		n.op.check(doc, n.name, n.method, n.list)
	case n.required:
		doc.Errorf(problem.ConfigMissing, n.name, "operation %s is missing", n.name)
	}
}

func (o *Operation) check(doc *config.Document, name, method string, list bool) {
	if o.Method == "" {
		o.Method = method
	}
	write := method != http.MethodGet
	if write == (o.Method == http.MethodGet) || o.Method != strings.ToUpper(o.Method) {
		doc.Errorf(problem.ConfigValue, name+".method", "method %q does not suit %s", o.Method, name)
	}
	oneOf(doc, name+".answer", o.Answer, "", answerList, answerObject)
	if list && o.Items == "" {
		doc.Errorf(problem.ConfigMissing, name+".items", "%s.items is missing", name)
	}
	if o.Most < 0 {
		doc.Errorf(problem.ConfigValue, name+".most", "%d is negative", o.Most)
	}
	f, err := newForm(o)
	if err == nil {
		err = f.try()
	}
	if err != nil {
		doc.Errorf(problem.ConfigValue, name, "%w", err)
		return
	}
	o.form = f
}

// check makes the probe ready.
func (p *Probe) check(doc *config.Document, at string) {
	if p.At == "" && p.Contains == "" {
		doc.Errorf(problem.ConfigMissing, at, "%s: want at or contains, else it looks for nothing", at)
	}
	p.op = &Operation{Path: p.Path, Query: p.Query}
	p.op.check(doc, at, http.MethodGet, false)
}

// theirs returns the system's word for a state of ours.
func (m *Mapping) theirs(state quality.NonconformanceState) (string, bool) {
	text, ok := m.States[string(state)]
	return text, ok
}

// ours returns our word for a state of the system, or "" for one that the mapping does not name.
func (m *Mapping) ours(state string) quality.NonconformanceState {
	return quality.NonconformanceState(word(state, m.States, m.OtherStates))
}

// rule returns the outcome that the mapping gives an answer, and the text that it was told by.
func (m *Mapping) rule(status int, raw []byte, body any) (o event.Outcome, words string, found bool) {
	for _, r := range m.Outcomes {
		words = string(raw)
		if r.Path != "" {
			words = text(at(body, r.Path))
		}
		if r.Status != 0 && r.Status != status || !strings.Contains(strings.ToLower(words), strings.ToLower(r.Body)) {
			continue
		}
		if r.Outcome == acknowledged {
			return "", words, true
		}
		return r.Outcome, words, true
	}
	return "", "", false
}
