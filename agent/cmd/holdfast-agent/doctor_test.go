package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// examined plays the doctor: a plant with a bit of everything, of which each check has its own.
func examined(_ context.Context, _ *agent.Config, only []string, report func(agent.Finding)) {
	for _, f := range []agent.Finding{
		{Check: "clock", State: agent.StateWarn, Text: "off by 1.8s, as its time service says", Fix: "timedatectl set-ntp true", Code: problem.ClockOff},
		{Check: "disk", Subject: "/var/lib/holdfast-agent", State: agent.StateOK, Text: "a write is durable after 1.2ms, the slowest of 25 after 9ms"},
		{Check: "certificate", Subject: "kafka", State: agent.StateFail, Text: "own certificate ends on 2026-11-26", Fix: "replace /etc/holdfast-agent/gw1.pem", Code: problem.CertificateEnds},
		{Check: "kafka", Subject: "kafka-1:9093", State: agent.StateWarn, Text: "cannot be reached; events are kept in the queue until it can", Fix: "check the link", Code: problem.KafkaUnreachable},
		{Check: "opcua", Subject: "press-1", State: agent.StateSkip, Text: "\x1b[2J was not asked"},
		{Check: "mqtt", Subject: "mes", State: agent.StateFail, Text: "of 1500 messages for a client that was away the broker acknowledged all and kept 1000", Fix: "in Mosquitto: max_queued_messages 0", Code: problem.BrokerLoses},
	} {
		if only == nil || strings.Contains(strings.Join(only, ","), f.Check) {
			report(f)
		}
	}
}

func TestDoctor(t *testing.T) {
	const config = "../../testdata/press.good.yaml"
	r := call(t, "", nil, "doctor", "--config", config)
	if r.code != cli.ExitFailed || !strings.Contains(r.err, "2 of 6 findings failed (E-3201)") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	golden(t, "doctor.txt", r.out)

	r = call(t, "", nil, "doctor", "--config", config, "--only", "clock,disk")
	if r.code != cli.ExitOK || r.err != "" || !strings.HasSuffix(r.out, "0 failed, 1 warning, 1 ok\n") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	r = call(t, "", nil, "doctor", "--config", config, "-o", "json")
	var d findings
	if err := json.Unmarshal([]byte(r.out), &d); err != nil || r.code != cli.ExitFailed || d.Failed != 2 || d.Warned != 2 || d.OK != 1 || d.Skipped != 1 || len(d.Findings) != 6 {
		t.Errorf("exit %d, %v: %s", r.code, err, r.out)
	}
}

func TestDoctor_Errors(t *testing.T) {
	if r := call(t, "", nil, "doctor", "--only", "printer"); r.code != cli.ExitUsage || !strings.Contains(r.err, "want clock, disk") {
		t.Errorf("a check that is none: exit %d: %s", r.code, r.err)
	}
	if r := call(t, "", nil, "doctor", "--config", filepath.Join(t.TempDir(), "none.yaml")); r.code != cli.ExitConfig {
		t.Errorf("without a configuration: exit %d: %s", r.code, r.err)
	}
}
