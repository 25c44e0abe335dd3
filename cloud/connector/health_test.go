package connector_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// slow is a system whose reading takes a time of the clock, and ends as told.
type slow struct {
	connector.System
	now    *time.Time
	takes  time.Duration
	result *connector.Result
}

func (s *slow) Read(context.Context, connector.Object) (connector.View, connector.Version, error) {
	*s.now = s.now.Add(s.takes)
	if s.result != nil {
		return connector.View{}, nil, *s.result
	}
	return connector.View{}, nil, nil
}

func TestGuard_Health(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	s := &slow{now: &now, takes: 10 * time.Millisecond}
	g := connector.NewGuard(s, connector.GuardConfig{Failures: 3, Open: time.Second, Now: func() time.Time { return now }})
	if h := g.Health(); h.Link != connector.LinkUp || h.Calls != 0 || !h.Last.IsZero() {
		t.Errorf("before any call: %+v", h)
	}
	read := func(n int) {
		for range n {
			_, _, _ = g.Read(t.Context(), connector.Object{}) // how it ends is what the health tells
		}
	}
	read(190)
	s.takes = 400 * time.Millisecond
	read(10)
	if h := g.Health(); h.Calls != 200 || h.Failed != 0 || h.Median != 10*time.Millisecond || h.P95 != 400*time.Millisecond || !h.Last.Equal(now) {
		t.Errorf("slow at the end: %+v", h)
	}
	read(300)
	if h := g.Health(); h.Calls != connector.HealthCalls || h.Median != 400*time.Millisecond {
		t.Errorf("what is long ago counts: %+v", h)
	}
	s.result = &connector.Result{Outcome: event.RetryLater, RetryAfter: time.Minute}
	read(1)
	if h := g.Health(); h.Link != connector.LinkThrottled || h.Until.Sub(now) != time.Minute {
		t.Errorf("throttled: %+v", h)
	}
	now = now.Add(time.Hour)
	s.result = &connector.Result{Outcome: event.Unknown}
	read(2)
	if h := g.Health(); h.Link != connector.LinkUp || h.Failed != 2 {
		t.Errorf("after two failures: %+v", h)
	}
	read(1)
	down := now
	if h := g.Health(); h.Link != connector.LinkDown || !h.Since.Equal(down) || h.Failed != 3 {
		t.Errorf("after three failures: %+v", h)
	}
	s.result = &connector.Result{Outcome: event.RetryLater, Refused: true}
	g = connector.NewGuard(s, connector.GuardConfig{Now: func() time.Time { return now }})
	read(2)
	if h := g.Health(); h.Link != connector.LinkRefused || h.Calls != 1 {
		t.Errorf("our user was refused: %+v", h)
	}
}
