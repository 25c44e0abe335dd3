// Package rest is the connector for systems that speak JSON over HTTP: quality management, warehouses, notice services
// and order systems. How one of them speaks is said by a mapping file: calls, where the parts of a record stand, what
// its states are called and what its answers mean.
//
// A record counts as made, and an object as having reached a state, only by what a read shows afterwards: systems of
// this kind answer a refused change with 2xx.
package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
)

// Config is the key rest of an entry of systems in cloud.yaml.
type Config struct {
	URL          string            `yaml:"url" doc:"address of the system; paths of the mapping are added to it"`
	Mapping      config.Path       `yaml:"mapping" doc:"mapping file"`
	TokenFile    config.SecretFile `yaml:"token_file" doc:"file with the bearer token, mode 0600"`
	User         string            `yaml:"user" doc:"technical user, for basic authentication"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the user's password, mode 0600"`
	TLS          config.TLS        `yaml:"tls" doc:"own certificate authority or client certificate"`
	Rate         float64           `yaml:"rate" doc:"calls a second at the most"`
	Burst        int               `yaml:"burst" doc:"calls that may come at once"`
}

// DefaultConfig allows 5 calls a second: such systems are made for people, and answer in a few tenths of a second.
func DefaultConfig() Config { return Config{Rate: 5, Burst: 5} }

// WithDefaults returns c with its zero values replaced by those of [DefaultConfig].
func (c Config) WithDefaults() Config {
	d := DefaultConfig()
	c.Rate, c.Burst = cmp.Or(c.Rate, d.Rate), cmp.Or(c.Burst, d.Burst)
	return c
}

// Deps are what a client needs besides its configuration.
type Deps struct {
	System string // id of the configured system
	Log    zerolog.Logger
	Now    func() time.Time // nil = failpoint.Now
	Random func() float64   // in [0,1); nil = math/rand
}

// Client is one system.
type Client struct {
	mapping *Mapping
	system  string
	user    string
	now     func() time.Time
	http    *httpcall.Client
}

var _ connector.System = (*Client)(nil)

// New reads the mapping and the secret's file. It makes no call.
func New(cfg Config, deps Deps) (*Client, error) {
	m, err := LoadMapping(string(cfg.Mapping))
	if err != nil {
		return nil, err
	}
	token, err := cfg.TokenFile.Read()
	if err != nil {
		return nil, err
	}
	password, err := cfg.PasswordFile.Read()
	if err != nil {
		return nil, err
	}
	if m.Auth == authBearer && token.IsZero() || m.Auth == authBasic && (cfg.User == "" || password.IsZero()) {
		return nil, errors.New("mapping wants auth " + m.Auth + ", whose secret is not configured")
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
	c := &Client{mapping: m, system: deps.System, user: cfg.User, now: deps.Now}
	c.http, err = httpcall.New(httpcall.Config{
		BaseURL: strings.TrimSuffix(cfg.URL, "/"), TLS: security, Log: deps.Log, Now: deps.Now, Random: deps.Random,
		Secrets: []string{token.Reveal(), password.Reveal(), cfg.User + ":" + password.Reveal()},
		Authorise: func(r *http.Request) {
			switch m.Auth {
			case authBearer:
				r.Header.Set("Authorization", "Bearer "+token.Reveal())
			case authBasic:
				r.SetBasicAuth(cfg.User, password.Reveal())
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Kinds returns what the mapping has operations for.
func (c *Client) Kinds() []quality.Kind {
	var kinds []quality.Kind
	if c.mapping.Create != nil {
		kinds = append(kinds, quality.NonconformanceEnsure)
	}
	if c.mapping.Update != nil {
		kinds = append(kinds, quality.NonconformanceAdvance)
	}
	if c.mapping.Inspections != nil {
		kinds = append(kinds, quality.InspectionSubmit)
	}
	if c.mapping.Tasks != nil {
		kinds = append(kinds, quality.TasksGate)
	}
	if c.mapping.Notices != nil {
		kinds = append(kinds, quality.NoticeSend)
	}
	return kinds
}

// Caps returns what the mapping says about the system.
func (c *Client) Caps() connector.Caps {
	return connector.Caps{
		Lock: c.mapping.Lock, Uniqueness: c.mapping.Uniqueness, ReferenceLength: c.mapping.ReferenceLength,
		Feed: len(c.mapping.lists()) > 0, Blind: c.mapping.Notices != nil && c.mapping.Notices.Find == nil,
	}
}

// Reset lets log-ins be tried again after the user was refused.
func (c *Client) Reset() { c.http.Reset() }

// call fills an operation and makes it. A mapping that cannot be filled was refused at its load, so that an error here
// is one of the data.
func (c *Client) call(ctx context.Context, o *Operation, v values, header http.Header) (httpcall.Answer, *connector.Result) {
	path, query, body, err := o.form.fill(v)
	if err != nil {
		r := rejected("template", err.Error())
		return httpcall.Answer{}, &r
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Accept", "application/json")
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	for name, value := range c.mapping.Headers {
		header.Set(name, value)
	}
	return c.http.Do(ctx, httpcall.Request{Method: o.Method, Path: path, Query: query, Header: header, Body: body}), nil
}

func notRead() connector.Result {
	return connector.Result{Outcome: event.Conflict, Code: "not_read", Message: "the object was not read before the write"}
}

func rejected(code, message string) connector.Result {
	return connector.Result{Outcome: event.Rejected, Code: code, Message: message}
}

// read makes a reading call and decodes its answer.
func (c *Client) read(ctx context.Context, o *Operation, v values) (any, httpcall.Answer, *connector.Result) {
	a, bad := c.call(ctx, o, v, nil)
	if bad != nil {
		return nil, a, bad
	}
	if r := c.told(&a, true); r.Outcome != "" {
		return nil, a, &r
	}
	body, err := decode(a.Body)
	if err != nil || !a.JSON() {
		r := a.Unclear("no_json", "the answer is no JSON; it may be a log-in page")
		return nil, a, &r
	}
	return body, a, nil
}

// told gives an answer its meaning: what the mapping says, else what its status says, in the system's words.
func (c *Client) told(a *httpcall.Answer, reading bool) connector.Result {
	if a.Err != nil || a.Status == 0 {
		return a.Result()
	}
	body, _ := decode(a.Body) // no JSON has no words
	code, message := text(atPath(body, c.mapping.Error.Code)), text(atPath(body, c.mapping.Error.Message))
	o, words, ruled := c.mapping.rule(a.Status, a.Body, body)
	if reading && a.OK() {
		ruled = false // a record may say anything
	}
	switch {
	case ruled && message == "":
		message = strings.TrimSpace(words)
	case !ruled && a.OK() && (code != "" || message != ""):
		return a.Unclear(code, message) // acknowledged by its status, refused by its body
	}
	r := a.Told(code, message)
	if ruled {
		r.Outcome = o
	}
	return r
}

// Find returns the records that carry the effect's reference; for a change of state, those of the nonconformance.
func (c *Client) Find(ctx context.Context, e quality.Effect) ([]event.Ref, error) {
	m := c.mapping
	o, kind, id := m.Find, connector.ObjectRecord, m.Record.ID
	path, want := m.Record.Reference, string(e.Ref)
	switch {
	case !slices.Contains(c.Kinds(), e.Kind) || e.Kind == quality.TasksGate:
		return nil, rejected("kind", "effects of kind "+string(e.Kind)+" are not found here")
	case e.Kind == quality.NoticeSend && m.Notices.Find == nil:
		return nil, nil
	case e.Kind == quality.NoticeSend:
		o, kind, id, path = m.Notices.Find, connector.ObjectNotice, m.Notices.ID, m.Notices.Reference
	case e.Kind == quality.InspectionSubmit:
		o, kind, id, path = m.Inspections.Find, connector.ObjectInspection, m.Inspections.ID, m.Inspections.Reference
	case e.Kind == quality.NonconformanceAdvance && m.Locate != nil:
		o, path, want = m.Locate, m.Record.Object, e.Object
	}
	found, bad := c.items(ctx, o, values{Ref: string(e.Ref), Object: e.Object, Limit: 100})
	if bad != nil {
		return nil, *bad
	}
	var refs []event.Ref
	for _, item := range found.items {
		// A system that ignores the query lists everything; one that lists ids alone shows no reference.
		if shown := atPath(item, path); shown != nil && text(shown) != want {
			continue
		}
		if id := text(at(item, id)); id != "" {
			refs = append(refs, c.ref(kind, id, ""))
		}
	}
	slices.SortFunc(refs, func(a, b event.Ref) int { return byID(a.ID, b.ID) })
	return refs, nil
}

func (c *Client) ref(kind connector.ObjectKind, id, etag string) event.Ref {
	name := string(kind)
	if kind == connector.ObjectRecord {
		name = "nonconformance"
	}
	return event.Ref{System: c.system, Kind: name, ID: id, ETag: etag}
}

// Read returns an object: a record, decision, allocation or message by its id, tasks by their lot.
func (c *Client) Read(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	m := c.mapping
	switch {
	case o.Kind == connector.ObjectRecord && m.Read != nil:
		return c.readRecord(ctx, o)
	case o.Kind == connector.ObjectInspection && m.Inspections != nil:
		return c.readInspection(ctx, o)
	case o.Kind == connector.ObjectTasks && m.Tasks != nil:
		return c.readTasks(ctx, o)
	case o.Kind == connector.ObjectNotice && m.Notices != nil && m.Notices.Read != nil:
		return c.readNotice(ctx, o)
	case o.Kind == connector.ObjectDecision && m.Decisions != nil, o.Kind == connector.ObjectAllocation && m.Allocations != nil:
		return c.readItem(ctx, o)
	}
	return connector.View{}, nil, rejected("object", "objects of kind "+string(o.Kind)+" do not exist here")
}

// Write makes the record or sends the message, or moves what was read towards what is wanted.
func (c *Client) Write(ctx context.Context, e quality.Effect, v connector.Version) connector.Result {
	if !slices.Contains(c.Kinds(), e.Kind) {
		return rejected("kind", "effects of kind "+string(e.Kind)+" do not exist here")
	}
	switch e.Kind {
	case quality.NoticeSend:
		return c.send(ctx, e)
	case quality.InspectionSubmit:
		return c.submit(ctx, e)
	case quality.TasksGate:
		if read, ok := v.(*lotTasks); ok && read.lot == e.Lot {
			return c.gate(ctx, e, read)
		}
		return notRead()
	}
	if e.Record == nil {
		return rejected("no_record", "the effect has no record")
	}
	if e.Kind == quality.NonconformanceEnsure {
		return c.create(ctx, e)
	}
	if read, ok := v.(version); ok {
		return c.advance(ctx, e, read)
	}
	return notRead()
}

// listed is a list as far as one answer shows it.
type listed struct {
	items  []any
	more   bool // it goes on
	answer httpcall.Answer
}

// items makes a listing call for at most v.Limit items. A list ends where the answer holds less than it could, unless the
// system says that it goes on.
func (c *Client) items(ctx context.Context, o *Operation, v values) (listed, *connector.Result) {
	if o.Most > 0 {
		v.Limit = min(v.Limit, o.Most)
	}
	body, a, bad := c.read(ctx, o, v)
	if bad != nil {
		return listed{answer: a}, bad
	}
	items, ok := at(body, o.Items).([]any)
	if !ok {
		r := a.Unclear("no_list", fmt.Sprintf("the answer has no list at %q", o.Items))
		return listed{answer: a}, &r
	}
	more := len(items) >= v.Limit || text(atPath(body, o.More)) != ""
	return listed{items: items[:min(len(items), v.Limit)], more: more, answer: a}, nil // a system may not know a limit
}
