package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	lotA   = event.LotKey("lot:1000:MAT-100:L-88213") // plant p1
	lotB   = event.LotKey("lot:1000:MAT-100:L-88214") // plant p1
	lotC   = event.LotKey("lot:2000:MAT-200:L-9")     // plant p2
	epoch  = event.Epoch("00112233445566778899aabbccddeeff")
	canary = "canary-never-to-be-seen"
)

// start is when the fixture's world begins.
func start() time.Time { return time.Date(2026, 11, 24, 9, 14, 2, 118_000_000, time.UTC) }

// fixture is an API over a real store and engine.
type fixture struct {
	t      *testing.T
	store  *store.Store
	engine *workflow.Engine
	server *httptest.Server
	now    time.Time
	log    *bytes.Buffer
	epoch  event.Epoch
	prev   event.Prev
	seq    map[event.PlantID]uint64
}

// tokenOf makes a well-formed token of a name.
func tokenOf(name string) string {
	return "hf_" + (name + "-" + canary + strings.Repeat("x", 43))[:43]
}

// newFixture starts an API; change its configuration by the functions.
func newFixture(t *testing.T, change ...func(*api.Config)) *fixture {
	t.Helper()
	s := storetest.Open(t)
	f := &fixture{t: t, store: s, now: start(), log: &bytes.Buffer{}, epoch: epoch, prev: event.NoPrev, seq: map[event.PlantID]uint64{}}
	clock := func() time.Time { return f.now }
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(f.log.String())
		}
	})
	log := zerolog.New(zerolog.SyncWriter(f.log))
	f.engine = workflow.New(s, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{
			"p1": {ID: "p1", ERP: "s4", QMS: "qms1"},
			"p2": {ID: "p2", ERP: "s4", QMS: "qms1", OneSigner: true},
		},
		Materials: map[string]quality.Material{"MAT-100": {BaseUnit: "kg"}, "MAT-200": {BaseUnit: "kg", InspectionRequired: true}},
	}, clock, log, nil)
	var callers []api.Caller
	add := func(name string, plants []event.PlantID, roles ...string) {
		callers = append(callers, api.Caller{Principal: name, Roles: roles, Plants: plants, Token: config.NewSecret(tokenOf(name))})
	}
	for _, role := range []string{"viewer", "operator", "quality", "auditor", "admin"} {
		add(role, nil, role)
	}
	add("alice-p1", []event.PlantID{"p1"}, "quality")
	add("alice-p2", []event.PlantID{"p2"}, "quality")
	mux := http.NewServeMux()
	cfg := api.Config{
		Callers: callers, Zones: map[event.PlantID]string{"p1": "Europe/Berlin", "p2": "America/Chicago"},
		ERP: func(event.PlantID) string { return "s4" }, LedgerKey: strings.Repeat("A", 43) + "=",
		AnchorFile: filepath.Join(t.TempDir(), "anchors.jsonl"), Now: clock,
		Hashing: api.Hashing{Memory: 64, Time: 1, Threads: 1}, AnswerWithin: 50 * time.Millisecond,
		Systems: map[string]func() api.Health{
			"qms1": func() api.Health {
				return api.Health{Link: api.LinkDown, Since: start(), Calls: 20, Failed: 5, Median: 0.04, P95: 2, LastAt: start()}
			},
			"s4": func() api.Health { return api.Health{Link: "up", Calls: 200, Median: 0.041, P95: 0.3, LastAt: start()} },
		},
		OneSigner: func(p event.PlantID) bool { return p == "p2" },
	}
	for _, f := range change {
		f(&cfg)
	}
	api.Register(mux, cfg, s, f.engine, log)
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

// apply applies an event as a plant's agent sends it, and returns what became of it.
func (f *fixture) apply(id string, plant event.PlantID, data event.Data) workflow.Result {
	f.t.Helper()
	return f.put(f.event(id, plant, data))
}

// event makes an event as a plant's agent does.
func (f *fixture) event(id string, plant event.PlantID, data event.Data) *event.Event {
	p := data.ReadBy()
	p.Source, p.Item = "press-4", "halle/press-4"
	spec, _ := event.Lookup(data.Type())
	f.seq[plant]++
	return &event.Event{
		ID: event.NaturalID(string(plant), "press-4", []string{id}, data.Type(), 0), Source: "/" + string(plant) + "/press-4",
		Time: f.now, Recorded: f.now.Add(6 * time.Millisecond), Plant: plant, Data: data,
		Origin: event.Origin{Agent: "a1", Epoch: f.epoch, Prev: f.prev, Lane: spec.Lane, Seq: f.seq[plant]},
	}
}

// put applies an event of a plant's agent.
func (f *fixture) put(e *event.Event) workflow.Result {
	f.t.Helper()
	if err := e.Seal("a1"); err != nil {
		f.t.Fatal(err)
	}
	f.now = f.now.Add(50 * time.Millisecond)
	results, err := f.engine.Apply(f.t.Context(), []workflow.Input{{
		Message: e.Message(), Plant: e.Plant,
		Place: store.Place{Topic: "holdfast." + string(e.Plant) + ".quality.v1", Partition: 4, Offset: int64(f.seq[e.Plant])},
	}}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return results[0]
}

func (f *fixture) mustApply(id string, plant event.PlantID, data event.Data) {
	f.t.Helper()
	if r := f.apply(id, plant, data); r.Outcome != workflow.Accepted {
		f.t.Fatalf("event %s: %s: %v", id, r.Outcome, r.Cause)
	}
}

func created(lot event.LotKey) *event.LotCreated {
	_, material, _, _ := lot.Parts()
	d := &event.LotCreated{Material: event.Name(material), Q: event.Quantity{Value: "120", Unit: "kg"}, Origin: "order:mes:4711"}
	d.Lot = lot
	return d
}

func measured(lot event.LotKey, value, lsl, usl string) *event.CharacteristicRecorded {
	d := &event.CharacteristicRecorded{
		InspectionID: "inspection:mes:900", Characteristic: "torque", SampleNo: 1, Kind: event.Variable, Value: event.Name(value), Unit: "N.m",
		LSL: event.Decimal(lsl), USL: event.Decimal(usl), Evaluation: event.Fail, Equipment: "press-4", MeasuredAt: event.At(start()),
	}
	d.Lot = lot
	return d
}

// settle ends the effects that are due, as a dispatcher would.
func (f *fixture) settle(end func(*store.EffectRow) workflow.Settlement) {
	f.t.Helper()
	f.now = f.now.Add(400 * time.Millisecond)
	var rows []store.EffectRow
	if err := f.store.Update(f.t.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.ClaimEffects("test", []string{"s4", "qms1"}, 100, f.now, time.Minute)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	for i := range rows {
		f.markWrite(&rows[i])
		if err := f.engine.Settle(f.t.Context(), &rows[i], end(&rows[i])); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) markWrite(r *store.EffectRow) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), func(tx *store.Tx) error {
		_, err := tx.MarkWrite(r.ID, r.Owner, f.now.Add(time.Minute))
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	r.Attempts++
}

// applied is a system that does what is wanted.
func applied(r *store.EffectRow) workflow.Settlement {
	s := workflow.Settlement{Outcome: event.Applied, Wanted: string(r.Kind), Wrote: true}
	switch r.Kind {
	case quality.LotUsageSet:
		s.Usage, s.UsageRaw = event.Unrestricted, "batch free"
		switch r.Lot {
		case lotA:
			s.Usage, s.UsageRaw = event.Restricted, "batch restricted"
		case lotC:
			s.Usage, s.UsageRaw = event.InInspection, "in inspection"
		}
		s.Own = s.Usage
	default:
		s.External = "NC-20771"
	}
	return s
}

// seed makes a world with a held lot, a free one, one of another plant, and a parked event.
func (f *fixture) seed() {
	f.t.Helper()
	f.mustApply("lot-a", "p1", created(lotA))
	f.mustApply("lot-b", "p1", created(lotB))
	f.mustApply("lot-c", "p2", created(lotC))
	f.mustApply("measure-a", "p1", measured(lotA, "61.2", "", "50"))
	f.settle(applied)
	f.settle(applied)
	f.answer("p1")
	f.timers("lot b is granted", func() bool { return f.release(lotB) == quality.Releasing })
	f.settle(applied)
}

// answer has a plant's agent answer the newest barrier.
func (f *fixture) answer(plant event.PlantID) {
	f.t.Helper()
	h := event.Head{Plant: plant, Agent: "a1", Epoch: f.epoch, Prev: f.prev, Time: f.now, Epochs: []event.HeadEpoch{{Epoch: f.epoch, Quality: f.seq[plant]}}}
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		barrier, err := tx.Barrier()
		h.Barrier = uint64(barrier)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.engine.Apply(f.t.Context(), []workflow.Input{{
		Message: h.Message(), Plant: plant, Place: store.Place{Topic: "holdfast." + string(plant) + ".telemetry.v1"},
	}}, nil); err != nil {
		f.t.Fatal(err)
	}
}

// release returns how far a lot's release has come.
func (f *fixture) release(lot event.LotKey) (state quality.ReleaseState) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		l, err := tx.Lot(lot)
		if l != nil {
			state = l.Release.State
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return state
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) into(t *testing.T, v any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("answer %s: %v", a.body, err)
	}
}

// refused asserts an answer with a status and a code.
func (a *answer) refused(t *testing.T, status int, code problem.Code) {
	t.Helper()
	var p api.Failure
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("answer %s: %v", a.body, err)
	}
	if a.status != status || p.Code != code || p.Status != status || p.Detail == "" || p.Consequence == "" || p.Next == "" {
		t.Errorf("answer %d %s, want %d with %s and its sentences", a.status, a.body, status, code)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q, want application/problem+json", ct)
	}
}

func (f *fixture) get(as, path string) *answer { return f.call(as, http.MethodGet, path, nil, nil) }

func (f *fixture) post(as, path string, header http.Header, body any) *answer {
	f.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return f.call(as, http.MethodPost, path, header, bytes.NewReader(b))
}

func (f *fixture) call(as, method, path string, header http.Header, body io.Reader) *answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(f.t.Context()), method, f.server.URL+api.Base+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+tokenOf(as))
	}
	res, err := f.server.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if bytes.Contains(b, []byte(canary)) {
		f.t.Errorf("%s %s answers with a secret: %s", method, path, b)
	}
	return &answer{res.StatusCode, res.Header, b}
}

func lotPath(lot event.LotKey) string { return "/lots/" + url.PathEscape(string(lot)) }

// acts returns the acts in the ledger about an object.
func (f *fixture) acts(act string) (n int) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		entries, err := tx.Entries(0, 1000)
		for i := range entries {
			if strings.Contains(entries[i].Now, `"act":"`+act+`"`) {
				n++
			}
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// golden compares an answer with its golden file, which the command line's tests read, too.
func golden(t *testing.T, name string, a *answer) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, bytes.TrimSpace(a.body), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// gap has the plant of a lot record that nothing was seen of it for a minute, and returns the gap's id.
func (f *fixture) gap(lot event.LotKey) string {
	f.t.Helper()
	plant := event.PlantID("p1")
	if lot == lotC {
		plant = "p2"
	}
	id := "gap:" + string(plant) + ":press-4-1"
	f.mustApply("gap-"+string(plant), plant, &event.GapRecorded{
		GapID: event.ObjectID(id), Source: "press-4", Equipment: "press-4", From: event.At(f.now.Add(-time.Minute)), To: event.At(f.now.Add(time.Second)), Reason: event.GapDisconnect,
	})
	return id
}
