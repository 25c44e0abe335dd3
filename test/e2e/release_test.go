package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

// TestF16_LotReleaseFivePlants takes lots of five plants from their machines to the shelf: made and inspected at the
// plant, decided in the QMS, free in the ERP by one usage decision, their tasks freed once. Some are held by an operator
// before and lifted again. Of customers' orders only those are told of something whose lot was held, and they are told
// once, and once that all is well.
func TestF16_LotReleaseFivePlants(t *testing.T) {
	n, perSecond := 40, 25 // of each plant; signatures of the engineer
	if long() {
		n = 100
	}
	c := startFirm(t, 5, nil)
	var lots, plain, held []*batch
	for at := range c.sites {
		own := c.lots(n, at)
		own[n/2].lab = (at + 1) % len(c.sites)
		if c.sites[at].Scope != "" || c.sites[own[n/2].lab].Scope != "" {
			own[n/2].lab = at // a lot of a plant that numbers its own is known nowhere else
		}
		for i, b := range own {
			if b.held = i < 2; b.held {
				held = append(held, b)
			} else {
				plain = append(plain, b)
			}
		}
		lots = append(lots, own...)
	}
	for i, b := range lots {
		if b.held || i%5 == 0 {
			c.allocate(b)
		}
	}
	c.make(lots)
	for _, b := range held {
		c.say(b.at, c.hold(b))
	}
	c.await(20*time.Second, held, quality.Held)

	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for _, b := range plain {
		<-tick.C
		c.release(b)
	}
	for _, b := range held {
		c.release(b)
	}
	c.awaitFree(30*time.Second, plain)
	for _, b := range held {
		if c.free(b) {
			t.Errorf("lot %s is free though an operator holds it", b.key)
		}
		c.say(b.at, dialect.Lifted{Of: c.of(b), Hold: "H-" + b.number, Reason: "cleaned and seen", By: "operator 7"})
	}
	c.awaitFree(30*time.Second, held)
	c.await(20*time.Second, lots, quality.Released)
	c.awaitGates(lots)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })

	var took []time.Duration
	for _, b := range plain {
		took = append(took, c.freed(b, b.signed).Sub(b.signed))
	}
	for _, b := range lots {
		c.once(b)
		c.told(b)
	}
	p50, p99, worst := quantile(took, .5), quantile(took, .99), slices.Max(took)
	figures(t, "lots=%d plants=%d per_second=%d lost=%d duplicates=%d signature_to_free_p50=%s p99=%s worst=%s",
		len(lots), len(c.sites), perSecond, c.unfree(lots), c.doubled(lots), p50.Round(time.Millisecond), p99.Round(time.Millisecond), worst.Round(time.Millisecond))
	if p99 >= 3*time.Second {
		t.Errorf("p99 is %s, want under 3 s", p99)
	}
}

// awaitGates waits until the tasks of all lots may be done.
func (c *firm) awaitGates(lots []*batch) {
	c.t.Helper()
	settle(c.t, 20*time.Second, func() (wrong []string) {
		for _, b := range lots {
			for _, task := range c.WMS.Tasks(string(b.key)) {
				if task.State != wms.Ready {
					wrong = append(wrong, fmt.Sprintf("task %s of lot %s is %s", task.ID, b.key, task.State))
				}
			}
		}
		return some(wrong)
	})
}

// once looks at the books: one usage decision, the batch free once for each time that it was let go, and its tasks, too.
func (c *firm) once(b *batch) {
	c.t.Helper()
	if n := c.decided(b); n != 1 {
		c.t.Errorf("lot %s has %d usage decisions", b.key, n)
	}
	frees, was := 0, false
	for _, e := range c.erp(b).Batch(material, b.number) {
		if e.FreeAfter && !was {
			frees++
		}
		was = e.FreeAfter
	}
	if frees != 1 {
		c.t.Errorf("lot %s became free %d times: %+v", b.key, frees, c.erp(b).Batch(material, b.number))
	}
	if n := c.WMS.Releases(string(b.key)); n != 1 {
		c.t.Errorf("the tasks of lot %s were freed %d times", b.key, n)
	}
}

// doubled counts the usage decisions and releases of tasks beyond one for each lot.
func (c *firm) doubled(lots []*batch) (n int) {
	for _, b := range lots {
		n += max(0, c.decided(b)-1) + max(0, c.WMS.Releases(string(b.key))-1)
	}
	return n
}

// unfree counts the lots that may not be used in the ERP.
func (c *firm) unfree(lots []*batch) (n int) {
	for _, b := range lots {
		if !c.free(b) {
			n++
		}
	}
	return n
}

// told looks at what customer service was told about the order that counts on a lot: of one that was held that it is, and
// then that it may move, and of any other nothing.
func (c *firm) told(b *batch) {
	c.t.Helper()
	var want []string
	if b.held && b.line != "" {
		want = []string{"held", "clear"}
	}
	if got := c.messages(b); !slices.Equal(got, want) {
		c.t.Errorf("customer service was told %q of lot %s, want %q", got, b.key, want)
	}
}

// messages returns the steps that customer service was told of a lot, oldest first.
func (c *firm) messages(b *batch) (steps []string) {
	for _, m := range c.Notices.Messages() {
		if m.Lot == string(b.key) {
			steps = append(steps, m.Step)
		}
	}
	return steps
}

// TestF19_NoticeOnceThroughLostAnswers holds lots that orders count on and frees them again while every other answer of
// the service is lost after the message has left: each order is told once that its lot is held, and once that it may move.
func TestF19_NoticeOnceThroughLostAnswers(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(6, 0), c.lots(6, 1)...)
	for _, b := range lots {
		b.held = true
		c.allocate(b)
	}
	c.make(lots)
	c.Notices.Faults.Add(fault.Fault{Kind: fault.LostAfter, Every: 2})
	for _, b := range lots {
		c.say(b.at, c.hold(b))
	}
	count := func(step string) (n int) {
		for _, m := range c.Notices.Messages() {
			if m.Step == step {
				n++
			}
		}
		return n
	}
	eventually(t, 30*time.Second, "every order is told that its lot is held", func() bool { return count("held") >= len(lots) && c.due() == 0 })
	for _, b := range lots {
		c.release(b)
		c.say(b.at, dialect.Lifted{Of: c.of(b), Hold: "H-" + b.number, Reason: "cleaned and seen", By: "operator 7"})
	}
	c.awaitFree(30*time.Second, lots)
	eventually(t, 30*time.Second, "every order is told that its lot may move", func() bool { return count("clear") >= len(lots) && c.due() == 0 })
	for _, b := range lots {
		c.told(b)
	}
	if c.Notices.Faults.Acted() == 0 {
		t.Error("no answer was lost: the test proves nothing")
	}
}
