package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Inspections says how a system keeps records of inspections with their verdict. Each inspection has one, found by the
// effect's reference; one that takes the place of another has a record of its own, which names the other.
type Inspections struct {
	Find   *Operation `yaml:"find" doc:"list of the inspections with a reference"`
	Read   *Operation `yaml:"read" doc:"one inspection by its id"`
	Create *Operation `yaml:"create" doc:"makes an inspection's record"`

	Root      Path              `yaml:"root" doc:"where the inspection stands in the answer to read; empty: it is the answer"`
	ID        Path              `yaml:"id"`
	Reference Path              `yaml:"reference"`
	Verdicts  map[string]string `yaml:"verdicts" doc:"our verdict (pass, fail, indeterminate): theirs"`
}

func (i *Inspections) given() bool { return i != nil }

func (i *Inspections) check(doc *config.Document) {
	for _, op := range []named{
		{"inspections.find", http.MethodGet, i.Find, true, true},
		{"inspections.read", http.MethodGet, i.Read, true, false},
		{"inspections.create", http.MethodPost, i.Create, true, false},
	} {
		op.check(doc)
	}
	need(doc, "inspections", map[string]Path{"id": i.ID, "reference": i.Reference})
	checkWords(doc, "inspections", "verdict", i.Verdicts, nil, "pass", "fail", "indeterminate")
	for _, our := range []string{"pass", "fail", "indeterminate"} {
		if i.Verdicts[our] == "" && len(i.Verdicts) > 0 {
			doc.Errorf(problem.ConfigMissing, "inspections.verdicts", "inspections.verdicts has no word for %s", our)
		}
	}
}

// values names an inspection to templates.
func (i *Inspections) values(e *quality.Effect) (values, *connector.Result) {
	in := e.Inspection
	v, bad := lotValues(in.Lot)
	if bad != nil {
		return v, bad
	}
	verdict, ok := i.Verdicts[string(in.Verdict)]
	if !ok {
		r := rejected("verdict", "the mapping has no word for the verdict "+string(in.Verdict))
		return v, &r
	}
	v.Ref, v.Object, v.Lots = string(e.Ref), e.Object, []string{string(in.Lot)}
	v.Inspection, v.Plant, v.Type, v.Verdict, v.SpecRev = string(in.ID), string(in.Plant), string(in.Type), verdict, in.SpecRev
	v.Results, v.Supersedes = in.ResultCount, []string{}
	for _, id := range in.Supersedes {
		v.Supersedes = append(v.Supersedes, string(id))
	}
	if !in.CompletedAt.IsZero() {
		v.CompletedAt = in.CompletedAt.UTC().Format(time.RFC3339)
	}
	v.Title = "Inspection " + string(in.ID) + " (" + string(in.Type) + ") of lot " + v.Batch + ": " + string(in.Verdict)
	return v, nil
}

// submit makes the inspection's record under the effect's reference.
func (c *Client) submit(ctx context.Context, e quality.Effect) connector.Result {
	i := c.mapping.Inspections
	if e.Inspection == nil {
		return rejected("no_inspection", "the effect has no inspection")
	}
	v, bad := i.values(&e)
	if bad != nil {
		return *bad
	}
	a, bad := c.call(ctx, i.Create, v, nil)
	if bad != nil {
		return *bad
	}
	return c.made(&a, e.Ref, place{op: i.Create, kind: connector.ObjectInspection, root: i.Root, id: i.ID, reference: i.Reference})
}

// readInspection returns an inspection's record.
func (c *Client) readInspection(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	i := c.mapping.Inspections
	record, a, bad := c.one(ctx, i.Read, o, i.Root, i.ID)
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	v := connector.View{Object: o, Ref: c.ref(o.Kind, o.ID, ""), Exists: record != nil}
	if v.Exists {
		v.Ref.ETag = a.Header.Get("ETag")
		v.Fields = map[string]string{connector.FieldReference: text(at(record, i.Reference))}
	}
	return v, nil, nil
}
