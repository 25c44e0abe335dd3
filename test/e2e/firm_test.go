package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// long tells whether the long form of a test was asked for.
func long() bool { return os.Getenv("HOLDFAST_CRASH") == "full" }

// material of all lots here. The ERP keeps an inspection lot for each, and it needs a final inspection.
const material = "MAT-100"

// firmConfig is the cloud of some plants with everything that a release needs. The QMS is looked at five times a
// second: what these tests measure is not how long a decision waits there to be read.
const firmConfig = `
listen: 127.0.0.1:0
database: { url: "{{.Database}}" }
kafka: { brokers: ["{{.Kafka}}"], create_topics: true }
ledger: { key_file: ledger.key, anchor_file: anchors.jsonl }
coverage: { max_age: 5s }
tokens: [{ principal: alice, roles: [quality, operator, auditor], token_file: alice.token }]
plants:
{{- range .Plants}}
  - { id: {{.Plant}}, tz: {{.Zone}}, erp: {{if .Scope}}s4-{{.Plant}}{{else}}s4{{end}}, qms: qms1, wms: wms1, notify: notice1 }
{{- end}}
materials: [{ id: ` + material + `, base_unit: kg, inspection_required: [final] }]
systems:
{{- range $id, $at := .ERPs}}
  - id: {{$id}}
    sap:
      url: "http://{{$at}}"
      user: HOLDFAST
      password_file: sap.pw
      lot_scope: {{if eq $id "s4"}}material{{else}}plant{{end}}
      rate: 1000
      burst: 1000
      usage_decisions:
        release: { code: A, code_group: "01", selected_set: "01" }
        conditional_release: { code: AC, code_group: "01", selected_set: "01" }
        reject: { code: R, code_group: "01", selected_set: "01" }
        scrap: { code: R, code_group: "01", selected_set: "01" }
        rework: { code: R, code_group: "01", selected_set: "01" }
        regrade: { code: R, code_group: "01", selected_set: "01" }
        return_to_supplier: { code: R, code_group: "01", selected_set: "01" }
{{- end}}
  - { id: qms1, rest: { url: "http://{{.At.qms1}}", mapping: qms.yaml, token_file: qms.token, rate: 1000, burst: 1000 }, feed: { interval: 200ms } }
  - { id: wms1, rest: { url: "http://{{.At.wms1}}", mapping: wms.yaml, token_file: wms.token, rate: 1000, burst: 1000 } }
  - { id: notice1, rest: { url: "http://{{.At.notice1}}", mapping: notice.yaml, token_file: notice.token, rate: 1000, burst: 1000 } }
  - { id: orders1, rest: { url: "http://{{.At.orders1}}", mapping: orders.yaml, token_file: orders.token, rate: 1000, burst: 1000 }, feed: { interval: 200ms } }
`

// firm is some plants with their cloud and all their business systems. Whatever is said of a plant goes through its
// own broker, in its own words.
type firm struct {
	*stack.Stack
	t       *testing.T
	sites   []dialect.Site
	mes     []*plant.Publisher // by plant
	db      *sql.DB            // the cloud's, to look at
	records int
	numbers int
}

// startFirm starts a firm with the first plants. Prepare is called before the programs start; nil = nothing.
func startFirm(t *testing.T, plants int, prepare func(*stack.Stack)) *firm {
	t.Helper()
	c := &firm{t: t, sites: dialect.Sites()[:plants]}
	cfg := stack.Config{Plants: c.sites}
	cfg.SAP.QM = []string{material}
	c.Stack = build(t, cfg)
	c.configure()
	if prepare != nil {
		prepare(c.Stack)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range c.Plants {
		p, err := plant.Connect(c.Plants[i].MQTT.URL(), "mes")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		c.mes = append(c.mes, p)
	}
	c.db = openDatabase(t, c.Stack, "ro")
	return c
}

// configure writes the cloud's configuration.
func (c *firm) configure() {
	c.t.Helper()
	at, database := c.At(), databaseURL(c.t, c.Stack)
	erps := map[string]string{stack.ERP: at[stack.ERP]}
	for _, own := range c.Scoped {
		erps[own.ID()] = at[own.ID()]
	}
	f, err := os.Create(c.Path("cloud.yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := template.Must(template.New("cloud.yaml").Parse(firmConfig)).Execute(f, map[string]any{
		"Database": database, "Kafka": c.Kafka.Addrs()[0], "At": at, "ERPs": erps, "Plants": c.sites,
	}); err != nil {
		c.t.Fatal(err)
	}
}

// batch is a lot of a firm.
type batch struct {
	number string
	key    event.LotKey
	at     int    // plant that makes it
	lab    int    // plant that inspects it at last; mostly the same
	press  string // that makes it
	line   string // order line that counts on it; empty = none
	signed time.Time
	held   bool
}

// lots makes up lots of a plant, which is where they are inspected, too. Nobody knows of them yet.
func (c *firm) lots(n, at int) []*batch {
	c.t.Helper()
	all := make([]*batch, n)
	for i := range all {
		c.numbers++
		b := &batch{number: fmt.Sprintf("%010d", 7000000+c.numbers), at: at, lab: at, press: dialect.Presses()[c.numbers%4]}
		key, err := c.sites[at].LotKey(material, b.number)
		if err != nil {
			c.t.Fatal(err)
		}
		b.key, all[i] = key, b
	}
	return all
}

// of begins a fact about a lot.
func (c *firm) of(b *batch) dialect.Of {
	c.records++
	return dialect.Of{Record: dialect.Record(c.records), Lot: b.number, Material: material, At: dialect.Stamp(time.Now())}
}

// start lets a plant's systems publish a fact; the returned function waits until its broker has it.
func (c *firm) start(at int, f dialect.Fact) func() error {
	c.t.Helper()
	m, err := c.sites[at].Say(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.mes[at].Start(m.Topic, m.Payload)
}

// say lets a plant's systems publish facts and returns when its broker has them all.
func (c *firm) say(at int, facts ...dialect.Fact) {
	c.t.Helper()
	var waits []func() error
	for _, f := range facts {
		waits = append(waits, c.start(at, f))
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// made says all that comes before the final verdict: the lot exists, ran over its press, and a part of it was measured.
func (c *firm) made(b *batch) []dialect.Fact {
	limits, _ := dialect.LimitsOf("torque")
	return []dialect.Fact{
		dialect.Made{Of: c.of(b), Kilograms: "500", Order: "WO-" + b.number, Equipment: b.press},
		dialect.Ran{Of: c.of(b), Run: "RUN-" + b.number, Order: "WO-" + b.number, Equipment: b.press},
		dialect.Measured{
			Of: c.of(b), Rev: 1, Inspection: "IP-" + b.number, Characteristic: "torque", Sample: 1, Value: "45.10", Unit: limits.Unit,
			LSL: limits.LSL, USL: limits.USL, Safety: true, Equipment: b.press,
		},
		dialect.Ran{Of: c.of(b), Run: "RUN-" + b.number, Order: "WO-" + b.number, Equipment: b.press, Ended: true},
	}
}

// verdict says that the lot has passed its final inspection.
func (c *firm) verdict(b *batch) dialect.Fact {
	return dialect.Completed{Of: c.of(b), Inspection: "FI-" + b.number, Type: "final", SpecRev: "3", Verdict: "pass", Results: 8}
}

// hold says that an operator holds the lot.
func (c *firm) hold(b *batch) dialect.Fact {
	return dialect.Held{Of: c.of(b), Hold: "H-" + b.number, Reason: "oil on the part", By: "operator 7"}
}

// receive makes lots known to ERP and warehouse: a goods receipt under an inspection lot, and a task that waits.
func (c *firm) receive(lots []*batch) {
	c.t.Helper()
	for _, b := range lots {
		c.WMS.AddTask(string(b.key), "putaway", "")
		if _, err := c.erp(b).Receive(material, b.number, c.sites[b.at].Scope, "500"); err != nil {
			c.t.Fatal(err)
		}
	}
}

// make takes lots to where only the decision is left: received, made, inspected, and known to the cloud.
func (c *firm) make(lots []*batch) {
	c.t.Helper()
	c.receive(lots)
	for at := range c.sites {
		var facts []dialect.Fact
		for _, b := range lots {
			if b.at == at {
				facts = append(facts, c.made(b)...)
			}
		}
		c.say(at, facts...)
	}
	for at := range c.sites {
		var facts []dialect.Fact
		for _, b := range lots {
			if b.lab == at {
				facts = append(facts, c.verdict(b))
			}
		}
		c.say(at, facts...)
	}
	c.await(time.Minute, lots, quality.AwaitingDisposition)
	// What the first look at the ERP finds belongs to no release.
	eventually(c.t, time.Minute, "nothing is left to be done for lots that nobody decided about", func() bool { return c.due() == 0 })
}

// erp returns the ERP of a lot's plant.
func (c *firm) erp(b *batch) *sap.Simulator { return c.ERPOf(c.sites[b.at].Plant) }

// allocate lets a customer's order line count on a lot. Its date is far away.
func (c *firm) allocate(b *batch) {
	b.line = "10"
	id := c.order(b)
	c.Orders.AddLine(order.Line{Order: id, Line: b.line, Customer: "ACME", Promised: time.Now().Add(30 * 24 * time.Hour)})
	c.Orders.Allocate(id, b.line, string(b.key), "200", "kg")
}

func (c *firm) order(b *batch) string { return "SO-" + b.number }

// release signs the decision on a lot in the QMS.
func (c *firm) release(b *batch) {
	c.t.Helper()
	id := c.QMS.AwaitDisposition(string(b.key), "500", "kg")
	b.signed = time.Now()
	if err := c.QMS.Sign(id, qms.Signature{Decision: qms.Accepted, Name: "Anna Weber", Reason: "all inspections passed"}); err != nil {
		c.t.Fatal(err)
	}
}

// freed returns when the ERP let a lot be used for the first time after a moment; zero if it did not.
func (c *firm) freed(b *batch, after time.Time) time.Time {
	for _, e := range c.erp(b).Batch(material, b.number) {
		if e.FreeAfter && !e.At.Before(after) {
			return e.At
		}
	}
	return time.Time{}
}

// free tells whether any of a lot may be used in the ERP now.
func (c *firm) free(b *batch) bool {
	entries := c.erp(b).Batch(material, b.number)
	return len(entries) > 0 && entries[len(entries)-1].FreeAfter
}

// decided counts the usage decisions in the ERP's book.
func (c *firm) decided(b *batch) (n int) {
	for _, e := range c.erp(b).Batch(material, b.number) {
		if e.Kind == "usage_decision" {
			n++
		}
	}
	return n
}

// states returns where the releases of all lots stand.
func (c *firm) states() map[event.LotKey]quality.ReleaseState {
	c.t.Helper()
	all := map[event.LotKey]quality.ReleaseState{}
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT key, COALESCE(json_extract(doc, '$.release.state'), '') FROM lot`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key event.LotKey
		var state quality.ReleaseState
		if err := rows.Scan(&key, &state); err != nil {
			c.t.Fatal(err)
		}
		all[key] = state
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// due counts the effects that wait, but for usage decisions that wait until their lot may be released.
func (c *firm) due() (n int) {
	c.t.Helper()
	if err := c.db.QueryRowContext(c.t.Context(), `SELECT COUNT(*) FROM effect WHERE state IN ('due', 'leased') AND code <> 'not_granted'`).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// await waits until all lots stand somewhere, and fails the test with those that do not.
func (c *firm) await(limit time.Duration, lots []*batch, want ...quality.ReleaseState) {
	c.t.Helper()
	settle(c.t, limit, func() (wrong []string) {
		states := c.states()
		for _, b := range lots {
			if s := states[b.key]; !slices.Contains(want, s) {
				wrong = append(wrong, fmt.Sprintf("lot %s of plant %s is %q, want %q", b.key, c.sites[b.at].Plant, s, want))
			}
		}
		return some(wrong)
	})
}

// awaitFree waits until all lots are free in the ERP.
func (c *firm) awaitFree(limit time.Duration, lots []*batch) {
	c.t.Helper()
	settle(c.t, limit, func() (wrong []string) {
		for _, b := range lots {
			if !c.free(b) {
				wrong = append(wrong, fmt.Sprintf("lot %s of plant %s is not free in the ERP", b.key, c.sites[b.at].Plant))
			}
		}
		if len(wrong) > 0 {
			wrong = append(wrong, c.waits())
		}
		return some(wrong)
	})
}

// waits says what lots and effects wait for, for the message of a test that fails.
func (c *firm) waits() string {
	var b strings.Builder
	for _, query := range []string{
		`SELECT 'lots: ' || COALESCE(json_extract(doc, '$.release.state'), '') || ' ' || COUNT(*) FROM lot GROUP BY json_extract(doc, '$.release.state')`,
		`SELECT 'waits: ' || plant || ' ' || reason || ' ' || COUNT(*) FROM release_wait GROUP BY plant, reason`,
		`SELECT id || ': ' || state || ' ' || outcome || ' ' || code || ' ' || message FROM effect WHERE state IN ('due', 'leased') LIMIT 5`,
	} {
		rows, err := c.db.QueryContext(c.t.Context(), query)
		if err != nil {
			return err.Error()
		}
		for rows.Next() {
			var line string
			if rows.Scan(&line) == nil {
				b.WriteString(line + "\n")
			}
		}
		_ = rows.Close()
	}
	return b.String()
}

// some shortens a list of what is wrong.
func some(wrong []string) []string {
	const most = 12
	if len(wrong) > most {
		return append(wrong[:most:most], fmt.Sprintf("and %d more", len(wrong)-most), wrong[len(wrong)-1])
	}
	return wrong
}

// heard tells whether the cloud has heard of an agent of a plant.
func (c *firm) heard(plant int) (yes bool) {
	c.t.Helper()
	if err := c.db.QueryRowContext(c.t.Context(), `SELECT EXISTS (SELECT 1 FROM epoch WHERE plant = ?)`, c.sites[plant].Plant).Scan(&yes); err != nil {
		c.t.Fatal(err)
	}
	return yes
}
