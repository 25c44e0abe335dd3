package console

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// groupsData is what the page of exceptions shows.
type groupsData struct {
	api.DeadletterGroups
	Unread api.UnreadList
	Plant  string
}

func (v *visit) exceptionsPage() error {
	d := groupsData{Plant: v.plantQuery()}
	query := ""
	if d.Plant != "" {
		query = "?plant=" + url.QueryEscape(d.Plant)
	}
	if err := v.get("/deadletters/groups"+query, &d.DeadletterGroups); err != nil {
		return err
	}
	if err := v.get("/unread"+query, &d.Unread); err != nil {
		return err
	}
	v.Now = d.At
	title, err := v.T("exceptions.title")
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "exceptions", view{Title: title, Section: "exceptions", Live: v.liveAll(), Data: d})
}

// exceptionsCSV streams all records that wait, page by page.
func (v *visit) exceptionsCSV() error {
	plant, path := v.plantQuery(), "/deadletters?limit=1000"
	var page api.DeadletterPage
	if err := v.get(path, &page); err != nil {
		return err
	}
	v.attachment("text/csv; charset=utf-8", "exceptions.csv")
	out := csv.NewWriter(v.w)
	_ = out.Write([]string{"id", "state", "code", "cause", "key", "lot", "plant", "event_type", "attempts", "kept", "updated"})
	for {
		for i := range page.Deadletters {
			l := &page.Deadletters[i]
			if plant != "" && plant != string(l.Plant) {
				continue
			}
			_ = out.Write(plainCells([]string{
				strconv.FormatInt(l.ID, 10), string(l.State), string(l.Code), l.Cause, l.Key, string(l.Lot), string(l.Plant), string(l.EventType),
				strconv.FormatInt(l.Attempts, 10), l.At.UTC().Format(time.RFC3339Nano), l.UpdatedAt.UTC().Format(time.RFC3339Nano),
			})) // kept by the writer, and asked for below
		}
		out.Flush()
		if page.Next == 0 || out.Error() != nil {
			return nil // the visitor may have gone
		}
		next := strconv.FormatInt(page.Next, 10)
		page = api.DeadletterPage{}
		if err := v.get(path+"&after="+next, &page); err != nil {
			v.c.Log.Error().Err(err).Msg("list cut off")
			panic(http.ErrAbortHandler) // so that nobody takes half a list for the whole
		}
	}
}

// causeData is what the page of one cause shows.
type causeData struct {
	Group   api.DeadletterGroup
	Page    api.DeadletterGroupPage
	After   string
	Failure *api.Failure // of the act that was refused
	Form    url.Values   // of that act
}

func (v *visit) causePage() error { return v.showCause(http.StatusOK, nil) }

func (v *visit) showCause(status int, f *api.Failure) error {
	d := causeData{Failure: f, Form: v.r.PostForm, After: v.r.URL.Query().Get("after")}
	q := url.Values{"limit": {"100"}}
	if d.After != "" {
		q.Set("after", d.After)
	}
	if err := v.get("/deadletters/groups/"+url.PathEscape(v.r.PathValue("id"))+"?"+q.Encode(), &d.Page); err != nil {
		return err
	}
	if d.Page.Group != nil {
		d.Group = *d.Page.Group
	}
	title, err := v.T("exceptions.cause_title")
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "exceptions", Data: d}
	if f == nil && d.After == "" {
		x.Live = v.liveAll()
	}
	return v.show(status, "cause", x)
}

// redriveCause applies the records of one cause again.
func (v *visit) redriveCause() error {
	id := url.PathEscape(v.r.PathValue("id"))
	var out api.GroupRedriven
	if err := v.post("/deadletters/groups/"+id+"/redrive", 0, api.ReasonRequest{Reason: v.r.PostForm.Get("reason")}, &out); err != nil {
		f := v.failureOf(err)
		return v.showCause(f.Status, f)
	}
	switch {
	case out.Left > 0 && out.Applied > 0:
		return v.goTo("/exceptions/cause/"+id, "did", "redrive_part")
	case out.Left > 0:
		return v.goTo("/exceptions/cause/"+id, "did", "redrive_none")
	case out.More:
		return v.goTo("/exceptions/cause/"+id, "did", "redrive_more")
	}
	return v.goTo("/exceptions", "did", "redrive")
}

// exceptionData is what the page of a record that was not applied shows.
type exceptionData struct {
	api.Deadletter
	Payload    payload
	Edit       string          // the data to correct, indented
	Difference *api.Difference // of the correction that waits to be confirmed
	Failure    *api.Failure    // of the act that was refused
	Form       url.Values      // of the act
}

// IsOpen tells whether the record still waits.
func (d exceptionData) IsOpen() bool { return d.State.Open() }

// BadHeaders are those that the cause is about.
func (d exceptionData) BadHeaders() (all []string) {
	for _, f := range d.Faults {
		if f.Header != "" {
			all = append(all, f.Header)
		}
	}
	return all
}

// exceptionPath is that of the record of the request's path in the API.
func (v *visit) exceptionPath() string { return "/deadletters/" + url.PathEscape(v.r.PathValue("id")) }

func (v *visit) exceptionPage() error { return v.showException(http.StatusOK, exceptionData{}) }

// showException shows the record of the path, with what an act of it led to.
func (v *visit) showException(status int, d exceptionData) error {
	if err := v.get(v.exceptionPath(), &d.Deadletter); err != nil {
		return err
	}
	d.Form = v.r.PostForm
	d.Payload = payloadOf(d.Raw, d.Faults)
	if d.Edit = d.Form.Get("value"); d.Edit == "" {
		d.Edit = pretty(d.Raw)
	}
	title, err := v.T("exception.title", strconv.FormatInt(d.ID, 10))
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "exceptions", Data: d}
	if d.Failure == nil && d.Difference == nil { // a form that was filled in stays until it is dealt with
		x.Live = v.liveAll()
	}
	return v.show(status, "exception", x)
}

// refuse shows the record again with why an act was refused.
func (v *visit) refuse(err error) error {
	f := v.failureOf(err)
	if f.Status == http.StatusNotFound {
		return err
	}
	return v.showException(f.Status, exceptionData{Failure: f})
}

// rawException hands out a record's value as it came.
func (v *visit) rawException() error {
	var d api.Deadletter
	if err := v.get(v.exceptionPath(), &d); err != nil {
		return err
	}
	v.attachment("application/octet-stream", "exception-"+strconv.FormatInt(d.ID, 10)+".bin")
	_, _ = v.w.Write(d.Raw) // the visitor may have gone
	return nil
}

// corrected reads the data that a person has corrected.
func (v *visit) corrected() (json.RawMessage, error) {
	value := []byte(strings.TrimSpace(v.r.PostForm.Get("value")))
	err := json.Unmarshal(value, new(any))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := place(value, int(syntax.Offset))
		return nil, problem.New(problem.Usage, "the corrected data is not JSON: line %d, character %d: %w", line, column, err)
	}
	if err != nil {
		return nil, problem.New(problem.Usage, "the corrected data is not JSON: %w", err)
	}
	return value, nil
}

// place returns line and character of a byte, both counted from 1.
func place(value []byte, at int) (line, column int) {
	before := string(value[:min(at, len(value))])
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
}

// checkFix shows what a correction would change, to be confirmed.
func (v *visit) checkFix() error {
	value, err := v.corrected()
	if err != nil {
		return v.refuse(err)
	}
	if strings.TrimSpace(v.r.PostForm.Get("reason")) == "" {
		return v.refuse(problem.New(problem.ReasonNeeded, "the correction has no reason"))
	}
	var diff api.Difference
	if err := v.post(v.exceptionPath()+"/difference", 0, api.DifferenceRequest{Value: value}, &diff); err != nil {
		return v.refuse(err)
	}
	return v.showException(http.StatusOK, exceptionData{Difference: &diff})
}

// fix puts a correction in the place of a record.
func (v *visit) fix() error {
	value, err := v.corrected()
	if err != nil {
		return v.refuse(err)
	}
	var fixed api.Fixed
	if err := v.post(v.exceptionPath()+"/fix", 0, api.FixRequest{Value: value, Reason: v.r.PostForm.Get("reason")}, &fixed); err != nil {
		return v.refuse(err)
	}
	return v.goTo("/exceptions/"+strconv.FormatInt(fixed.ID, 10), "did", "fix")
}

// redrive applies a record again, with those that wait behind it.
func (v *visit) redrive() error {
	var out api.Redriven
	if err := v.post(v.exceptionPath()+"/redrive", 0, api.ReasonRequest{Reason: v.r.PostForm.Get("reason")}, &out); err != nil {
		return v.refuse(err)
	}
	did := "redrive"
	switch {
	case out.Applied == 0:
		did = "redrive_none"
	case out.Left > 0:
		did = "redrive_part"
	}
	return v.goTo("/exceptions/"+url.PathEscape(v.r.PathValue("id")), "did", did)
}

// drop closes a record for good, by the signatures of two persons who are at the screen.
func (v *visit) drop() error {
	in := api.DropRequest{Reason: v.r.PostForm.Get("reason"), Signers: v.signers()}
	if err := v.post(v.exceptionPath()+"/drop", 0, in, nil); err != nil {
		return v.refuse(err)
	}
	return v.goTo("/exceptions/"+url.PathEscape(v.r.PathValue("id")), "did", "drop")
}

// signers reads name and password of each person who signs, and forgets the passwords: they are never shown again.
func (v *visit) signers() (all []api.Signer) {
	form := v.r.PostForm
	for i, name := range form["user"] {
		password := ""
		if i < len(form["password"]) {
			password = form["password"][i]
		}
		if name != "" || password != "" {
			all = append(all, api.Signer{User: name, Password: password})
		}
	}
	form.Del("password")
	return all
}

// LetterState shows what a record that was not applied waits for.
func (v *visit) LetterState(s store.DeadletterState) badge {
	word := v.Word("letter", s)
	switch {
	case s == store.Waiting:
		return badge{v.Icon("wait"), "wait", word}
	case s.Open():
		return badge{v.Icon("warn"), "alarm", word}
	}
	return badge{v.Icon("done"), "calm", word}
}

var (
	causeHead  = regexp.MustCompile(`^(?:event|record) \S+: `)
	causeField = regexp.MustCompile(`^[a-z][a-z0-9_.[\]]*: `)
)

// Cause is why a record was not applied, without the id that its page has elsewhere. A name of a field stays as it is
// written.
func (v *visit) Cause(cause string) string {
	cause = causeHead.ReplaceAllString(cause, "")
	if causeField.MatchString(cause) {
		return cause
	}
	return sentence(cause)
}

// Next is what to do about a cause: in the words of the pages where they have some, since those of the code name commands.
func (v *visit) Next(code problem.Code, next string) string {
	if s, ok := v.c.words["next."+string(code)]; ok {
		return s
	}
	return sentence(next) + "."
}

// MoreLots returns how many lots of a group are not named.
func (v *visit) MoreLots(g api.DeadletterGroup) int64 { return g.LotCount - int64(len(g.Lots)) }

// Owner names the roles that see to something.
func (v *visit) Owner(roles string) string {
	names := strings.Split(roles, " or ")
	for i := range names {
		names[i] = v.Word("role", names[i])
	}
	return strings.Join(names, ", ")
}

// EventName returns what an event type tells of, with its version: inventory.lot.created.v1 is "lot created (v1)".
func (v *visit) EventName(t event.Type) string {
	parts := strings.Split(string(t), ".")
	if len(parts) < 3 {
		return string(t)
	}
	version := parts[len(parts)-1]
	return strings.ReplaceAll(strings.Join(parts[max(1, len(parts)-3):len(parts)-1], " "), "_", " ") + " (" + version + ")"
}

// SchemaName returns the file name of a schema.
func (v *visit) SchemaName(address string) string {
	return strings.TrimSuffix(address[strings.LastIndexByte(address, '/')+1:], ".json")
}

// JSON shows a value as it is written.
func (v *visit) JSON(value json.RawMessage) string { return string(value) }
