package console_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/console"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	lotA     = event.LotKey("lot:1000:MAT-100:L-88213") // plant p1, held
	lotB     = event.LotKey("lot:1000:MAT-100:L-88214") // plant p1, asking
	lotC     = event.LotKey("lot:2000:MAT-200:L-9")     // plant p2, in inspection
	epoch    = event.Epoch("00112233445566778899aabbccddeeff")
	password = "four-words-are-better"
	canary   = "canary-never-to-be-seen"
)

// start is when the fixture's world begins.
func start() time.Time { return time.Date(2026, 11, 24, 9, 14, 2, 118_000_000, time.UTC) }

// fixture is a console over a real API, engine and store.
type fixture struct {
	t       testing.TB
	store   *store.Store
	engine  *workflow.Engine
	desk    *api.Desk
	console *console.Console
	server  *httptest.Server
	base    string
	now     time.Time
	log     strings.Builder
	first   chan string
	seq     map[event.PlantID]uint64
}

func newFixture(t testing.TB, base string, links ...console.Link) *fixture {
	t.Helper()
	f := &fixture{t: t, store: storetest.Open(t), base: base, now: start(), first: make(chan string, 1), seq: map[event.PlantID]uint64{}}
	clock := func() time.Time { return f.now }
	log := zerolog.New(&f.log)
	f.engine = workflow.New(f.store, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{
			"p1": {ID: "p1", ERP: "s4", QMS: "qms1"}, "p2": {ID: "p2", ERP: "s4", QMS: "qms1", OneSigner: true},
		},
		Materials: map[string]quality.Material{"MAT-100": {BaseUnit: "kg"}, "MAT-200": {BaseUnit: "kg", InspectionRequired: true}},
	}, clock, log, nil)
	mux := http.NewServeMux()
	f.desk = api.Register(mux, api.Config{
		Zones: map[event.PlantID]string{"p1": "Europe/Berlin", "p2": "America/Chicago"}, ERP: func(event.PlantID) string { return "s4" }, Now: clock,
		Hashing: api.Hashing{Memory: 64, Time: 1, Threads: 1}, OneSigner: func(p event.PlantID) bool { return p == "p2" },
		Systems: map[string]func() api.Health{
			"qms1": func() api.Health {
				return api.Health{Link: api.LinkDown, Since: start(), Calls: 20, Failed: 5, Median: 0.04, P95: 2, LastAt: start()}
			},
			"s4": func() api.Health { return api.Health{Link: "up", Calls: 200, Median: 0.041, P95: 0.3, LastAt: start()} },
		},
	}, f.store, f.engine, log)
	cfg := console.DefaultConfig
	cfg.BasePath, cfg.Links = base, links
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.console, err = console.New(cfg, console.Deps{
		Desk: f.desk, Store: f.store, Now: clock, Log: log, First: func(path string) { f.first <- path }, LiveStep: 50 * time.Millisecond,
	}); err != nil {
		t.Fatal(err)
	}
	f.console.Register(mux)
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

// user adds a user with the fixture's password; given means that an administrator chose it.
func (f *fixture) user(name string, given bool, plants []event.PlantID, roles ...string) {
	f.t.Helper()
	admin := &api.Caller{Principal: "setup", Roles: []string{api.RoleAdmin}}
	r := api.UserRequest{
		Name: name, PrintedName: strings.ToUpper(name[:1]) + name[1:] + " Lindner", Person: "person-" + name, Roles: roles, Plants: plants, Password: "first-password-of-it",
	}
	if err := f.desk.Post(f.t.Context(), admin, "/users", api.Act{}, r, nil); err != nil {
		f.t.Fatal(err)
	}
	own := api.PasswordRequest{Old: r.Password, New: password}
	if given {
		own = api.PasswordRequest{New: password, Reason: "first"}
	}
	if err := f.desk.Post(f.t.Context(), admin, "/users/"+name+"/password", api.Act{}, own, nil); err != nil {
		f.t.Fatal(err)
	}
}

// browser is a visitor with cookies of its own, who follows no redirect by itself.
type browser struct {
	f      *fixture
	client *http.Client
}

func (f *fixture) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &browser{f, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is what a visitor got.
type page struct {
	t      testing.TB
	status int
	header http.Header
	text   string
}

func (b *browser) do(r *http.Request) *page {
	b.f.t.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		b.f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	if strings.Contains(string(text), canary) || strings.Contains(string(text), password) {
		b.f.t.Errorf("%s %s answers with a secret", r.Method, r.URL)
	}
	return &page{b.f.t, res.StatusCode, res.Header, string(text)}
}

// get visits a path below the base path.
func (b *browser) get(path string) *page {
	b.f.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

func (b *browser) request(method, path string, body io.Reader) *http.Request {
	b.f.t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(b.f.t.Context()), method, b.f.server.URL+b.f.base+path, body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	return r
}

// post sends a form of names and values with the token of the page that it stands on.
func (b *browser) post(on *page, path string, fields ...string) *page {
	b.f.t.Helper()
	form := url.Values{"token": {on.token()}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r := b.request(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (b *browser) logIn(name string) *page {
	b.f.t.Helper()
	return b.post(b.get("/login"), "/login", "name", name, "password", password)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (p *page) token() string {
	m := tokenField.FindStringSubmatch(p.text)
	if m == nil {
		return ""
	}
	return m[1]
}

// field returns the value of a hidden field of the page's first form that has it.
func (p *page) field(name string) string {
	p.t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.text)
	if m == nil {
		p.t.Fatalf("the page has no field %s:\n%s", name, p.text)
	}
	return m[1]
}

// shows asserts a status and texts of the page.
func (p *page) shows(status int, texts ...string) {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("status %d, want %d:\n%s", p.status, status, p.text)
	}
	for _, s := range texts {
		if !strings.Contains(p.text, s) {
			p.t.Errorf("the page does not show %q:\n%s", s, p.text)
		}
	}
}

// leads asserts a redirect.
func (p *page) leads(to string) {
	p.t.Helper()
	if p.status != http.StatusSeeOther || p.header.Get("Location") != to {
		p.t.Fatalf("status %d to %q, want 303 to %q:\n%s", p.status, p.header.Get("Location"), to, p.text)
	}
}

// apply applies an event as a plant's agent sends it.
func (f *fixture) apply(id string, plant event.PlantID, data event.Data) {
	f.t.Helper()
	p := data.ReadBy()
	p.Source, p.Item = "press-4", "halle/press-4"
	spec, _ := event.Lookup(data.Type())
	f.seq[plant]++
	e := &event.Event{
		ID: event.NaturalID(string(plant), "press-4", []string{id}, data.Type(), 0), Source: "/" + string(plant) + "/press-4",
		Time: f.now, Recorded: f.now.Add(6 * time.Millisecond), Plant: plant, Data: data,
		Origin: event.Origin{Agent: "a1", Epoch: epoch, Prev: event.NoPrev, Lane: spec.Lane, Seq: f.seq[plant]},
	}
	if err := e.Seal("a1"); err != nil {
		f.t.Fatal(err)
	}
	f.now = f.now.Add(50 * time.Millisecond)
	results, err := f.engine.Apply(f.t.Context(), []workflow.Input{{
		Message: e.Message(), Plant: plant, Place: store.Place{Topic: "holdfast." + string(plant) + ".quality.v1", Partition: 4, Offset: int64(f.seq[plant])},
	}}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if results[0].Outcome != workflow.Accepted {
		f.t.Fatalf("event %s: %s: %v", id, results[0].Outcome, results[0].Cause)
	}
}

func created(lot event.LotKey) *event.LotCreated {
	_, material, _, _ := lot.Parts()
	d := &event.LotCreated{Material: event.Name(material), Q: event.Quantity{Value: "120", Unit: "kg"}, Origin: "order:mes:4711", Equipment: "press-4"}
	d.Lot = lot
	return d
}

func measured(lot event.LotKey, sample int64, value string, judged event.Evaluation) *event.CharacteristicRecorded {
	d := &event.CharacteristicRecorded{
		InspectionID: "inspection:mes:900", Characteristic: "torque", SampleNo: sample, Kind: event.Variable, Value: event.Name(value), Unit: "N.m",
		USL: "50", Evaluation: judged, Equipment: "press-4", MeasuredAt: event.At(start()),
	}
	d.Lot = lot
	return d
}

// seed makes a world with a held lot, one that asks for its release, and one of another plant in inspection.
func (f *fixture) seed() {
	f.t.Helper()
	f.apply("lot-a", "p1", created(lotA))
	f.apply("lot-b", "p1", created(lotB))
	f.apply("lot-c", "p2", created(lotC))
	f.apply("measure-1", "p1", measured(lotA, 1, "48.9", event.Pass))
	f.apply("measure-2", "p1", measured(lotA, 2, "61.2", event.Fail))
	f.now = f.now.Add(2 * time.Minute)
}

// gap has plant p2 record that nothing was seen of it for a minute.
func (f *fixture) gap() string {
	f.t.Helper()
	f.apply("gap", "p2", &event.GapRecorded{
		GapID: "gap:p2:press-4-1", Source: "press-4", Equipment: "press-4", From: event.At(f.now.Add(-10 * time.Minute)), To: event.At(f.now.Add(time.Second)),
		Reason: event.GapDisconnect,
	})
	return "gap:p2:press-4-1"
}

func lotPath(lot event.LotKey, act ...string) string {
	return strings.Join(append([]string{"/lots", url.PathEscape(string(lot))}, act...), "/")
}

// facts returns what decides about a lot.
func (f *fixture) facts(lot event.LotKey) (facts quality.Facts) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) (err error) { facts, err = tx.Facts(lot); return err }); err != nil {
		f.t.Fatal(err)
	}
	return facts
}

// entries returns the ledger entries of a principal, as act and object.
func (f *fixture) entries(principal string) (all []string) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Entries(0, 1000)
		for i := range rows {
			if rows[i].Principal == principal {
				all = append(all, fmt.Sprintf("%s %s %s", rows[i].Act, rows[i].Object, rows[i].Reason))
			}
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return all
}

// unmask returns the token under the mask of a form's token.
func unmask(t testing.TB, token string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 64 {
		t.Fatalf("token %q: %v", token, err)
	}
	for i := range 32 {
		b[32+i] ^= b[i]
	}
	return string(b[32:])
}
