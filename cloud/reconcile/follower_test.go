package reconcile

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestFollower_SystemDown(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	b.sweep()
	b.source.set(func() { b.source.down = true })
	for i := range 5 {
		if wait := b.turn(t.Context()); wait < firstBackoff/2 || wait > longestBackoff {
			t.Errorf("failure %d: waits %s", i+1, wait)
		}
		b.clock = b.clock.Add(10 * time.Second)
	}
	if got := b.age(); got < 50*time.Second {
		t.Errorf("the feed is %s old after 50 s without an answer", got)
	}
	b.source.put(decision("D2", 1, quality.Reject, "D1")) // signed meanwhile
	b.source.set(func() { b.source.down = false })
	b.sweep()
	if len(b.events(testLot)) != 2 || b.age() != 0 {
		t.Errorf("%d events, the feed is %s old", len(b.events(testLot)), b.age())
	}
	got := b.turn(t.Context())
	if got == 0 { // a full page: the next one follows at once
		got = b.turn(t.Context())
	}
	if got != b.feed.Config.Interval {
		t.Errorf("after an answer it waits %s", got)
	}
}

func TestFollower_CrashBeforeTheCursor(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		lot := event.LotKey("lot::M:c" + strconv.Itoa(i))
		b.lotCreated(lot)
		v := decision("D"+strconv.Itoa(i), 1, quality.Release, "")
		v.Lot = lot
		b.source.put(v)
	}
	if more, err := b.step(t.Context()); err != nil || !more {
		t.Fatalf("first page: %t, %v", more, err)
	}
	at, _, err := b.position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.save(t.Context(), at); err != nil { // as if the second page's cursor had not been stored
		t.Fatal(err)
	}
	b.restart()
	b.sweep()
	for i := range 7 {
		if got := b.events(event.LotKey("lot::M:c" + strconv.Itoa(i))); len(got) != 1 {
			t.Errorf("lot %d has %d events", i, len(got))
		}
	}
}

func TestFollower_FullPass(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	if err := b.save(t.Context(), store.Feed{Cursor: "after Z", Full: b.clock.Add(-time.Hour)}); err != nil { // a cursor behind it
		t.Fatal(err)
	}
	b.sweep()
	if len(b.events(testLot)) != 1 {
		t.Fatal("what lies behind the cursor was not found at the start")
	}
	lists := b.source.lists
	b.sweep()
	if b.source.lists != lists+1 {
		t.Errorf("%d lists in a sweep, want everything once a week alone", b.source.lists-lists)
	}
	b.clock = b.clock.Add(b.feed.Config.Full)
	lists = b.source.lists
	b.sweep()
	if b.source.lists != lists+2 {
		t.Errorf("%d lists a week later, want those of the feed and of everything", b.source.lists-lists)
	}
}

func TestFollower_FullPass_OnePageAtEachLook(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		lot := event.LotKey("lot::M:f" + strconv.Itoa(i))
		b.lotCreated(lot)
		v := decision("D"+strconv.Itoa(i), 1, quality.Release, "")
		v.Lot = lot
		b.source.put(v)
	}
	b.source.put(decision("Z", 1, quality.Release, "")) // new behind the cursor
	if err := b.save(t.Context(), store.Feed{Cursor: "after Y", Full: b.clock}); err != nil {
		t.Fatal(err)
	}
	for look, want := range []int{2, 4, 5} {
		// The source's next sweep shows everything again: it is held at the cursor.
		if err := b.save(t.Context(), store.Feed{Cursor: "after Y", Full: b.clock}); err != nil {
			t.Fatal(err)
		}
		if more, err := b.step(t.Context()); err != nil || more {
			t.Fatalf("look %d: %t, %v; want the next page at the next look", look+1, more, err)
		}
		got := 0
		for i := range 5 {
			got += len(b.events(event.LotKey("lot::M:f" + strconv.Itoa(i))))
		}
		if got != want || len(b.events(testLot)) != 1 {
			t.Errorf("look %d: %d old decisions, %d new; want %d and the new one first", look+1, got, len(b.events(testLot)), want)
		}
	}
}

func TestFollower_OneCopyAtATime(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	b.sweep()
	deps := b.deps
	deps.Owner = "b"
	other := newFollower(b.feed, deps, newMetrics(nil))
	lists := b.source.lists
	if more, err := other.step(t.Context()); err != nil || more || b.source.lists != lists || other.age() != 0 {
		t.Errorf("the second copy: %t, %v, %d lists, age %s", more, err, b.source.lists-lists, other.age())
	}
	b.clock = b.clock.Add(leaseLength)
	if _, err := other.step(t.Context()); err != nil || b.source.lists == lists {
		t.Errorf("the second copy does not take over: %v", err)
	}
	if err := b.save(t.Context(), store.Feed{}); err == nil {
		t.Error("the first copy stored a cursor after it was taken over")
	}
}

func TestFollower_Backoff(t *testing.T) {
	f := &follower{feed: Feed{Config: Config{Interval: 2 * time.Second}}}
	for _, c := range []struct {
		failures int
		err      error
		min, max time.Duration
	}{
		{1, fmt.Errorf("x: %w", errDown), firstBackoff / 2, firstBackoff},
		{40, errDown, 2 * time.Second, 4 * time.Second},
		{1, connector.Result{Outcome: event.RetryLater, RetryAfter: time.Minute}, time.Minute, time.Minute},
		{1, connector.Result{Outcome: event.RetryLater, RetryAfter: time.Hour}, connector.MaxRetryAfter, connector.MaxRetryAfter},
	} {
		f.failures = c.failures
		for range 50 {
			if got := f.backoff(c.err); got < c.min || got > c.max {
				t.Fatalf("%d failures, %v: %s, want %s to %s", c.failures, c.err, got, c.min, c.max)
			}
		}
	}
}
