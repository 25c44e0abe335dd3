package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// shift is what a plant records within a second.
func shift() []localapi.Tapped {
	node := "nsu=urn:example:plant:pressline1;s=PressLine1."
	return []localapi.Tapped{
		{Lane: event.LaneQuality, Epoch: "634754391577304a0720831797378ae0", Seq: 5120, ID: "01", Type: "quality.characteristic.recorded.v1", Lot: "lot::MAT-100:L-88213",
			Source: "press1-parts", Item: node + "CycleRecord", Time: ago(100 * time.Millisecond), Recorded: asOf, Clock: "synchronised",
			Data: json.RawMessage(`{"lot":"lot::MAT-100:L-88213","characteristic":"torque","value":"61.2","unit":"N.m","evaluation":"fail"}`)},
		{Lane: event.LaneQuality, Seq: 5121, Urgent: true, Type: "quality.safety.failed.v1", Lot: "lot::MAT-100:L-88213", Source: "press1-parts", Item: node + "CycleRecord",
			Time: ago(100 * time.Millisecond), Recorded: asOf, Clock: "synchronised", Data: json.RawMessage(`{"characteristic":"torque","value":"61.2","unit":"N.m","evaluation":"fail"}`)},
		{Lane: event.LaneTelemetry, Seq: 99, Type: "signal.value.sampled.v1", Source: "press1", Item: node + "Torque", Time: ago(time.Second), Recorded: asOf.Add(118 * time.Millisecond),
			Quality: "good", Clock: "synchronised", Data: json.RawMessage(`{"equipment":"press1","signal":"torque","value":"45.1","unit":"N.m","status":"good"}`)},
		{Skipped: 12_345},
		{Lane: event.LaneQuality, Seq: 5122, Type: "observation.record.quarantined.v1", Source: "mes", Item: "acme/p1/\x1b[2J", Recorded: asOf.Add(400 * time.Millisecond), Quality: "quarantined", Clock: "missing",
			Data: json.RawMessage(`{"source":"mes","reason":"no mapping takes this topic","code":"E-6304"}`)},
		{Lane: event.LaneQuality, Seq: 5123, Type: "a.type.of.later.v9", Recorded: asOf.Add(500 * time.Millisecond), Data: json.RawMessage(`{"reason":7}`)},
	}
}

func TestTap(t *testing.T) {
	socket := serve(t, &fake{tapped: shift()})
	r := call(t, "", nil, "tap", "--socket", socket, "--utc", "--count", "5")
	if r.code != cli.ExitOK || r.err != "waiting for events; ^C ends\n" {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	golden(t, "tap.txt", r.out)

	r = call(t, "", nil, "tap", "--socket", socket, "-o", "json", "--count", "1", "-q")
	var e localapi.Tapped
	if err := json.Unmarshal([]byte(r.out), &e); err != nil || r.code != cli.ExitOK || r.err != "" || e.Seq != 5120 || strings.Count(r.out, "\n") != 1 {
		t.Errorf("exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
}

func TestTap_Errors(t *testing.T) {
	broken := serve(t, &fake{tapped: shift()[:1], fails: problem.New(problem.QueueCommit, "lane quality failed")})
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"ErrLane":    {[]string{"--lane", "urgent"}, cli.ExitUsage, "quality or telemetry"},
		"ErrQuality": {[]string{"--quality", "worse"}, cli.ExitUsage, "quarantined"},
		"ErrCount":   {[]string{"--count", "-1"}, cli.ExitUsage, "1 or more"},
		"ErrNobody":  {[]string{"--socket", "/nowhere/agent.sock"}, cli.ExitUnreachable, "E-2301"},
		"ErrAgent":   {nil, cli.ExitFailed, "E-5005"},
	} {
		t.Run(name, func(t *testing.T) {
			r := call(t, "", nil, append([]string{"tap", "--socket", broken}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.err, c.says) {
				t.Errorf("exit %d: want %d with %q\n%s", r.code, c.code, c.says, r.err)
			}
		})
	}
}
