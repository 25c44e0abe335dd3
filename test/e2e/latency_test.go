package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// blocked reads a batch's book until nothing of it is free, and returns when that was.
func blocked(t *testing.T, s *stack.Stack, lot string, limit time.Duration) time.Time {
	t.Helper()
	var at time.Time
	eventually(t, limit, "batch "+lot+" is blocked in the ERP's book", func() bool {
		e, ok := firstBlocked(s.SAP.Batch("MAT-100", lot))
		at = e.At
		return ok
	})
	return at
}

// quantile returns the q-quantile of durations.
func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// TestF17_HoldToERPBlockOnline measures from the press's source time to the first line of the ERP's book after which
// nothing of the batch is free.
func TestF17_HoldToERPBlockOnline(t *testing.T) {
	const holds, perSecond = 1000, 40
	s := start(t, stack.Config{Rate: 1000})
	p := publisher(t, s, "press")
	failed := make([]time.Time, holds)
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range failed {
		<-tick.C
		lot := fmt.Sprintf("L-%04d", i)
		r := result(lot, i, "61.2", true)
		failed[i] = time.Now()
		r.At = plant.Stamp(failed[i])
		if err := p.Send(plant.TopicResult, r); err != nil {
			t.Fatal(err)
		}
	}
	took := make([]time.Duration, holds)
	for i := range failed {
		took[i] = blocked(t, s, fmt.Sprintf("L-%04d", i), 30*time.Second).Sub(failed[i])
	}
	p50, p99, worst := quantile(took, .5), quantile(took, .99), slices.Max(took)
	ms := time.Millisecond
	figures(t, "holds=%d per_second=%d hold_to_block_p50=%s p99=%s worst=%s", holds, perSecond, p50.Round(ms), p99.Round(ms), worst.Round(ms))
	if p99 >= time.Second {
		t.Errorf("p99 is %s, want under 1 s", p99)
	}
}

// TestF05_UrgentFirstAfterAnOutage cuts the WAN under load and measures from link-up, with a backlog ahead of the holds.
func TestF05_UrgentFirstAfterAnOutage(t *testing.T) {
	const backlog, holds, cut = 100_000, 50, 30 * time.Second
	s := start(t, stack.Config{Rate: 1000})
	press, signals := publisher(t, s, "press"), publisher(t, s, "signals")
	s.WAN.Cut()
	began := time.Now()
	// The plant goes on: sampled values fill the queue, and in the middle of it parts fail.
	for i := range backlog {
		payload, err := json.Marshal(plant.Signal{Tag: "force", Value: fmt.Sprint(i), Unit: "N", At: plant.Stamp(time.Now())})
		if err != nil {
			t.Fatal(err)
		}
		wait := signals.Start(plant.TopicSignal, payload)
		if i%500 == 499 {
			if err := wait(); err != nil {
				t.Fatal(err)
			}
		}
		if i%(backlog/holds) == backlog/holds-1 {
			lot := fmt.Sprintf("L-%04d", i/(backlog/holds))
			if err := press.Send(plant.TopicResult, result(lot, i, "61.2", true)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, time.Minute, "the backlog is in the queue", func() bool {
		m, err := stack.Metrics(t.Context(), s.Agent)
		return err == nil && stack.Sum(m, "holdfast_agent_queue_size_events") >= backlog+2*holds
	})
	queued := time.Since(began)
	if rest := cut - queued; rest > 0 {
		<-time.After(rest)
	}
	s.WAN.Heal()
	up := time.Now()
	took := make([]time.Duration, holds)
	for i := range took {
		took[i] = blocked(t, s, fmt.Sprintf("L-%04d", i), time.Minute).Sub(up)
	}
	worst := slices.Max(took)
	t.Logf("WAN cut for %s, %d events queued in %s", up.Sub(began).Round(time.Second), backlog, queued.Round(time.Millisecond))
	if worst >= 5*time.Second {
		t.Errorf("the last hold was blocked %s after link-up, want under 5 s", worst)
	}
	eventually(t, 2*time.Minute, "the backlog has drained", func() bool {
		m, err := stack.Metrics(t.Context(), s.Agent)
		return err == nil && stack.Sum(m, "holdfast_agent_queue_size_events") == 0
	})
	figures(t, "backlog=%d holds=%d link_up_to_block_p50=%s worst=%s drained=%s",
		backlog, holds, quantile(took, .5).Round(time.Millisecond), worst.Round(time.Millisecond), time.Since(up).Round(time.Millisecond))
}
