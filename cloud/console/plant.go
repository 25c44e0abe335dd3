package console

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Bounds of a plant's page: what is more stands in the lists that it leads to.
const (
	gapsPerPlant  = 50
	lotsPerPlant  = "20"
	kindsPerPlant = 10
)

// plantData is what a plant's page shows.
type plantData struct {
	api.FleetPlant
	Shown   []api.Gap // of the gaps those that were found last
	Waiting api.BoardColumn
	Letters *api.DeadletterGroups // nil = not for this user
	Failure *api.Failure          // of the decision that was refused
	Form    url.Values            // of that
}

func (v *visit) plantPage() error { return v.showPlant(http.StatusOK, nil) }

func (v *visit) showPlant(status int, f *api.Failure) error {
	plant := v.r.PathValue("plant")
	q := url.Values{"plant": {plant}}.Encode()
	var fleet api.Fleet
	if err := v.get("/fleet?"+q, &fleet); err != nil {
		return err
	}
	if len(fleet.Plants) != 1 {
		return errGone
	}
	d := plantData{FleetPlant: fleet.Plants[0], Failure: f, Form: v.r.PostForm}
	v.Now = fleet.At
	var c api.Coverage
	if err := v.get("/coverage?"+q, &c); err != nil {
		return err
	}
	d.Shown = newestGaps(c.Gaps)
	if err := v.get("/board/"+string(api.BoardReleasing)+"?"+q+"&limit="+lotsPerPlant, &d.Waiting); err != nil {
		return err
	}
	switch may, err := v.May("GET /deadletters/groups"); {
	case err != nil:
		return err
	case may:
		d.Letters = new(api.DeadletterGroups)
		if err := v.get("/deadletters/groups?"+q, d.Letters); err != nil {
			return err
		}
		d.Letters.Groups = d.Letters.Groups[:min(kindsPerPlant, len(d.Letters.Groups))]
	}
	title, err := v.T("plant.title", plant)
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "fleet", Data: d}
	if f == nil {
		x.Live = v.liveFleet()
	}
	return v.show(status, "plant", x)
}

// decideEpoch says which of two gateways that claim to be one agent goes on.
func (v *visit) decideEpoch() error {
	form, plant := v.r.PostForm, v.r.PathValue("plant")
	path := "/agents/" + url.PathEscape(plant) + "/" + url.PathEscape(form.Get("agent")) + "/epochs/" + url.PathEscape(form.Get("epoch")) + "/decision"
	in := api.DecisionRequest{Decision: event.EpochDecision(form.Get("decision")), Reason: form.Get("reason")}
	if err := v.post(path, 0, in, nil); err != nil {
		f := v.failureOf(err)
		return v.showPlant(f.Status, f)
	}
	return v.goTo("/plants/"+url.PathEscape(plant), "did", "epoch")
}

// newestGaps returns the gaps that were found last, the newest first.
func newestGaps(all []api.Gap) []api.Gap {
	slices.SortStableFunc(all, func(a, b api.Gap) int { return b.Since.Compare(a.Since) })
	return all[:min(gapsPerPlant, len(all))]
}

// SourceState shows what a source is doing.
func (v *visit) SourceState(state event.Name) badge {
	word := v.Word("source", state)
	switch state {
	case "live":
		return badge{v.Icon("done"), "calm", word}
	case "refused":
		return badge{v.Icon("fail"), "bad", word}
	case "connecting", "resolving", "backfilling":
		return badge{v.Icon("releasing"), "move", word}
	}
	return badge{v.Icon("warn"), "alarm", word}
}

// Explain tells what a code means and what a person does about it.
func (v *visit) Explain(code any) problem.Page {
	name, _ := code.(event.Name)
	return problem.Explain(problem.Code(name))
}
