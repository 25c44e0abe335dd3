//go:build unix

package rt

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// patience is how long the product may take on a machine that is busy with others.
const patience = 3 * time.Minute

// TestPlant_FailedParts is a plant whose QMS is RT, with all of the product between them: parts fail, RT loses the first
// requests before it does them, and its answers to the next ones after it has; and the cloud is killed in the middle of it.
// Each failed lot has one ticket, which is contained once its hold is in the ERP, and its history tells so.
func TestPlant_FailedParts(t *testing.T) {
	const lots, never, lost = 6, 2, 4
	b := newBench(t, run(t))
	s := startPlant(t, b)
	press, err := plant.Connect(s.MQTT.URL(), "press")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(press.Close)
	b.faults.Add(fault.Fault{Kind: fault.LostBefore, Times: never})
	b.faults.Add(fault.Fault{Kind: fault.LostAfter, Times: lost})
	began := time.Now()
	for i := range lots {
		b.must(fail(press, fmt.Sprintf("L-%d'", i))) // a quote that must not get out of RT's query
	}
	b.eventually(patience, "the first tickets", func() bool { return b.number(`SELECT count(*) FROM Tickets`) >= lots/2 })
	s.Cloud.Kill()
	b.startCloud(s)
	b.eventually(patience, "a contained ticket for each lot", func() bool {
		return b.number(`SELECT count(DISTINCT id) FROM Tickets WHERE Status = 'contained'`) == lots
	})
	took := time.Since(began)
	ids, err := b.server.Find(t.Context(), `Queue = 'Nonconformance'`)
	b.must(err)
	seen, doubled := map[string]int{}, 0
	for _, id := range ids {
		fields, err := b.server.Fields(t.Context(), id)
		b.must(err)
		seen[fields["lot_key"]]++
		b.contained(id)
	}
	for lot, n := range seen {
		if doubled += n - 1; n != 1 {
			t.Errorf("lot %s has %d tickets", lot, n)
		}
	}
	if len(seen) != lots || b.faults.Acted() != never+lost {
		t.Errorf("tickets for lots %v, want %d of them; %d calls were lost, want %d", seen, lots, b.faults.Acted(), never+lost)
	}
	t.Logf("FIGURES server=rt run=plant failed_lots=%d tickets=%d duplicates=%d requests_lost=%d answers_lost=%d cloud_killed=1 all_contained=%s",
		lots, len(ids), doubled, never, lost, took.Round(time.Millisecond))
}

// TestPlant_VoidedByAPerson: while the ERP is away, a person voids a ticket, from which RT knows no way on. What RT says, with
// 200, ends as an exception in its words, and the ticket stays as the person left it.
func TestPlant_VoidedByAPerson(t *testing.T) {
	b := newBench(t, run(t))
	s := startPlant(t, b)
	press, err := plant.Connect(s.MQTT.URL(), "press")
	b.must(err)
	t.Cleanup(press.Close)
	s.ERP.Cut()
	b.must(fail(press, "L-1"))
	b.eventually(patience, "a ticket", func() bool { return b.number(`SELECT count(*) FROM Tickets`) == 1 })
	said, err := b.server.Change(t.Context(), "1", map[string]any{"Status": "voided"})
	b.must(err)
	s.ERP.Heal()
	cloud := Database(s.Path("cloud-data/holdfast.db"))
	b.eventually(patience, "an exception in RT's words", func() bool {
		return b.numberIn(cloud, `SELECT count(*) FROM effect WHERE kind = ? AND state = 'exception'
			AND message LIKE '%can''t change status from ''voided'' to ''contained''%'`, string(quality.NonconformanceAdvance)) == 1
	})
	if n := b.number(`SELECT count(*) FROM Tickets WHERE Status = 'voided'`); n != 1 {
		t.Errorf("%d voided tickets after %q", n, said)
	}
}

// fail reports a part of a lot that failed a test of safety.
func fail(press *plant.Publisher, lot string) error {
	return press.Send(plant.TopicResult, plant.Result{
		Record: lot, Rev: 1, Lot: lot, Material: "MAT-100", Inspection: "INS-" + lot, Characteristic: "torque", Sample: 1,
		Value: "61.2", Unit: "N.m", LSL: "40", USL: "50", Safety: true, At: plant.Stamp(time.Now()),
	})
}

// contained checks by a ticket's history that our user made it, and contained it once.
func (b *bench) contained(id string) {
	b.t.Helper()
	history, err := b.server.History(b.t.Context(), id)
	b.must(err)
	var steps []string
	for _, e := range history {
		if e.Type == "Create" || e.Type == "Status" {
			steps = append(steps, strings.TrimSpace(e.Creator.ID+" "+e.Type+" "+e.OldValue+" "+e.NewValue))
		}
	}
	if want := []string{User + " Create", User + " Status opened contained"}; !slices.Equal(steps, want) {
		b.t.Errorf("history of ticket %s: %q, want %q, in %+v", id, steps, want, history)
	}
}

// startPlant starts the stack with RT, behind the door, as its QMS.
func startPlant(t *testing.T, b *bench) *stack.Stack {
	t.Helper()
	cfg := stack.Config{Bin: bin, Dir: t.TempDir()}
	cfg.SAP.AutoCreate = true
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range []*stack.Process{s.Agent, s.Cloud} {
			if t.Failed() && p != nil {
				t.Logf("log of %s:\n%s", p.Name, p.Tail())
			}
		}
		s.Close()
	})
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	b.must(err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "id: qms1,") {
			line = fmt.Sprintf("  - { id: qms1, rest: { url: %q, mapping: %q, user: %s, password_file: rt.pw, rate: 5, burst: 5 }, feed: { interval: 1s } }\n",
				b.door.URL+API, Mapping(), User)
		}
		lines = append(lines, line)
	}
	b.must(os.WriteFile(s.Path("cloud.yaml"), []byte(strings.Join(lines, "")), 0o600))
	b.must(os.WriteFile(s.Path("rt.pw"), []byte(Password), 0o600))
	b.startCloud(s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b.must(s.StartAgent(ctx))
	b.must(s.WaitLive(ctx))
	return s
}

func (b *bench) startCloud(s *stack.Stack) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	b.must(s.StartCloud(ctx))
}

// eventually polls until ok, and fails the test after limit.
func (b *bench) eventually(limit time.Duration, what string, ok func() bool) {
	b.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			b.t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
