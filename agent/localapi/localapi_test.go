package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socketPath returns a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "agent.sock")
}

func TestListen(t *testing.T) {
	t.Run("OK, of mode 0600 and gone when closed", func(t *testing.T) {
		path := socketPath(t)
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode is %04o", info.Mode().Perm())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after close: %v", err)
		}
	})
	t.Run("OK, in place of a socket left behind", func(t *testing.T) {
		path := socketPath(t)
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill
		_ = l.Close()
		again, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
	})
	t.Run("ErrAnswers", func(t *testing.T) {
		path := socketPath(t)
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if _, err := Listen(path); problem.CodeOf(err) != problem.QueueLocked {
			t.Errorf("error is %v: want %s", err, problem.QueueLocked)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the socket in use was removed: %v", err)
		}
	})
	t.Run("ErrFile", func(t *testing.T) {
		path := socketPath(t)
		if err := os.WriteFile(path, []byte("keep"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path); problem.CodeOf(err) != problem.ConfigFile {
			t.Errorf("error is %v: want %s", err, problem.ConfigFile)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "keep" {
			t.Errorf("the file holds %q, %v", text, err)
		}
	})
	t.Run("ErrLong", func(t *testing.T) {
		_, err := Listen("/" + strings.Repeat("x", MaxPath))
		if problem.CodeOf(err) != problem.ConfigValue {
			t.Errorf("error is %v: want %s", err, problem.ConfigValue)
		}
	})
}

// fake is an agent with fixed answers.
type fake struct {
	tap func(context.Context, Tap, func(Tapped) error) error

	reload func(Reload) (Reloaded, error)

	plan Plan
	step func(ctx context.Context, progress func(Progress)) (Progress, error)

	mu        sync.Mutex // guards what follows
	principal string
	orders    []Replay
}

func (f *fake) Status() Status { return Status{Format: Format, Plant: "p1"} }
func (f *fake) Queue() Queue {
	return Queue{Format: Format, Plant: "p1", Lanes: []Lane{{Name: "quality", Depth: 7}}}
}

func (f *fake) Lot(_ context.Context, name string) (Lot, error) {
	if name == "both" {
		return Lot{}, problem.New(problem.Usage, "several lots have the number %q", name)
	}
	return Lot{Format: Format, Plant: "p1", Lot: name, MayMove: true}, nil
}

func (f *fake) Lots(_ context.Context, after string) (Lots, error) {
	return Lots{Format: Format, Plant: "p1", Lots: []Lot{{Lot: after + "1"}}}, nil
}

func (f *fake) Reload(_ context.Context, principal string, order Reload) (Reloaded, error) {
	f.mu.Lock()
	f.principal = principal
	f.mu.Unlock()
	return f.reload(order)
}

func (f *fake) PlanReplay(_ context.Context, order Replay) (Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, order)
	return f.plan, nil
}

func (f *fake) Tap(ctx context.Context, tap Tap, show func(Tapped) error) error {
	return f.tap(ctx, tap, show)
}

func (f *fake) Replay(ctx context.Context, act Act, progress func(Progress)) (Progress, error) {
	f.mu.Lock()
	f.principal = act.Principal
	f.mu.Unlock()
	return f.step(ctx, progress)
}

// serve serves an agent until the test ends, or until stop, which waits for the end.
func serve(t *testing.T, agent Agent) (c *Client, stop func()) {
	t.Helper()
	path := socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := Serve(ctx, l, agent, zerolog.Nop()); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	stop = func() {
		cancel()
		served.Wait()
	}
	t.Cleanup(stop)
	return NewClient(path), stop
}

func order() Replay {
	to := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return Replay{Lane: event.LaneQuality, From: to.Add(-time.Hour), To: to, Rate: 50, Reason: "why", Execute: true}
}

func TestClient(t *testing.T) {
	c, stop := serve(t, &fake{})
	if s, err := c.Status(t.Context()); err != nil || s.Plant != "p1" {
		t.Errorf("status is %+v, %v", s, err)
	}
	if q, err := c.Queue(t.Context()); err != nil || len(q.Lanes) != 1 || q.Lanes[0].Depth != 7 {
		t.Errorf("queue is %+v, %v", q, err)
	}
	stop()
	if _, err := c.Status(t.Context()); problem.CodeOf(err) != problem.APIUnreachable {
		t.Errorf("error without an agent is %v: want %s", err, problem.APIUnreachable)
	}
}

func TestClient_Replay(t *testing.T) {
	plan := Plan{Plant: "p1", Lane: event.LaneQuality, Records: 2, Types: []Count{{"a", 2}}}

	t.Run("OK", func(t *testing.T) {
		f := &fake{plan: plan, step: func(context.Context, func(Progress)) (Progress, error) { return Progress{2, 2}, nil }}
		c, _ := serve(t, f)
		var got []Update
		if err := c.Replay(t.Context(), order(), func(u Update) { got = append(got, u) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Update{{Plan: &plan}, {Done: &Progress{2, 2}}}, got); diff != "" {
			t.Error(diff)
		}
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		if f.principal != me.Username {
			t.Errorf("principal is %q: want %q", f.principal, me.Username)
		}
	})
	t.Run("OK, dry run", func(t *testing.T) {
		f := &fake{plan: plan}
		c, _ := serve(t, f)
		dry := order()
		dry.Execute, dry.Reason, dry.Rate = false, "", 0
		var got []Update
		if err := c.Replay(t.Context(), dry, func(u Update) { got = append(got, u) }); err != nil || len(got) != 1 {
			t.Errorf("answer is %+v, %v", got, err)
		}
		if f.principal != "" || f.orders[0].Rate != DefaultRate {
			t.Errorf("principal is %q, order %+v", f.principal, f.orders)
		}
	})
	t.Run("ErrMidway", func(t *testing.T) {
		f := &fake{plan: plan, step: func(context.Context, func(Progress)) (Progress, error) {
			return Progress{1, 2}, problem.New(problem.KafkaRefused, "no rights")
		}}
		c, _ := serve(t, f)
		err := c.Replay(t.Context(), order(), func(Update) {})
		if problem.CodeOf(err) != problem.KafkaRefused || !strings.Contains(err.Error(), "after 1 of 2 records: no rights") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("ErrAgentStops", func(t *testing.T) {
		began := make(chan struct{})
		f := &fake{plan: plan, step: func(ctx context.Context, _ func(Progress)) (Progress, error) {
			close(began)
			<-ctx.Done()
			return Progress{0, 2}, ctx.Err()
		}}
		c, stop := serve(t, f)
		var done sync.WaitGroup
		done.Go(func() {
			if err := c.Replay(t.Context(), order(), func(Update) {}); err == nil {
				t.Error("a replay that was cut counts as done")
			}
		})
		<-began
		stop()
		done.Wait()
	})
	t.Run("ErrCanceled ends it at the agent, too", func(t *testing.T) {
		began, ended := make(chan struct{}), make(chan struct{})
		f := &fake{plan: plan, step: func(ctx context.Context, _ func(Progress)) (Progress, error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return Progress{0, 2}, ctx.Err()
		}}
		c, _ := serve(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-began
			cancel()
		}()
		if err := c.Replay(ctx, order(), func(Update) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
		<-ended
	})
}

func TestReplay_Check(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Replay)
		want   problem.Code
	}{
		{"an unknown lane", func(r *Replay) { r.Lane = "fast" }, problem.Usage},
		{"no beginning", func(r *Replay) { r.From = time.Time{} }, problem.Usage},
		{"no end", func(r *Replay) { r.To = time.Time{} }, problem.Usage},
		{"an end before the beginning", func(r *Replay) { r.To = r.From }, problem.Usage},
		{"a rate below 1", func(r *Replay) { r.Rate = -1 }, problem.Usage},
		{"a rate above the limit", func(r *Replay) { r.Rate = MaxRate + 1 }, problem.Usage},
		{"no reason", func(r *Replay) { r.Reason = "" }, problem.ReasonNeeded},
		{"a book as reason", func(r *Replay) { r.Reason = strings.Repeat("x", maxReason+1) }, problem.Usage},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := order()
			c.change(&r)
			if err := r.Check(); problem.CodeOf(err) != c.want {
				t.Errorf("error is %v: want %s", err, c.want)
			}
		})
	}
}

// FuzzReplay checks that no order passes that the agent could not carry out.
func FuzzReplay(f *testing.F) {
	text, err := json.Marshal(order())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"lane":"telemetry","from":"2026-11-24T12:00:00Z","to":"2026-11-24T12:00:00.1Z","rate":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Replay
		if json.Unmarshal(text, &r) != nil || r.Check() != nil {
			return
		}
		if r.Rate < 1 || r.Rate > MaxRate || !r.From.Before(r.To) || (r.Execute && r.Reason == "") {
			t.Errorf("order %+v passed", r)
		}
	})
}
