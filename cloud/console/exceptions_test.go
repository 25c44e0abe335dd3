package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	lotD = event.LotKey("lot:1000:MAT-100:L-13")
	lotE = event.LotKey("lot:1000:MAT-100:L-14")
)

// send applies an event of plant p1 as it is, whatever becomes of it.
func (f *fixture) send(id string, data event.Data, change func(*event.Message)) workflow.Result {
	f.t.Helper()
	p := data.ReadBy()
	p.Source, p.Item = "press-4", "halle/press-4"
	spec, _ := event.Lookup(data.Type())
	f.seq["p1"]++
	e := &event.Event{
		ID: event.NaturalID("p1", "press-4", []string{id}, data.Type(), 0), Source: "/p1/press-4", Time: f.now, Recorded: f.now, Plant: "p1", Data: data,
		Origin: event.Origin{Agent: "a1", Epoch: epoch, Prev: event.NoPrev, Lane: spec.Lane, Seq: f.seq["p1"]},
	}
	if err := e.Seal("a1"); err != nil {
		f.t.Fatal(err)
	}
	m := e.Message()
	change(&m)
	results, err := f.engine.Apply(f.t.Context(), []workflow.Input{{
		Message: m, Plant: "p1", Place: store.Place{Topic: "holdfast.p1.quality.v1", Partition: 4, Offset: int64(f.seq["p1"])},
	}}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return results[0]
}

// pounds has plant p1 report a lot in a unit that is not that of its material, which parks it.
func (f *fixture) pounds(lot event.LotKey) int64 {
	f.t.Helper()
	d := created(lot)
	d.Q.Unit = "lb"
	r := f.send("pounds-"+string(lot), d, func(*event.Message) {})
	if r.Outcome != workflow.Parked {
		f.t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
	}
	return r.Deadletter
}

func (f *fixture) letter(id int64) (d api.Deadletter) {
	f.t.Helper()
	quality := &api.Caller{Principal: "test", Roles: []string{api.RoleQuality}}
	if err := f.desk.Get(f.t.Context(), quality, fmt.Sprint("/deadletters/", id), &d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// cause returns the id of the group that a record is in.
func (f *fixture) cause(id int64) string { return f.letter(id).Group }

// kilograms returns the data of a record in the right unit.
func (f *fixture) kilograms(id int64) string {
	return strings.Replace(f.letter(id).Text, `"lb"`, `"kg"`, 1)
}

// TestConsole_Exception: a poison message is found by its cause, corrected with the difference before one's eyes, and
// applied, with what waited behind it.
func TestConsole_Exception(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	b.get("/exceptions").shows(http.StatusOK, "Every record was applied.")
	id := f.pounds(lotD)
	f.now = f.now.Add(time.Minute)
	if r := f.send("behind", measured(lotD, 1, "41", event.Pass), func(*event.Message) {}); r.Outcome != workflow.Parked {
		t.Fatalf("what comes behind is %s: %v", r.Outcome, r.Cause)
	}
	f.pounds(lotE)
	f.now = f.now.Add(50 * time.Minute)
	cause := "/exceptions/cause/" + f.cause(id)
	b.get("/exceptions").shows(http.StatusOK, "3 records were not applied, 2 causes", "Quantity is in lb, the base unit of material MAT-100 is kg", `href="`+cause+`"`,
		"2 parked", "lot created (v1)", ">L-13<", ">L-14<", "(51 min)", "E-6007", "quality")
	b.get("/exceptions?plant=p2").shows(http.StatusOK, "0 records")
	b.get("/exceptions.csv").shows(http.StatusOK, "id,state,code", "1,parked,E-6007,", "2,parked,E-6008,", ",lot:1000:MAT-100:L-14,p1,inventory.lot.created.v1,1,")
	if p := b.get("/exceptions.csv?plant=p2"); strings.Count(p.text, "\n") != 1 {
		t.Errorf("of another plant:\n%s", p.text)
	}
	b.get(cause).shows(http.StatusOK, "2 records were not applied", ">Exception 1<", "Apply 2 records", "its lot is parked"[1:])
	path := fmt.Sprint("/exceptions/", id)
	p := b.get(path)
	p.shows(http.StatusOK, "Quantity is in lb", `<mark>&#34;unit&#34;: &#34;lb&#34;</mark>`, "the cause names this value", "schema inventory.lot.created.v1",
		"Correct the data, look at the difference",
		"<code>ce_time</code>", "holdfast.p1.quality.v1", "Read from", "kept", "<td>Holdfast</td>", "it came from p1/", "1 attempt")
	if behind := b.get("/exceptions/2"); !strings.Contains(behind.text, "It waits behind an earlier record of the same lot or machine") ||
		strings.Contains(behind.text, "waits behind another of") {
		t.Errorf("what waits behind says:\n%s", behind.text)
	}
	if got := b.get(fmt.Sprint("/exceptions/raw/", id)); got.text != f.letter(id).Text || !strings.Contains(got.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the bytes are %q, %v", got.text, got.header)
	}

	t.Run("what is no correction is refused, and stays in the form", func(t *testing.T) {
		b.post(p, path+"/check", "value", "{\n \"lot\": ", "reason", "scale").shows(http.StatusUnprocessableEntity, "line 2, character", "&#34;lot&#34;: ", "E-1201")
		b.post(p, path+"/check", "value", f.kilograms(id), "reason", " ").shows(http.StatusUnprocessableEntity, "E-8004")
		b.post(p, path+"/check", "value", strings.Replace(f.kilograms(id), "L-13", "L-15", 1), "reason", "scale").shows(http.StatusUnprocessableEntity, "E-6001", "L-15")
		b.post(p, path+"/check", "value", f.letter(id).Text, "reason", "scale").shows(http.StatusOK, "there is nothing to confirm")
		b.post(p, "/exceptions/99/check", "value", "{}", "reason", "scale").shows(http.StatusNotFound, "E-8003")
	})
	value := f.kilograms(id)
	check := b.post(p, path+"/check", "value", value, "reason", "the scale was set to pounds")
	check.shows(http.StatusOK, "<code>q.unit</code>", "<del>&#34;lb&#34;</del>", "<ins>&#34;kg&#34;</ins>", "the scale was set to pounds", "Put it in the place of the record")
	if f.letter(id).State != store.Parked {
		t.Fatal("looking at the difference has changed the record")
	}
	fixed := b.post(check, path+"/fix", "value", value, "reason", "the scale was set to pounds", "key", check.field("key"))
	fixed.leads("/exceptions/4?did=fix")
	b.get("/exceptions/4?did=fix").shows(http.StatusOK, "waits to be applied", "It is the correction of", ">Exception 1<")
	b.get(path).shows(http.StatusOK, "replaced by a correction", `href="/exceptions/4"`, "Maria Lindner", "the scale was set to pounds")
	b.post(p, "/exceptions/4/redrive", "reason", "corrected").leads("/exceptions/4?did=redrive")
	b.get("/exceptions/4").shows(http.StatusOK, "The record was applied.")
	b.get(lotPath(lotD)).shows(http.StatusOK, "L-13")
	b.get("/exceptions").shows(http.StatusOK, "1 record was not applied, 1 cause")

	t.Run("the rest of the cause", func(t *testing.T) {
		on := b.get(cause)
		b.post(on, cause+"/redrive", "reason", " ").shows(http.StatusUnprocessableEntity, "E-8004")
		b.post(on, cause+"/redrive", "reason", "once more").leads(cause + "?did=redrive_none")
		b.get(cause+"?did=redrive_none").shows(http.StatusOK, "failed again", "<td class=\"num\">2</td>")
	})
	t.Run("dropped by two persons", func(t *testing.T) {
		f.user("paul", false, nil, "quality")
		on := b.get("/exceptions/3")
		one := b.post(on, "/exceptions/3/drop", "reason", "never made", "user", "maria", "password", password, "user", "maria", "password", password)
		one.shows(http.StatusConflict, "E-8009", "never made")
		b.post(on, "/exceptions/3/drop", "reason", "never made", "user", "maria", "password", password, "user", "paul", "password", password, "key", "k").leads("/exceptions/3?did=drop")
		b.get("/exceptions/3?did=drop").shows(http.StatusOK, "is kept as it came", "never made", "Maria Lindner", "quantity is in lb"[1:])
		b.get(cause).shows(http.StatusOK, "Nothing waits for this cause")
	})
}

// What is not understood at all is shown as it came: a field by its name, a byte, a header.
func TestConsole_Exception_NotUnderstood(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("oskar", false, []event.PlantID{"p1"}, "operator")
	f.user("paula", false, []event.PlantID{"p2"}, "operator")
	b, other := f.browser(), f.browser()
	b.logIn("oskar")
	other.logIn("paula")
	for name, c := range map[string]struct {
		change func(*event.Message)
		shows  []string
	}{
		"a field": {func(m *event.Message) {
			m.Value = bytes.Replace(m.Value, []byte(`"unit":"kg"`), []byte(`"unit":""`), 1)
		}, []string{`<span class="line fault">`, `<mark>&#34;unit&#34;: &#34;&#34;</mark>`, "this is what is wrong"}},
		"a member that lacks": {func(m *event.Message) {
			m.Value = bytes.Replace(m.Value, []byte(`,"unit":"kg"`), nil, 1)
		}, []string{"“unit” is missing here", "<mark>&#34;q&#34;: {</mark>"}},
		"no JSON": {func(m *event.Message) { m.Value = m.Value[:20] }, []string{"Text, 20 bytes", "E-6001"}},
		"bytes":   {func(m *event.Message) { m.Value = []byte("\x00\xff<script>") }, []string{"Bytes in hex, 10 bytes", "00000000  00 ff 3c 73", "..&lt;script&gt;"}},
		"a header": {func(m *event.Message) {
			for i := range m.Headers {
				if m.Headers[i].Key == "ce_time" {
					m.Headers[i].Value = []byte("yesterday")
				}
			}
		}, []string{"stands in the header ce_time"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.send(name, created(event.LotKey("lot:1000:MAT-100:X-"+fmt.Sprint(len(name)))), c.change)
			if r.Outcome != workflow.Quarantined {
				t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
			}
			path := fmt.Sprint("/exceptions/", r.Deadletter)
			b.get(path).shows(http.StatusOK, append(c.shows, "not understood")...)
			other.get(path).shows(http.StatusNotFound, "E-8003")
			other.get(fmt.Sprint("/exceptions/raw/", r.Deadletter)).shows(http.StatusNotFound, "E-8003")
		})
	}
	other.get("/exceptions").shows(http.StatusOK, "Every record was applied.")
}

// What a gateway did not understand stands among the exceptions, too, with its bytes.
func TestConsole_Unread(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("oskar", false, []event.PlantID{"p2"}, "operator")
	f.user("paula", false, []event.PlantID{"p1"}, "operator")
	b, other := f.browser(), f.browser()
	b.logIn("oskar")
	other.logIn("paula")
	id := f.unread()
	path := "/exceptions/unread/" + id
	b.get("/exceptions").shows(http.StatusOK, "Messages that a gateway did not understand", "torque: is a text: want a number", `href="`+path+`"`, "p2/a1", ">L-9<")
	b.get(path).shows(http.StatusOK, "<mark>&#34;torque&#34;: &#34;high&#34;</mark>", "this is what is wrong", "halle/press-4/result", "unit: is missing", "not understood", "It names a lot")
	if got := b.get(path + "/raw"); got.text != `{"lot":"L-9","torque":"high"}` {
		t.Errorf("the bytes are %q", got.text)
	}
	for _, p := range []string{path, path + "/raw"} {
		other.get(p).shows(http.StatusNotFound, "E-8003")
	}
	other.get("/exceptions").shows(http.StatusOK, "Every record was applied.")
}

// unread has plant p2 report a message that it did not understand, and returns its id.
func (f *fixture) unread() string {
	f.t.Helper()
	d := &event.RecordQuarantined{
		MayLot: event.MayLot{Lot: lotC}, Source: "press-4", Item: "halle/press-4/result", Reason: "torque: is a text: want a number", Code: "E-6301",
		RawSHA256: event.Hash(strings.Repeat("ab", 32)),
	}
	d.Provenance = event.Provenance{Raw: `{"lot":"L-9","torque":"high"}`, Errors: []string{"torque: is a text: want a number", "unit: is missing"}, ArrivedAt: event.At(f.now)}
	f.apply("unread", "p2", d)
	var list api.UnreadList
	if err := f.desk.Get(f.t.Context(), &api.Caller{Principal: "test", Roles: []string{api.RoleQuality}}, "/unread", &list); err != nil || len(list.Messages) != 1 {
		f.t.Fatalf("%+v, %v", list, err)
	}
	return string(list.Messages[0].ID)
}

func TestConsole_Systems(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("oskar", false, nil, "operator")
	f.user("root", false, nil, "admin")
	f.user("paula", false, []event.PlantID{"p1"}, "operator")
	b, root, paula := f.browser(), f.browser(), f.browser()
	b.logIn("oskar")
	root.logIn("root")
	paula.logIn("paula")
	paula.get("/systems").shows(http.StatusOK, "users of all plants")
	paula.get("/systems/s4").shows(http.StatusNotFound, "E-8003")
	b.get("/systems").shows(http.StatusOK, "2 systems are connected", ">qms1<", "no answer", "95 of 100 within 2 s", "5 of 20", ">s4<", "41 ms", "answers")
	p := b.get("/systems/s4")
	p.shows(http.StatusOK, "Usage of the lot", ">hold<", ">L-88213<", "tried again by itself", "1 to 5 minutes", "closed")
	b.post(p, "/systems/s4/pause", "minutes", "0", "reason", "x").shows(http.StatusUnprocessableEntity, "E-1201")
	b.post(p, "/systems/s4/pause", "minutes", "99999999999999", "reason", "x").shows(http.StatusUnprocessableEntity, "E-1201")
	b.post(p, "/systems/s4/pause", "minutes", "20", "reason", "new certificates").leads("/systems/s4?did=pause")
	b.get("/systems/s4?did=pause").shows(http.StatusOK, "paused", "Nothing is written to s4", "Oskar Lindner: new certificates", "Go on now", "compared with what the system shows")
	b.post(p, "/systems/s4/resume", "reason", "done").leads("/systems/s4?did=dispatch_on")
	root.post(root.get("/systems"), "/systems/dispatch", "on", "false", "reason", "cut-over").leads("/systems?did=dispatch_off")
	b.get("/systems").shows(http.StatusOK, "Nothing is written to any system", "Root Lindner: cut-over")
	root.get("/systems").shows(http.StatusOK, "Turn dispatch on", "are looked up, and made where they are not there")
	root.post(root.get("/systems"), "/systems/dispatch", "on", "true", "reason", "cut over").leads("/systems?did=dispatch_on")
	root.post(root.get("/systems"), "/systems/dispatch", "on", "true", "reason", "again").shows(http.StatusConflict, "E-6201")
	root.post(root.get("/systems"), "/systems/s4/dispatch", "on", "false", "reason", "inventory").leads("/systems/s4?did=dispatch_off")
	b.get("/systems/s4").shows(http.StatusOK, "An administrator turned dispatch off")

	t.Run("unknown and refused", func(t *testing.T) {
		var rows []store.EffectRow
		if err := f.store.Update(t.Context(), func(tx *store.Tx) (err error) {
			if rows, err = tx.ClaimEffects("test", []string{"qms1"}, 10, f.now, time.Minute); err == nil && len(rows) > 0 {
				err = tx.DeferEffect(&rows[0], f.now.Add(time.Minute), event.Unknown, "timeout", "no answer in 10 s")
			}
			return err
		}); err != nil || len(rows) == 0 {
			t.Fatalf("%d effects, %v", len(rows), err)
		}
		b.get("/systems/qms1").shows(http.StatusOK, "no answer in 10 s", "looked up before anything is written again", "The reference there is", "Next try")
		if len(rows) > 1 {
			if err := f.engine.Settle(t.Context(), &rows[1], workflow.Settlement{Outcome: event.Rejected, Wanted: "x", Code: "Q-17", Message: "the form is locked"}); err != nil {
				t.Fatal(err)
			}
			b.get("/systems/qms1").shows(http.StatusOK, "the form is locked", "refused it for a reason of its own")
		}
	})
}

func TestConsole_Audit(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("anna", false, nil, "auditor")
	f.user("maria", false, nil, "quality")
	f.user("paula", false, []event.PlantID{"p1"}, "quality")
	b, maria, paula := f.browser(), f.browser(), f.browser()
	b.logIn("anna")
	maria.logIn("maria")
	paula.logIn("paula")
	maria.post(maria.get(lotPath(lotB)), lotPath(lotB, "hold"), "kind", "quality", "reason", "=scratch on the flange")
	p := b.get("/audit")
	p.shows(http.StatusOK, "Unanchored tail", "none yet", "Maria Lindner", "hold placed (v1)", "=scratch on the flange", "not sealed yet", "logged in", ">lot L-88214<")
	b.get("/audit?principal=maria&text=FLANGE").shows(http.StatusOK, "=scratch on the flange", "Show all", `href="/audit.csv?principal=maria&amp;text=FLANGE"`)
	b.get("/audit?lot=L-88213").shows(http.StatusOK, "lot L-88213")
	b.get("/audit?lot=L-0").shows(http.StatusUnprocessableEntity, "0 lots have the number", "E-1201")
	b.get("/audit?since=yesterday").shows(http.StatusUnprocessableEntity, "E-1201")
	b.get("/audit?since=2031-01-01T00:00").shows(http.StatusOK, "No entry fits")
	if got := b.get("/audit?act=session.begin"); strings.Contains(got.text, "hold placed") || !strings.Contains(got.text, "logged in") {
		t.Errorf("acts of another kind are shown:\n%s", got.text)
	}
	paula.get("/audit").shows(http.StatusOK, "Your user sees some plants")
	paula.get("/audit?lot=L-88213").shows(http.StatusOK, "lot L-88213")
	paula.get("/audit.csv").shows(http.StatusForbidden, "E-8002")
	table := b.get("/audit.csv?text=flange")
	table.shows(http.StatusOK, "place,at,principal,act", "'=scratch on the flange")
	if n := strings.Count(table.text, "\n"); n < 2 {
		t.Errorf("%d lines", n)
	}
	t.Run("pages", func(t *testing.T) {
		for i := range 90 {
			f.apply(fmt.Sprint("lot-", i), "p2", created(event.LotKey(fmt.Sprintf("lot:2000:MAT-200:L-%d", i))))
		}
		seen, path := 0, "/audit"
		for path != "" {
			p := b.get(path)
			p.shows(http.StatusOK)
			seen += strings.Count(p.text, `<td class="nowrap"><time`)
			m := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(p.text)
			if path = ""; m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		lines := strings.Split(strings.TrimSpace(b.get("/audit.jsonl").text), "\n")
		if seen != len(lines) || seen < 100 {
			t.Errorf("%d entries on pages, %d lines", seen, len(lines))
		}
		last := ""
		for _, line := range lines {
			var e struct{ At, Principal string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Principal == "" || e.At < last[:min(len(last), 19)] {
				t.Errorf("line %s: %v", line, err)
			}
			last = e.At
		}
	})
}
