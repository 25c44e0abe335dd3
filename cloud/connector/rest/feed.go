package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// LotPaths say where the lot of a record stands: its key as one text, or its parts.
type LotPaths struct {
	Key      Path `yaml:"key" doc:"path of the whole lot key"`
	Scope    Path `yaml:"scope" doc:"path of the level at which batch numbers are unique, such as the plant; empty: none"`
	Material Path `yaml:"material"`
	Batch    Path `yaml:"batch"`
}

func (p LotPaths) check(doc *config.Document, at string) {
	if (p.Key == "") == (p.Material == "" || p.Batch == "") {
		doc.Errorf(problem.ConfigMissing, at, "%s: want either key, or material and batch", at)
	}
}

// lot returns the lot that a record names; empty = none that is understood.
func (p LotPaths) lot(record any) event.LotKey {
	if p.Key != "" {
		key := event.LotKey(text(atPath(record, p.Key)))
		if _, _, _, err := key.Parts(); err != nil {
			return ""
		}
		return key
	}
	key, err := event.NewLotKey(text(atPath(record, p.Scope)), text(atPath(record, p.Material)), text(atPath(record, p.Batch)))
	if err != nil {
		return ""
	}
	return key
}

// QuantityPaths say where a quantity stands.
type QuantityPaths struct {
	Value Path              `yaml:"value"`
	Unit  Path              `yaml:"unit" doc:"path of the unit"`
	Units map[string]string `yaml:"units" doc:"the system's units: UCUM; one that is not named is taken as it is"`
}

// quantity returns the quantity that a record names; zero = none.
func (p QuantityPaths) quantity(record any) event.Quantity {
	value, unit := text(atPath(record, p.Value)), text(atPath(record, p.Unit))
	if u, ok := p.Units[unit]; ok {
		unit = u
	}
	if value == "" {
		return event.Quantity{}
	}
	return event.Quantity{Value: event.Decimal(value), Unit: event.Unit(unit)}
}

// Decisions says how a system of record shows its signed dispositions. A decision without a signature is a draft.
type Decisions struct {
	Changes *Operation `yaml:"changes" doc:"list of the decisions changed since a time, in order of id"`
	Read    *Operation `yaml:"read" doc:"one decision by its id"`

	Root       Path              `yaml:"root" doc:"where the decision stands in the answer to read; empty: it is the answer"`
	ID         Path              `yaml:"id"`
	Version    Path              `yaml:"version" doc:"path of a number that each signature raises; empty: a decision is signed once"`
	Lot        LotPaths          `yaml:"lot"`
	Q          QuantityPaths     `yaml:"q" doc:"empty: decisions are on whole lots"`
	Decision   Path              `yaml:"decision"`
	Words      map[string]string `yaml:"decisions" doc:"our decision: theirs"`
	OtherWords map[string]string `yaml:"other_decisions" doc:"further decisions of theirs: ours"`
	SignedBy   Path              `yaml:"signed_by" doc:"path of the name on the electronic signature"`
	DecidedAt  Path              `yaml:"decided_at" doc:"path of the signature's time"`
	Reason     Path              `yaml:"reason"`
	Condition  Path              `yaml:"condition" doc:"path of what a conditional release asks for"`
	Supersedes Path              `yaml:"supersedes" doc:"path of the id of the decision whose place it takes"`
	ChangedAt  Path              `yaml:"changed_at"`
	CreatedAt  Path              `yaml:"created_at" doc:"counts where changed_at is null"`
}

func (d *Decisions) given() bool { return d != nil }

func (d *Decisions) check(doc *config.Document) {
	for _, op := range []named{
		{"decisions.changes", http.MethodGet, d.Changes, true, true},
		{"decisions.read", http.MethodGet, d.Read, true, false},
	} {
		op.check(doc)
	}
	need(doc, "decisions", map[string]Path{"id": d.ID, "decision": d.Decision, "signed_by": d.SignedBy, "decided_at": d.DecidedAt, "reason": d.Reason})
	d.Lot.check(doc, "decisions.lot")
	checkWords(doc, "decisions", "decision", d.Words, d.OtherWords, "release", "conditional_release", "rework", "regrade", "return_to_supplier", "scrap", "reject")
}

// view shows a decision's JSON. What it lacks stays empty: whether that is enough is the reader's to say.
func (d *Decisions) view(c *Client, record any) connector.View {
	get := func(path Path) string { return text(atPath(record, path)) }
	version, _ := strconv.Atoi(get(d.Version)) // none: the first
	raw := get(d.Decision)
	id := get(d.ID)
	return connector.View{
		Object: connector.Object{Kind: connector.ObjectDecision, Lot: d.Lot.lot(record), ID: id}, Exists: true,
		Ref: c.ref(connector.ObjectDecision, id, ""), State: raw, ChangedAt: latest(get(d.ChangedAt), get(d.CreatedAt)),
		Disposition: &connector.Disposition{
			Version: int64(max(version, 1)), Q: d.Q.quantity(record), Decision: quality.Decision(word(raw, d.Words, d.OtherWords)), Raw: raw,
			SignedBy: get(d.SignedBy), Reason: get(d.Reason), Condition: get(d.Condition), DecidedAt: latest(get(d.DecidedAt)),
			Supersedes: get(d.Supersedes),
		},
	}
}

// Allocations says how an order system shows what its order lines count on.
type Allocations struct {
	Changes *Operation `yaml:"changes" doc:"list of the allocations changed since a time, in order of id"`
	Read    *Operation `yaml:"read" doc:"one allocation by its id"`

	Root       Path          `yaml:"root" doc:"where the allocation stands in the answer to read; empty: it is the answer"`
	ID         Path          `yaml:"id"`
	Version    Path          `yaml:"version" doc:"path of what each change changes; empty: the time of the change"`
	Lot        LotPaths      `yaml:"lot"`
	Q          QuantityPaths `yaml:"q" doc:"value 0: no longer allocated"`
	Order      Path          `yaml:"order"`
	Line       Path          `yaml:"line"`
	Customer   Path          `yaml:"customer"`
	PromisedAt Path          `yaml:"promised_at"`
	ChangedAt  Path          `yaml:"changed_at"`
	CreatedAt  Path          `yaml:"created_at" doc:"counts where changed_at is null"`
}

func (l *Allocations) given() bool { return l != nil }

func (l *Allocations) check(doc *config.Document) {
	for _, op := range []named{
		{"allocations.changes", http.MethodGet, l.Changes, true, true},
		{"allocations.read", http.MethodGet, l.Read, true, false},
	} {
		op.check(doc)
	}
	need(doc, "allocations", map[string]Path{
		"id": l.ID, "order": l.Order, "line": l.Line, "customer": l.Customer, "q.value": l.Q.Value, "q.unit": l.Q.Unit,
	})
	l.Lot.check(doc, "allocations.lot")
	if l.Version == "" && l.ChangedAt == "" {
		doc.Errorf(problem.ConfigMissing, "allocations.version", "allocations has neither version nor changed_at: two states of one would pass for the same")
	}
}

// view shows an allocation's JSON.
func (l *Allocations) view(c *Client, record any) connector.View {
	get := func(path Path) string { return text(atPath(record, path)) }
	id, version := get(l.ID), get(l.Version)
	if l.Version == "" {
		version = get(l.ChangedAt)
	}
	return connector.View{
		Object: connector.Object{Kind: connector.ObjectAllocation, Lot: l.Lot.lot(record), ID: id}, Exists: true,
		Ref: c.ref(connector.ObjectAllocation, id, ""), ChangedAt: latest(get(l.ChangedAt), get(l.CreatedAt)),
		Allocation: &connector.Allocation{
			Version: version, Order: get(l.Order), Line: get(l.Line), Customer: get(l.Customer), Q: l.Q.quantity(record),
			PromisedAt: latest(get(l.PromisedAt)),
		},
	}
}

// latest returns the first of the texts that is a time; zero = none is.
func latest(texts ...string) time.Time {
	for _, text := range texts {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// readItem returns a record of a feed by its id.
func (c *Client) readItem(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	var op *Operation
	var root, id Path
	var show func(*Client, any) connector.View
	if o.Kind == connector.ObjectDecision {
		d := c.mapping.Decisions
		op, root, id, show = d.Read, d.Root, d.ID, d.view
	} else {
		l := c.mapping.Allocations
		op, root, id, show = l.Read, l.Root, l.ID, l.view
	}
	record, a, bad := c.one(ctx, op, o, root, id)
	switch {
	case bad != nil:
		return connector.View{}, nil, *bad
	case record == nil:
		return connector.View{Object: o, Ref: c.ref(o.Kind, o.ID, "")}, nil, nil
	}
	v := show(c, record)
	v.Ref.ETag = a.Header.Get("ETag")
	return v, nil, nil
}

// one reads an object by its id; nil = it is not there.
func (c *Client) one(ctx context.Context, op *Operation, o connector.Object, root, id Path) (any, httpcall.Answer, *connector.Result) {
	if o.ID == "" {
		r := rejected("object", "an object of kind "+string(o.Kind)+" is read by its id")
		return nil, httpcall.Answer{}, &r
	}
	body, a, bad := c.read(ctx, op, values{ID: o.ID})
	if bad != nil && a.Status == http.StatusNotFound && a.Err == nil {
		return nil, a, nil
	}
	if bad != nil {
		return nil, a, bad
	}
	item := at(body, root)
	if item == nil || text(at(item, id)) != o.ID {
		r := a.Unclear("other_record", "the answer is not the object that was asked for")
		return nil, a, &r
	}
	return item, a, nil
}
