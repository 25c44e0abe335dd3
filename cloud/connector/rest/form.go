package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// values is what the templates of an operation may use.
type values struct {
	Ref         string // effect reference
	Object      string // id of the nonconformance
	ID          string // the system's own id of the record
	Title       string
	Description string
	Severity    string
	Source      string
	State       string // in the system's words
	Lots        []string

	Lot, Scope, Material, Batch string   // key of the lot of tasks, and its parts as the master system writes them
	Tasks                       []string // ids of the tasks to hold or to release

	Inspection, Plant, Type, Verdict, SpecRev string   // of an inspection; the verdict in the system's words
	CompletedAt                               string   // RFC 3339
	Results                                   int64    // how many the verdict rests on
	Supersedes                                []string // inspections that it takes the place of

	Order, Line, Customer, Step, Reason string // of a notice
	PromisedAt                          string // RFC 3339; empty = no date was promised
	Repeat                              bool   // the notice may have been sent before

	User string // the technical user; empty = none is configured

	Since string // RFC 3339; empty = from the beginning
	After string // id of the last record seen; empty = none
	Limit int
}

// form is an operation with its templates parsed.
type form struct {
	path, body *template.Template
	query      map[string]*template.Template
}

// newForm parses the templates and refuses those that put a value somewhere without escaping it.
func newForm(o *Operation) (*form, error) {
	f := &form{query: map[string]*template.Template{}}
	var err error
	if !strings.HasPrefix(o.Path, "/") {
		return nil, fmt.Errorf("path %q does not begin with /", o.Path)
	}
	if f.path, err = parsed("path", o.Path, escapes{last: []string{"path"}}); err != nil {
		return nil, err
	}
	if f.body, err = parsed("body", o.Body, escapes{last: []string{"json"}}); err != nil {
		return nil, err
	}
	for name, text := range o.Query {
		if f.query[name], err = parsed("query "+name, text, inQuery); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// escapes says how values get into a text without being taken for a part of it.
type escapes struct {
	last  []string // functions, one of which every value passes through at last
	safe  []string // fields that never hold what a stranger wrote
	alone bool     // a value that is all there is needs none: it is escaped as a whole
}

// inQuery is for the parameters of a query. Many systems have a language of their own there, in which a name with a quote
// in it would find the records of others.
var inQuery = escapes{last: []string{"backslashed", "doubled", "json"}, safe: []string{"Since", "Limit"}, alone: true}

// backslashed and doubled write a value between single quotes, with its own quotes after a backslash, or twice.
func backslashed(v any) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(fmt.Sprint(v)) + "'"
}

func doubled(v any) string { return "'" + strings.ReplaceAll(fmt.Sprint(v), "'", "''") + "'" }

// unzoned writes one of our times for systems that understand no zone: in UTC, as 2026-11-24 08:00:00.
func unzoned(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at // none was given
	}
	return t.UTC().Format(time.DateTime)
}

// parsed returns a template in which every value is escaped.
func parsed(name, text string, by escapes) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"json": quote, "path": url.PathEscape, "backslashed": backslashed, "doubled": doubled, "unzoned": unzoned,
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	if t.Tree == nil || by.alone && len(t.Root.Nodes) == 1 && t.Root.Nodes[0].Type() == parse.NodeAction {
		return t, nil // empty, or a value alone
	}
	if bad := by.missing(t.Root); strings.HasPrefix(bad, "{{template") {
		return nil, fmt.Errorf("%s: %s is not allowed: one template calls no other", name, bad)
	} else if bad != "" {
		return nil, fmt.Errorf("%s: %s must end in | %s", name, bad, strings.Join(by.last, " or | "))
	}
	return t, nil
}

// missing returns the first action whose value would come out as it is.
func (e escapes) missing(node parse.Node) string {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return ""
		}
		for _, inner := range n.Nodes {
			if bad := e.missing(inner); bad != "" {
				return bad
			}
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 && !e.escaped(n.Pipe.Cmds) {
			return n.String()
		}
	case *parse.IfNode:
		return e.missingIn(&n.BranchNode)
	case *parse.RangeNode:
		return e.missingIn(&n.BranchNode)
	case *parse.WithNode:
		return e.missingIn(&n.BranchNode)
	case *parse.TemplateNode:
		return n.String()
	}
	return ""
}

// escaped tells whether what the commands of an action make may stand where it is.
func (e escapes) escaped(commands []*parse.CommandNode) bool {
	switch last := commands[len(commands)-1].Args[0].(type) {
	case *parse.IdentifierNode:
		return slices.Contains(e.last, last.Ident)
	case *parse.FieldNode:
		return len(commands) == 1 && len(last.Ident) == 1 && slices.Contains(e.safe, last.Ident[0])
	}
	return false
}

func (e escapes) missingIn(n *parse.BranchNode) string {
	if bad := e.missing(n.List); bad != "" {
		return bad
	}
	return e.missing(n.ElseList)
}

// quote writes a value as JSON, without escaping what only HTML needs escaped.
func quote(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// fill returns path, query and body for values; an empty body is nil.
func (f *form) fill(v values) (path string, query url.Values, body []byte, err error) {
	run := func(t *template.Template) string {
		var b strings.Builder
		if e := t.Execute(&b, v); e != nil && err == nil {
			err = e
		}
		return b.String()
	}
	path, query = run(f.path), url.Values{}
	for name, t := range f.query {
		if text := run(t); text != "" {
			query.Set(name, text)
		}
	}
	if text := run(f.body); strings.TrimSpace(text) != "" {
		body = []byte(text)
	}
	return path, query, body, err
}

// try fills the form with values that break careless templates.
func (f *form) try() error {
	nasty := `a"b\c/é<&>'` + "\u2028"
	v := values{
		Ref: nasty, Object: nasty, ID: nasty, Title: nasty, Description: nasty, Severity: nasty, Source: nasty, State: nasty,
		Lot: nasty, Scope: nasty, Material: nasty, Batch: nasty, Order: nasty, Line: nasty, Customer: nasty, Step: nasty, Reason: nasty,
		PromisedAt: nasty, Inspection: nasty, Plant: nasty, Type: nasty, Verdict: nasty, SpecRev: nasty, CompletedAt: nasty, Results: 7,
		User: nasty, Since: nasty, After: nasty, Limit: 100,
	}
	for _, list := range [][]string{{nasty, nasty}, nil} {
		v.Lots, v.Tasks, v.Supersedes, v.Repeat = list, list, list, list == nil
		_, _, body, err := f.fill(v)
		if err != nil {
			return err
		}
		if body != nil && !json.Valid(body) {
			return fmt.Errorf("body is no JSON once it is filled: %s", body)
		}
	}
	return nil
}

// decode reads JSON with its numbers as they are written.
func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

// byID orders ids of one system: shorter ones first, so that 9 comes before 10.
func byID(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return slices.Compare([]byte(a), []byte(b))
}
