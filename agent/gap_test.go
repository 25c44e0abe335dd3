package agent

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// said decodes what lane quality holds.
func (l *line) said() (all []event.Data) {
	l.t.Helper()
	if err := l.quality.Scan(l.t.Context(), queue.Range{}, func(r queue.Record) error {
		m := event.Message{Value: r.Value}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, event.Header(h))
		}
		data, err := event.DecodeData(event.Type(m.Header(event.HeaderType)), r.Value)
		all = append(all, data)
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	return all
}

// TestPipeline_Gaps follows a gap that goes on: it touches all that comes, is known to the next start, and makes way for
// one whose end is known.
func TestPipeline_Gaps(t *testing.T) {
	l := newLine(t, 64<<20)
	from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	on := source.Gap{Equipment: "press4", From: from, Found: from.Add(time.Minute), Reason: source.GapAgentRestart}
	over := source.Gap{Equipment: "press4", From: from, To: from.Add(time.Hour), Reason: source.GapSessionLost}
	l.mustEmit(source.Batch{Gaps: []source.Gap{on}, Cursor: []byte("7")})
	open, err := openGaps(l.quality.Cursors())
	if err != nil || len(open) != 1 || !reflect.DeepEqual(open["press"].Gap, on) {
		t.Fatalf("%v, the next start would find %+v", err, open)
	}
	l.mustEmit(source.Batch{Gaps: []source.Gap{over}, Closed: []source.Closing{{Gap: on, Reason: "x"}}})
	if open, err := openGaps(l.quality.Cursors()); err != nil || len(open) != 0 {
		t.Errorf("%v, the next start would find %+v", err, open)
	}
	again := on
	again.Found = from.Add(2 * time.Hour)
	l.mustEmit(source.Batch{Gaps: []source.Gap{again}})

	said := l.said()
	if len(said) != 4 {
		t.Fatalf("lane quality holds %d records", len(said))
	}
	first, second, closed, third := said[0].(*event.GapRecorded), said[1].(*event.GapRecorded), said[2].(*event.GapClosed), said[3].(*event.GapRecorded)
	if !first.To.Equal(endless) || !second.To.Equal(over.To) || first.Reason != event.GapAgentRestart || first.Equipment != "press4" {
		t.Errorf("recorded are %+v and %+v", first, second)
	}
	if closed.GapID != first.GapID || !closed.To.Equal(endless) {
		t.Errorf("closed is %s to %s, want %s", closed.GapID, closed.To, first.GapID)
	}
	if first.GapID == second.GapID || first.GapID == third.GapID || second.GapID == third.GapID {
		t.Errorf("gaps %s, %s and %s are not three", first.GapID, second.GapID, third.GapID)
	}
}

// TestPipeline_Gaps_QueueFull records a gap although sources have to wait for room.
func TestPipeline_Gaps_QueueFull(t *testing.T) {
	l := newLine(t, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var filling sync.WaitGroup
	filling.Go(func() {
		for n := range 1000 {
			m := pressMessage("1", "45.1")
			m.Source, m.Raw = "other", fmt.Appendf(nil, "%d%s", n, strings.Repeat("x", 4000)) // ends in quarantine, which waits as well
			if l.emit(ctx, source.Batch{Source: "other", Signals: []source.Signal{m}}) != nil {
				return
			}
		}
		t.Error("the lane does not fill")
	})
	for l.counter("holdfast_agent_queue_full_waits_total") == 0 {
		<-time.After(time.Millisecond)
	}
	now := time.Now()
	l.mustEmit(source.Batch{Gaps: []source.Gap{{From: now.Add(-time.Minute), Found: now, Reason: source.GapDisconnect}}})
	cancel()
	filling.Wait()
}

// TestPipeline_EndRemoved ends the gap of a source that nobody configures any more, in the lane in which it was recorded.
func TestPipeline_EndRemoved(t *testing.T) {
	l := newLine(t, 64<<20)
	from := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for _, id := range []string{"press", "gone"} {
		if err := l.emit(t.Context(), source.Batch{Source: id, Gaps: []source.Gap{{From: from, Found: from, Reason: source.GapDisconnect}}}); err != nil {
			t.Fatal(err)
		}
	}
	open, err := openGaps(l.quality.Cursors())
	if err != nil {
		t.Fatal(err)
	}
	open["gone"].Lane = event.LaneTelemetry
	if err := l.endRemoved(t.Context(), open, []source.Source{beginner{id: "press"}}); err != nil {
		t.Fatal(err)
	}
	said := l.said()
	if len(said) != 4 {
		t.Fatalf("lane quality holds %d records", len(said))
	}
	if g := said[2].(*event.GapRecorded); g.Source != "gone" || g.Lane != event.LaneTelemetry || !g.From.Equal(from) || g.To.Equal(endless) {
		t.Errorf("recorded is %+v", g)
	}
	if c := said[3].(*event.GapClosed); c.GapID != said[1].(*event.GapRecorded).GapID {
		t.Errorf("closed is %+v", c)
	}
	if left, err := openGaps(l.quality.Cursors()); err != nil || len(left) != 1 || left["press"] == nil {
		t.Errorf("%v, the next start would find %+v", err, left)
	}
}

// beginner is a source whose beginning takes until a test lets it end.
type beginner struct {
	source.Source
	id    string
	begin chan struct{}
}

func (s beginner) ID() string { return s.id }

func (s beginner) Begin(ctx context.Context, _ source.Emit) error {
	select {
	case <-s.begin:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s beginner) Run(ctx context.Context, _ source.Emit) error {
	<-ctx.Done()
	return nil
}

// readerOf returns an agent that has nothing but sources.
func readerOf(sources ...beginner) *Agent {
	f := &force{}
	for _, s := range sources {
		f.cfg.Sources, f.sources = append(f.cfg.Sources, Source{ID: s.id}), append(f.sources, s)
	}
	a := &Agent{pipeline: &pipeline{}, begun: make(chan struct{})}
	a.force.Store(f)
	return a
}

// TestAgent_Read lets the uplink speak when every source has recorded what it may have missed, and not before.
func TestAgent_Read(t *testing.T) {
	begun := func(a *Agent) bool {
		select {
		case <-a.begun:
			return true
		default:
			return false
		}
	}
	t.Run("OK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, last := beginner{id: "a", begin: make(chan struct{})}, beginner{id: "b", begin: make(chan struct{})}
			a := readerOf(first, last)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go a.read(ctx, func(err error) { t.Error(err) })
			close(first.begin)
			synctest.Wait()
			if begun(a) {
				t.Error("it speaks while one source has recorded nothing yet")
			}
			close(last.begin)
			synctest.Wait()
			if !begun(a) {
				t.Error("it does not speak")
			}
		})
	})
	t.Run("ErrEnded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := readerOf(beginner{id: "a"})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			a.read(ctx, func(err error) { t.Error(err) })
			if begun(a) {
				t.Error("it speaks although nothing is recorded")
			}
		})
	})
}
