package e2e

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// TestM14_SilentAgentIsTold: a release waits for an agent that was killed. A person is told after coverage.max_age, and told
// that it is over once the agent is back and has answered.
func TestM14_SilentAgentIsTold(t *testing.T) {
	t.Parallel()
	s := startManned(t)
	send(t, publisher(t, s, "press"), plant.TopicLot, lot("L-QUIET", "kg"))
	waitsFor(t, s, "L-QUIET")
	killed := time.Now()
	eventually(t, 20*time.Second, "the alert names the agent", func() bool { return alerted(t, s, "agent_silent", "p1/gw1") })
	if d := time.Since(killed); d > 10*time.Second {
		t.Errorf("a person was told only after %s", d)
	}
	if released(t, s, "L-QUIET") {
		t.Fatal("the batch is free though its plant has not answered")
	}
	begin(t, s.StartAgent)
	eventually(t, 20*time.Second, "the alert is over", func() bool { return !alerted(t, s, "agent_silent", "p1/gw1") })
	eventually(t, 20*time.Second, "the batch is free in the ERP", func() bool { return released(t, s, "L-QUIET") })
}
