package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// absent is a system that does not answer until it is back.
type absent struct {
	*system
	mu    sync.Mutex // guards what follows
	back  bool
	calls int
	rows  int // calls at once, and the most of them
	most  int
}

func (a *absent) Read(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	a.mu.Lock()
	a.calls++
	a.rows++
	a.most = max(a.most, a.rows)
	back := a.back
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.rows--
	}()
	<-time.After(10 * time.Millisecond) // what a call takes
	if !back {
		return connector.View{}, nil, errDown
	}
	return a.system.Read(ctx, o)
}

func (a *absent) returns() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.back = true
}

// live makes the bench follow the clock of its bubble, from its own time on.
func (b *bench) live() {
	<-time.After(time.Until(b.clock))
	b.cfg.Now = time.Now
}

// run has the dispatcher work until the test ends.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(b.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := b.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

// lots makes lots and asks for their usage in the ERP.
func (b *bench) lots(n int) {
	b.t.Helper()
	for i := range n {
		lot := event.LotKey(fmt.Sprintf("lot::M:A%d", i))
		b.send(&event.LotCreated{
			OfLot: event.OfLot{Lot: lot}, Material: "M", Q: event.Quantity{Value: "5", Unit: "kg"}, Origin: "work_order:mes1:1", Traced: traced,
		})
		b.ask(quality.Intent{Kind: quality.LotUsageSet, System: "s4", Object: string(lot), Lot: lot})
	}
}

// waiting returns how many effects of a system are not settled.
func (b *bench) waiting(system string) (n int64) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		counts, err := tx.CountEffects()
		for _, c := range counts {
			if c.System == system && c.State != store.EffectSettled {
				n += c.Count
			}
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestDispatcher_SystemThatReturns leaves many effects waiting for long behind an open breaker: as soon as the system
// answers one, all others are tried, as many at once as there are workers.
func TestDispatcher_SystemThatReturns(t *testing.T) {
	for _, c := range []struct {
		outage time.Duration
		lots   int64
	}{
		{20 * time.Second, 12}, {time.Minute, 12},
		// One effect alone has only its own waits to find out.
		{5 * time.Minute, 1}, {307 * time.Second, 1}, {311 * time.Second, 1}, {317 * time.Second, 1},
	} {
		t.Run(fmt.Sprint(c.outage, " ", c.lots), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.live()
				b.work() // the bench's own lot waits for less, as it is to be restricted
				s := &absent{system: b.system}
				b.target("s4").system = connector.NewGuard(s, connector.GuardConfig{Now: time.Now})
				b.lots(int(c.lots))
				b.run()
				<-time.After(c.outage)
				if n := b.waiting("s4"); n != c.lots {
					t.Fatalf("%d effects wait, want all %d", n, c.lots)
				}
				if most := 16 + int(c.outage/time.Second); s.calls > most {
					t.Errorf("a system that does not answer was asked %d times in %s, want %d at the most", s.calls, c.outage, most)
				}
				s.returns()
				<-time.After(probeEvery + 2*time.Second)
				if n := b.waiting("s4"); n != 0 {
					t.Errorf("%d effects still wait after the system is back", n)
				}
				if s.most > b.cfg.Workers {
					t.Errorf("%d calls at once, want %d at the most", s.most, b.cfg.Workers)
				}
			})
		})
	}
}

// TestDispatcher_NewProcess starts with effects that another process left waiting: the first answer wakes them.
func TestDispatcher_NewProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.live()
		b.lots(4)
		taken, _, err := b.claim(t.Context())
		if err != nil || len(taken) != 5 {
			t.Fatalf("claimed %d, %v", len(taken), err)
		}
		for _, c := range taken {
			a := &attempt{dispatcher: b.Dispatcher, row: &c.row, target: c.target}
			b.later(t.Context(), a, connector.Result{Outcome: event.RetryLater, RetryAfter: 4 * time.Minute})
		}
		b.hold("hold:q:1", event.HoldSafety)
		b.run()
		<-time.After(time.Second)
		if n := b.waiting("s4"); n != 0 {
			t.Errorf("%d effects still wait", n)
		}
	})
}

// TestDispatcher_SlowSystem has an ERP hold all its workers: effects of the warehouse go on.
func TestDispatcher_SlowSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newDeskBench(t)
		b.live()
		b.desk.gate = quality.GateOpen
		slow := make(chan struct{})
		b.system.read = func() { <-slow }
		b.lots(b.cfg.Workers + 4)
		b.run()
		synctest.Wait()
		if n := b.system.count("read"); n != b.cfg.Workers {
			t.Fatalf("%d calls hang, want one for each of %d workers", n, b.cfg.Workers)
		}
		b.hold("hold:q:1", event.HoldSafety)
		synctest.Wait()
		if b.desk.gate != quality.GateHeld {
			t.Error("the warehouse waits for the ERP")
		}
		close(slow)
	})
}

// TestDispatcher_DownWarehouse has a warehouse that does not answer: the ERP's effects go on.
func TestDispatcher_DownWarehouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newDeskBench(t)
		b.live()
		b.desk.down = true
		b.hold("hold:q:1", event.HoldSafety)
		b.run()
		<-time.After(time.Minute)
		if b.system.now() != event.Blocked || b.waiting("s4") != 0 || b.waiting("wms") == 0 {
			t.Errorf("the ERP says %s, %d effects wait for it, %d for the warehouse", b.system.now(), b.waiting("s4"), b.waiting("wms"))
		}
	})
}

func TestDispatcher_Later_WokenWhileOut(t *testing.T) {
	b := newBench(t)
	b.lots(1)
	taken, _, err := b.claim(t.Context())
	if err != nil || len(taken) < 2 {
		t.Fatalf("claimed %d, %v", len(taken), err)
	}
	long := connector.Result{Outcome: event.RetryLater, Code: connector.BreakerOpen, RetryAfter: time.Minute}
	b.target("s4").probe = b.clock.Add(time.Hour)
	out := make([]*attempt, 2)
	for i := range out {
		out[i] = &attempt{dispatcher: b.Dispatcher, row: &taken[i].row, target: taken[i].target, returned: taken[i].target.returned()}
	}
	b.later(t.Context(), out[0], long)
	b.answered(t.Context(), b.target("s4"))
	b.later(t.Context(), out[1], long)
	for i, want := range []time.Duration{0, firstBackoff} {
		if got := b.row(taken[i].row.ID).Due.Sub(b.clock); got > want {
			t.Errorf("effect %d waits %s after the system is back, want %s at the most", i, got, want)
		}
	}
}

func TestTarget_Absent(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s := &target{}
	if !s.answered() || s.answered() {
		t.Error("only the first answer is one after a silence")
	}
	for i := range silentAfter - 1 {
		if got := s.absent(time.Minute, false, now); got != time.Minute {
			t.Fatalf("failure %d waits %s: it may be that of an object", i+1, got)
		}
	}
	if s.answered() {
		t.Error("a few failures are no silence")
	}
	for range silentAfter - 1 {
		s.absent(time.Minute, false, now)
	}
	for _, c := range []struct {
		name string
		wait time.Duration
		sure bool
		now  time.Time
		want time.Duration
	}{
		{"the one that makes it a silence comes back soon", time.Minute, false, now, probeEvery},
		{"while one tries, the next stays away", time.Minute, true, now, time.Minute},
		{"a short wait stays as it is", time.Second, true, now, time.Second},
		{"the one that tries next comes back soon", time.Minute, true, now.Add(probeEvery), probeEvery},
	} {
		if got := s.absent(c.wait, c.sure, c.now); got != c.want {
			t.Errorf("%s: waits %s, want %s", c.name, got, c.want)
		}
	}
	if !s.answered() || s.returned() != 2 {
		t.Errorf("it began to answer %d times, want twice", s.returned())
	}
	if s.absent(time.Minute, true, now.Add(time.Hour)); !s.answered() {
		t.Error("where the guard says it, it is a silence at once")
	}
}
