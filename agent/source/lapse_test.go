package source

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSupervisor_Begin(t *testing.T) {
	open := &Gap{Equipment: "press4", From: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC), Reason: GapDisconnect}
	for name, c := range map[string]struct {
		change func(*Deps)
		gaps   int
	}{
		"a source that was observed has a gap":         {nil, 1},
		"one that never was has none":                  {func(d *Deps) { d.Cursor = nil }, 0},
		"one whose gap is open already keeps that one": {func(d *Deps) { d.Open = open }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := time.Now()
				d := newDesk(t, time.Minute, c.change)
				<-time.After(time.Hour)
				if err := d.Begin(t.Context(), d.emit); err != nil {
					t.Fatal(err)
				}
				if got := d.gaps(); len(got) != c.gaps {
					t.Fatalf("gaps %+v", got)
				}
				if c.gaps == 0 {
					return
				}
				g := d.gaps()[0]
				if g.Reason != GapAgentRestart || g.Equipment != "press4" || !g.From.Equal(seen) || !g.To.IsZero() || !g.Found.Equal(time.Now()) || d.Status().OpenGaps != 1 {
					t.Errorf("gap %+v, %d open", g, d.Status().OpenGaps)
				}
			})
		})
	}
	t.Run("it waits until the gap is on disk", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, 0, nil)
			d.setHook(func(Batch) error { return errors.New("no room") })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := d.Begin(ctx, d.emit); err == nil {
				t.Error("it returned without")
			}
		})
	})
}

// TestSupervisor_Lapse follows a source through a loss: a connection that is back soon leaves no gap, one that is away for
// longer leaves one, whatever is tried meanwhile.
func TestSupervisor_Lapse(t *testing.T) {
	const grace = 10 * time.Second
	for name, c := range map[string]struct {
		grace time.Duration
		away  time.Duration // how long connections fail
		gaps  int
	}{
		"back in time":                  {grace, 7 * time.Second, 0},
		"away for longer":               {grace, grace + 5*time.Second, 1},
		"away for a day":                {grace, 24 * time.Hour, 1},
		"whose other side keeps naught": {0, time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, c.grace, nil)
				var lost, found time.Time
				stop := d.run(t, func(ctx context.Context) Ending {
					switch {
					case lost.IsZero():
						<-time.After(time.Hour)
						lost = time.Now()
						return Ending{Err: errLost}
					case time.Since(lost) < c.away:
						return Ending{Err: errLost, Reason: GapTrustRefused}
					}
					found = time.Now()
					var b Batch
					d.Explain(&b, "all is there", 7)
					if err := d.Emit(ctx, d.emit, b); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					return Ending{}
				})
				<-time.After(48 * time.Hour)
				stop()
				gaps, closed := d.gaps(), d.closed()
				if len(gaps) != c.gaps || len(closed) != c.gaps || found.IsZero() {
					t.Fatalf("gaps %+v, closed %+v", gaps, closed)
				}
				if c.gaps == 0 {
					return
				}
				if g := gaps[0]; g.Reason != GapDisconnect || !g.Found.Equal(lost.Add(c.grace)) || !g.To.IsZero() {
					t.Errorf("gap %+v, lost at %s", g, lost)
				}
				if x := closed[0]; x.Gap.Found != gaps[0].Found || x.Reason != "all is there" || x.Filled != 7 || d.Status().OpenGaps != 0 {
					t.Errorf("closing %+v, %d open", x, d.Status().OpenGaps)
				}
			})
		})
	}
}

// TestSupervisor_Lapse_WhileConnecting does not wait for a connection that takes long to fail.
func TestSupervisor_Lapse_WhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 10*time.Second, nil)
		var lost time.Time
		stop := d.run(t, func(ctx context.Context) Ending {
			if lost.IsZero() {
				lost = time.Now()
				return Ending{Err: errLost}
			}
			if err := d.Reach(ctx, d.emit, func() {
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
				}
			}); err != nil {
				t.Error(err)
			}
			return Ending{Err: errLost}
		})
		<-time.After(time.Minute)
		stop()
		if g := d.gaps(); len(g) != 1 || !g[0].Found.Equal(lost.Add(10*time.Second)) {
			t.Errorf("gaps %+v, lost at %s", g, lost)
		}
	})
}

// TestSupervisor_Bound puts a gap that ends in place of the one that goes on, in one batch and in this order.
func TestSupervisor_Bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := time.Now()
		d := newDesk(t, 0, nil)
		if err := d.Begin(t.Context(), d.emit); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		var b Batch
		d.Bound(&b, Gap{From: time.Now().Add(-time.Minute), To: time.Now(), Reason: GapSessionLost})
		if err := d.Emit(t.Context(), d.emit, b); err != nil {
			t.Fatal(err)
		}
		if g := b.Gaps; len(g) != 1 || !g[0].From.Equal(seen) || !g[0].To.Equal(time.Now()) || g[0].Reason != GapSessionLost || g[0].Equipment != "press4" {
			t.Errorf("gaps %+v", g)
		}
		if x := b.Closed; len(x) != 1 || !x[0].Gap.To.IsZero() || d.Open() != nil || d.Status().OpenGaps != 1 {
			t.Errorf("closed %+v, open %+v, %d", x, d.Open(), d.Status().OpenGaps)
		}
	})
}

// TestSupervisor_Panic_Gap keeps a gap open whose closing was not stored.
func TestSupervisor_Panic_Gap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, 0, nil)
		if err := d.Begin(t.Context(), d.emit); err != nil {
			t.Fatal(err)
		}
		_ = d.Guard(func() error {
			d.Explain(&Batch{}, "x", 0)
			panic("before it was stored")
		})
		if d.Open() == nil {
			t.Error("the gap is forgotten")
		}
	})
}
