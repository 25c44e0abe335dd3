// Package console drives the console of a whole mesh as a person does, by a real browser, and looks at what it shows.
package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// bin is the directory of the programs under test, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(stack.WithPrograms(func(dir string) int {
		bin = dir
		return m.Run()
	}))
}

// long tells whether the long form of a test was asked for.
func long() bool { return os.Getenv("HOLDFAST_CRASH") == "full" }

// material of all lots here. The ERP keeps an inspection lot for each, and it needs a final inspection.
const material = "MAT-100"

// person is somebody who works with the console.
type person struct{ name, printed, id, password string }

// Persons of a house: rita administers it, maria decides about quality, otto works in the plant, vera only looks.
var (
	rita  = person{"rita", "Rita Oberle", "4700", "correct horse battery"}
	maria = person{"maria", "Maria Lindner", "4711", "four words are better"}
	anna  = person{"anna", "Anna Weber", "4712", "a long way to the press"}
	otto  = person{"otto", "Otto Brandt", "4713", "oil on every second part"}
	vera  = person{"vera", "Vera Simon", "4714", "only here to look at it"}
)

// house is two plants with their cloud and business systems, and the persons who work with its console.
type house struct {
	*stack.Stack
	t       testing.TB
	sites   []dialect.Site
	mes     []*plant.Publisher // by plant
	base    string             // of the console
	first   string             // link that makes the first administrator
	records int
	numbers int
}

// build starts a house that has no users yet. Prepare is called before the programs start; nil = nothing. Env is added to the
// cloud's environment.
func build(t testing.TB, prepare func(*stack.Stack), env ...string) *house {
	t.Helper()
	h := &house{t: t, sites: dialect.Sites()[:2]}
	dir := t.TempDir()
	cfg := stack.Config{Bin: bin, Dir: dir, Plants: h.sites, CloudEnv: env}
	cfg.SAP.QM = []string{material}
	var err error
	if h.Stack, err = stack.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && h.Cloud != nil {
			t.Logf("log of the cloud:\n%s", h.Cloud.Tail())
		}
		h.Close()
	})
	if prepare != nil {
		prepare(h.Stack)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Plants {
		out, err := plant.Connect(p.MQTT.URL(), "mes")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(out.Close)
		h.mes = append(h.mes, out)
	}
	h.base = "http://" + h.Cloud.Address
	h.first = h.firstLink()
	return h
}

var linkPattern = regexp.MustCompile(`"address":"(http://[^"]+/first\?token=[^"]+)"`)

// firstLink returns the link that the cloud's log names.
func (h *house) firstLink() (link string) {
	h.t.Helper()
	h.eventually(10*time.Second, "the log names the link for the first administrator", func() bool {
		text, err := os.ReadFile(h.Path("cloud.log"))
		if m := linkPattern.FindSubmatch(text); err == nil && m != nil {
			link = string(m[1])
		}
		return link != ""
	})
	return link
}

// inhabit makes the users of the house, through its pages.
func (h *house) inhabit() {
	h.t.Helper()
	c := h.client()
	u, err := url.Parse(h.first)
	if err != nil {
		h.t.Fatal(err)
	}
	c.post(u.RequestURI(), "/first", "link", u.Query().Get("token"), "name", rita.name, "printed_name", rita.printed, "person", rita.id, "password", rita.password)
	c.logIn(rita)
	for _, u := range []struct {
		person
		roles []string
	}{{maria, []string{api.RoleQuality}}, {anna, []string{api.RoleQuality}}, {otto, []string{api.RoleOperator}}, {vera, []string{api.RoleViewer}}} {
		given := "given to " + u.name + " by rita"
		fields := []string{"name", u.name, "printed_name", u.printed, "person", u.id, "password", given}
		for _, r := range u.roles {
			fields = append(fields, "role", r)
		}
		c.post("/users", "/users", fields...)
		own := h.client()
		own.post("/login", "/login", "name", u.name, "password", given)
		own.post("/account", "/account/password", "old", given, "new", u.password, "again", u.password)
	}
}

// ask reads from the API as alice.
func (h *house) ask(path string, into any) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.base+api.Base+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	text := read(h.t, res)
	if res.StatusCode != http.StatusOK {
		h.t.Fatalf("%s answers %s: %s", path, res.Status, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		h.t.Fatalf("%s: %v in %s", path, err, text)
	}
}

// eventually polls until ok, and fails the test after limit.
func (h *house) eventually(limit time.Duration, what string, ok func() bool) {
	h.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			h.t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// batch is a lot of a house.
type batch struct {
	number string
	key    event.LotKey
	at     int // plant
}

// lot makes up a lot of a plant that ERP and warehouse have received. Nobody else knows of it yet.
func (h *house) lot(at int) *batch {
	h.t.Helper()
	h.numbers++
	b := &batch{number: fmt.Sprintf("%010d", 8800000+h.numbers), at: at}
	var err error
	if b.key, err = h.sites[at].LotKey(material, b.number); err != nil {
		h.t.Fatal(err)
	}
	h.WMS.AddTask(string(b.key), "putaway", "")
	if _, err := h.erp(b).Receive(material, b.number, stack.ERPPlant(h.sites[at]), "500"); err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *house) erp(b *batch) *sap.Simulator { return h.ERPOf(h.sites[b.at].Plant) }

// of begins a fact about a lot.
func (h *house) of(b *batch) dialect.Of {
	h.records++
	return dialect.Of{Record: dialect.Record(h.records), Lot: b.number, Material: material, At: dialect.Stamp(time.Now())}
}

// say lets a lot's plant publish facts in its own words, one after the other.
func (h *house) say(b *batch, facts ...dialect.Fact) {
	h.t.Helper()
	for _, f := range facts {
		m, err := h.sites[b.at].Say(f)
		if err != nil {
			h.t.Fatal(err)
		}
		h.publish(b.at, m)
	}
}

// publish returns when the plant's broker has the message.
func (h *house) publish(at int, m dialect.Message) {
	h.t.Helper()
	if err := h.mes[at].SendRaw(m.Topic, m.Payload); err != nil {
		h.t.Fatal(err)
	}
}

// made says that a lot was made on a press.
func (h *house) made(b *batch) dialect.Fact {
	return dialect.Made{Of: h.of(b), Kilograms: "500", Order: "WO-" + b.number, Equipment: "press1"}
}

// mistyped returns the message of plant p1 that a lot was made, with a quantity in millimetres: it is understood, and cannot
// be applied, since the material is counted in kilograms.
func (h *house) mistyped(b *batch) dialect.Message {
	h.t.Helper()
	m, err := h.sites[b.at].Say(h.made(b))
	if err != nil {
		h.t.Fatal(err)
	}
	typed := bytes.Replace(m.Payload, []byte(`"unit":"kg"`), []byte(`"unit":"mm"`), 1)
	if bytes.Equal(typed, m.Payload) {
		h.t.Fatalf("the message names no kilograms: %s", m.Payload)
	}
	m.Payload = typed
	return m
}

// measured says what a part of the lot measured. The limits of the torque are 40 and 50 N.m.
func (h *house) measured(b *batch, sample int, value string, safety bool) dialect.Measured {
	limits, _ := dialect.LimitsOf("torque")
	return dialect.Measured{
		Of: h.of(b), Rev: 1, Inspection: "IP-" + b.number, Characteristic: "torque", Sample: sample, Value: value, Unit: limits.Unit,
		LSL: limits.LSL, USL: limits.USL, Safety: safety, Equipment: "press1",
	}
}

// inspected says that the lot has passed its final inspection.
func (h *house) inspected(b *batch) dialect.Fact {
	return dialect.Completed{Of: h.of(b), Inspection: "FI-" + b.number, Type: "final", SpecRev: "3", Verdict: "pass", Results: 8}
}

// decide signs a decision on a lot in the QMS.
func (h *house) decide(b *batch, decision, reason string) {
	h.t.Helper()
	id := h.QMS.AwaitDisposition(string(b.key), "500", "kg")
	if err := h.QMS.Sign(id, qms.Signature{Decision: decision, Name: anna.printed, Reason: reason}); err != nil {
		h.t.Fatal(err)
	}
}

// stands waits until the board shows a lot in one of its columns.
func (h *house) stands(b *batch, stage api.BoardStage) {
	h.t.Helper()
	h.eventually(30*time.Second, fmt.Sprintf("lot %s stands under %s", b.number, stage), func() bool {
		var list api.BoardList
		h.ask("/board/"+string(stage)+"?limit=100", &list)
		for i := range list.Lots {
			if list.Lots[i].Key == b.key {
				return true
			}
		}
		return false
	})
}

// free tells whether any of a lot may be used in the ERP now, by its book.
func (h *house) free(b *batch) bool {
	entries := h.erp(b).Batch(material, b.number)
	return len(entries) > 0 && entries[len(entries)-1].FreeAfter
}

// blocked tells whether the ERP's book shows that nothing of a lot is free after something was.
func (h *house) blocked(b *batch) bool {
	entries := h.erp(b).Batch(material, b.number)
	return len(entries) > 0 && !entries[len(entries)-1].FreeAfter
}

// lotPath is the address of a lot's page.
func lotPath(b *batch) string { return "/lots/" + url.PathEscape(string(b.key)) }
