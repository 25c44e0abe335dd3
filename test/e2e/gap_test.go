package e2e

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// begin says that a lot exists and that its press works on it.
func (c *firm) begin(lots ...*batch) {
	c.t.Helper()
	c.receive(lots)
	for _, b := range lots {
		c.say(b.at, c.made(b)[:2]...)
	}
}

// end says the rest of it, the final verdict included. The press reports its part once more than it has to, so that the
// press's own source has seen something after the work on the lot.
func (c *firm) end(lots ...*batch) {
	c.t.Helper()
	for _, b := range lots {
		c.say(b.at, c.made(b)[2:]...)
		c.say(b.lab, c.verdict(b))
	}
}

// on makes up a lot that a certain press of a plant makes.
func (c *firm) on(press string, at int) *batch {
	b := c.lots(1, at)[0]
	b.press = press
	return b
}

// loseSession makes a plant's broker forget what it keeps for one source of the agent: another client takes its name
// and wants no session. What came meanwhile is lost for good.
func (c *firm) loseSession(at int, sourceID string) {
	c.t.Helper()
	p := c.Plants[at]
	o := mqtt.NewClientOptions().AddBroker(p.MQTT.URL()).SetClientID("holdfast-" + p.ID + "-gw1-" + sourceID).SetCleanSession(true).SetProtocolVersion(4)
	client := mqtt.NewClient(o)
	if t := client.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		c.t.Fatalf("take the session of %s: %v", sourceID, t.Error())
	}
	client.Disconnect(0)
}

// openGaps counts the gaps of a kind that stand open at a plant.
func (c *firm) openGaps(at int, kind quality.GapKind) (n int) {
	c.t.Helper()
	if err := c.db.QueryRowContext(c.t.Context(), `SELECT COUNT(*) FROM gap WHERE plant = $1 AND kind = $2 AND is_open = 1`, c.sites[at].Plant, kind).
		Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// stays looks for a while whether lots stay where they are.
func (c *firm) stays(lots ...*batch) {
	c.t.Helper()
	<-time.After(1500 * time.Millisecond)
	for _, b := range lots {
		if c.free(b) {
			c.t.Errorf("lot %s of %s became free in the ERP", b.key, b.press)
		}
	}
}

// TestI05_GapStopsItsLots: a press was not seen for a while. Its release is stopped for the lots that ran on it then, and
// for no other: neither for those that ran there before or after, nor for those of other presses and plants. A signature
// for one of them lets that one go.
func TestI05_GapStopsItsLots(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, func(s *stack.Stack) { withAdmin(t, s) })
	c.signers()
	before, during, also := c.on("press1", 0), c.on("press1", 0), c.on("press1", 0)
	next, far, after := c.on("press2", 0), c.on("press1", 1), c.on("press1", 0)
	c.begin(before)
	c.end(before)
	c.await(20*time.Second, []*batch{before}, quality.AwaitingDisposition)

	c.begin(during, also, next, far)
	c.loseSession(0, "press1")
	eventually(t, 30*time.Second, "the gap is known", func() bool { return c.openGaps(0, quality.GapObservation) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Plants[0].WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	c.end(during, also, next, far)
	c.begin(after)
	c.end(after)
	all := []*batch{before, during, also, next, far, after}
	c.await(20*time.Second, all, quality.AwaitingDisposition)
	for _, b := range all {
		c.release(b)
	}
	c.awaitFree(20*time.Second, []*batch{before, next, far, after})
	c.stays(during, also)

	e := c.evidence(during)
	if len(e.Gaps) != 1 || len(c.evidence(next).Gaps) != 0 {
		t.Fatalf("lot %s waits for %+v, want one gap", during.key, e.Gaps)
	}
	c.accept(during, "--gap", string(e.Gaps[0].ID))
	c.awaitFree(20*time.Second, []*batch{during})
	c.stays(also)
	if n := c.openGaps(0, quality.GapObservation); n != 1 {
		t.Errorf("%d gaps are open: a signature for a lot closes none", n)
	}
	if got := c.waiting("gap"); got != 1 {
		t.Errorf("the metric says that %v lots wait for a gap, want 1", got)
	}
	c.invariant("I5")
}

// waiting reads how many lots of all plants wait for something, by the cloud's metric.
func (c *firm) waiting(reason string) (lots float64) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.Cloud.Address+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if n, err := strconv.ParseFloat(value, 64); err == nil && strings.HasPrefix(name, "holdfast_cloud_release_waits{") && strings.Contains(name, `reason="`+reason+`"`) {
			lots += n
		}
	}
	return lots
}

// TestI05_RestartClosesItsGap kills the agent of a plant in the middle of its lots. Nothing is released while it is down.
// What it missed waited at the broker: when it is back its gap is closed by data, all lots go, but for the one of which a
// part failed meanwhile.
func TestI05_RestartClosesItsGap(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := c.lots(6, 0)
	c.begin(lots...)
	c.end(lots...)
	c.await(20*time.Second, lots, quality.AwaitingDisposition)
	c.Plants[0].Agent.Kill()
	bad, good := lots[0], lots[1:]
	c.say(0, c.unsafe(bad))
	for _, b := range lots {
		c.release(b)
	}
	c.await(20*time.Second, lots, quality.Asking)
	c.stays(lots...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Plants[0].StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	c.awaitFree(30*time.Second, good)
	t.Logf("%d lots free %s after the agent was back", len(good), time.Since(back).Round(time.Millisecond))
	c.await(20*time.Second, []*batch{bad}, quality.Held)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	if c.free(bad) {
		t.Errorf("lot %s is free though a part of it failed", bad.key)
	}
	if n := c.openGaps(0, quality.GapObservation); n != 0 {
		t.Errorf("%d gaps are open, though the broker kept all messages", n)
	}
	c.invariant("I5")
}

// unsafe says that a part of the lot failed for safety.
func (c *firm) unsafe(b *batch) dialect.Fact {
	m := c.made(b)[2].(dialect.Measured)
	m.Sample, m.Value = 2, "61.20"
	return m
}

// TestI05_QuarantineTouchesItsEquipment: a message that broke off may have been the one that forbids. It stops the lots
// that ran on the machine that sent it, a reading with a unit that nobody knows stops the lot that it names, and all
// others go.
func TestI05_QuarantineTouchesItsEquipment(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	garbled, named, next, far := c.on("press1", 0), c.on("press2", 0), c.on("press2", 0), c.on("press1", 1)
	all := []*batch{garbled, named, next, far}
	c.begin(all...)
	c.say(0, dialect.Garbled{Equipment: "press1", At: dialect.Stamp(time.Now())})
	wrong := c.made(named)[2].(dialect.Measured)
	wrong.WrongUnit = true
	c.say(0, wrong)
	eventually(t, 20*time.Second, "both messages are known as not understood", func() bool { return c.openGaps(0, quality.GapQuarantine) == 2 })
	c.end(all...)
	c.await(20*time.Second, all, quality.AwaitingDisposition)
	for _, b := range all {
		c.release(b)
	}
	c.awaitFree(20*time.Second, []*batch{next, far})
	c.stays(garbled, named)
	if got := c.waiting("quarantine"); got != 2 {
		t.Errorf("the metric says that %v lots wait for a record that was not understood, want 2", got)
	}
	for _, b := range []*batch{garbled, named} {
		if gaps := c.evidence(b).Gaps; len(gaps) != 1 {
			t.Errorf("lot %s waits for %+v, want one record", b.key, gaps)
		}
	}
	c.invariant("I5")
}

// TestM21_ForeignRestrictionStays: somebody blocks a lot in the ERP by hand. The signed release does not free it; when the
// same person takes the block back, it is free.
func TestM21_ForeignRestrictionStays(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := c.lots(4, 0)
	c.make(lots)
	for _, b := range lots[:2] {
		if err := c.erp(b).Play(sap.Hand{Do: "restrict", Material: material, Batch: b.number}); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range lots {
		c.release(b)
	}
	c.awaitFree(20*time.Second, lots[2:])
	c.stays(lots[:2]...)
	for _, b := range lots[:2] {
		if !c.erp(b).Restricted(material, b.number) {
			t.Errorf("the flag that a person set on lot %s is gone", b.key)
		}
	}
	if got := c.waiting("foreign"); got != 2 {
		t.Errorf("the metric says that %v lots wait for somebody's restriction, want 2", got)
	}
}

// TestI05_LateResultTakesReleaseBack: a part that failed is reported after its lot was released. The lot is restricted
// again, its tasks are held, what has started is named, and the customer whose order counts on it is told once.
func TestI05_LateResultTakesReleaseBack(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(10, 0), c.lots(10, 1)...)
	for i, b := range lots {
		if i%2 == 0 {
			c.allocate(b)
		}
	}
	c.make(lots)
	for _, b := range lots {
		c.release(b)
	}
	c.awaitFree(20*time.Second, lots)
	c.await(20*time.Second, lots, quality.Released)
	c.awaitGates(lots)
	late, rest := slices.Concat(lots[:5], lots[10:15]), slices.Concat(lots[5:10], lots[15:])
	started := c.WMS.Tasks(string(late[0].key))[0].ID
	if err := c.WMS.Start(started); err != nil {
		t.Fatal(err)
	}
	failed := map[*batch]time.Time{}
	for _, b := range late {
		failed[b] = time.Now()
		c.say(b.at, c.unsafe(b))
	}
	c.await(30*time.Second, late, quality.Held)
	eventually(t, 30*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	var took []time.Duration
	for _, b := range late {
		for _, e := range c.erp(b).Batch(material, b.number) {
			if !e.FreeAfter && e.At.After(failed[b]) {
				took = append(took, e.At.Sub(failed[b]))
				break
			}
		}
		if c.free(b) || c.erp(b).Stock(material, b.number, "07") == "0" {
			t.Errorf("lot %s is not blocked, though a part of it failed for safety", b.key)
		}
		for _, task := range c.WMS.Tasks(string(b.key)) {
			if task.ID != started && task.State != "blocked" {
				t.Errorf("task %s of lot %s is %s", task.ID, b.key, task.State)
			}
		}
		c.toldOnce(b)
	}
	for _, b := range rest {
		if !c.free(b) || len(c.messages(b)) > 0 {
			t.Errorf("lot %s of which nothing failed is free: %t, its customers were told %q", b.key, c.free(b), c.messages(b))
		}
	}
	c.stopList(late[0], started)
	if len(took) != len(late) {
		t.Fatalf("%d of %d lots were taken back", len(took), len(late))
	}
	worst := slices.Max(took)
	t.Logf("late failure at the press to batch taken back in the ERP, over %d lots: p50 %s, worst %s", len(took), quantile(took, .5), worst)
	if worst >= time.Minute {
		t.Errorf("a release was taken back after %s, want under 60 s", worst)
	}
	c.invariant("I5")
}

// toldOnce looks whether the customer was told of a hold once, and nothing else.
func (c *firm) toldOnce(b *batch) {
	c.t.Helper()
	var want []string
	if b.line != "" {
		want = []string{"held"}
	}
	if got := c.messages(b); !slices.Equal(got, want) {
		c.t.Errorf("customer service was told %q of lot %s, want %q", got, b.key, want)
	}
}
