package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// cloudCLI runs holdfast-cloud as alice and returns what it prints.
func cloudCLI(t *testing.T, s *stack.Stack, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return cli(t, "holdfast-cloud", append(args, "--url", "http://"+s.Cloud.Address, "--token-file", s.Path("alice.token"), "--no-color", "-y")...)
}

// agentCLI runs holdfast-agent against the running agent.
func agentCLI(t *testing.T, s *stack.Stack, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return cli(t, "holdfast-agent", append(args, "--config", s.Path("agent.yaml"), "--no-color", "-y")...)
}

func cli(t *testing.T, program string, args ...string) (string, string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	t.Logf("$ %s %s\n%s%s", program, strings.Join(args[:max(0, len(args)-4)], " "), out.String(), errs.String())
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Run returns it as it is
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

func lot(name, unit string) plant.Lot {
	return plant.Lot{
		Record: "LOT-" + name, Lot: name, Material: "MAT-100", Qty: "500", Unit: unit, Order: "4711", Equipment: "press4",
		At: plant.Stamp(time.Now()),
	}
}

func send(t *testing.T, p *plant.Publisher, topic string, v any) {
	t.Helper()
	if err := p.Send(topic, v); err != nil {
		t.Fatal(err)
	}
}

// accepted returns how many records of plants the cloud took, by outcome or all of them.
func accepted(t *testing.T, s *stack.Stack) float64 {
	t.Helper()
	m, err := stack.Metrics(t.Context(), s.Cloud)
	if err != nil {
		t.Fatal(err)
	}
	return stack.Sum(m, "holdfast_cloud_intake_events_total")
}

// TestF63_ReplayFromTheGateway sends a past range again: the same ids, no new effect, and the act in the ledger.
func TestF63_ReplayFromTheGateway(t *testing.T) {
	s := start(t, stack.Config{})
	p := publisher(t, s, "press")
	from := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	for i := range 20 {
		name := fmt.Sprintf("L-%02d", i)
		send(t, p, plant.TopicLot, lot(name, "kg"))
		send(t, p, plant.TopicResult, result(name, i, map[bool]string{true: "61.2", false: "45.5"}[i%5 == 0], true))
	}
	for i := 0; i < 20; i += 5 {
		blocked(t, s, fmt.Sprintf("L-%02d", i), 20*time.Second)
	}
	eventually(t, 20*time.Second, "all nonconformances are in the QMS", func() bool { return len(s.QMS.Book()) >= 4 })
	eventually(t, 20*time.Second, "the queue is empty and the cloud at rest", func() bool {
		m, err := stack.Metrics(t.Context(), s.Agent)
		c, err2 := stack.Metrics(t.Context(), s.Cloud)
		return err == nil && err2 == nil && stack.Sum(m, "holdfast_agent_queue_size_events") == 0 && stack.Sum(c, "holdfast_cloud_effects_waiting") == 0
	})
	erp, qms, seen := len(s.SAP.Book()), len(s.QMS.Book()), accepted(t, s)
	to := time.Now().Add(time.Second).UTC().Format(time.RFC3339)

	if out, _, code := agentCLI(t, s, "queue", "replay", "--from", from, "--to", to); code != 0 || !strings.Contains(out+"", "44") && !strings.Contains(out, "45") {
		t.Fatalf("dry run exits %d and does not count the events: %s", code, out)
	}
	if accepted(t, s) != seen {
		t.Error("the dry run sent something")
	}
	if _, _, code := agentCLI(t, s, "queue", "replay", "--from", from, "--to", to, "--execute"); code != 2 {
		t.Errorf("a replay without a reason exits %d, want 2", code)
	}
	if _, _, code := agentCLI(t, s, "queue", "replay", "--from", from, "--to", to, "--execute", "--reason", "ERP outage INC-4412"); code != 0 {
		t.Fatalf("replay exits %d", code)
	}
	eventually(t, 20*time.Second, "the cloud has taken the records once more", func() bool { return accepted(t, s) >= seen+44 })
	eventually(t, 20*time.Second, "the act is in the ledger", func() bool {
		out, _, _ := cloudCLI(t, s, "ledger", "show", "-o", "jsonl")
		return strings.Contains(out, `ERP outage INC-4412`) && strings.Contains(out, "agent.act.recorded.v1")
	})
	if a, b := len(s.SAP.Book()), len(s.QMS.Book()); a != erp || b != qms {
		t.Errorf("the replay had effects: %d in the ERP, %d in the QMS", a-erp, b-qms)
	}
}

// TestF62_PoisonParksItsLot: others flow, a hold for the lot lands, a correction redrives in order.
func TestF62_PoisonParksItsLot(t *testing.T) {
	s := start(t, stack.Config{})
	p := publisher(t, s, "press")
	send(t, p, plant.TopicLot, lot("L-POISON", "m")) // metres of a material that is counted in kilograms
	eventually(t, 20*time.Second, "the lot is parked", func() bool {
		out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "json")
		return strings.Contains(out, "E-6007")
	})
	send(t, p, plant.TopicResult, result("L-POISON", 1, "45.5", true))
	send(t, p, plant.TopicLot, lot("L-OTHER", "kg"))
	send(t, p, plant.TopicResult, result("L-OTHER", 2, "61.2", true))
	blocked(t, s, "L-OTHER", 20*time.Second)
	send(t, p, plant.TopicResult, result("L-POISON", 3, "61.2", true))
	blocked(t, s, "L-POISON", 20*time.Second)

	var list struct {
		Deadletters []struct {
			ID    int64  `json:"id"`
			Code  string `json:"code"`
			State string `json:"state"`
		} `json:"deadletters"`
	}
	eventually(t, 20*time.Second, "poison, the part behind it and the failed part are kept", func() bool {
		out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		return len(list.Deadletters) == 3
	})
	poison := list.Deadletters[0].ID
	if out, _, _ := cloudCLI(t, s, "deadletter", "show", fmt.Sprint(poison)); !strings.Contains(out, "base unit") || !strings.Contains(out, `"unit":"m"`) {
		t.Errorf("reason or raw bytes are missing: %s", out)
	}
	fixed := s.Path("fixed.json")
	value := `{"lot":"lot::MAT-100:L-POISON","material":"MAT-100","q":{"value":"500","unit":"kg"},"origin":"work_order:mes1:4711","provenance":{"source":"fix"}}`
	if err := os.WriteFile(fixed, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, code := cloudCLI(t, s, "deadletter", "fix", fmt.Sprint(poison), "--file", fixed, "--reason", "unit was wrong"); code != 0 {
		t.Fatalf("fix exits %d", code)
	}
	out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	last := list.Deadletters[len(list.Deadletters)-1].ID
	if _, _, code := cloudCLI(t, s, "deadletter", "redrive", fmt.Sprint(last), "--reason", "unit was wrong"); code != 0 {
		t.Fatalf("redrive exits %d", code)
	}
	if out, _, _ := cloudCLI(t, s, "deadletter", "list", "-o", "json"); strings.Contains(out, "E-60") {
		t.Errorf("something is still kept: %s", out)
	}
	show, _, _ := cloudCLI(t, s, "lots", "show", "L-POISON")
	for _, want := range []string{"torque 61.2 N.m", "held", "s4", "blocked"} {
		if !strings.Contains(strings.ToLower(show), strings.ToLower(want)) {
			t.Errorf("lots show does not say %q", want)
		}
	}
	trace, _, _ := cloudCLI(t, s, "trace", "L-POISON")
	for _, want := range []string{"press4", "holdfast.p1.quality.v1", "s4", "qms1"} {
		if !strings.Contains(strings.ToLower(trace), want) {
			t.Errorf("trace does not say %q", want)
		}
	}
	if _, _, code := cloudCLI(t, s, "ledger", "verify"); code != 0 {
		t.Errorf("ledger verify exits %d", code)
	}
	if out, _, code := agentCLI(t, s, "status"); code != 0 || !strings.Contains(out, "press4") {
		t.Errorf("status exits %d", code)
	}
}
