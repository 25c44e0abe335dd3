package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// plantLink puts a link that can be cut between a plant's broker and its agent; all others reach the broker. A loss of it
// is a gap after a second.
func plantLink(t *testing.T, s *stack.Stack, at int) *proxy.Proxy {
	t.Helper()
	p := s.Plants[at]
	link, err := proxy.Start(p.MQTT.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	text, err := os.ReadFile(p.Path("agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	was := `broker: "` + p.MQTT.URL() + `"`
	if !strings.Contains(string(text), was) {
		t.Fatalf("the agent of plant %s does not read %s", p.ID, was)
	}
	now := strings.ReplaceAll(string(text), was, `broker: "tcp://`+link.Addr()+`", disconnect_gap: 1s`)
	if err := os.WriteFile(p.Path("agent.yaml"), []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
	return link
}

// waitsFor looks whether a lot waits for gaps of one reason, and of no other.
func (c *firm) waitsFor(b *batch, reason string) {
	c.t.Helper()
	gaps := c.evidence(b).Gaps
	if len(gaps) == 0 {
		c.t.Errorf("lot %s waits for no gap, want one for the reason %s", b.key, reason)
	}
	for _, g := range gaps {
		if !strings.HasSuffix(g.Words, ": "+reason) {
			c.t.Errorf("lot %s waits, as %q says, for another reason than %s", b.key, g.Words, reason)
		}
	}
}

// freeSoon waits until the lots are free that nothing forbids, and looks whether any was before.
func (c *firm) freeSoon(lots []*batch, before, healed time.Time) {
	c.t.Helper()
	c.awaitFree(30*time.Second, lots)
	var last time.Time
	for _, b := range lots {
		at := c.freed(b, before)
		if at.Before(healed) {
			c.t.Errorf("lot %s was free %s before its plant's broker was in reach again", b.key, healed.Sub(at))
		}
		if at.After(last) {
			last = at
		}
	}
	c.t.Logf("%d lots free, the last %s after the broker was in reach again", len(lots), last.Sub(healed).Round(time.Millisecond))
}

// TestI05_StartWaitsForTheBroker kills the agent of a plant while releases wait for it, and starts it again where it reaches
// the cloud and not the plant's broker. What waits there may forbid a release, and for one lot it does: none is granted
// until the broker has been asked. Then all go that may, soon.
func TestI05_StartWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	var link *proxy.Proxy
	c := startFirm(t, 2, func(s *stack.Stack) { link = plantLink(t, s, 0) })
	lots := c.lots(6, 0)
	far := c.on("press1", 1)
	all := append(slices.Clone(lots), far)
	c.begin(all...)
	c.end(all...)
	c.await(20*time.Second, all, quality.AwaitingDisposition)

	c.Plants[0].Agent.Kill()
	killed := time.Now()
	bad, good := lots[0], lots[1:]
	c.say(0, c.unsafe(bad))
	for _, b := range all {
		c.release(b)
	}
	c.await(20*time.Second, lots, quality.Asking)
	link.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Plants[0].StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	c.awaitFree(20*time.Second, []*batch{far})
	eventually(t, 20*time.Second, "the lots wait for what the sources missed", func() bool { return c.waiting("gap") == float64(len(lots)) })
	c.stays(lots...)
	c.waitsFor(good[0], "agent_restart")

	healed := time.Now()
	link.Heal()
	c.freeSoon(good, killed, healed)
	c.await(20*time.Second, []*batch{bad}, quality.Held)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	if at := c.freed(bad, killed); !at.IsZero() {
		t.Errorf("lot %s was free at %s, though what forbids it waited at the broker", bad.key, at)
	}
	eventually(t, 20*time.Second, "all gaps are closed, since the broker kept all messages", func() bool { return c.openGaps(0, quality.GapObservation) == 0 })
	c.invariant("I5")
}

// TestI05_LostBrokerStopsReleases cuts a running agent off its plant's broker. Lots that are made, inspected and decided
// about meanwhile elsewhere are not released before the agent has stored what waited for it.
func TestI05_LostBrokerStopsReleases(t *testing.T) {
	t.Parallel()
	var link *proxy.Proxy
	c := startFirm(t, 2, func(s *stack.Stack) { link = plantLink(t, s, 0) })
	lots := c.lots(6, 0)
	far := c.on("press1", 1)
	all := append(slices.Clone(lots), far)
	c.begin(all...)
	c.end(all...)
	c.await(20*time.Second, all, quality.AwaitingDisposition)

	link.Cut()
	cut := time.Now()
	sources := 0 // of the plant that read its broker
	eventually(t, 20*time.Second, "each source that is cut off has a gap", func() bool {
		n := c.openGaps(0, quality.GapObservation)
		settled := n > 0 && n == sources
		sources = n
		return settled && time.Since(cut) > 5*time.Second
	})
	bad, good := lots[0], lots[1:]
	c.say(0, c.unsafe(bad))
	for _, b := range all {
		c.release(b)
	}
	c.awaitFree(20*time.Second, []*batch{far})
	c.stays(lots...)
	c.waitsFor(good[0], "disconnect")

	healed := time.Now()
	link.Heal()
	c.freeSoon(good, cut, healed)
	c.await(20*time.Second, []*batch{bad}, quality.Held)
	if at := c.freed(bad, cut); !at.IsZero() {
		t.Errorf("lot %s was free at %s, though what forbids it waited at the broker", bad.key, at)
	}
	eventually(t, 20*time.Second, "all gaps are closed", func() bool { return c.openGaps(0, quality.GapObservation) == 0 })
	c.invariant("I5")
}
