package console

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestF69_OpenPages keeps the streams of 200 open pages for a minute, or for some seconds in the short form, while lots change
// all the time: every page is told again and again, none is cut off, and the cloud needs no more memory at the end than at the
// beginning.
func TestF69_OpenPages(t *testing.T) {
	t.Parallel()
	const pages = 200
	lasts, tells := 12*time.Second, int64(4)
	if long() {
		lasts, tells = time.Minute, 20
	}
	h := build(t, nil, "GOGC=25") // it collects more often, so that what it keeps is seen sooner
	h.inhabit()
	lots := []*batch{h.lot(0), h.lot(0), h.lot(1)}
	for _, b := range lots {
		h.say(b, h.made(b))
	}
	before := h.memory()

	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	c := h.client()
	c.logIn(maria)
	c.http.Timeout = 0 // a stream goes on
	c.http.Transport = &http.Transport{MaxConnsPerHost: 0, MaxIdleConnsPerHost: pages}
	var open sync.WaitGroup
	var changes [pages]atomic.Int64
	for i := range pages {
		open.Go(func() {
			if err := c.stream(ctx, &changes[i]); err != nil && ctx.Err() == nil {
				t.Errorf("page %d: %v", i, err)
			}
		})
	}
	var heap []float64
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ctx.Err() == nil; n++ {
		b := lots[n%len(lots)]
		h.say(b, h.measured(b, n, "45.10", false))
		if n > 10 { // the pages are open
			heap = append(heap, h.memory())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	open.Wait()
	for i := range changes {
		if n := changes[i].Load(); n < tells {
			t.Errorf("page %d was told of %d changes, want %d at least", i, n, tells)
		}
	}
	third := len(heap) / 3
	if third < 3 {
		t.Fatalf("the memory was read %d times only", len(heap))
	}
	// A log-in takes much for a moment: what is kept is the least of some readings.
	first, last := slices.Min(heap[:third]), slices.Min(heap[len(heap)-third:])
	const mib = 1 << 20
	t.Logf("%d pages open for %s: %.1f MiB before them, %.1f MiB in their first third, %.1f MiB in the last", pages, lasts, before/mib, first/mib, last/mib)
	if grown := last - first; grown > 8*mib {
		t.Errorf("memory grew by %.1f MiB", grown/mib)
	}
	h.eventually(10*time.Second, "the streams are gone", func() bool {
		m, err := stack.Metrics(t.Context(), h.Cloud)
		return err == nil && stack.Sum(m, "go_goroutines") < pages
	})
}

// stream reads the stream of one page until ctx ends, and counts the changes that it is told.
func (c *client) stream(ctx context.Context, changes *atomic.Int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.h.base+"/live", nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewScanner(res.Body)
	for in.Scan() {
		if strings.HasPrefix(in.Text(), "event: change") {
			changes.Add(1)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return http.ErrBodyReadAfterClose // the cloud ended it
}

// memory returns the bytes that were alive on the cloud's heap at its last collection, and what that lets it grow by.
func (h *house) memory() float64 {
	h.t.Helper()
	m, err := stack.Metrics(h.t.Context(), h.Cloud)
	if err != nil {
		h.t.Fatal(err)
	}
	return stack.Sum(m, "go_memstats_next_gc_bytes")
}
