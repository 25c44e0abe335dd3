package opcua

import (
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

func TestSource_Reset(t *testing.T) {
	t.Parallel()
	p, k, s := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	p.Reset()
	sourcetest.Until(t, "a gap", func() bool { return len(k.GapsOf(source.GapDisconnect)) == 1 })
	sourcetest.Live(t, s)
	sourcetest.Until(t, "the gap is closed by the sequence", func() bool { return len(k.Closings()) == 1 })
	if c := k.Closings()[0]; c.Gap.From != k.GapsOf(source.GapDisconnect)[0].From || c.Reason != byContinuity {
		t.Errorf("closing %+v for %+v", c, k.Gaps())
	}
	k.untilSeq(t, p.Part("L-1"))
}

func TestSource_Frozen(t *testing.T) {
	t.Parallel()
	p, k, s := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	p.Freeze()
	sourcetest.Until(t, "the source is stale", func() bool { return s.Status().State == source.Silent })
	p.Part("L-1")
	p.Part("L-1")
	last := p.Part("L-1")
	sourcetest.Until(t, "a gap", func() bool { return len(k.GapsOf(source.GapWatchdog)) == 1 })
	p.Thaw()
	k.untilSeq(t, last)
	sourcetest.Live(t, s)
	sourcetest.Until(t, "the rest of the gap, with what is missing", func() bool { return len(k.GapsOf(source.GapWatchdog)) == 2 })
	first, g := k.Gaps()[0], k.GapsOf(source.GapWatchdog)[1]
	if g.FromSeq != 2 || g.ToSeq != 3 || g.Missing != 2 || !slices.Equal(g.Items, []string{p.Node("CycleRecord")}) || !g.From.Equal(first.From) || !g.To.After(g.From) {
		t.Errorf("gap %+v after %+v", g, first)
	}
	if c := k.Closings(); len(c) != 1 || !c[0].Gap.To.IsZero() || !first.To.IsZero() {
		t.Errorf("closed %+v, though parts are missing", c)
	}
}

func TestSource_Restart(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	s, stop := start(t, k, recordOf(p), nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	stop()
	t.Run("NothingMissed", func(t *testing.T) {
		s, stop := start(t, k, recordOf(p), nil)
		sourcetest.Live(t, s)
		sourcetest.Until(t, "the gap of the restart is closed", func() bool { return len(k.Closings()) == 1 })
		if g := k.GapsOf(source.GapAgentRestart); len(g) != 1 || k.Closings()[0].Gap.From != g[0].From {
			t.Errorf("gaps %+v", g)
		}
		stop()
	})
	p.Part("L-1")
	last := p.Part("L-1")
	t.Run("OneMissed", func(t *testing.T) {
		s, _ := start(t, k, recordOf(p), nil)
		sourcetest.Live(t, s)
		k.untilSeq(t, last)
		sourcetest.Until(t, "what is missing", func() bool { return len(k.GapsOf(source.GapAgentRestart)) == 3 })
		if open := k.Unclosed(); len(open) != 1 || open[0].To.IsZero() {
			t.Errorf("open gaps %+v, want the one of the missing part", open)
		}
		if g := k.GapsOf(source.GapAgentRestart)[2]; g.FromSeq != 2 || g.ToSeq != 2 || g.Missing != 1 {
			t.Errorf("gap %+v", g)
		}
		if got := k.seqs(); !slices.Equal(got, []uint64{1, 3}) {
			t.Errorf("parts %v", got)
		}
	})
}

// TestSource_RestartWhileLost leaves one gap for all the time in which the server was out of reach, whatever was tried and
// started anew meanwhile.
func TestSource_RestartWhileLost(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	s, stop := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Close()
	sourcetest.Until(t, "the loss is recorded", func() bool { return len(k.Gaps()) == 1 })
	for range 2 {
		stop()
		s, stop = start(t, k, cfg, nil)
		sourcetest.Until(t, "the server is missed", func() bool { return s.Status().State == source.BackingOff })
	}
	if g := k.Gaps(); len(g) != 1 || !g[0].To.IsZero() || s.Status().OpenGaps != 1 {
		t.Errorf("gaps %+v, open %d", g, s.Status().OpenGaps)
	}
	p = startPress(t, sim.Config{Addr: p.Addr(), Identity: p.Identity(), Seq: p.Seq()})
	k.untilSeq(t, p.Part("L-1"))
	sourcetest.Until(t, "the gap is closed by the sequence", func() bool { return len(k.Closings()) == 1 && len(k.Unclosed()) == 0 })
	if len(k.Gaps()) != 1 || s.Status().OpenGaps != 0 {
		t.Errorf("gaps %+v, open %d", k.Gaps(), s.Status().OpenGaps)
	}
}
