// Package badinput feeds the running programs what no sender should send, one numbered test for each line of the list of
// bad inputs that the path from machine to ERP meets. Agent and cloud run as real processes; what arrives is read in the
// cloud's database, what a person sees in the agent's status.
package badinput

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	_ "github.com/holdfast-mesh/holdfast/cloud/store" // the driver called sqlite
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// limit bounds every wait. What is waited for takes some ten milliseconds on an idle machine.
const limit = 20 * time.Second

// world is what all tests share: programs built once, and plants started by the first test that needs them.
var world struct {
	bin  string
	dirs string

	wide  shared // with the sources of wide.yaml
	kafka shared // whose broker tests disturb
	full  shared // with a small queue
}

func TestMain(m *testing.M) { os.Exit(stack.WithPrograms(run(m))) }

func run(m *testing.M) func(string) int {
	return func(bin string) int {
		world.bin, world.dirs = bin, filepath.Join(bin, "rigs")
		if err := os.Mkdir(world.dirs, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer world.wide.close()
		defer world.kafka.close()
		defer world.full.close()
		return m.Run()
	}
}

// shared is a rig that several tests use, one after the other.
type shared struct {
	once sync.Once
	rig  *rig
	err  error
}

func (s *shared) get(t *testing.T, begin func() (*rig, error)) *rig {
	t.Helper()
	s.once.Do(func() { s.rig, s.err = begin() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	s.rig.watch(t)
	return s.rig
}

func (s *shared) close() {
	if s.rig != nil {
		s.rig.close()
	}
}

// rig is a running plant with its cloud.
type rig struct {
	*stack.Stack
	press *plant.Publisher
	local *localapi.Client
	db    *sql.DB // the cloud's, read only
	wires map[string]*wire
	count int
}

// cluster is the embedded Kafka, which faults are put into.
func (r *rig) cluster() *kfake.Cluster { return r.Kafka.(*broker.Kafka).Cluster() }

// newRig starts a plant. Prepare may change its configuration before the programs start.
func newRig(name string, cfg stack.Config, prepare func(*rig) error) (*rig, error) {
	cfg.Bin, cfg.Dir = world.bin, filepath.Join(world.dirs, name)
	cfg.SAP.AutoCreate = true
	if err := os.Mkdir(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	s, err := stack.New(cfg)
	if err != nil {
		return nil, err
	}
	r := &rig{Stack: s, wires: map[string]*wire{}}
	if err := r.start(prepare); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) start(prepare func(*rig) error) (err error) {
	if prepare != nil {
		if err := prepare(r); err != nil {
			return err
		}
	}
	r.local = localapi.NewClient(r.Path("agent-data/agent.sock"))
	if r.db, err = sql.Open("sqlite", "file:"+r.Path("cloud-data/holdfast.db")+"?mode=ro&_pragma=busy_timeout(5000)"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	if err := r.StartCloud(ctx); err != nil {
		return err
	}
	if err := r.StartAgent(ctx); err != nil {
		return err
	}
	if r.press, err = plant.Connect(r.MQTT.URL(), "press"); err != nil {
		return err
	}
	if err := r.live(ctx, "press4", "mes", "press4-signals"); err != nil {
		return err
	}
	return r.make(ctx, "L-1", "kg")
}

// make makes a lot and waits until the cloud knows it.
func (r *rig) make(ctx context.Context, lot, unit string) error {
	err := r.press.Send(plant.TopicLot, plant.Lot{
		Record: "lot-" + lot, Lot: lot, Material: "MAT-100", Qty: "500", Unit: unit, Order: "4711", Equipment: "press4", At: plant.Stamp(time.Now()),
	})
	if err != nil {
		return err
	}
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		n := 0
		err := r.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM inbox WHERE type = ? AND lot = ?`, string(event.TypeLotCreated), "lot::MAT-100:"+lot).Scan(&n)
		if err != nil || n > 0 {
			tick.Stop()
			return err
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("lot %s does not arrive: %w", lot, ctx.Err())
		case <-tick.C:
		}
	}
}

func (r *rig) close() {
	if r.press != nil {
		r.press.Close()
	}
	if r.db != nil {
		_ = r.db.Close()
	}
	r.Close() // of the stack
	for _, w := range r.wires {
		w.close()
	}
}

// watch fails a test in which a program ended, and shows the logs of one that failed.
func (r *rig) watch(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for _, p := range []*stack.Process{r.Agent, r.Cloud} {
			select {
			case <-p.Done():
				t.Errorf("%s ended: %v\n%s", p.Name, p.Err(), p.Tail())
			default:
			}
		}
	})
}

// live waits until sources of the agent read.
func (r *rig) live(ctx context.Context, ids ...string) error {
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		status, err := r.local.Status(ctx)
		up := 0
		for _, id := range ids {
			if s := sourceOf(status, id); s.State == source.Live {
				up++
			}
		}
		if err == nil && up == len(ids) {
			tick.Stop()
			return nil
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("sources %v are not live: %w\n%s", ids, errors.Join(err, ctx.Err()), r.Agent.Tail())
		case <-tick.C:
		}
	}
}

func sourceOf(s localapi.Status, id string) localapi.Source {
	for _, x := range s.Sources {
		if x.ID == id {
			return x
		}
	}
	return localapi.Source{}
}

func laneOf(s localapi.Status, name event.Lane) localapi.Lane {
	for _, x := range s.Lanes {
		if x.Name == string(name) {
			return x
		}
	}
	return localapi.Lane{}
}

// eventually polls until ok, and fails the test after the limit.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

func (r *rig) status(t *testing.T) localapi.Status {
	t.Helper()
	s, err := r.local.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counter returns one series of a program's metrics, such as name{label="value"}; 0 if it is not there.
func counter(t *testing.T, p *stack.Process, series string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

// outcomes is the series of the cloud that counts what became of the plant's records.
func outcomes(outcome string) string {
	return `holdfast_cloud_intake_events_total{outcome="` + outcome + `",plant="p1"}`
}

// quarantines is the series of the agent that counts what was not understood.
func quarantines(code problem.Code) string {
	return `holdfast_agent_quarantined_events_total{cause="` + string(code) + `"}`
}

const repeats = "holdfast_agent_repeated_events_total"

// number runs a query that gives one number.
func (r *rig) number(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := r.db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// inbox waits for the accepted event of a type that was read from these bytes, and returns its data.
func (r *rig) inbox(t *testing.T, kind event.Type, raw []byte) event.Data {
	t.Helper()
	var value []byte
	eventually(t, fmt.Sprintf("%s of %.100q in the cloud's inbox", kind, raw), func() bool {
		err := r.db.QueryRowContext(t.Context(), `SELECT value FROM inbox WHERE type = ? AND raw_sha256 = ?`, string(kind), sum(raw)).Scan(&value)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		return err == nil
	})
	data, err := event.DecodeData(kind, value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sum(raw []byte) string {
	h := sha256.Sum256(raw)
	return hex.EncodeToString(h[:])
}

// bad is a message that the agent cannot take, and what must become of it.
type bad struct {
	topic   string
	payload []byte
	code    problem.Code // "" = MappingFailed
	reason  string       // part of it
}

// quarantined sends a message and asserts what must happen to it: its record is in the cloud with raw bytes and reason,
// the agent's status shows it, its counter moved.
func (r *rig) quarantined(t *testing.T, b bad, send func(topic string, payload []byte) error) *event.RecordQuarantined {
	t.Helper()
	if b.code == "" {
		b.code = problem.MappingFailed
	}
	before := counter(t, r.Agent, quarantines(b.code))
	shown := r.status(t).Quarantine.Count
	if err := send(b.topic, b.payload); err != nil {
		t.Fatal(err)
	}
	d := r.inbox(t, event.TypeRecordQuarantined, b.payload).(*event.RecordQuarantined)
	if problem.Code(d.Code) != b.code || !strings.Contains(d.Reason, b.reason) {
		t.Errorf("reason is %q (%s): want one with %q (%s)", d.Reason, d.Code, b.reason, b.code)
	}
	checkRaw(t, d, b.payload)
	status := r.status(t)
	found := false
	for _, q := range status.Quarantine.Newest {
		found = found || q.Item == d.Item && q.Reason == d.Reason && q.Code == string(b.code) && q.Source == string(d.Source)
	}
	if !found || status.Quarantine.Count <= shown {
		t.Errorf("status shows %d records, %+v: not that of %.60q", status.Quarantine.Count, status.Quarantine.Newest, d.Item)
	}
	if after := counter(t, r.Agent, quarantines(b.code)); after <= before {
		t.Errorf("counter of %s stayed at %v", b.code, after)
	}
	return d
}

// checkRaw compares the bytes in a quarantine record with those that were sent.
func checkRaw(t *testing.T, d *event.RecordQuarantined, payload []byte) {
	t.Helper()
	p := d.Provenance
	raw := []byte(p.Raw)
	if p.RawBase64 != "" {
		var err error
		if raw, err = base64.StdEncoding.DecodeString(p.RawBase64); err != nil {
			t.Errorf("raw bytes: %v", err)
		}
	}
	switch {
	case p.RawLength == 0 && !bytes.Equal(raw, payload):
		t.Errorf("raw bytes are %.100q: want %.100q", raw, payload)
	case p.RawLength != 0 && (p.RawLength != int64(len(payload)) || len(raw) < 4000 || !bytes.HasPrefix(payload, raw)):
		t.Errorf("head has %d bytes of %d: want the first 4 KiB of %d", len(raw), p.RawLength, len(payload))
	}
}

// result returns a measurement that nobody has sent before.
func (r *rig) result() plant.Result {
	r.count++
	return result(fmt.Sprintf("r-%d", r.count), "L-1")
}

func result(record, lot string) plant.Result {
	return plant.Result{
		Record: record, Rev: 1, Lot: lot, Material: "MAT-100", Inspection: "INS-" + lot, Characteristic: "torque", Sample: 1,
		Value: "45.1", Unit: "N.m", LSL: "40", USL: "50", At: plant.Stamp(time.Now()),
	}
}

// flows asserts that what is good still arrives: the source was not stopped by what came before.
func (r *rig) flows(t *testing.T) {
	t.Helper()
	good := encode(t, r.result())
	if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
		t.Fatal(err)
	}
	r.inbox(t, event.TypeCharacteristicRecorded, good)
}

// restartAgent stops the agent in order and starts it again.
func (r *rig) restartAgent(t *testing.T) {
	t.Helper()
	if _, err := r.Agent.Stop(limit); err != nil {
		t.Fatalf("stop agent: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.live(ctx, "press4", "mes", "press4-signals"); err != nil {
		t.Fatal(err)
	}
}

// changed writes a copy of a configuration in which texts, given in pairs, are replaced, and returns its path.
func (r *rig) changed(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(r.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	path := r.Path(sum([]byte(t.Name()))[:8] + name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
