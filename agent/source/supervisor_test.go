package source

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var errLost = problem.New(problem.SourceDown, "the line is dead")

func TestSupervisor_BackOff(t *testing.T) {
	for name, c := range map[string]struct {
		endings []Ending
		want    []time.Duration // between the beginnings of lives
		state   State
	}{
		"doubles to the longest": {
			slices.Repeat([]Ending{{Err: errLost}}, 6),
			[]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}, BackingOff,
		},
		"begins anew after a steady life": {
			[]Ending{{Err: errLost}, {Err: errLost}, {Err: errLost, Steady: true}, {Err: errLost}},
			[]time.Duration{500 * time.Millisecond, time.Second, 500 * time.Millisecond, time.Second}, BackingOff,
		},
		"is what the source says": {
			[]Ending{{Err: errLost, Wait: time.Minute}, {Err: errLost, Refused: true, Wait: 30 * time.Second}},
			[]time.Duration{time.Minute, 30 * time.Second}, Refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, 0, func(d *Deps) { d.Cursor = nil })
				var begun []time.Time
				var before State
				stop := d.run(t, func(ctx context.Context) Ending {
					before = d.Status().State
					begun = append(begun, time.Now())
					if n := len(begun); n <= len(c.endings) {
						return c.endings[n-1]
					}
					<-ctx.Done()
					return Ending{}
				})
				<-time.After(10 * time.Minute)
				stop()
				var waits []time.Duration
				for i := range begun[1:] {
					waits = append(waits, begun[i+1].Sub(begun[i]))
				}
				if !slices.Equal(waits, c.want) || before != c.state {
					t.Errorf("waits %v, want %v, in state %s", waits, c.want, before)
				}
			})
		})
	}
}

func TestSupervisor_BackOff_Jitter(t *testing.T) {
	for at, want := range map[float64]time.Duration{0: 500 * time.Millisecond, .5: 375 * time.Millisecond, 1: 250 * time.Millisecond} {
		d := newDesk(t, 0, func(d *Deps) { d.Rand = func() float64 { return at } })
		if got := d.judge(&Ending{Err: errLost}); got != want {
			t.Errorf("at %v it waits %s, want %s", at, got, want)
		}
	}
}

// TestSupervisor_Panics gives a source back to its cursor after each panic, and leaves one that panics again and again
// alone for a while.
func TestSupervisor_Panics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, time.Hour, nil)
		var lives atomic.Int64
		d.run(t, func(context.Context) Ending {
			lives.Add(1)
			panic("a length of minus one")
		})
		<-time.After(30 * time.Second)
		synctest.Wait()
		if st := d.Status(); lives.Load() != manyCrashes || d.restored.Load() != manyCrashes || st.State != BackingOff || st.Problem == "" {
			t.Errorf("%d lives, restored %d times, status %+v", lives.Load(), d.restored.Load(), st)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if lives.Load() != manyCrashes+1 {
			t.Errorf("%d lives a minute later", lives.Load())
		}
	})
}

func TestSupervisor_Guard(t *testing.T) {
	d := newDesk(t, 0, nil)
	if err := d.Guard(func() error { panic("x") }); !errors.Is(err, ErrPanicked) || problem.CodeOf(err) != problem.Internal {
		t.Errorf("got %v", err)
	}
	if err := d.Guard(func() error { return errLost }); !errors.Is(err, errLost) {
		t.Errorf("got %v where nothing panicked", err)
	}
	if n := d.restored.Load(); n != 1 {
		t.Errorf("restored %d times", n)
	}
}

func TestSupervisor_Emit(t *testing.T) {
	t.Run("the same batch is tried until it is stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, 0, nil)
			fails := 0
			d.setHook(func(b Batch) error {
				if string(b.Cursor) != "2" || b.Source != "press" {
					t.Errorf("batch %+v", b)
				}
				if fails++; fails < 4 {
					return errors.New("disk full")
				}
				return nil
			})
			if err := d.Emit(t.Context(), d.emit, Batch{}); err != nil || len(d.stored()) != 1 {
				t.Errorf("%v, %d stored", err, len(d.stored()))
			}
		})
	})
	t.Run("a queue that takes nothing for long is full", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, 0, nil)
			d.Live(errLost)
			room := make(chan struct{})
			go func() {
				if err := d.Emit(t.Context(), func(context.Context, Batch) error { <-room; return nil }, Batch{}); err != nil {
					t.Error(err)
				}
			}()
			<-time.After(d.Pace.Full - 1)
			synctest.Wait()
			if st := d.Status(); st.State != Live {
				t.Errorf("state %s too early", st.State)
			}
			<-time.After(1)
			synctest.Wait()
			if st := d.Status(); st.State != Full || st.Problem == errLost.Error() {
				t.Errorf("state %s", st.State)
			}
			close(room)
			synctest.Wait()
			if st := d.Status(); st.State != Live || st.Problem != errLost.Error() || !d.WasFull(time.Second) {
				t.Errorf("status %+v", st)
			}
		})
	})
	t.Run("the batch in hand has some time when the source is to end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, 0, nil)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			begun := time.Now()
			err := d.Emit(ctx, func(ctx context.Context, _ Batch) error { <-ctx.Done(); return ctx.Err() }, Batch{})
			if took := time.Since(begun); err == nil || took != d.Pace.Finish {
				t.Errorf("%v after %s", err, took)
			}
		})
	})
}
