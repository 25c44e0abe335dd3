//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// lineSource reads a press line. None of the reloads changes it, so that its connection stands.
const lineSource = `
  - id: line1
    equipment: line1
    opcua:
      endpoint: "%s"
      security: None
      exception: { owner: plant, reason: a test, until: "2099-12-31" }
      heartbeat: "nsu=urn:example:plant:pressline1;s=PressLine1.Heartbeat"
      items: [{ node: "nsu=urn:example:plant:pressline1;s=PressLine1.CycleRecord", pattern: record, seq: Seq }]
      history: { max: 1h }
mappings:
  - name: line-part
    version: 1
    from: { source: line1, topic: "nsu=urn:example:plant:pressline1;s=PressLine1.CycleRecord" }
    when: p.value != nil
    event:
      type: quality.characteristic.recorded.v1
      lot: lot("", "MAT-100", p.value.LotId)
      time: rfc3339(p.source_time)
      key: [p.id]
      raw: string(p.value.Torque)
      data: { inspection_id: 'id("inspection", p.value.LotId)', characteristic: '"line-torque"', sample_no: p.seq, kind: '"variable"', value: num(p.value.Torque), unit: '"N.m"', lsl: p.value.TorqueLo, usl: p.value.TorqueHi, evaluation: 'judge(num(p.value.Torque), p.value.TorqueLo, p.value.TorqueHi)', equipment: '"line1"', measured_at: rfc3339(p.source_time) }
    samples:
      - { name: a part, payload: '{"id":"ab","node":"n","value":{"Seq":7,"LotId":"L-1","Torque":45.1,"TorqueLo":40,"TorqueHi":50},"quality":"good","status":"0x00000000","source_time":"2026-11-24T06:30:00.125Z","seq":7}', want: [{ data: { sample_no: 7 } }] }
      - { name: no torque, payload: '{"id":"ab","node":"n","value":{"LotId":"L-1"},"quality":"good","status":"0x00000000","source_time":"2026-11-24T06:30:00.125Z","seq":7}', want_error: data.value }
`

// reloading is a running agent under traffic, whose configuration is changed all the time.
type reloading struct {
	*stack.Stack
	t        *testing.T
	line     *opcua.Press
	press    *plant.Publisher
	messages int // published and acknowledged
}

func startReloading(t *testing.T) *reloading {
	t.Helper()
	line, err := opcua.Start(opcua.Config{History: opcua.History{Keep: 10_000}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	r := &reloading{t: t, line: line, Stack: build(t, stack.Config{})}
	text, err := os.ReadFile(r.Path("agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("agent.yaml", string(text)+fmt.Sprintf(lineSource, line.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.StartCloud(ctx); err != nil { // it makes the topics
		t.Fatal(err)
	}
	if err := r.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	r.press = publisher(t, r.Stack, "press")
	return r
}

func (r *reloading) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.Path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// edit replaces a text that stands in a file.
func (r *reloading) edit(name, was, is string) {
	r.t.Helper()
	text, err := os.ReadFile(r.Path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(string(text), was) {
		r.t.Fatalf("%s has no %q", name, was)
	}
	r.write(name, strings.Replace(string(text), was, is, 1))
}

func (r *reloading) status() localapi.Status {
	r.t.Helper()
	s, err := localapi.NewClient(r.Socket()).Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// hangUp sends the agent the signal.
func (r *reloading) hangUp() {
	r.t.Helper()
	if err := syscall.Kill(r.Agent.Pid(), syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
}

// taken waits until another configuration is in force.
func (r *reloading) taken(before string) {
	r.t.Helper()
	eventually(r.t, 20*time.Second, "the new configuration is in force", func() bool { s := r.status(); return s.Config != before && s.ConfigRefused == nil })
}

// traffic lets press and line work until stop is called, which waits for what they said last.
func (r *reloading) traffic() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var machines sync.WaitGroup
	machines.Go(func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		var waits []func() error
		for ctx.Err() == nil {
			payload, err := json.Marshal(result("L-reload", len(waits)+1, "45.10", true))
			if err != nil {
				r.t.Error(err)
				return
			}
			waits = append(waits, r.press.Start(plant.TopicResult, payload))
			<-tick.C
		}
		for _, wait := range waits {
			if err := wait(); err != nil {
				r.t.Error(err)
			}
		}
		r.messages = len(waits)
	})
	machines.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond) // the embedded server keeps one value for each time it publishes
		defer tick.Stop()
		for ctx.Err() == nil {
			r.line.Part("L-line", 45.1)
			<-tick.C
		}
	})
	return func() { cancel(); machines.Wait() }
}

// TestF07_ReloadUnderTraffic changes mappings and a source of a working agent by HUP and by the verb, and offers it broken
// configurations between. Nothing that was acknowledged or made is lost, nothing is doubled, and what is refused changes
// nothing.
func TestF07_ReloadUnderTraffic(t *testing.T) {
	t.Parallel()
	rounds := 12
	if long() {
		rounds = 20
	}
	r := startReloading(t)
	first := r.line.Seq()
	stop := r.traffic()
	for i := range rounds {
		s := r.status()
		r.edit("press.yaml", fmt.Sprintf("name: press-result\n    version: %d\n", i+1), fmt.Sprintf("name: press-result\n    version: %d\n", i+2))
		r.hangUp()
		r.taken(s.Config)
		before := s.Sources
		s = r.status()
		for j, src := range s.Sources {
			if src.Reconnects != before[j].Reconnects || src.Received < before[j].Received {
				t.Errorf("source %s has connected anew, though only a mapping has changed", src.ID)
			}
		}

		// Broken in three ways: what the agent does, what the verb says, and what it goes on with.
		for _, broken := range []struct{ name, was, is, says string }{
			{"press.yaml", "value: num(p.value)", "value: nmu(p.value)", "E-1101"},
			{"agent.yaml", "plant: p1", "plant: p2", "agent.yaml:2:8"},
			{"agent.yaml", "include: [press.yaml]", "include: [press.yaml", "E-1001"},
		} {
			r.edit(broken.name, broken.was, broken.is)
			if broken.says != "E-1001" {
				r.hangUp()
				eventually(t, 20*time.Second, "the refusal is told", func() bool {
					now := r.status()
					return now.ConfigRefused != nil && strings.Contains(now.ConfigRefused.Problem, broken.says)
				})
			}
			_, said, code := cli(t, "holdfast-agent", "reload", "--socket", r.Socket(), "--no-color")
			if code != 3 || !strings.Contains(said, broken.says) {
				t.Errorf("reload exits %d and says %s, want 3 and %s", code, said, broken.says)
			}
			r.edit(broken.name, broken.is, broken.was)
		}
		if now := r.status(); now.Config != s.Config {
			t.Errorf("a refused configuration is in force: %s", now.Config)
		}

		r.edit("agent.yaml", `mqtt: { broker:`, `mqtt: { in_flight: 700, broker:`) // of the press
		out, _, code := agentCLI(t, r.Stack, "reload", "--reason", "the broker allows more")
		if code != 0 || !strings.Contains(out, "sources read anew: press4") || !strings.Contains(out, "~ sources[press4].mqtt.in_flight   1000 -> 700") {
			t.Errorf("reload exits %d and says %s", code, out)
		}
		r.edit("agent.yaml", `in_flight: 700, `, ``)
		s = r.status()
		r.hangUp()
		r.taken(s.Config)
		eventually(t, 20*time.Second, "all sources read again", func() bool {
			for _, src := range r.status().Sources {
				if src.State != source.Live {
					return false
				}
			}
			return true
		})
	}
	for _, src := range r.status().Sources {
		if src.ID == "line1" && (src.Reconnects != 0 || src.OpenGaps != 0) {
			t.Errorf("the line has connected anew %d times, though its settings stay, and has %d gaps", src.Reconnects, src.OpenGaps)
		}
	}
	stop()
	parts := int(r.line.Seq() - first)
	var now string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("of %d messages and %d parts: %s", r.messages, parts, now)
		}
	})
	eventually(t, 30*time.Second, "all is read, sent, and nothing is missing", func() bool {
		s, got, gaps := r.status(), r.recorded(t, false), 0
		for _, src := range s.Sources {
			gaps += src.OpenGaps
		}
		now = fmt.Sprintf("%v recorded, %d gaps open, %d wait, quarantined %+v", got, gaps, s.Lanes[0].Depth, s.Quarantine)
		return gaps == 0 && s.Lanes[0].Depth == 0 && s.Quarantine.Count == 0 && got["torque"] >= r.messages && got["line-torque"] >= parts
	})
	got := r.recorded(t, true)
	if got["torque"] != r.messages || got["line-torque"] != parts {
		t.Errorf("of %d messages %d are recorded, of %d parts %d", r.messages, got["torque"], parts, got["line-torque"])
	}
	if got["reload"] != 3*rounds {
		t.Errorf("%d reloads are recorded, want %d", got["reload"], 3*rounds)
	}
	t.Logf("%d messages and %d parts through %d reloads and %d refusals: 0 lost, 0 doubled", r.messages, parts, 3*rounds, 5*rounds)
}

// recorded counts the readings of lane quality by characteristic, and what was done at the agent by the act. With judge, an
// event that stands at two places of the lane is an error.
func (r *reloading) recorded(t *testing.T, judge bool) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Kafka.Addrs()...), kgo.ConsumeTopics("holdfast.p1.quality.v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	end := endOf(t, client)
	count, place := map[string]int{}, map[string]string{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for read := int64(0); read < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			read++
			h := map[string]string{}
			for _, x := range rec.Headers {
				h[x.Key] = string(x.Value)
			}
			id, at := h["ce_id"], h["ce_epoch"]+" "+h["ce_seq"]
			if before, known := place[id]; known {
				if before != at && judge {
					t.Errorf("%s %s stands at %s and at %s", h["ce_type"], id, before, at)
				}
				return
			}
			place[id] = at
			var d struct{ Characteristic, Act string }
			if json.Unmarshal(rec.Value, &d) == nil {
				count[d.Characteristic+d.Act]++
			}
		})
	}
	return count
}

// endOf returns how many records the plant's quality topic has.
func endOf(t *testing.T, client *kgo.Client) (n int64) {
	t.Helper()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "holdfast.p1.quality.v1")
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}
