package qms

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// Verdicts, in the system's own words.
const (
	Passed       = "passed"
	Failed       = "failed"
	Inconclusive = "inconclusive"
)

// inspection is the record of one inspection. It is made and never changed.
type inspection struct {
	id      string
	fields  map[string]any // external_id, ref, title, lot, plant, type, verdict, spec_rev, completed_at, results, supersedes
	created time.Time
}

func (i *inspection) text(field string) string { v, _ := i.fields[field].(string); return v }

// show is what the API answers.
func (i *inspection) show() map[string]any {
	out := maps.Clone(i.fields)
	out["id"], out["created_at"] = i.id, service.Stamp(i.created)
	return out
}

// Inspection is an inspection's record as a test sees it.
type Inspection struct {
	ID         string // the system's own
	ExternalID string
	Reference  string
	Lot        string // lot key
	Type       string
	Verdict    string
	Results    float64
	Supersedes []any
}

// Inspections returns the records of a lot's inspections, oldest first.
func (s *Simulator) Inspections(lot string) (all []Inspection) {
	defer s.Lock()()
	for _, i := range s.inspections {
		if i.text("lot") != lot {
			continue
		}
		out := Inspection{
			ID: i.id, ExternalID: i.text("external_id"), Reference: i.text("ref"), Lot: lot, Type: i.text("type"), Verdict: i.text("verdict"),
		}
		out.Results, _ = i.fields["results"].(float64)
		out.Supersedes, _ = i.fields["supersedes"].([]any)
		all = append(all, out)
	}
	return all
}

// listInspections answers the inspections that match ref or lot, in order of id.
func (s *Simulator) listInspections(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Has("ref") && s.cfg.References == "missing" {
		service.Refuse(w, http.StatusBadRequest, "unknown_filter", "there is no field ref")
		return
	}
	items := []service.Item{}
	for _, i := range s.inspections {
		if (q.Get("ref") == "" || i.text("ref") == q.Get("ref")) && (q.Get("lot") == "" || i.text("lot") == q.Get("lot")) {
			items = append(items, service.Item{ID: i.id, Changed: i.created, Body: i.show()})
		}
	}
	service.Feed(w, r, "inspections", items)
}

func (s *Simulator) showInspection(w http.ResponseWriter, r *http.Request) {
	n := slices.IndexFunc(s.inspections, func(i *inspection) bool { return i.id == r.PathValue("id") })
	if n < 0 {
		service.Refuse(w, http.StatusNotFound, "not_found", "there is no such inspection")
		return
	}
	service.Answer(w, http.StatusOK, s.inspections[n].show())
}

// createInspection makes a record. A reference is not unique, so that a repeated create makes a second one.
func (s *Simulator) createInspection(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if !service.Read(w, r, &in) {
		return
	}
	made := &inspection{id: service.Number("INS", len(s.inspections)+1), fields: map[string]any{}, created: s.Now()}
	for field, value := range in {
		if inspectionField(field) && (field != "ref" || s.cfg.References == "") {
			made.fields[field] = value
		}
	}
	switch {
	case made.text("lot") == "":
		service.Refuse(w, http.StatusUnprocessableEntity, "lot_missing", "an inspection needs a lot")
		return
	case !slices.Contains([]string{Passed, Failed, Inconclusive}, made.text("verdict")):
		service.Refuse(w, http.StatusUnprocessableEntity, "verdict_unknown", "an inspection needs a verdict")
		return
	}
	s.inspections = append(s.inspections, made)
	// One lot's inspection of that name is one business object, however many records are made of it.
	s.Enter(book.Entry{
		Key: made.text("lot") + "#" + made.text("external_id"), Kind: "inspection_recorded", Record: made.id, Reference: made.text("ref"), Detail: made.text("verdict"),
	})
	w.Header().Set("Location", "/inspections/"+made.id)
	service.Answer(w, http.StatusCreated, made.show())
}

func inspectionField(name string) bool {
	return slices.Contains([]string{
		"external_id", "ref", "title", "lot", "plant", "type", "verdict", "spec_rev", "completed_at", "results", "supersedes",
	}, name)
}
