package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asOf is the time of every fixture.
var asOf = time.Date(2026, 11, 24, 14, 2, 11, 0, time.UTC)

// fake is an agent with fixed answers.
type fake struct {
	status localapi.Status
	plan   localapi.Plan
	lots   []localapi.Lot
	fails  error // after four records, for every lot, and after what is tapped
	tapped []localapi.Tapped
	reload func(localapi.Reload) (localapi.Reloaded, error)

	mu     sync.Mutex // guards orders
	orders []localapi.Replay
}

func (f *fake) Status() localapi.Status { return f.status }

func (f *fake) Queue() localapi.Queue {
	return localapi.Queue{Format: localapi.Format, Plant: f.status.Plant, Agent: f.status.Agent, AsOf: asOf, Lanes: f.status.Lanes}
}

func (f *fake) Lot(_ context.Context, name string) (localapi.Lot, error) {
	for _, l := range f.lots {
		if l.Lot == name {
			return l, nil
		}
	}
	return localapi.Lot{}, f.fails
}

// Lots gives one lot a page.
func (f *fake) Lots(_ context.Context, after string) (localapi.Lots, error) {
	page := localapi.Lots{Format: localapi.Format, Plant: "halle-1", Agent: "gw1", AsOf: asOf, Lots: []localapi.Lot{}}
	for i, l := range f.lots {
		if after == "" || i > 0 && f.lots[i-1].Lot == after {
			page.Lots = append(page.Lots, l)
			if i < len(f.lots)-1 {
				page.Next = l.Lot
			}
			break
		}
	}
	return page, f.fails
}

func (f *fake) Reload(_ context.Context, _ string, order localapi.Reload) (localapi.Reloaded, error) {
	return f.reload(order)
}

func (f *fake) PlanReplay(context.Context, localapi.Replay) (localapi.Plan, error) {
	return f.plan, nil
}

func (f *fake) Tap(ctx context.Context, _ localapi.Tap, show func(localapi.Tapped) error) error {
	for _, e := range f.tapped {
		if err := show(e); err != nil {
			return err
		}
	}
	if f.fails == nil {
		<-ctx.Done()
	}
	return f.fails
}

func (f *fake) Replay(_ context.Context, act localapi.Act, _ func(localapi.Progress)) (localapi.Progress, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, act.Order)
	if f.fails != nil {
		return localapi.Progress{Sent: 4, Total: act.Plan.Records}, f.fails
	}
	return localapi.Progress{Sent: act.Plan.Records, Total: act.Plan.Records}, nil
}

// serve serves an agent on a socket until the test ends.
func serve(t *testing.T, agent localapi.Agent) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "agent.sock")
	l, err := localapi.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := localapi.Serve(ctx, l, agent, zerolog.Nop()); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
	})
	return socket
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// call runs a command line in a folder of its own environment.
func call(t *testing.T, input string, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	p := program{
		in: strings.NewReader(input), out: &out, err: &errs, now: func() time.Time { return asOf }, examine: examined,
		lookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	code := p.main(t.Context(), args)
	return result{code, out.String(), errs.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

func ago(d time.Duration) time.Time { return asOf.Add(-d) }

// outage is a plant whose link has been down for hours.
func outage() localapi.Status {
	const gib = 1 << 30
	return localapi.Status{
		Format: localapi.Format, Plant: "halle-1", Agent: "gw1", Build: "v1.4.0", Epoch: "634754391577304a0720831797378ae0", Config: "7f3c01ab22cd",
		UpSince: ago(19*24*time.Hour + 4*time.Hour), AsOf: asOf, ConfigSince: ago(26 * time.Hour),
		ConfigRefused: &localapi.Refusal{
			At: ago(6 * time.Minute), Problem: "agent.yaml:12:9   queue.disk cannot change while the agent runs: restart it (queue.disk changed: 8GiB -> 4GiB)   (E-1008)\nconf.d/press.yaml:4:5   unknown key \"brokr\"\x1b[2J   (E-1003)",
		},
		Uplink: localapi.Uplink{
			Since: ago(3*time.Hour + 12*time.Minute), NextTry: asOf.Add(27 * time.Second),
			LastError: "reach [kafka-1:9093]: dial tcp kafka-1:9093: i/o timeout (E-2101)", Answered: 5118, Head: ago(3*time.Hour + 12*time.Minute),
		},
		Downlink: localapi.Downlink{
			Since: ago(3*time.Hour + 12*time.Minute), LastError: "read what the cloud says: i/o timeout (E-2101)", Barrier: 5118, Lots: 1204,
			AgeKnown: true, Age: 11_530, MaxAge: 14_400, Superseded: "a second gateway went on from the same records",
		},
		Lanes: []localapi.Lane{
			{Name: "quality", Epoch: "634754391577304a0720831797378ae0", LastSeq: 5120, Acked: localapi.Acked{Epoch: "634754391577304a0720831797378ae0", Seq: 3913},
				Depth: 1207, Urgent: 3, Oldest: ago(2*time.Hour + 50*time.Minute), Bytes: 12 << 20, Quota: 5 * gib, Reserve: gib, Segments: 2,
				Inflow: 0.1, Outflow: 0, FullIn: 8_000_000, Received: 5120, Sent: 3913},
			{Name: "telemetry", Epoch: "634754391577304a0720831797378ae0", LastSeq: 500_000, Depth: 183_013, Oldest: ago(3*time.Hour + 12*time.Minute),
				Bytes: 300 << 20, Quota: 2 * gib, Segments: 6, Inflow: 16, Outflow: 500, FullIn: 288_000, DrainIn: 366, Received: 500_000, Sent: 316_987, Shed: 12},
		},
		Sources: []localapi.Source{
			{ID: "press-4", Transport: "mqtt", Address: "ssl://broker:8883", State: source.Live, Since: ago(19 * 24 * time.Hour), LastSignal: ago(400 * time.Millisecond), Received: 1_204_118, Duplicates: 2},
			{ID: "mes", Transport: "mqtt", Address: "ssl://broker:8883", State: source.Refused, Since: ago(41 * time.Minute), LastSignal: ago(41 * time.Minute), Received: 88, Discarded: 5, AtMostOnce: []string{"acme/p1/mes/note"},
				Problem: "subscribe: not authorised (E-4001)", Next: "check address, user, rights and topic filter of the source"},
			{ID: "cmm", Transport: "mqtt", State: source.Connecting, Since: ago(3 * time.Second)},
			{ID: "cell-2", Transport: "opcua", State: source.Live, Since: ago(time.Hour), LastSignal: ago(time.Second), Received: 4321, Items: 12, OpenGaps: 1,
				Signals: map[source.Quality]int{source.Good: 11, source.Stale: 1}, Troubled: []string{"torque_2: BadNodeIdUnknown (E-4102)"}},
		},
		Ending: []localapi.Certificate{
			{Use: "own", For: []string{"cell-2"}, File: "/var/lib/holdfast-agent/pki/own/holdfast.pem", Thumbprint: "7189112458c905513f05cc19582ba45e172754a5", Subject: "CN=Holdfast agent",
				Issuer: "CN=Holdfast agent", URI: "urn:holdfast:halle-1:gw1", Renewable: true, NotAfter: asOf.Add(12*24*time.Hour + time.Hour), Days: 12},
			{Use: "own", For: []string{"kafka", "press-4"}, File: "/etc/holdfast-agent/gw1.pem", Thumbprint: "4aa28b2474ee0e27bd499a46379d850306be0f86", Subject: "CN=halle-1.gw1",
				Issuer: "CN=Plant CA", NotAfter: ago(30 * time.Hour), Days: -2},
			{Use: "trusted", For: []string{"cell-2"}, File: "/var/lib/holdfast-agent/pki/trusted/cell2.der", Thumbprint: "4a607c656a90119c71bc03262dd216c36636b905", Subject: "CN=Cell 2",
				Issuer: "CN=Cell 2", URI: "urn:example:cell2", NotAfter: asOf.Add(time.Hour)},
		},
		Arrival: []string{"andon"},
		Mixed:   []localapi.Mixed{{Source: "press-4", Urgent: []string{"{e}/{s}/{press}/result"}, Others: []string{"{e}/{s}/{press}/state"}}},
		Quarantine: localapi.Quarantine{Count: 22, Newest: []localapi.Quarantined{
			{At: ago(2 * time.Minute), Source: "press-4", Item: "acme/p1/press4/result", Code: "E-6301", Reason: "press-result: data.value: num: is the text \"n/a\": want a number"},
			{At: ago(time.Minute), Source: "mes", Item: "acme/p1/mes/\x1b[2Jlot", Code: "E-6304", Reason: "no mapping takes the topic"},
		}},
	}
}

func TestStatus(t *testing.T) {
	calm := localapi.Status{
		Format: localapi.Format, Plant: "p1", Agent: "gw1", Build: "v1.4.0", Epoch: "634754391577304a0720831797378ae0", Config: "7f3c01ab22cd", UpSince: ago(90 * time.Second), ConfigSince: ago(90 * time.Second), AsOf: asOf,
		Uplink:   localapi.Uplink{Up: true, Since: ago(80 * time.Second), Answered: 12, Head: ago(4 * time.Second)},
		Downlink: localapi.Downlink{Up: true, Since: ago(80 * time.Second), Barrier: 12, Heard: ago(9 * time.Second), Lots: 3, MaxAge: 14_400},
		Lanes:    []localapi.Lane{{Name: "quality", Bytes: 64 << 10, Quota: 5 << 30}, {Name: "telemetry", Bytes: 64 << 10, Quota: 2 << 30}},
		Sources:  []localapi.Source{{ID: "press-4", Transport: "mqtt", State: source.Live, Since: ago(time.Minute)}},
		Ending:   []localapi.Certificate{}, Arrival: []string{}, Mixed: []localapi.Mixed{}, Quarantine: localapi.Quarantine{Newest: []localapi.Quarantined{}},
	}
	for name, status := range map[string]localapi.Status{"outage": outage(), "calm": calm} {
		socket := serve(t, &fake{status: status})
		for format, ending := range map[string]string{"table": ".txt", "json": ".json"} {
			t.Run(name+" as "+format, func(t *testing.T) {
				r := call(t, "", nil, "status", "--socket", socket, "--utc", "-o", format)
				if r.code != cli.ExitOK || r.err != "" {
					t.Fatalf("exit %d: %s", r.code, r.err)
				}
				golden(t, "status-"+name+ending, r.out)
			})
		}
	}
}

func TestQueueStat(t *testing.T) {
	socket := serve(t, &fake{status: outage()})
	r := call(t, "", nil, "queue", "stat", "--socket", socket)
	if r.code != cli.ExitOK || r.err != "" {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	golden(t, "queue-stat.txt", r.out)
}

func plan(n int64) localapi.Plan {
	return localapi.Plan{
		Plant: "halle-1", Lane: "quality", Records: n, Bytes: 700 * n, First: ago(3 * time.Hour), Last: ago(2 * time.Hour),
		Types: []localapi.Count{{Type: "inventory.lot.created.v1", Records: 1}, {Type: "quality.characteristic.recorded.v1", Records: n - 1}},
	}
}

func TestQueueReplay(t *testing.T) {
	base := []string{"queue", "replay", "--from", "2026-11-24T11:00Z", "--to", "2026-11-24T12:30:00Z", "--utc"}
	execute := append(base[:len(base):len(base)], "--execute", "--reason", "ERP outage INC-4412")

	t.Run("a dry run sends nothing", func(t *testing.T) {
		f := &fake{plan: plan(2418)}
		r := call(t, "", nil, append(base, "--socket", serve(t, f))...)
		if r.code != cli.ExitOK || len(f.orders) != 0 || !strings.Contains(r.err, "Nothing was sent") {
			t.Errorf("exit %d, orders %v: %s", r.code, f.orders, r.err)
		}
		golden(t, "replay-plan.txt", r.out)
	})
	t.Run("a dry run in JSON", func(t *testing.T) {
		r := call(t, "", nil, append(base, "-o", "json", "--socket", serve(t, &fake{plan: plan(2)}))...)
		var got localapi.Update
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Plan == nil || got.Plan.Records != 2 {
			t.Errorf("output is %s, %v", r.out, err)
		}
	})

	t.Run("a replay that breaks is partial", func(t *testing.T) {
		f := &fake{plan: plan(10), fails: problem.New(problem.KafkaRefused, "send to holdfast.halle-1.quality.v1: no rights")}
		r := call(t, "y\n", nil, append(execute, "--socket", serve(t, f))...)
		if r.code != cli.ExitPartial || !strings.Contains(r.out, "sent 4 of 10 records again") || !strings.Contains(r.err, "E-2102") {
			t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
		}
	})

	for _, c := range []struct {
		name    string
		records int64
		args    []string
		input   string
		code    int
		orders  int
	}{
		{"few records want a y", 10, execute, "y\n", cli.ExitOK, 1},
		{"few records and no answer", 10, execute, "", cli.ExitUsage, 0},
		{"many records do not take a y", 2418, execute, "y\n", cli.ExitUsage, 0},
		{"many records want the plant", 2418, execute, "halle-1\n", cli.ExitOK, 1},
		{"-y asks nothing", 2418, append(execute[:len(execute):len(execute)], "-y"), "", cli.ExitOK, 1},
		{"-y wants a reason all the same", 10, append(base[:len(base):len(base)], "--execute", "-y"), "", cli.ExitUsage, 0},
		{"nothing to send asks nothing", 0, execute, "", cli.ExitOK, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{plan: plan(c.records)}
			r := call(t, c.input, nil, append(c.args[:len(c.args):len(c.args)], "--socket", serve(t, f))...)
			if r.code != c.code || len(f.orders) != c.orders {
				t.Errorf("exit %d, %d orders: want %d, %d\n%s%s", r.code, len(f.orders), c.code, c.orders, r.out, r.err)
			}
			if len(f.orders) == 1 && (f.orders[0].Reason != "ERP outage INC-4412" || f.orders[0].Rate != localapi.DefaultRate) {
				t.Errorf("order is %+v", f.orders[0])
			}
		})
	}
}

func TestProgram_ExitCode(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no agent", []string{"status", "--socket", filepath.Join(dir, "none")}, cli.ExitUnreachable, "E-2301"},
		{"no configuration", []string{"status", "--config", filepath.Join(dir, "none.yaml")}, cli.ExitConfig, "E-1007"},
		{"bad configuration", []string{"check-config", "--config", "../../testdata/unknown-key.bad.yaml"}, cli.ExitConfig, `did you mean "keep_sent"`},
		{"bad configuration at run", []string{"run", "--config", "../../testdata/unknown-key.bad.yaml"}, cli.ExitConfig, "unknown-key.bad.yaml:4:22"},
		{"an unknown verb", []string{"stauts"}, cli.ExitUsage, "unknown command"},
		{"an unknown verb below queue", []string{"queue", "stats"}, cli.ExitUsage, "unknown command"},
		{"an unknown flag", []string{"status", "--colour"}, cli.ExitUsage, "E-1201"},
		{"an unknown format", []string{"status", "-o", "xml"}, cli.ExitUsage, "xml"},
		{"an unknown log format", []string{"run", "--log-format", "xml"}, cli.ExitUsage, "xml"},
		{"a replay without a range", []string{"queue", "replay"}, cli.ExitUsage, "--from"},
		{"a replay at a bad time", []string{"queue", "replay", "--from", "yesterday", "--to", "0s"}, cli.ExitUsage, "yesterday"},
		{"a replay at a bad rate", []string{"queue", "replay", "--from", "2h", "--to", "1h", "--rate", "fast"}, cli.ExitUsage, "200/s"},
		{"a replay without a reason", []string{"queue", "replay", "--from", "2h", "--to", "1h", "--execute"}, cli.ExitUsage, "E-8004"},
		{"a segment that is none", []string{"check-segment", "program_test.go"}, cli.ExitFailed, ""},
		{"a copy of lot status that is none", []string{"check-downlink", "program_test.go"}, cli.ExitFailed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := call(t, "", nil, c.args...)
			if r.code != c.code || !strings.Contains(r.err, c.says) || r.err == "" {
				t.Errorf("exit %d: want %d with %q on stderr, which has\n%s", r.code, c.code, c.says, r.err)
			}
			if r.out != "" {
				t.Errorf("stdout has %q", r.out)
			}
		})
	}
}

func TestCheckConfig(t *testing.T) {
	r := call(t, "", nil, "check-config", "--config", "../../testdata/press.good.yaml")
	if r.code != cli.ExitOK || r.out != "ok   ../../testdata/press.good.yaml   sources 2   mappings 3   samples run 9\n" {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
}

func TestProgram_DefaultConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.yaml"), []byte("plant: p1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := call(t, "", map[string]string{"CONFIGURATION_DIRECTORY": dir}, "check-config")
	if r.code != cli.ExitConfig || !strings.Contains(r.err, dir) {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{seconds(0): "-", seconds(2460): "41m", clean("a\x1b[2J\nb"): "a\ufffd[2J\ufffdb"} {
		if got != want {
			t.Errorf("got %q: want %q", got, want)
		}
	}
}
