package connector_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// system answers each call with what answer returns.
type system struct {
	connector.System
	mu     sync.Mutex
	calls  []string // objects in order
	resets int
	answer func(call int) connector.Result
}

func (s *system) next(object string) connector.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, object)
	if s.answer == nil {
		return connector.Result{}
	}
	return s.answer(len(s.calls))
}

func (s *system) Read(_ context.Context, o connector.Object) (connector.View, connector.Version, error) {
	if r := s.next(o.ID); r.Outcome != "" {
		return connector.View{}, nil, r
	}
	return connector.View{}, nil, nil
}

func (s *system) Write(_ context.Context, e quality.Effect, _ connector.Version) connector.Result {
	return s.next(e.Object)
}

func (s *system) Reset() { s.resets++ }

func always(r connector.Result) func(int) connector.Result {
	return func(int) connector.Result { return r }
}

func TestGuard_Write_HoldsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{}
		g := connector.NewGuard(s, connector.GuardConfig{Rate: 10, Burst: 1, Wait: time.Minute})
		var done sync.WaitGroup
		write := func(object string, usage event.UsageStatus) {
			done.Go(func() {
				_ = g.Write(t.Context(), quality.Effect{Object: object, Kind: quality.LotUsageSet, Usage: usage}, nil)
			})
			synctest.Wait()
		}
		write("first", event.Unrestricted) // takes the token at hand
		write("waiting", event.Unrestricted)
		write("release", event.Unrestricted)
		write("block", event.Blocked)
		write("restrict", event.Restricted)
		done.Go(func() {
			_ = g.Write(t.Context(), quality.Effect{Object: "gate", Kind: quality.TasksGate, Gate: quality.GateHeld}, nil)
		})
		done.Wait()
		if want := []string{"first", "waiting", "block", "restrict", "gate", "release"}; !slices.Equal(s.calls, want) {
			t.Errorf("order %v, want %v", s.calls, want)
		}
	})
}

func TestGuard_Read_MarkedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{}
		g := connector.NewGuard(s, connector.GuardConfig{Rate: 10, Burst: 1, Wait: time.Minute})
		var done sync.WaitGroup
		read := func(ctx context.Context, id string) {
			done.Go(func() { _, _, _ = g.Read(ctx, connector.Object{ID: id}) })
			synctest.Wait()
		}
		read(t.Context(), "a")
		read(t.Context(), "b")
		read(t.Context(), "c")
		read(connector.First(t.Context()), "hold")
		done.Wait()
		if want := []string{"a", "b", "hold", "c"}; !slices.Equal(s.calls, want) {
			t.Errorf("order %v, want %v", s.calls, want)
		}
	})
}

func TestGuard_Write_LongWaitsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{}
		g := connector.NewGuard(s, connector.GuardConfig{Rate: 1, Burst: 1})
		begin := time.Now()
		var done sync.WaitGroup
		var mu sync.Mutex
		later := 0
		for range 20 {
			done.Go(func() {
				r := g.Write(t.Context(), quality.Effect{}, nil)
				mu.Lock()
				defer mu.Unlock()
				if r.Outcome == event.RetryLater && r.RetryAfter > 0 {
					later++
				}
			})
		}
		done.Wait()
		if took := time.Since(begin); took > 3*time.Second || later+len(s.calls) != 20 || later < 15 {
			t.Errorf("%d calls, %d came back, in %s; want most to come back within the guard's wait", len(s.calls), later, took)
		}
	})
}

func TestGuard_BreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{answer: func(n int) connector.Result {
			if n <= 5 {
				return connector.Result{Outcome: event.RetryLater, Code: "transport"}
			}
			return connector.Result{}
		}}
		g := connector.NewGuard(s, connector.GuardConfig{})
		for range 5 {
			_ = g.Write(t.Context(), quality.Effect{}, nil)
		}
		r := g.Write(t.Context(), quality.Effect{}, nil)
		if r.Outcome != event.RetryLater || r.Code != "breaker_open" || r.RetryAfter <= 0 || !g.Open() || len(s.calls) != 5 {
			t.Fatalf("after 5 failures: %v, open %t, %d calls; want the breaker open", r, g.Open(), len(s.calls))
		}
		<-time.After(r.RetryAfter + time.Millisecond)
		if r := g.Write(t.Context(), quality.Effect{}, nil); r.Outcome != "" || g.Open() {
			t.Errorf("after the wait: %v, open %t; want acknowledged and closed", r, g.Open())
		}
	})
}

func TestGuard_LongOutageIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{answer: always(connector.Result{Outcome: event.Unknown})}
		g := connector.NewGuard(s, connector.GuardConfig{})
		hold := quality.Effect{Kind: quality.LotUsageSet, Usage: event.Blocked}
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			r := g.Write(t.Context(), quality.Effect{}, nil)
			<-time.After(max(r.RetryAfter, time.Second))
		}
		if n := len(s.calls); n > 60 {
			t.Errorf("%d calls in 10 minutes of outage", n)
		}
		for range 5 { // the first of them may be the probe
			_ = g.Write(t.Context(), quality.Effect{}, nil)
		}
		other, urgent := g.Write(t.Context(), quality.Effect{}, nil), g.Write(t.Context(), hold, nil)
		if other.RetryAfter != 30*time.Second || urgent.RetryAfter > 5*time.Second || urgent.RetryAfter < 500*time.Millisecond {
			t.Errorf("others wait %s, a hold %s; want 30s and at most 5s", other.RetryAfter, urgent.RetryAfter)
		}
	})
}

func TestGuard_NobodySpinsWhileOneProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &system{answer: func(n int) connector.Result {
			if n > 5 {
				<-release
			}
			return connector.Result{Outcome: event.Unknown}
		}}
		g := connector.NewGuard(s, connector.GuardConfig{})
		for range 5 {
			_ = g.Write(t.Context(), quality.Effect{}, nil)
		}
		<-time.After(3 * time.Second)
		var done sync.WaitGroup
		done.Go(func() { _, _, _ = g.Read(t.Context(), connector.Object{ID: "probe"}) })
		synctest.Wait()
		if r := g.Write(t.Context(), quality.Effect{}, nil); r.Code != "breaker_open" || r.RetryAfter < 500*time.Millisecond {
			t.Errorf("beside the probe: %v after %s; want it to stay away for a while", r, r.RetryAfter)
		}
		close(release)
		done.Wait()
	})
}

func TestGuard_RefusedStopsUntilReset(t *testing.T) {
	s := &system{answer: always(connector.Result{Outcome: event.RetryLater, Refused: true, Code: "http_401"})}
	g := connector.NewGuard(s, connector.GuardConfig{})
	for range 10 {
		_, _, err := g.Read(t.Context(), connector.Object{})
		var r connector.Result
		if !errors.As(err, &r) || !r.Refused || r.Outcome != event.RetryLater {
			t.Fatalf("read: %v, want refused", err)
		}
	}
	if len(s.calls) != 1 || !g.Open() || !g.Refused() {
		t.Errorf("%d calls reached the system, open %t; want 1 and true", len(s.calls), g.Open())
	}
	g.Reset()
	s.answer = nil
	if r := g.Write(t.Context(), quality.Effect{}, nil); r.Outcome != "" || g.Open() || s.resets != 1 {
		t.Errorf("after reset: %v, open %t, %d resets of the system", r, g.Open(), s.resets)
	}
}

func TestGuard_ThrottleIsSharedByAllCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{answer: func(n int) connector.Result {
			if n == 1 {
				return connector.Result{Outcome: event.RetryLater, RetryAfter: 24 * time.Hour}
			}
			return connector.Result{}
		}}
		g := connector.NewGuard(s, connector.GuardConfig{})
		_ = g.Write(t.Context(), quality.Effect{}, nil)
		r := g.Write(t.Context(), quality.Effect{}, nil)
		if r.RetryAfter != connector.MaxRetryAfter || len(s.calls) != 1 || g.Open() {
			t.Fatalf("second call: %v after %s, %d calls; want it to wait %s", r, r.RetryAfter, len(s.calls), connector.MaxRetryAfter)
		}
		<-time.After(r.RetryAfter)
		if r := g.Write(t.Context(), quality.Effect{}, nil); r.Outcome != "" {
			t.Errorf("after the wait: %v", r)
		}
	})
}

func TestGuard_GivenUpCallsLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{}
		g := connector.NewGuard(s, connector.GuardConfig{Rate: 1, Burst: 1, Wait: time.Minute})
		_ = g.Write(t.Context(), quality.Effect{Object: "a"}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		for range 5 {
			done.Go(func() { _ = g.Write(ctx, quality.Effect{Object: "given up"}, nil) })
		}
		synctest.Wait()
		cancel()
		done.Wait()
		if r := g.Write(t.Context(), quality.Effect{Object: "b"}, nil); r.Outcome != "" || !slices.Equal(s.calls, []string{"a", "b"}) {
			t.Errorf("%v, calls %v; want a and b", r, s.calls)
		}
	})
}

func TestView_Shows(t *testing.T) {
	const ref = quality.EffectRef("HF00000000000001")
	record := func(state, reference string) connector.View {
		return connector.View{Exists: true, Reached: quality.NonconformanceState(state), Fields: map[string]string{connector.FieldReference: reference}}
	}
	effect := func(kind quality.Kind, state quality.NonconformanceState) quality.Effect {
		return quality.Effect{Kind: kind, Ref: ref, Usage: event.Blocked, Record: &quality.Record{State: state}}
	}
	for _, c := range []struct {
		name   string
		view   connector.View
		effect quality.Effect
		want   bool
	}{
		{"a lot in the wanted usage", connector.View{Exists: true, Usage: event.Blocked}, effect(quality.LotUsageSet, ""), true},
		{"a lot that counts as blocked", connector.View{Exists: true, Usage: event.Restricted, Also: []event.UsageStatus{event.Blocked}}, effect(quality.LotUsageSet, ""), true},
		{"a lot that is free", connector.View{Exists: true, Usage: event.Unrestricted}, effect(quality.LotUsageSet, ""), false},
		{"a record with its reference", record("opened", string(ref)), effect(quality.NonconformanceEnsure, "opened"), true},
		{"a record that lost its reference", record("opened", ""), effect(quality.NonconformanceEnsure, "opened"), false},
		{"a record in the wanted state", record("contained", ""), effect(quality.NonconformanceAdvance, "contained"), true},
		{"a record that is further on", record("closed", ""), effect(quality.NonconformanceAdvance, "contained"), true},
		{"a record that is not there yet", record("opened", ""), effect(quality.NonconformanceAdvance, "contained"), false},
		{"a voided record", record("voided", ""), effect(quality.NonconformanceAdvance, "contained"), false},
		{"a record in an unknown state", record("", ""), effect(quality.NonconformanceAdvance, "contained"), false},
		{"a kind that is not known", record("opened", string(ref)), effect("x", "opened"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.view.Shows(&c.effect); got != c.want {
				t.Errorf("shows %t, want %t", got, c.want)
			}
		})
	}
}

func TestGuard_Write_AnObjectThatWaitsIsNoFailure(t *testing.T) {
	s := &system{answer: always(connector.Result{Outcome: event.RetryLater, Code: "usage_decision_missing", RetryAfter: time.Hour, Waits: true})}
	g := connector.NewGuard(s, connector.GuardConfig{Failures: 2})
	for i := range 5 {
		if r := g.Write(t.Context(), quality.Effect{Kind: quality.LotUsageSet}, nil); r.Code != "usage_decision_missing" {
			t.Fatalf("call %d: %v; want the lot's own answer, with the system asked each time", i, r)
		}
	}
	if g.Open() || len(s.calls) != 5 {
		t.Errorf("open %t after %d calls", g.Open(), len(s.calls))
	}
}
