package crash

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look at the cloud's database while it runs

	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// full tells whether the long campaign was asked for.
func full() bool { return os.Getenv("HOLDFAST_CRASH") == "full" }

// seed of a run; it is printed first, so that a run can be repeated.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("HOLDFAST_SEED=%q: %v", text, err)
		}
	}
	t.Logf("seed: HOLDFAST_SEED=%d", n)
	return rand.New(rand.NewPCG(n, n))
}

// rig is a stack under load that programs are killed in.
type rig struct {
	*stack.Stack
	t    *testing.T
	rnd  *rand.Rand
	rest time.Duration // after the load, until all has to be through

	mu      sync.Mutex      // guards what follows
	offered history.History // and acknowledged: the broker had it
	blocked map[string]bool // lot -> should be blocked at the end
	fails   map[string]bool // lots whose part fails: one nonconformance each
}

func newRig(t *testing.T, bin string, rest time.Duration, rnd *rand.Rand) *rig {
	t.Helper()
	r := &rig{t: t, rnd: rnd, rest: rest, blocked: map[string]bool{}, fails: map[string]bool{}}
	cfg := stack.Config{Bin: bin, Dir: t.TempDir(), Rate: 1000}
	cfg.SAP.AutoCreate = true
	var err error
	if r.Stack, err = stack.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.start("cloud", r.StartCloud)
	r.start("agent", r.StartAgent)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) start(name string, start func(context.Context, ...string) error, env ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if err := start(ctx, env...); err != nil {
		r.t.Fatalf("start %s: %v", name, err)
	}
}

// load publishes until stop is closed: lots with parts, of which some fail. Everything offered was acknowledged by the
// broker when load returns.
func (r *rig) load(stop <-chan struct{}, perSecond int) {
	press, err := plant.Connect(r.MQTT.URL(), "press")
	if err != nil {
		r.t.Error(err)
		return
	}
	defer press.Close()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	var wait []func() error
	for n := 0; ; n++ {
		select {
		case <-stop:
			for _, acknowledged := range wait {
				if err := acknowledged(); err != nil {
					r.t.Error(err)
				}
			}
			return
		case <-tick.C:
			wait = append(wait, r.publish(press, n)...)
		}
	}
}

// partsPerLot makes a new lot every so many parts.
const partsPerLot = 20

func (r *rig) publish(press *plant.Publisher, n int) (wait []func() error) {
	number, part := n/partsPerLot, n%partsPerLot
	lot := fmt.Sprintf("L-%05d", number)
	at := plant.Stamp(time.Now())
	if part == 0 {
		m := plant.Lot{Record: lot, Lot: lot, Material: "MAT-100", Qty: "500", Unit: "kg", Order: "4711", Equipment: "press4", At: at}
		wait = append(wait, r.offer(press, plant.TopicLot, m, lot, []string{"lot", lot}, event.TypeLotCreated))
	}
	value, fails := "45.5", number%4 == 1 && part == partsPerLot/2
	if fails {
		value = "61.2"
	}
	m := plant.Result{
		Record: fmt.Sprintf("%s-%02d", lot, part), Rev: 1, Lot: lot, Material: "MAT-100", Inspection: "INS-" + lot, Characteristic: "torque",
		Sample: part + 1, Value: value, Unit: "N.m", LSL: "40", USL: "50", Safety: true, At: at,
	}
	types := []event.Type{event.TypeCharacteristicRecorded}
	if fails {
		types = append(types, event.TypeSafetyFailed)
		r.mu.Lock()
		r.fails[lot] = true
		r.mu.Unlock()
	}
	return append(wait, r.offer(press, plant.TopicResult, m, lot, []string{"result", m.Record, "1"}, types...))
}

// offer publishes a message that must give one event of each type, with the same key.
func (r *rig) offer(press *plant.Publisher, topic string, m any, lot string, key []string, types ...event.Type) func() error {
	payload, err := json.Marshal(m)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	for _, typ := range types {
		f := history.Fact{
			Kind: history.Offered, By: "press", Plant: "p1", Event: event.NaturalID("p1", "mes1", key, typ, 0), Type: typ,
			Lot: event.LotKey("lot::MAT-100:" + lot), Door: "P",
		}
		r.offered = append(r.offered, f)
		f.Kind = history.Acknowledged
		r.offered = append(r.offered, f)
	}
	r.blocked[lot] = r.fails[lot]
	r.mu.Unlock()
	return press.Start(topic, payload)
}

// settle waits until all that was offered has gone through: queue empty, inbox complete, no effect waiting.
func (r *rig) settle(limit time.Duration) error {
	db, err := sql.Open("sqlite", "file:"+r.Path("cloud-data/holdfast.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	deadline := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var have, waiting int
		_ = db.QueryRow(`SELECT COUNT(*) FROM inbox WHERE door = 'P' AND lot <> ''`).Scan(&have)
		_ = db.QueryRow(`SELECT COUNT(*) FROM effect WHERE state IN ('due', 'leased')`).Scan(&waiting)
		m, err := stack.Metrics(r.t.Context(), r.Agent)
		queued := stack.Sum(m, "holdfast_agent_queue_size_events")
		if err == nil && have >= len(r.offered)/2 && waiting == 0 && queued == 0 {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("not at rest after %s: %d of %d events applied, %d effects waiting, %v queued\n%s\nagent: %s\ncloud: %s",
				limit, have, len(r.offered)/2, waiting, queued, pending(db), r.Agent.Tail(), r.Cloud.Tail())
		case <-tick.C:
		}
	}
}

// pending describes the effects that wait.
func pending(db *sql.DB) string {
	rows, err := db.Query(`SELECT id || ' ' || state || ' due ' || due || ' lease ' || lease || ' tries ' || tries || ' ' || outcome || ' ' || code || ' ' || message
		FROM effect WHERE state IN ('due', 'leased') LIMIT 10`)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = rows.Close() }()
	var out strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err.Error()
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// judge stops both programs in order and returns all that is wrong.
func (r *rig) judge() (wrong []string) {
	for _, p := range []*stack.Process{r.Agent, r.Cloud} {
		took, err := p.Stop(15 * time.Second)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("stop of %s: %v", p.Name, err))
		}
		if took > 10*time.Second {
			wrong = append(wrong, fmt.Sprintf("%s took %s to stop", p.Name, took))
		}
	}
	more, err := r.invariants()
	if err != nil {
		return append(wrong, err.Error())
	}
	return append(append(wrong, more...), r.books()...)
}

// invariants judges all that the run has left behind.
func (r *rig) invariants() (wrong []string, err error) {
	path := r.Path("cloud-data/holdfast.db")
	db, err := history.OpenStore(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	kept, err := db.History(context.Background())
	if err != nil {
		return nil, err
	}
	sent, err := history.OfTopics(context.Background(), r.Kafka.Addrs(), "holdfast.p1.quality.v1", "holdfast.p1.telemetry.v1")
	if err != nil {
		return nil, err
	}
	run := &check.Run{
		ERPs: []string{stack.ERP}, Undecided: []string{"MAT-100"},
		History: slices.Concat(r.offered, kept, sent, history.OfBook(stack.ERP, r.SAP.Book(), nil), history.OfBook(stack.QMS, r.QMS.Book(), history.LotOfKey)),
	}
	if run.End, err = db.Dump(context.Background(), "end"); err != nil {
		return nil, err
	}
	violations, judged := check.All(run)
	for _, v := range violations {
		wrong = append(wrong, v.String())
	}
	for _, x := range run.History.Of(history.Parked, history.Quarantined) {
		if x.Until.IsZero() {
			wrong = append(wrong, fmt.Sprintf("event %s is kept and not applied: %s", x.Event, x.Reason))
		}
	}
	r.t.Logf("judged: %v", judged)
	more, err := sealed(path, r.Path("anchors.jsonl"), r.Path("ledger.key"))
	return append(wrong, more...), err
}

// sealed verifies the ledger as an auditor would: from an export, the anchors and the public key.
func sealed(database, anchorFile, keyFile string) (wrong []string, err error) {
	s, err := store.Open(context.Background(), "sqlite:"+database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	var export strings.Builder
	err = s.View(context.Background(), func(tx *store.Tx) error {
		entries, err := tx.Entries(0, 1<<30)
		for i := range entries {
			line, err := json.Marshal(ledger.LineOf(&entries[i]))
			if err != nil {
				return err
			}
			export.Write(append(line, '\n'))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	anchors, err := os.Open(anchorFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = anchors.Close() }()
	key, err := ledger.ReadPublicKey(keyFile)
	if err != nil {
		return nil, err
	}
	report, err := ledger.Verify(strings.NewReader(export.String()), anchors, key)
	if err != nil {
		return []string{"ledger: " + err.Error()}, nil
	}
	if report.Unsealed > 0 || report.Unanchored > 0 || report.Anchors == 0 {
		wrong = append(wrong, fmt.Sprintf("ledger is not closed after an orderly stop: %+v", report))
	}
	return wrong, nil
}

// books compares what the business systems remember with what the plant's facts ask for.
func (r *rig) books() (wrong []string) {
	once := func(book.Entry) int { return 1 }
	wrong = append(wrong, check.Doubled(effects(r.SAP.Book()), once)...)
	wrong = append(wrong, check.Doubled(effects(r.QMS.Book()), once)...)
	free := func(lot string) bool {
		entries := r.SAP.Batch("MAT-100", lot)
		return len(entries) == 0 || entries[len(entries)-1].FreeAfter
	}
	wrong = append(wrong, check.EndState(r.blocked, free)...)
	if n := len(created(r.QMS.Book())); n != len(r.fails) {
		wrong = append(wrong, fmt.Sprintf("%d nonconformances in the QMS, %d parts failed", n, len(r.fails)))
	}
	return wrong
}

// effects leaves out what the simulator itself entered.
func effects(entries []book.Entry) (out []book.Entry) {
	for _, e := range entries {
		if e.Kind != "batch_created" {
			out = append(out, e)
		}
	}
	return out
}

func created(entries []book.Entry) (out []book.Entry) {
	for _, e := range entries {
		if e.Kind == "record_created" {
			out = append(out, e)
		}
	}
	return out
}

// loseAnswers makes both business systems take effect and lose every n-th answer.
func (r *rig) loseAnswers(every int) {
	r.SAP.Faults.Add(fault.Fault{Kind: fault.LostAfter, Every: every})
	r.QMS.Faults.Add(fault.Fault{Kind: fault.LostAfter, Every: every})
}

func pause(d time.Duration) { <-time.After(d) }

// build makes binaries with working failpoints, once for all tests; overlay is a mutant's.
func build(t *testing.T, overlay string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	flags := []string{"-tags", "failpoint"}
	if overlay != "" {
		flags = append(flags, "-overlay", overlay)
	}
	if err := stack.Build(t.Context(), dir, flags...); err != nil {
		t.Fatal(err)
	}
	return dir
}
