package console

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// lotData is what the page of a lot shows.
type lotData struct {
	Lot      api.Lot
	Record   api.Record
	Coverage api.Coverage
	Trace    api.Trace
	Charts   []chart
	Timeline timeline
	Failure  *api.Failure // of the act that was refused
	Form     url.Values   // of that act
}

func (v *visit) lotPage() error { return v.showLot(http.StatusOK, nil) }

// showLot shows the lot of the path, with why an act was refused.
func (v *visit) showLot(status int, f *api.Failure) error {
	d := lotData{Failure: f, Form: v.r.PostForm}
	path := "/lots/" + url.PathEscape(v.r.PathValue("key"))
	if err := v.get(path, &d.Lot); err != nil {
		return err
	}
	if err := v.get(path+"/record", &d.Record); err != nil {
		return err
	}
	if err := v.get("/coverage?lot="+url.QueryEscape(string(d.Lot.Key)), &d.Coverage); err != nil {
		return err
	}
	if err := v.get("/trace/"+url.PathEscape(string(d.Lot.Key)), &d.Trace); err != nil {
		return err
	}
	d.Charts = charts(d.Record.Results)
	d.Timeline = layOut(&d.Trace)
	title, err := v.T("lot.title", d.Lot.Number)
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "lots", Data: d}
	if f == nil { // what was refused, and the form with it, stays until it is dealt with
		x.Live = v.URL("/live", "lot", string(d.Lot.Key))
	}
	return v.show(status, "lot", x)
}

// ERPUsage returns what the lot's ERP was last read to enforce; nil if it was not read.
func (d lotData) ERPUsage() *api.Usage {
	for i := range d.Lot.Usage {
		if d.Lot.Usage[i].System == d.Lot.ERP {
			return &d.Lot.Usage[i]
		}
	}
	return nil
}

// Differs tells whether the ERP enforces something else than our rules ask for.
func (d lotData) Differs() bool {
	u := d.ERPUsage()
	return d.Lot.ERP != "" && (u == nil || u.Usage != d.Record.Wanted)
}

// Decision returns the newest decision that counts, nil if there is none.
func (d lotData) Decision() *api.Disposition {
	for i := len(d.Record.Dispositions) - 1; i >= 0; i-- {
		if d.Record.Dispositions[i].SupersededBy == "" {
			return &d.Record.Dispositions[i]
		}
	}
	return nil
}

// Open returns the gaps and answers that keep the lot, which persons may accept.
func (d lotData) Open() bool { return len(d.Coverage.Gaps)+len(d.Missing()) > 0 }

// Missing returns the agents whose answers the lot's release waits for.
func (d lotData) Missing() (all []api.Answer) {
	for _, a := range d.Coverage.Answers {
		if a.Missing && d.Coverage.Barrier > 0 {
			all = append(all, a)
		}
	}
	return all
}

// act calls an operation on the lot of the path, and shows the lot again: with what was done, or with why it was refused
// and the form as it was filled in.
func (v *visit) act(path string, in any, did string) error {
	key := v.r.PathValue("key")
	version, err := strconv.ParseInt(v.r.PostForm.Get("version"), 10, 64)
	if err != nil {
		version = 0
	}
	if err := v.post("/lots/"+url.PathEscape(key)+path, version, in, nil); err != nil {
		f := v.failureOf(err)
		if f.Status == http.StatusNotFound {
			return err
		}
		return v.showLot(f.Status, f)
	}
	return v.goTo("/lots/"+url.PathEscape(key), "did", did)
}

func (v *visit) holdLot() error {
	form := v.r.PostForm
	return v.act("/holds", api.HoldRequest{Kind: event.HoldKind(form.Get("kind")), Reason: form.Get("reason")}, "hold")
}

func (v *visit) liftHold() error {
	form := v.r.PostForm
	return v.act("/holds/"+url.PathEscape(form.Get("hold"))+"/lift", api.ReasonRequest{Reason: form.Get("reason")}, "lift")
}

// acceptEvidence hands in the signatures of the persons who are at the screen: each gives name and password here, whoever
// is logged in.
func (v *visit) acceptEvidence() error {
	form := v.r.PostForm
	in := api.EvidenceRequest{Gap: event.ObjectID(form.Get("gap")), Plant: event.PlantID(form.Get("plant")), Agent: form.Get("agent"), Reason: form.Get("reason"), Signers: v.signers()}
	in.Barrier, _ = strconv.ParseInt(form.Get("barrier"), 10, 64) // absent for a gap
	return v.act("/evidence", in, "accept")
}
