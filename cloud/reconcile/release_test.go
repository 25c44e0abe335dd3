package reconcile

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/dispatch"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/notice"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	simsap "github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

// company is all business systems of one plant, with the engine, the dispatcher and the reconciler between them. No
// agent is known, so that nobody has to answer a barrier.
type company struct {
	t      *testing.T
	store  *store.Store
	engine *workflow.Engine

	erp     *simsap.Simulator
	qms     *qms.Simulator
	wms     *wms.Simulator
	notices *notice.Sink
	orders  *order.Simulator

	systems map[string]connector.System
}

func (c *company) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{t: t, systems: map[string]connector.System{}}
	var err error
	c.erp, err = simsap.New(simsap.Config{User: "U", Password: "secret", QM: []string{"*"}})
	c.must(err)
	c.qms, err = qms.New(qms.Config{Token: "secret"})
	c.must(err)
	c.wms, err = wms.New(wms.Config{Config: service.Config{Token: "secret"}})
	c.must(err)
	c.notices, err = notice.New(notice.Config{Config: service.Config{Token: "secret"}})
	c.must(err)
	c.orders, err = order.New(order.Config{Config: service.Config{Token: "secret"}})
	c.must(err)
	c.connect()
	c.store = storetest.Open(t)
	retireAgent(t, c.store)
	c.engine = workflow.New(c.store, workflow.Config{
		Plants:    map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "s4", QMS: "qms", WMS: "wms", Notify: "notice"}},
		Materials: map[string]quality.Material{"M": {BaseUnit: "KG", InspectionRequired: true}},
	}, time.Now, zerolog.Nop(), nil)
	return c
}

// connect makes a guarded connector of each system.
func (c *company) connect() {
	c.t.Helper()
	secret := filepath.Join(c.t.TempDir(), "secret")
	c.must(os.WriteFile(secret, []byte("secret"), 0o600))
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		c.t.Cleanup(server.Close)
		return server.URL
	}
	guard := func(s connector.System) connector.System {
		return connector.NewGuard(s, connector.GuardConfig{Open: 50 * time.Millisecond})
	}
	erp := sap.DefaultConfig()
	erp.URL, erp.User, erp.PasswordFile = serve(c.erp.Handler), "U", config.SecretFile(secret)
	erp.UsageDecisions = map[quality.Decision]sap.UsageDecision{}
	for decision, code := range map[quality.Decision]string{quality.Release: "A", quality.Reject: "R"} {
		erp.UsageDecisions[decision] = sap.UsageDecision{Code: code, CodeGroup: "01", SelectedSet: "01"}
	}
	client, err := sap.New(erp, sap.Deps{System: "s4", Log: zerolog.Nop()})
	c.must(err)
	c.systems["s4"] = guard(client)
	for id, h := range map[string]http.Handler{"qms": c.qms.Handler, "wms": c.wms.Handler, "notice": c.notices.Handler, "order": c.orders.Handler} {
		cfg := rest.DefaultConfig()
		cfg.URL, cfg.Mapping, cfg.TokenFile = serve(h), config.Path("../connector/rest/testdata/"+id+".rest.yaml"), config.SecretFile(secret)
		client, err := rest.New(cfg, rest.Deps{System: id, Log: zerolog.Nop()})
		c.must(err)
		c.systems[id] = guard(client)
	}
}

// run lets everything work until stop is called, and follows the feeds.
func (c *company) run(follow ...string) (stop func()) {
	c.t.Helper()
	cfg := dispatch.DefaultConfig
	cfg.Owner, cfg.Settle, cfg.ERP = "a", 50*time.Millisecond, func(event.PlantID) string { return "s4" }
	d := dispatch.New(cfg, c.store, c.engine, c.systems, zerolog.Nop(), nil)
	var feeds []Feed
	for _, id := range follow {
		feeds = append(feeds, Feed{ID: id, System: c.systems[id], Config: Config{Interval: 20 * time.Millisecond}})
	}
	r, err := New(feeds, Deps{Owner: "a", Store: c.store, Engine: c.engine, Now: time.Now, Log: zerolog.Nop()})
	c.must(err)
	ctx, cancel := context.WithCancel(c.t.Context())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{d.Run, r.Run, c.engine.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				c.t.Error(err)
			}
		})
	}
	running.Go(func() { c.qms.Engage(ctx, qms.Engineer{Name: "Eve Q", Decide: decideByNumber}) })
	return func() { cancel(); running.Wait() }
}

// decideByNumber rejects every tenth lot.
func decideByNumber(d qms.Disposition) (qms.Signature, time.Duration, bool) {
	if strings.HasSuffix(d.Lot, "3") {
		return qms.Signature{Decision: qms.Rejected, Reason: "scratches"}, 50 * time.Millisecond, true
	}
	return qms.Signature{Decision: qms.Accepted, Reason: "within limits"}, 100 * time.Millisecond, true
}

func (c *company) apply(data event.Data, key ...string) {
	c.t.Helper()
	data.ReadBy().Source = "test"
	e := &event.Event{ID: event.NaturalID("p1", "test", key, data.Type(), 0), Source: "/p1/test", Plant: "p1", Time: time.Now(), Recorded: time.Now(), Data: data}
	results, err := c.engine.Apply(c.t.Context(), []workflow.Input{{Event: e}}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		c.t.Fatalf("%s: %+v, %v", data.Type(), results, err)
	}
}

func (c *company) lot(lot event.LotKey) (state quality.Lot) {
	c.t.Helper()
	c.must(c.store.View(c.t.Context(), func(tx *store.Tx) error {
		l, err := tx.Lot(lot)
		if err == nil && l != nil {
			state = *l
		}
		return err
	}))
	return state
}

// until waits for a condition.
func (c *company) until(what string, holds func() string) {
	c.t.Helper()
	limit, tick := time.Now().Add(60*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		missing := holds()
		if missing == "" {
			return
		}
		if time.Now().After(limit) {
			c.t.Fatalf("%s: %s\n%s", what, missing, c.open())
		}
		<-tick.C
	}
}

// open lists the effects that did not settle.
func (c *company) open() string {
	var out strings.Builder
	c.must(c.store.View(c.t.Context(), func(tx *store.Tx) error {
		lots, err := tx.LotsAfter("", 1000)
		for _, l := range lots {
			rows, err := tx.EffectsOf(l.Key)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r.State != store.EffectSettled {
					fmt.Fprintf(&out, "%s %s is %s: %s %s %s\n", l.Key, r.Kind, r.State, r.Outcome, r.Code, r.Message)
				}
			}
		}
		return err
	}))
	return out.String()
}

func count(entries []book.Entry, kind string) (n int) {
	for _, e := range entries {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// TestRelease_AllSystems takes lots from goods receipt to the warehouse while every system loses answers, and compares
// what happened with the systems' own books.
func TestRelease_AllSystems(t *testing.T) {
	const lots = 24
	c := newCompany(t)
	key := func(i int) event.LotKey { return event.LotKey(fmt.Sprintf("lot::M:B%02d", i)) }
	batch := func(i int) string { return fmt.Sprintf("B%02d", i) }
	held := func(i int) bool { return i%5 == 1 }
	rejected := func(i int) bool { return i%10 == 3 }
	for i := range lots {
		_, err := c.erp.Receive("M", batch(i), "1010", "100")
		c.must(err)
		c.apply(&event.LotCreated{
			OfLot: event.OfLot{Lot: key(i)}, Material: "M", Q: event.Quantity{Value: "100", Unit: "KG"}, Origin: "work_order:mes1:1",
		}, "created", batch(i))
		line := order.Line{Order: fmt.Sprintf("SO-%d", i), Line: "10", Customer: "ACME", Promised: time.Now().Add(72 * time.Hour)}
		c.orders.AddLine(line)
		c.orders.Allocate(line.Order, "10", string(key(i)), "100", "KG")
		c.wms.AddTask(string(key(i)), "pick", line.Order)
		c.wms.AddTask(string(key(i)), "ship", line.Order)
		if held(i) {
			c.apply(&event.HoldPlaced{
				MayLot: event.MayLot{Lot: key(i)}, HoldID: event.ObjectID("hold:q:" + batch(i)), HoldKind: event.HoldQuality, Reason: "torque", PlacedBy: "ann",
				PlacedAt: event.At(time.Now()), Authority: event.AuthorityQuality,
			}, "held", batch(i))
		}
	}
	for _, set := range []*fault.Set{c.erp.Faults, c.wms.Faults, c.notices.Faults} {
		set.Add(fault.Fault{Kind: fault.LostAfter, Every: 7})
		set.Add(fault.Fault{Kind: fault.LostBefore, Every: 9})
		set.Add(fault.Fault{Kind: fault.StatusAfter, Status: http.StatusBadGateway, Every: 11})
	}
	c.qms.Faults.Add(fault.Fault{Kind: fault.Status, On: "read", Every: 6})
	defer c.run("qms", "order")()
	for i := range lots {
		c.qms.AwaitDisposition(string(key(i)), "100", "KG")
	}
	c.until("releases", func() string {
		for i := range lots {
			want := quality.Released
			switch {
			case rejected(i):
				want = quality.Rejected
			case held(i):
				want = quality.Held
			}
			if got := c.lot(key(i)).Release.State; got != want {
				return fmt.Sprintf("lot %d is %s, want %s", i, got, want)
			}
			if held(i) && (c.wms.Releases(string(key(i))) != 0 || c.erp.Stock("M", batch(i), "01") != "0") {
				t.Fatalf("held lot %d was freed: stock %s", i, c.erp.Stock("M", batch(i), "01"))
			}
			if held(i) && c.lot(key(i)).Decision == "" {
				return fmt.Sprintf("lot %d is not decided about", i)
			}
			if held(i) && len(c.notices.About(fmt.Sprintf("SO-%d", i), "10", string(key(i)))) == 0 {
				return fmt.Sprintf("nobody was told of the hold of lot %d", i)
			}
		}
		return ""
	})
	for i := range lots {
		if held(i) {
			c.apply(&event.HoldLifted{
				MayLot: event.MayLot{Lot: key(i)}, HoldID: event.ObjectID("hold:q:" + batch(i)), Reason: "tested", LiftedBy: "ann", LiftedAt: event.At(time.Now()),
				Authority: event.AuthorityQuality,
			}, "lifted", batch(i))
		}
	}
	c.until("end", func() string {
		for i := range lots {
			state := c.lot(key(i)).Release.State
			if !rejected(i) && (state != quality.Released || c.wms.Gate(string(key(i))) != wms.GateOpen) {
				return fmt.Sprintf("lot %d is %s, its gate %s", i, state, c.wms.Gate(string(key(i))))
			}
			told := len(c.notices.About(fmt.Sprintf("SO-%d", i), "10", string(key(i))))
			if held(i) && !rejected(i) && told < 2 {
				return fmt.Sprintf("lot %d: %d messages", i, told)
			}
		}
		return c.open()
	})
	for i := range lots {
		c.judge(i, string(key(i)), batch(i), held(i), rejected(i))
	}
}

// judge compares the end of a lot with the systems' own books.
func (c *company) judge(i int, key, batch string, held, rejected bool) {
	c.t.Helper()
	free, released, posted := "100", 1, 1
	if rejected {
		free, released, posted = "0", 0, 0
	}
	erp := c.erp.Batch("M", batch)
	if got := c.erp.Stock("M", batch, "01"); got != free || count(erp, "usage_decision") != 1 || count(erp, "lot_posting_VMENGE01") != posted {
		c.t.Errorf("lot %d: %s free, %d usage decisions, %d postings; want %s, 1, %d", i, got, count(erp, "usage_decision"), count(erp, "lot_posting_VMENGE01"), free, posted)
	}
	if got := c.wms.Releases(key); got != released {
		c.t.Errorf("lot %d: tasks were freed %d times, want %d", i, got, released)
	}
	steps := map[string]int{}
	for _, m := range c.notices.About(fmt.Sprintf("SO-%d", i), "10", key) {
		steps[m.Step]++
		if m.Duplicate {
			c.t.Errorf("lot %d: the message %s was sent twice", i, m.Step)
		}
	}
	want := map[string]int{}
	if held {
		want["held"] = 1
		if !rejected {
			want["clear"] = 1
		}
	}
	if fmt.Sprint(steps) != fmt.Sprint(want) {
		c.t.Errorf("lot %d: messages %v, want %v", i, steps, want)
	}
	if all := c.qms.Dispositions(key); len(all) != 1 {
		c.t.Errorf("lot %d: %d decisions", i, len(all))
	}
}

// TestFollower_ERPByHand changes a lot in the ERP past the mesh: what someone restricts there stays, what someone frees
// there under a hold is restricted again, and nothing is released by what the ERP shows.
func TestFollower_ERPByHand(t *testing.T) {
	c := newCompany(t)
	const lot = event.LotKey("lot::M:B00")
	_, err := c.erp.Receive("M", "B00", "1010", "100")
	c.must(err)
	c.apply(&event.LotCreated{OfLot: event.OfLot{Lot: lot}, Material: "M", Q: event.Quantity{Value: "100", Unit: "KG"}, Origin: "work_order:mes1:1"}, "created")
	c.wms.AddTask(string(lot), "pick", "SO-1")
	defer c.run("qms", "s4")()
	c.qms.AwaitDisposition(string(lot), "100", "KG")
	c.until("release", func() string {
		if c.lot(lot).Release.State != quality.Released || c.wms.Gate(string(lot)) != wms.GateOpen {
			return string(c.lot(lot).Release.State)
		}
		return c.open()
	})
	c.must(c.erp.SetByHand("M", "B00", event.Restricted))
	c.until("a restriction by hand", func() string {
		l := c.lot(lot)
		if u, _ := l.UsageIn("s4"); u.Usage != event.Restricted || u.Foreign != event.Restricted || c.wms.Gate(string(lot)) != wms.GateClosed {
			return fmt.Sprintf("usage %+v, gate %s", u, c.wms.Gate(string(lot)))
		}
		return c.open()
	})
	if !c.erp.Restricted("M", "B00") {
		t.Fatal("what someone restricted was freed")
	}
	c.must(c.erp.SetByHand("M", "B00", event.Unrestricted))
	c.until("freed by hand", func() string {
		l := c.lot(lot)
		if u, _ := l.UsageIn("s4"); u.Usage != event.Unrestricted || u.Foreign != "" || c.wms.Gate(string(lot)) != wms.GateOpen {
			return fmt.Sprintf("usage %+v, gate %s", u, c.wms.Gate(string(lot)))
		}
		return c.open()
	})
	c.apply(&event.HoldPlaced{
		MayLot: event.MayLot{Lot: lot}, HoldID: "hold:q:1", HoldKind: event.HoldQuality, Reason: "torque", PlacedBy: "ann",
		PlacedAt: event.At(time.Now()), Authority: event.AuthorityQuality,
	}, "held")
	c.until("hold", func() string {
		if !c.erp.Restricted("M", "B00") || c.wms.Gate(string(lot)) != wms.GateClosed {
			return "not enforced"
		}
		return c.open()
	})
	c.erp.SetFlag("M", "B00", false)
	c.until("freed by hand under a hold", func() string {
		if !c.erp.Restricted("M", "B00") {
			return "it is free"
		}
		return c.open()
	})
}
