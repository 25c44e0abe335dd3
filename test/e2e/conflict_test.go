package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

// TestI05_HoldInMidRelease holds lots at every moment of their release: before the decision is read, while the plants
// answer, between usage decision and posting, right after it. In the end every one is restricted; lifted again, it is
// free, by the one usage decision that it has.
func TestI05_HoldInMidRelease(t *testing.T) {
	t.Parallel()
	n := 60
	if long() {
		n = 300
	}
	c := startFirm(t, 2, nil)
	lots := append(c.lots(n/2, 0), c.lots(n/2, 1)...)
	c.make(lots)
	var waits []func() error
	var steps []step
	for i, b := range lots {
		at := time.Duration(i) * 20 * time.Millisecond
		steps = append(steps, step{at, func() { c.release(b) }}, step{at + rand.N(1500*time.Millisecond), func() { waits = append(waits, c.start(b.at, c.hold(b))) }})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	start := time.Now()
	for _, s := range steps {
		<-time.After(time.Until(start.Add(s.at)))
		s.do()
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	c.await(30*time.Second, lots, quality.Held)
	eventually(t, 30*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	freed := 0
	for _, b := range lots {
		if c.free(b) || !c.erp(b).Restricted(material, b.number) {
			t.Errorf("lot %s is not restricted though an operator holds it: %+v", b.key, c.erp(b).Batch(material, b.number))
		}
		if !c.freed(b, b.signed).IsZero() {
			freed++
		}
	}
	for _, b := range lots {
		c.say(b.at, dialect.Lifted{Of: c.of(b), Hold: "H-" + b.number, Reason: "cleaned and seen", By: "operator 7"})
	}
	c.awaitFree(30*time.Second, lots)
	c.await(20*time.Second, lots, quality.Released)
	for _, b := range lots {
		if n := c.decided(b); n != 1 {
			t.Errorf("lot %s has %d usage decisions", b.key, n)
		}
	}
	t.Logf("%d of %d lots were free before their hold came", freed, len(lots))
	c.invariant("I5")
}

// TestF16_ReleaseThroughFaults releases lots while one answer in five of the ERP is lost after its effect, the cloud is
// killed twice, and the ERP is away for a while: each has one usage decision and became free once, its tasks, too.
func TestF16_ReleaseThroughFaults(t *testing.T) {
	t.Parallel()
	n, away := 40, 3*time.Second
	if long() {
		n, away = 200, 20*time.Second
	}
	c := startFirm(t, 2, nil)
	lots := append(c.lots(n/2, 0), c.lots(n/2, 1)...)
	c.make(lots)
	for _, s := range []*fault.Set{c.SAP.Faults, c.WMS.Faults} {
		s.Add(fault.Fault{Kind: fault.LostAfter, Every: 5})
	}
	for i, b := range lots {
		c.release(b)
		switch i {
		case n / 4, n / 2:
			<-time.After(rand.N(600 * time.Millisecond))
			c.Cloud.Kill()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if err := c.StartCloud(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
		case 3 * n / 4:
			c.ERP.Cut()
		}
	}
	<-time.After(away)
	c.ERP.Heal()
	c.awaitFree(90*time.Second, lots)
	c.await(60*time.Second, lots, quality.Released)
	c.awaitGates(lots)
	eventually(t, 30*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	for _, b := range lots {
		c.once(b)
	}
	if c.SAP.Faults.Acted() == 0 || c.WMS.Faults.Acted() == 0 {
		t.Error("no answer was lost: the test proves nothing")
	}
	c.invariant("I5")
}

// TestF16_DecisionTakesAnothersPlace: the engineer releases lots and then rejects them, or the other way round. The ERP
// follows the decision that counts; where it keeps a usage decision that says otherwise, a person has to change it there,
// and is told so.
func TestF16_DecisionTakesAnothersPlace(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	back, on, inspected := c.lots(4, 0), c.lots(4, 1), c.lots(2, 1)
	c.receive(back)
	c.receive(inspected)
	for _, b := range on { // it comes without a goods receipt, so that the ERP does not inspect it
		c.SAP.AddBatch(material, b.number, "1010", "500", "01")
		c.WMS.AddTask(string(b.key), "putaway", "")
	}
	lots := slices.Concat(back, on, inspected)
	for _, b := range lots {
		c.say(b.at, c.made(b)...)
		c.say(b.lab, c.verdict(b))
	}
	c.await(20*time.Second, lots, quality.AwaitingDisposition)
	ids := map[*batch]string{}
	first := func(decision string, lots ...*batch) {
		for _, b := range lots {
			ids[b] = c.QMS.AwaitDisposition(string(b.key), "500", "kg")
			if err := c.QMS.Sign(ids[b], qms.Signature{Decision: decision, Name: "Anna Weber", Reason: "as the results say"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	second := func(decision string, lots ...*batch) {
		for _, b := range lots {
			if _, err := c.QMS.Revise(ids[b], qms.Signature{Decision: decision, Name: "Anna Weber", Reason: "looked at once more"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	atRest := func() {
		eventually(t, 20*time.Second, "the decisions are through", func() bool { return c.due() == 0 })
	}
	first(qms.Accepted, back...)
	first(qms.Rejected, slices.Concat(on, inspected)...)
	c.awaitFree(20*time.Second, back)
	c.await(20*time.Second, back, quality.Released)
	c.await(20*time.Second, slices.Concat(on, inspected), quality.Rejected)
	atRest()
	for _, b := range on {
		if c.free(b) {
			t.Errorf("lot %s is free though it was rejected", b.key)
		}
	}
	second(qms.Rejected, back...)
	second(qms.Accepted, slices.Concat(on, inspected)...)
	c.await(20*time.Second, back, quality.Rejected)
	c.awaitFree(20*time.Second, on)
	c.await(20*time.Second, inspected, quality.Releasing)
	atRest()
	for _, b := range back {
		if c.free(b) {
			t.Errorf("lot %s is free though it was rejected in the end", b.key)
		}
		if gate := c.WMS.Gate(string(b.key)); gate != wms.GateClosed {
			t.Errorf("the gate of lot %s is %s though it was rejected in the end", b.key, gate)
		}
	}
	c.awaitGates(on)
	for _, b := range inspected {
		if c.free(b) {
			t.Errorf("lot %s is free, past the usage decision in the ERP", b.key)
		}
		if show, _, _ := cloudCLI(t, c.Stack, "lots", "show", string(b.key)); !strings.Contains(show, "person") {
			t.Errorf("nobody is told that a person has to change the usage decision of lot %s", b.key)
		}
	}
	c.invariant("I5")
}

// TestI05_StockElsewhere: the ERP has stock of a lot at a plant that never spoke of it and whose link is down. It may
// have been held there, so that plant is asked, too, and the release waits for its answer, also where no agent of that
// plant was ever heard of.
func TestI05_StockElsewhere(t *testing.T) {
	t.Parallel()
	t.Run("Known", func(t *testing.T) {
		t.Parallel()
		c := startFirm(t, 2, func(s *stack.Stack) { codes(t, s) })
		eventually(t, 20*time.Second, "an agent of the other plant is known", func() bool { return c.heard(1) })
		c.Plants[1].WAN.Cut()
		c.stockElsewhere()
	})
	t.Run("NeverHeardOf", func(t *testing.T) {
		t.Parallel()
		c := startFirm(t, 2, func(s *stack.Stack) {
			codes(t, s)
			s.Plants[1].WAN.Cut()
		})
		c.stockElsewhere()
	})
}

// stockElsewhere has lots at a plant whose link is cut, and mends it.
func (c *firm) stockElsewhere() {
	t := c.t
	lots := c.lots(4, 0)
	c.make(lots)
	moved, stayed := lots[:2], lots[2:]
	for _, b := range moved {
		if _, err := c.SAP.Receive(material, b.number, "1020", "500"); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range lots {
		c.release(b)
	}
	c.awaitFree(20*time.Second, stayed)
	c.stays(moved...)
	answers := c.evidence(moved[0]).Answers
	if i := slices.IndexFunc(answers, func(a api.Answer) bool { return string(a.Plant) == c.sites[1].Plant }); i < 0 {
		t.Errorf("lot %s waits for %+v, want the other plant among them", moved[0].key, answers)
	}
	c.Plants[1].WAN.Heal()
	c.awaitFree(30*time.Second, moved)
	c.await(20*time.Second, lots, quality.Released)
}

// TestF16_DecidedBeforeTheERPIsSeen: the ERP is away while lots are made, inspected and decided about. When it comes back,
// one plant has answered for its lots, and the other one is silent: nobody had looked at any of them in the ERP before. All
// are free in the end but for the one that somebody restricted there by hand.
func TestF16_DecidedBeforeTheERPIsSeen(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(8, silent), c.lots(8, other)...)
	c.receive(lots)
	c.ERP.Cut()
	for _, b := range lots {
		c.say(b.at, c.made(b)...)
		c.say(b.lab, c.verdict(b))
	}
	c.await(20*time.Second, lots, quality.AwaitingDisposition)
	c.Plants[silent].WAN.Cut()
	for _, b := range lots {
		c.release(b)
	}
	byHand := lots[7]
	if err := c.erp(byHand).Play(sap.Hand{Do: "restrict", Material: material, Batch: byHand.number}); err != nil {
		t.Fatal(err)
	}
	c.await(20*time.Second, lots[:8], quality.Asking)
	c.await(20*time.Second, lots[8:], quality.Releasing)
	c.ERP.Heal()
	c.awaitFree(60*time.Second, lots[8:])
	eventually(t, 60*time.Second, "the ERP has been looked at for all lots", func() bool { return c.due() == 0 })
	c.stays(lots[:8]...)
	c.Plants[silent].WAN.Heal()
	all := slices.DeleteFunc(slices.Clone(lots), func(b *batch) bool { return b == byHand })
	c.awaitFree(60*time.Second, all)
	c.await(20*time.Second, all, quality.Released)
	c.stays(byHand)
	for _, b := range all {
		c.once(b)
	}
}

// TestF16_DecisionInParts: the engineer decides about a lot in two parts. It stays in inspection until the whole of it is
// decided about, and goes by one usage decision. A release with a condition restricts it, and so do its tasks.
func TestF16_DecisionInParts(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	parts, conditional := c.lots(4, 0), c.lots(4, 1)
	lots := append(slices.Clone(parts), conditional...)
	c.make(lots)
	sign := func(b *batch, q, decision string) {
		sig := qms.Signature{Decision: decision, Name: "Anna Weber", Reason: "as the results say", Condition: "for internal use"}
		if err := c.QMS.Sign(c.QMS.AwaitDisposition(string(b.key), q, "kg"), sig); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range parts {
		sign(b, "300", qms.Accepted)
	}
	for _, b := range conditional {
		sign(b, "500", qms.AcceptedWith)
	}
	settle(t, 20*time.Second, func() (wrong []string) {
		for _, b := range conditional {
			if !c.erp(b).Restricted(material, b.number) || c.decided(b) != 1 {
				wrong = append(wrong, "lot "+string(b.key)+" is not restricted, or has no usage decision")
			}
		}
		return wrong
	})
	c.stays(lots...)
	c.await(20*time.Second, parts, quality.AwaitingDisposition)
	for _, b := range parts {
		sign(b, "200", qms.Accepted)
	}
	c.awaitFree(20*time.Second, parts)
	c.await(20*time.Second, parts, quality.Released)
	c.awaitGates(parts)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	for _, b := range parts {
		c.once(b)
	}
	for _, b := range conditional {
		if gate := c.WMS.Gate(string(b.key)); gate != wms.GateClosed || c.free(b) {
			t.Errorf("lot %s, released under a condition, is free: %t, its gate is %s", b.key, c.free(b), gate)
		}
	}
	c.invariant("I5")
}

// codes tells the cloud under which code the ERP knows each plant.
func codes(t *testing.T, s *stack.Stack) {
	t.Helper()
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	with := text
	for plant, code := range map[string]string{"p1": "1010", "p2": "1020"} {
		with = bytes.Replace(with, []byte("{ id: "+plant+","), []byte("{ id: "+plant+", erp_plant: \""+code+"\","), 1)
	}
	if err := os.WriteFile(s.Path("cloud.yaml"), with, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestF19_RiskIsToldBeforeTheDate: an order's date comes close while the ERP is away and its lot, long decided, is not
// free. The customer is told before the date, and once that all is well when the ERP is back.
func TestF19_RiskIsToldBeforeTheDate(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(3, 0), c.lots(3, 1)...)
	c.make(lots)
	c.ERP.Cut()
	near, far := lots[:3], lots[3:]
	for i, b := range lots {
		b.line = "10"
		promised := time.Now().Add(7 * time.Hour)
		if i >= 3 {
			promised = promised.Add(72 * time.Hour)
		}
		c.Orders.AddLine(order.Line{Order: c.order(b), Line: b.line, Customer: "ACME", Promised: promised})
		c.Orders.Allocate(c.order(b), b.line, string(b.key), "200", "kg")
		c.release(b)
	}
	eventually(t, 30*time.Second, "the customers whose date is near are told", func() bool {
		return !slices.ContainsFunc(near, func(b *batch) bool { return len(c.messages(b)) == 0 })
	})
	c.ERP.Heal()
	c.awaitFree(60*time.Second, lots)
	eventually(t, 30*time.Second, "they are told that all is well", func() bool {
		return !slices.ContainsFunc(near, func(b *batch) bool { return len(c.messages(b)) < 2 }) && c.due() == 0
	})
	for _, b := range near {
		if got := c.messages(b); !slices.Equal(got, []string{"at_risk", "clear"}) {
			t.Errorf("customer service was told %q of lot %s", got, b.key)
		}
	}
	for _, b := range far {
		if got := c.messages(b); len(got) > 0 {
			t.Errorf("customer service was told %q of lot %s, whose date is days away", got, b.key)
		}
	}
}
