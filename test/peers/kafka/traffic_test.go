//go:build unix

package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// settles is how long what was sent may take to come through on a loaded machine.
const settles = 2 * time.Minute

// traffic is a plant and its cloud on a cluster, with all that the plant has told.
type traffic struct {
	*stack.Stack
	t       *testing.T
	press   *plant.Publisher
	offered history.History
	sent    int

	recovery time.Duration // longest, from a fault until all that was sent was through
}

// play makes a stack on the cluster and starts its cloud.
func play(t *testing.T, c *Cluster) *traffic {
	t.Helper()
	cfg := stack.Config{Bin: bin, Dir: t.TempDir(), Rate: 1000, Kafka: func() (stack.Kafka, error) { return c, nil }}
	cfg.SAP.AutoCreate = true
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &traffic{Stack: s, t: t}
	t.Cleanup(func() {
		if t.Failed() {
			for _, program := range []*stack.Process{s.Agent, s.Cloud} {
				if program != nil {
					t.Logf("log of %s:\n%s", program.Name, program.Tail())
				}
			}
		}
		s.Close()
	})
	p.within(func(ctx context.Context) error { return s.StartCloud(ctx) })
	if p.press, err = plant.Connect(s.MQTT.URL(), "press"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.press.Close)
	return p
}

// within runs what a loaded machine may take a minute for.
func (p *traffic) within(do func(context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := do(ctx); err != nil {
		p.t.Fatal(err)
	}
}

// agent starts the agent with a shifted clock, and returns when it reads.
func (p *traffic) agent(shift time.Duration) {
	p.t.Helper()
	p.within(func(ctx context.Context) error { return p.StartAgent(ctx, "HOLDFAST_CLOCK_OFFSET="+shift.String()) })
	p.within(p.WaitLive)
}

// send publishes n results, twenty of each lot, one of which fails, and returns when the plant's broker has all.
func (p *traffic) send(n int) {
	p.t.Helper()
	var waits []func() error
	for range n {
		lot, part, at := fmt.Sprintf("L-%04d", p.sent/20), p.sent%20, plant.Stamp(time.Now())
		p.sent++
		if part == 0 {
			m := plant.Lot{Record: lot, Lot: lot, Material: "MAT-100", Qty: "500", Unit: "kg", Order: "4711", Equipment: "press4", At: at}
			waits = append(waits, p.offer(plant.TopicLot, m, lot, []string{"lot", lot}, event.TypeLotCreated))
		}
		m := plant.Result{
			Record: fmt.Sprintf("%s-%02d", lot, part), Rev: 1, Lot: lot, Material: "MAT-100", Inspection: "INS-" + lot, Characteristic: "torque",
			Sample: part + 1, Value: "45.5", Unit: "N.m", LSL: "40", USL: "50", Safety: true, At: at,
		}
		types := []event.Type{event.TypeCharacteristicRecorded}
		if part == 10 {
			m.Value, types = "61.2", append(types, event.TypeSafetyFailed)
		}
		waits = append(waits, p.offer(plant.TopicResult, m, lot, []string{"result", m.Record, "1"}, types...))
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// offer publishes a message that must give one event of each type, with the same key.
func (p *traffic) offer(topic string, m any, lot string, key []string, types ...event.Type) func() error {
	p.t.Helper()
	for _, typ := range types {
		f := history.Fact{
			Kind: history.Offered, By: "press", Plant: "p1", Event: event.NaturalID("p1", "mes1", key, typ, 0), Type: typ,
			Lot: event.LotKey("lot::MAT-100:" + lot), Door: "P",
		}
		p.offered = append(p.offered, f)
		f.Kind = history.Acknowledged
		p.offered = append(p.offered, f)
	}
	payload, err := json.Marshal(m)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.press.Start(topic, payload)
}

// settle waits until the cloud has applied all that was sent and the agent's queue is empty, and returns how long it took.
func (p *traffic) settle() time.Duration {
	p.t.Helper()
	began, deadline := time.Now(), time.After(settles)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		have := len(p.applied())
		m, err := stack.Metrics(p.t.Context(), p.Agent)
		queued := stack.Sum(m, "holdfast_agent_queue_size_events")
		if err == nil && have == len(p.offered)/2 && queued == 0 {
			return time.Since(began)
		}
		select {
		case <-deadline:
			p.t.Fatalf("after %s %d of %d events are applied, and %v wait at the agent", settles, have, len(p.offered)/2, queued)
		case <-tick.C:
		}
	}
}

// applied returns the plant's events that the cloud has applied.
func (p *traffic) applied() map[event.ID]bool {
	p.t.Helper()
	db, err := history.OpenStore(p.Path("cloud-data/holdfast.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	kept, err := db.History(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[event.ID]bool{}
	for _, f := range kept.Of(history.Inbox) {
		if f.Door == "P" && f.Lot != "" {
			all[f.Event] = true
		}
	}
	return all
}

// judge stops both programs and judges the run by all invariants. Its last line is the figures.
func (p *traffic) judge(what string) {
	p.t.Helper()
	for _, program := range []*stack.Process{p.Agent, p.Cloud} {
		if _, err := program.Stop(20 * time.Second); err != nil {
			p.t.Errorf("stop of %s: %v", program.Name, err)
		}
	}
	db, err := history.OpenStore(p.Path("cloud-data/holdfast.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	kept, err := db.History(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	topics, err := history.OfTopics(ctx, p.Kafka.Addrs(), "holdfast.p1.quality.v1", "holdfast.p1.telemetry.v1")
	if err != nil {
		p.t.Fatal(err)
	}
	end, err := db.Dump(ctx, "end")
	if err != nil {
		p.t.Fatal(err)
	}
	violations, judged := check.All(&check.Run{
		ERPs: []string{stack.ERP}, Undecided: []string{"MAT-100"}, End: end, History: slices.Concat(p.offered, kept, topics,
			history.OfBook(stack.ERP, p.SAP.Book(), nil), history.OfBook(stack.QMS, p.QMS.Book(), history.LotOfKey)),
	})
	count := map[string]int{}
	for _, v := range violations {
		p.t.Error(v)
		count[v.Invariant]++
	}
	for _, must := range []string{"I1", "I3", "I4"} {
		if judged[must] == 0 {
			p.t.Errorf("%s judged nothing: the run proves nothing", must)
		}
	}
	p.t.Logf("FIGURES server=kafka run=%s events=%d lost=%d duplicates=%d disorder=%d recovery=%s",
		what, len(p.offered)/2, count["I1"], count["I3"]+count["I10"], count["I4"], p.recovery.Round(time.Millisecond))
}
