package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
)

func TestReconciler_Run(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	reg := prometheus.NewRegistry()
	deps := b.deps
	deps.Reg, deps.Now = reg, time.Now
	deaf := &deafSource{source: newSource()}
	r, err := New([]Feed{{ID: "sys", System: b.source, Config: Config{Interval: time.Millisecond}}, {ID: "none", System: deaf}}, deps)
	if err != nil || len(r.followers) != 1 {
		t.Fatalf("followers %d, %v; want the system with a feed alone", len(r.followers), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	limit := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(b.events(testLot)) == 0 && time.Now().Before(limit) {
		<-tick.C
	}
	cancel()
	if err := <-done; err != nil || len(b.events(testLot)) != 1 {
		t.Errorf("%d events, %v", len(b.events(testLot)), err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"holdfast_cloud_feed_age_seconds", "holdfast_cloud_feed_errors_total", "holdfast_cloud_feed_events_total", "holdfast_cloud_feed_unread_objects"} {
		if !names[want] {
			t.Errorf("no metric %s", want)
		}
	}
}

// deafSource has no feed.
type deafSource struct{ *source }

func (*deafSource) Caps() connector.Caps { return connector.Caps{} }

func TestNew_Err(t *testing.T) {
	for name, cfg := range map[string]Config{"interval": {Interval: -1}, "page": {Page: 5000}, "full": {Full: -1}} {
		if _, err := New([]Feed{{ID: "sys", System: newSource(), Config: cfg}}, Deps{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "sys") {
			t.Errorf("%s: %v; want an error that names the system", name, err)
		}
	}
}
