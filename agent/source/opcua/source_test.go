package opcua

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

func TestSource_Record(t *testing.T) {
	t.Parallel()
	p, k, _ := liveLine(t)
	for i := range 5 {
		k.untilSeq(t, p.Part("L-88213", 45.1+float64(i)))
	}
	for _, sig := range k.All() {
		if sig.Seq == nil {
			continue
		}
		m := body(t, sig)
		v := m["value"].(map[string]any)
		if sig.Kind != source.KindRecord || sig.Ref != p.Node("CycleRecord") || sig.Quality != source.Good || sig.Time.IsZero() || v["LotId"] != "L-88213" || v["Ok"] != true {
			t.Errorf("signal %+v with %s", sig, sig.Raw)
		}
	}
	if got := k.seqs(); !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("parts %v", got)
	}
	if g := k.Gaps(); len(g) > 0 {
		t.Errorf("gaps %+v", g)
	}
}

func TestSource_Counter(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = []Item{{Node: p.Node("CycleSeq"), Pattern: PatternCounter, Members: []string{p.Node("Torque"), p.Node("LotId")}}}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1", 45))
	k.untilSeq(t, p.Part("L-2", 61.2))
	all := k.All()
	v := body(t, all[len(all)-1])["value"].(map[string]any)
	m := v["members"].(map[string]any)
	if v["counter"] != 2.0 || m[p.Node("Torque")] != 61.2 || m[p.Node("LotId")] != "L-2" {
		t.Errorf("record %s", all[len(all)-1].Raw)
	}
}

// TestSource_CounterTorn moves the counter whenever it is read, so that no reading holds still.
func TestSource_CounterTorn(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = []Item{{Node: p.Node("CycleSeq"), Pattern: PatternCounter, Members: []string{p.Node("Torque")}}}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				p.Part("L-1")
			}
		}
	})
	sourcetest.Until(t, "a torn record", func() bool {
		return slices.ContainsFunc(k.All(), func(s source.Signal) bool { return slices.Contains(s.Flags, source.FlagTorn) })
	})
	close(stop)
	busy.Wait()
	sourcetest.Until(t, "its gap", func() bool { return len(k.GapsOf(source.GapTorn)) > 0 })
}

func TestSource_NodeMissing(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{Without: []string{"TorqueLo"}})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items = append(cfg.Items, Item{Node: p.Node("TorqueLo")})
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	sourcetest.Until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
	if st := s.Status(); st.State != source.Live {
		t.Errorf("state %s: one item stopped all", st.State)
	}
	sourcetest.Until(t, "its gap", func() bool { return len(k.GapsOf(source.GapItemMissing)) == 1 })
	if g := k.GapsOf(source.GapItemMissing)[0]; g.Item != p.Node("TorqueLo") {
		t.Errorf("gap %+v", g)
	}
}

// TestSource_NodeReturns closes an item's own gap once it is back with what was missed.
func TestSource_NodeReturns(t *testing.T) {
	t.Parallel()
	p, k, s := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	good := p.Value("CycleRecord")
	p.SetValue("CycleRecord", &ua.DataValue{Status: ua.StatusBadNodeIDUnknown})
	sourcetest.Until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
	p.SetValue("CycleRecord", good)
	sourcetest.Until(t, "its gap is closed, since nothing was missed", func() bool { return len(k.Closings()) == 1 })
	if c := k.Closings()[0]; c.Gap.Item != p.Node("CycleRecord") || c.Gap.Reason != source.GapItemMissing || len(s.Status().Troubled) > 0 {
		t.Errorf("closing %+v, status %+v", c, s.Status())
	}
	k.untilSeq(t, p.Part("L-1"))
}

// TestSource_Silence reads a node whose silence is too long, as a lax server may have dropped it without a word.
func TestSource_Silence(t *testing.T) {
	t.Parallel()
	p := startPress(t, sim.Config{})
	k := &sink{}
	cfg := recordOf(p)
	cfg.Items[0].MaxSilence = time.Second
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	p.Hide("CycleRecord")
	sourcetest.Until(t, "the item is in trouble", func() bool { return len(s.Status().Troubled) == 1 })
}

func TestSource_Full(t *testing.T) {
	t.Parallel()
	p, k, s := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	held := make(chan struct{})
	k.SetHook(func(source.Batch) error { <-held; return nil })
	last := p.Part("L-1")
	sourcetest.Until(t, "the source is full", func() bool { return s.Status().State == source.Full })
	lives := s.Status().Reconnects
	<-time.After(2 * s.pace.silence) // longer than the watchdog waits
	close(held)
	k.untilSeq(t, last)
	sourcetest.Live(t, s)
	if again := s.Status().Reconnects; again != lives {
		t.Errorf("%d new lives: the watchdog barked at our own queue", again-lives)
	}
}

// TestSource_EmitFails stores what a failing queue did not take, once, when it works again.
func TestSource_EmitFails(t *testing.T) {
	t.Parallel()
	p, k, _ := liveLine(t)
	k.untilSeq(t, p.Part("L-1"))
	var mu sync.Mutex
	fails := 0
	k.SetHook(func(source.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if fails++; fails <= 3 {
			return io.ErrShortWrite
		}
		return nil
	})
	k.untilSeq(t, p.Part("L-1"))
	if got := k.seqs(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("parts %v", got)
	}
}
