package console_test

import (
	"bufio"
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// run runs the console until the test ends.
func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- f.console.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	}
	f.t.Cleanup(stop)
	return stop
}

// listen opens the stream of a page, and returns its lines. The channel is closed with the stream.
func (b *browser) listen(path, last string) <-chan string {
	b.f.t.Helper()
	r := b.request(http.MethodGet, path, nil)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	ctx, cancel := context.WithCancel(r.Context())
	res, err := b.client.Do(r.WithContext(ctx))
	if err != nil {
		b.f.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Content-Encoding") != "" {
		b.f.t.Fatalf("status %d, %v", res.StatusCode, res.Header)
	}
	lines := make(chan string, 100)
	b.f.t.Cleanup(cancel)
	go func() {
		defer close(lines)
		defer func() { _ = res.Body.Close() }()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// until waits for a line of a stream, and returns the id that came last.
func until(t *testing.T, lines <-chan string, want string) (id string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case line, on := <-lines:
			if !on {
				t.Fatalf("the stream ended before %q", want)
			}
			if strings.HasPrefix(line, "id: ") {
				id = line
			}
			if strings.HasPrefix(line, want) {
				return strings.TrimPrefix(id, "id: ")
			}
		case <-limit:
			t.Fatalf("%q did not come", want)
		}
	}
}

func TestConsole_Live(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	stop := f.run()
	b := f.browser()
	b.logIn("maria").leads("/lots")
	all, one, other := b.listen("/live", ""), b.listen("/live?lot="+string(lotA), ""), b.listen("/live?lot="+string(lotC), "")
	for _, s := range []<-chan string{all, one, other} {
		until(t, s, "id: ")
	}
	f.waitLooked(b)
	f.apply("measure-3", "p1", measured(lotA, 3, "47", event.Pass))
	until(t, all, "event: change")
	until(t, one, "event: change")
	select {
	case line := <-other:
		if strings.HasPrefix(line, "event") {
			t.Errorf("the page of another lot is told %q", line)
		}
	default:
	}
	// A page that was away and missed something is told at once; one that missed nothing is not.
	if got := until(t, b.listen("/live", "1-1"), "event: change"); got == "" {
		t.Error("no id")
	}
	stop()
	for name, s := range map[string]<-chan string{"all": all, "one": one, "other": other} {
		for range s { // ends, or the test does by its limit
		}
		t.Logf("stream %s ended", name)
	}
	if p := b.get("/live"); p.status != http.StatusServiceUnavailable {
		t.Errorf("after the end: status %d", p.status)
	}
}

// waitLooked waits until the console has looked once: what was there before it began is no change.
func (f *fixture) waitLooked(b *browser) {
	f.t.Helper()
	for limit := time.Now().Add(10 * time.Second); ; {
		lines := b.listen("/live", "")
		for line := range lines {
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				if id != "0-0-" {
					return
				}
				break
			}
		}
		if time.Now().After(limit) {
			f.t.Fatal("the console has not looked for changes")
		}
	}
}

func TestConsole_Live_NeedsUser(t *testing.T) {
	f := newFixture(t, "")
	f.browser().get("/live").leads("/login?back=%2Flive")
}

// TestConsole_Live_Many: 200 open pages cost little, and the same after many changes as after few.
func TestConsole_Live_Many(t *testing.T) {
	const pages = 200
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	f.run()
	b := f.browser()
	b.logIn("maria").leads("/lots")
	f.waitLooked(b)
	var streams []<-chan string
	for range pages {
		streams = append(streams, b.listen("/live", ""))
	}
	for _, s := range streams {
		until(t, s, "id: ")
	}
	change := func(n int64) {
		f.apply("more-"+time.Duration(n).String(), "p1", measured(lotA, n, "47", event.Pass))
		for _, s := range streams {
			until(t, s, "event: change")
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	change(10)
	before := heap()
	for n := int64(11); n < 16; n++ {
		change(n)
	}
	after := heap()
	t.Logf("%d pages: %d KiB before, %d KiB after", pages, before>>10, after>>10)
	if after > before+before/5+1<<20 {
		t.Errorf("memory grows from %d to %d bytes", before, after)
	}
}
