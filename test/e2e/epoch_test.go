package e2e

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// agentLine is a line of agents list.
type agentLine struct {
	Plant, Agent, Epoch, State string
	Quality                    int64 `json:"quality_seq"`
}

func agents(t *testing.T, s *stack.Stack) (list []agentLine) {
	t.Helper()
	out, _, code := cloudCLI(t, s, "agents", "list", "-o", "json")
	var page struct{ Agents []agentLine }
	if err := json.Unmarshal([]byte(out), &page); code != 0 || err != nil {
		t.Fatalf("agents list exits %d: %v", code, err)
	}
	return page.Agents
}

// TestB053_GatewayWithoutMemory: the data of an agent is gone. What it sends waits for a person, but for what forbids; once
// a person has decided, all of it is applied in order.
func TestB053_GatewayWithoutMemory(t *testing.T) {
	s := start(t, stack.Config{})
	p := publisher(t, s, "press")
	send(t, p, plant.TopicLot, lot("L-OLD", "kg"))
	send(t, p, plant.TopicResult, result("L-OLD", 1, "61.2", true))
	blocked(t, s, "L-OLD", 20*time.Second)

	if _, err := s.Agent.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.Path("agent-data")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	send(t, p, plant.TopicLot, lot("L-NEW", "kg"))
	send(t, p, plant.TopicResult, result("L-NEW", 2, "45.5", true))
	send(t, p, plant.TopicLot, lot("L-BAD", "kg"))
	send(t, p, plant.TopicResult, result("L-BAD", 3, "61.2", true))
	blocked(t, s, "L-BAD", 20*time.Second) // what forbids does not wait

	var fresh agentLine
	eventually(t, 20*time.Second, "the new epoch waits for a person, with all that was sent", func() bool {
		for _, a := range agents(t, s) {
			if a.State == "undecided" {
				fresh = a
			}
		}
		return fresh.Quality >= 6 // its opening, two lots, two readings, and the failure
	})
	if out, _, _ := cloudCLI(t, s, "lots", "list"); strings.Contains(out, "L-NEW") {
		t.Error("a lot of the gateway without memory is applied before a person has decided")
	}
	if out, _, _ := cloudCLI(t, s, "deadletter", "list"); !strings.Contains(out, "E-5101") {
		t.Error("what was sent is not kept")
	}
	m, err := stack.Metrics(t.Context(), s.Cloud)
	if err != nil || stack.Sum(m, "holdfast_cloud_epochs_undecided") != 1 {
		t.Errorf("epochs undecided: %v, %v", m["holdfast_cloud_epochs_undecided"], err)
	}

	if _, _, code := cloudCLI(t, s, "agents", "epoch", "decide", "--plant", fresh.Plant, "--agent", fresh.Agent, "--epoch", fresh.Epoch,
		"accepted", "--reason", "disk replaced, ticket 4711"); code != 0 {
		t.Fatalf("the decision exits %d", code)
	}
	eventually(t, 20*time.Second, "what was kept is applied", func() bool {
		out, _, _ := cloudCLI(t, s, "lots", "list")
		return strings.Contains(out, "L-NEW")
	})
	eventually(t, 20*time.Second, "nothing waits", func() bool {
		out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "json")
		return !strings.Contains(out, "E-5101")
	})
	send(t, p, plant.TopicLot, lot("L-LATER", "kg"))
	eventually(t, 20*time.Second, "what is sent now is applied at once", func() bool {
		out, _, _ := cloudCLI(t, s, "lots", "list")
		return strings.Contains(out, "L-LATER")
	})
	if out, _, _ := cloudCLI(t, s, "ledger", "show", "-o", "jsonl"); !strings.Contains(out, "disk replaced, ticket 4711") {
		t.Error("the decision is not in the ledger")
	}
	if _, _, code := cloudCLI(t, s, "ledger", "verify"); code != 0 {
		t.Errorf("ledger verify exits %d", code)
	}
}
