package console

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// visit is one request. Its exported fields and methods are what templates use.
type visit struct {
	Now   time.Time // as of
	User  *store.UserRow
	Theme string // light, dark, or empty for what the browser prefers
	UTC   bool   // all times in UTC

	c      *Console
	w      http.ResponseWriter
	r      *http.Request
	token  string // that the browser holds; empty = none
	caller *api.Caller
	people map[string]string // printed names by user name; nil = not read yet
}

// visit reads who comes. It returns a visit also beside an error.
func (c *Console) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	v := &visit{Now: c.Now(), c: c, w: w, r: r}
	v.readDisplay()
	err := v.findSession(r.Context())
	if v.token == "" {
		v.giveToken()
	}
	return v, err
}

// view is what a template shows.
type view struct {
	*visit
	Title   string
	Section string // of the navigation
	Live    string // where the page hears that it has changed; empty = it does not change by itself
	Data    any
}

// show writes a page.
func (v *visit) show(status int, page string, x view) error {
	x.visit = v
	t := v.c.pages[page]
	if t == nil {
		return fmt.Errorf("there is no page %q", page)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", x); err != nil {
		return fmt.Errorf("show page %s: %w", page, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Vary", "Accept-Encoding, Cookie")
	body := b.Bytes()
	if acceptsGzip(v.r) {
		small, err := compress(body, gzip.DefaultCompression)
		if err != nil {
			return err
		}
		v.w.Header().Set("Content-Encoding", "gzip")
		body = small
	}
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body) // the visitor may have gone
	return nil
}

// liveAll is the stream of a page about many lots.
func (v *visit) liveAll() string { return v.URL("/live") }

// goTo sends the browser to a page of ours.
func (v *visit) goTo(path string, query ...string) error {
	http.Redirect(v.w, v.r, v.URL(path, query...), http.StatusSeeOther)
	return nil
}

// get calls an operation of the API that reads.
func (v *visit) get(path string, out any) error {
	return v.c.Desk.Get(v.r.Context(), v.caller, path, out)
}

// post calls an operation of the API that changes state, once for the key that the form carries.
func (v *visit) post(path string, version int64, in, out any) error {
	act := api.Act{Key: v.r.PostForm.Get("key"), Version: version}
	return v.c.Desk.Post(v.r.Context(), v.caller, path, act, in, out)
}

// failureOf gives an error the form in which a person reads it: whole sentences. What is a fault of ours is logged, and
// says no more.
func (v *visit) failureOf(err error) *api.Failure {
	f := v.failure(err)
	return &api.Failure{
		Title: sentence(f.Title), Status: f.Status, Detail: sentence(f.Detail), Code: f.Code, Consequence: sentence(f.Consequence), Next: sentence(f.Next),
	}
}

func (v *visit) failure(err error) *api.Failure {
	if f, ok := errors.AsType[*api.Failure](err); ok {
		return f
	}
	if errors.Is(err, errGone) {
		err = problem.New(problem.PageMissing, "there is no page %.200s", v.r.URL.Path)
	}
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		v.c.Log.Error().Err(err).Msg("page not shown")
		p = problem.New(problem.Internal, "the page could not be made")
	}
	status := http.StatusInternalServerError
	switch p.Code {
	case problem.PageMissing, problem.LinkUsed:
		status = http.StatusNotFound
	case problem.Usage, problem.ReasonNeeded:
		status = http.StatusUnprocessableEntity
	case problem.FormForeign:
		status = http.StatusForbidden
	case problem.LoginsTooMany:
		status = http.StatusTooManyRequests
	}
	return &api.Failure{
		Title: problem.Explain(p.Code).Title, Status: status, Detail: p.Cause, Code: p.Code, Consequence: p.Consequence, Next: p.Next,
	}
}

// fail shows an error as a page.
func (v *visit) fail(err error) {
	f := v.failureOf(err)
	if err := v.show(f.Status, "error", view{Title: f.Title, Data: f}); err != nil {
		v.c.Log.Error().Err(err).Msg("page not shown")
		http.Error(v.w, f.Detail, f.Status)
	}
}

// T returns a text.
func (v *visit) T(key string, args ...any) (string, error) { return v.c.words.text(key, args...) }

// N returns the text for a number of things.
func (v *visit) N(key string, n any) (string, error) {
	switch n := n.(type) {
	case int:
		return v.c.words.count(key, int64(n))
	case int64:
		return v.c.words.count(key, n)
	}
	return "", fmt.Errorf("%v is no count", n)
}

// Word returns the word for a value of a list, such as a usage; the value itself for one that is not known.
func (v *visit) Word(list string, value any) string {
	key := fmt.Sprint(value)
	if s, ok := v.c.words[list+"."+key]; ok {
		return s
	}
	return strings.ReplaceAll(key, "_", " ")
}

// Number writes a number with commas.
func (v *visit) Number(n int64) string { return digits(n) }

// URL returns the address of a page, with a query of names and values; empty values are left out.
func (v *visit) URL(path string, query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		if query[i+1] != "" {
			q.Set(query[i], query[i+1])
		}
	}
	u := v.c.cfg.BasePath + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// LotURL returns the address of a lot's page, or of one of its acts.
func (v *visit) LotURL(key event.LotKey, act ...string) string {
	return v.URL(strings.Join(append([]string{"/lots", url.PathEscape(string(key))}, act...), "/"))
}

// Here returns the address of the page without what an act said.
func (v *visit) Here() string {
	q := v.r.URL.Query()
	q.Del("did")
	if len(q) == 0 {
		return v.r.URL.EscapedPath()
	}
	return v.r.URL.EscapedPath() + "?" + q.Encode()
}

// Links are those at the foot of each page.
func (v *visit) Links() []Link { return v.c.cfg.Links }

// Did names what was just done, empty for nothing.
func (v *visit) Did() string {
	if key := "did." + v.r.URL.Query().Get("did"); v.c.words[key] != "" {
		return key
	}
	return ""
}

// May tells whether the user may call an operation of the API.
func (v *visit) May(operation string) (bool, error) {
	if !v.c.Desk.Knows(operation) {
		return false, fmt.Errorf("the API has no operation %q", operation)
	}
	return v.caller != nil && v.c.Desk.May(v.caller, operation), nil
}

// Who returns the name of who did something: a user's printed name, else the principal.
func (v *visit) Who(principal any) (string, error) {
	if v.people == nil {
		v.people = map[string]string{}
		if err := v.c.Store.View(v.r.Context(), func(tx *store.Tx) error {
			users, err := tx.Users()
			for i := range users {
				v.people[users[i].Name] = users[i].Printed
			}
			return err
		}); err != nil {
			return "", err
		}
	}
	name := fmt.Sprint(principal)
	if printed := v.people[name]; printed != "" {
		return printed, nil
	}
	if s, ok := v.c.words["who."+name]; ok {
		return s, nil
	}
	return name, nil
}

// ID shortens an object id to what the system that made it calls the object.
func (v *visit) ID(id any) string {
	text := fmt.Sprint(id)
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		if native, err := url.PathUnescape(text[i+1:]); err == nil {
			return native
		}
	}
	return text
}

// LotNumber returns a lot's number, as its master system writes it.
func (v *visit) LotNumber(key event.LotKey) string {
	if _, _, number, err := key.Parts(); err == nil {
		return number
	}
	return string(key)
}

// Key returns a random key, by which an act that is sent twice is done once.
func (v *visit) Key() string { return newToken() }

// Icon returns a picture that stands beside a word.
func (v *visit) Icon(name string) template.HTML {
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">` + iconPaths(name) + `</svg>`)
}

func iconPaths(name string) string {
	switch name {
	case "held":
		return `<path d="M8 1a3.5 3.5 0 0 0-3.500 3.500V7H3.500v8h9V7h-1V4.500A3.500 3.500 0 0 0 8 1zm-2 6V4.500a2 2 0 0 1 4 0V7z"/>`
	case "released", "done", "pass":
		return `<path d="M6.200 12.700 1.800 8.300l1.400-1.400 3 3 6.600-6.600 1.400 1.400z"/>`
	case "rejected", "fail":
		return `<path d="m3.300 2 4.700 4.700L12.700 2 14 3.300 9.300 8l4.700 4.700-1.300 1.300L8 9.300 3.300 14 2 12.700 6.700 8 2 3.300z"/>`
	case "releasing":
		return `<path d="M1 7h9.200L6.900 3.700 8.300 2.300 14 8l-5.700 5.700-1.400-1.400L10.200 9H1z"/>`
	case "warn":
		return `<path d="M8 1 .5 15h15zm-.9 5h1.800v5H7.100zm0 6h1.800v1.600H7.100z"/>`
	}
	return `<path d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.800a5.200 5.200 0 1 1 0 10.400A5.200 5.200 0 0 1 8 2.800zM7.200 4.500v4l3 1.800.8-1.300-2.300-1.400V4.500z"/>` // a clock: it waits
}

// With returns the visit with other data, for a part of a page.
func (v *visit) With(data any) view { return view{visit: v, Data: data} }
