package console

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// systemsData is what the page of systems shows.
type systemsData struct {
	Systems []api.SystemDetail
	Off     []api.Off
	Failure *api.Failure // of the act that was refused
	Form    url.Values   // of that act
}

// All returns what keeps every system from being written to; nil if nothing does.
func (d systemsData) All() *api.Off {
	for i := range d.Off {
		if d.Off[i].System == "" {
			return &d.Off[i]
		}
	}
	return nil
}

// Plan sums up what becomes of all that waits when dispatch is turned on.
func (d systemsData) Plan() (sum api.Plan) {
	for i := range d.Systems {
		p := &d.Systems[i].Plan
		sum.Compare, sum.LookUp = sum.Compare+p.Compare, sum.LookUp+p.LookUp
		sum.CloseUnsent, sum.Send = sum.CloseUnsent+p.CloseUnsent, sum.Send+p.Send
	}
	return sum
}

func (v *visit) systemsPage() error { return v.showSystems(http.StatusOK, nil) }

func (v *visit) showSystems(status int, f *api.Failure) error {
	d := systemsData{Failure: f, Form: v.r.PostForm}
	var list api.SystemList
	if err := v.get("/systems", &list); err != nil {
		return err
	}
	d.Off = list.Off
	for i := range list.Systems {
		var s api.SystemDetail
		if err := v.get("/systems/"+url.PathEscape(list.Systems[i].ID), &s); err != nil {
			return err
		}
		d.Systems = append(d.Systems, s)
	}
	title, err := v.T("systems.title")
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "systems", Data: d}
	if f == nil {
		x.Live = v.liveAll()
	}
	return v.show(status, "systems", x)
}

// dispatchAll turns dispatch to all systems on or off.
func (v *visit) dispatchAll() error {
	form := v.r.PostForm
	on := form.Get("on") == "true"
	if err := v.post("/dispatch", 0, api.DispatchRequest{On: on, Reason: form.Get("reason")}, nil); err != nil {
		f := v.failureOf(err)
		return v.showSystems(f.Status, f)
	}
	return v.goTo("/systems", "did", dispatchDid(on))
}

func dispatchDid(on bool) string {
	if on {
		return "dispatch_on"
	}
	return "dispatch_off"
}

// systemData is what the page of a system shows.
type systemData struct {
	api.SystemDetail
	Waiting, Unknown, Stuck api.SystemEffects
	Failure                 *api.Failure // of the act that was refused
	Form                    url.Values   // of that act
}

// Own returns what was turned off for this system alone; nil if nothing was.
func (d systemData) Own() *api.Off {
	for i := range d.Off {
		if d.Off[i].System != "" {
			return &d.Off[i]
		}
	}
	return nil
}

func (v *visit) systemPath() string { return "/systems/" + url.PathEscape(v.r.PathValue("id")) }

func (v *visit) systemPage() error { return v.showSystem(http.StatusOK, nil) }

func (v *visit) showSystem(status int, f *api.Failure) error {
	d := systemData{Failure: f, Form: v.r.PostForm}
	if err := v.get(v.systemPath(), &d.SystemDetail); err != nil {
		return err
	}
	for what, into := range map[string]*api.SystemEffects{"waiting": &d.Waiting, "unknown": &d.Unknown, "exception": &d.Stuck} {
		if err := v.get(v.systemPath()+"/effects?what="+what, into); err != nil {
			return err
		}
	}
	title, err := v.T("system.title", d.ID)
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "systems", Data: d}
	if f == nil {
		x.Live = v.liveAll()
	}
	return v.show(status, "system", x)
}

// systemAct calls an operation on the system of the path, and shows the system again.
func (v *visit) systemAct(path string, in any, did string) error {
	if err := v.post(path, 0, in, nil); err != nil {
		f := v.failureOf(err)
		if f.Status == http.StatusNotFound {
			return err
		}
		return v.showSystem(f.Status, f)
	}
	return v.goTo(v.systemPath(), "did", did)
}

func (v *visit) pauseSystem() error {
	form := v.r.PostForm
	minutes, err := strconv.ParseInt(form.Get("minutes"), 10, 64)
	if err != nil || minutes > maxPause {
		minutes = 0 // which the API refuses with the range that it takes
	}
	return v.systemAct(v.systemPath()+"/pause", api.PauseRequest{Seconds: 60 * minutes, Reason: form.Get("reason")}, "pause")
}

// maxPause is the longest pause, in minutes: a week, as the API has it.
const maxPause = 7 * 24 * 60

func (v *visit) resumeSystem() error {
	return v.systemAct(v.systemPath()+"/resume", api.ReasonRequest{Reason: v.r.PostForm.Get("reason")}, "dispatch_on")
}

func (v *visit) dispatchSystem() error {
	form := v.r.PostForm
	on := form.Get("on") == "true"
	return v.systemAct("/dispatch", api.DispatchRequest{System: v.r.PathValue("id"), On: on, Reason: form.Get("reason")}, dispatchDid(on))
}

// Dispatch shows whether effects on a system are carried out.
func (v *visit) Dispatch(s api.SystemDetail) badge {
	if s.Dispatch {
		return badge{v.Icon("done"), "calm", v.Word("switch", "on")}
	}
	for _, o := range s.Off {
		if !o.Until.IsZero() {
			return badge{v.Icon("held"), "alarm", v.Word("switch", "paused")}
		}
	}
	return badge{v.Icon("held"), "bad", v.Word("switch", "off")}
}

// Link shows whether a system answers.
func (v *visit) Link(h api.Health) badge {
	word := v.Word("link", h.Link)
	switch h.Link {
	case "up":
		return badge{v.Icon("done"), "calm", word}
	case api.LinkDown, api.LinkRefused:
		return badge{v.Icon("fail"), "bad", word}
	case "":
		return badge{v.Icon("wait"), "wait", v.Word("link", "unknown")}
	}
	return badge{v.Icon("warn"), "alarm", word}
}

// Share returns how much of the longest a count is, in whole percent, as the width of a bar.
func (v *visit) Share(n int, ages []api.AgeCount) int {
	most := 1
	for _, a := range ages {
		most = max(most, a.Count)
	}
	return 100 * n / most
}

// Advice is the key of what a person can do about an effect that is not done.
func (v *visit) Advice(e api.SystemEffect) string {
	switch {
	case e.State == store.EffectException && e.Code == string(problem.EffectUnknown):
		return "never_found"
	case e.State == store.EffectException:
		return "rejected"
	case e.Outcome == event.Unknown:
		return "unknown"
	}
	return "wait"
}
