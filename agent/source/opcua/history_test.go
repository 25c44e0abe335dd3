package opcua

import (
	"slices"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// withHistory is a line whose record has history, with its configuration.
func withHistory(t *testing.T, h sim.History) (*sim.Press, Config) {
	t.Helper()
	p := startPress(t, sim.Config{History: h})
	cfg := recordOf(p)
	cfg.History = &History{}
	return p, cfg
}

// missed makes parts while the line is frozen, and returns the last one.
func missed(t *testing.T, p *sim.Press, s *Source, k *sink, parts int) uint32 {
	t.Helper()
	p.Freeze()
	sourcetest.Until(t, "the loss is seen", func() bool { return len(k.GapsOf(source.GapWatchdog)) > 0 && s.Status().State != source.Live })
	var last uint32
	for range parts {
		last = p.Part("L-1")
		<-time.After(time.Millisecond) // two parts at one instant would be one
	}
	p.Thaw()
	k.untilSeq(t, last)
	return last
}

// numbers are 1 to n.
func numbers(n uint32) []uint64 {
	var all []uint64
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

func TestSource_Backfill(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]sim.History{
		"OnePage":            {Keep: 1000},
		"ContinuationPoints": {Keep: 1000, Page: 7},
		"CutInSilence":       {Keep: 1000, Page: 7, Cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, cfg := withHistory(t, h)
			k := &sink{}
			s, _ := start(t, k, cfg, nil)
			sourcetest.Live(t, s)
			k.untilSeq(t, p.Part("L-1"))
			last := missed(t, p, s, k, 40)
			if got := k.seqs(); !slices.Equal(got, numbers(last)) {
				t.Errorf("parts %v", got)
			}
			sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) == 1 })
			if c := k.Closings()[0]; c.Reason != byHistory || c.Filled != 40 || len(k.Gaps()) != 1 {
				t.Errorf("closing %+v of %+v", c, k.Gaps())
			}
			for _, sig := range k.All() {
				if missing := *sig.Seq > 1; slices.Contains(sig.Flags, source.FlagBackfilled) != missing {
					t.Errorf("part %d has the flags %v", *sig.Seq, sig.Flags)
				}
			}
			if h.Page > 0 && p.HistoryReads() < 6 {
				t.Errorf("%d reads for 40 values in pages of %d", p.HistoryReads(), h.Page)
			}
		})
	}
}

// TestSource_BackfillLate has no time for history before it is live: what comes live and what history brings meet.
func TestSource_BackfillLate(t *testing.T) {
	t.Parallel()
	p, cfg := withHistory(t, sim.History{Keep: 1000, Page: 5})
	k := &sink{}
	s, _ := start(t, k, cfg, func(_ *Deps, s *Source) {
		if s != nil {
			s.pace.budget = -1
		}
	})
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	last := missed(t, p, s, k, 30)
	sourcetest.Until(t, "all parts", func() bool { return len(k.seqs()) >= int(last) })
	sourcetest.Until(t, "the gap is closed", func() bool { return len(k.Closings()) >= 1 })
	got := k.seqs()
	slices.Sort(got)
	if !slices.Equal(got, numbers(last)) {
		t.Errorf("parts %v", got)
	}
	if open := len(k.Gaps()) - len(k.Closings()); open != 0 {
		t.Errorf("gaps %+v, closed %+v", k.Gaps(), k.Closings())
	}
}

// TestSource_HistoryTooShort has lost the beginning: the gap stays open.
func TestSource_HistoryTooShort(t *testing.T) {
	t.Parallel()
	p, cfg := withHistory(t, sim.History{Keep: 5})
	k := &sink{}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	last := missed(t, p, s, k, 20)
	sourcetest.Until(t, "the rest of the gap", func() bool { return len(k.GapsOf(source.GapWatchdog)) == 2 })
	if g := k.GapsOf(source.GapWatchdog)[1]; g.FromSeq != 2 || g.ToSeq != int64(last)-5 || g.Missing != int64(last)-6 {
		t.Errorf("gap %+v, last part %d", g, last)
	}
	if open := k.Unclosed(); len(open) != 1 || open[0].To.IsZero() {
		t.Errorf("open gaps %+v, closed %+v", open, k.Closings())
	}
}

// TestSource_Repair reads from history what the server's queue dropped while the connection stood.
func TestSource_Repair(t *testing.T) {
	t.Parallel()
	p, cfg := withHistory(t, sim.History{Keep: 1000})
	k := &sink{}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	k.untilSeq(t, p.Part("L-1"))
	for range 5 { // this server sends only the newest of one cycle
		p.Part("L-1")
		<-time.After(time.Millisecond)
	}
	sourcetest.Until(t, "all parts", func() bool { return len(k.seqs()) == 6 })
	sourcetest.Until(t, "the gap is closed", func() bool {
		return len(k.GapsOf(source.GapSequenceJump)) > 0 && len(k.Closings()) == len(k.Gaps())
	})
	got := k.seqs()
	slices.Sort(got)
	if !slices.Equal(got, numbers(6)) {
		t.Errorf("parts %v", got)
	}
}

func TestPast_Fresh(t *testing.T) {
	from := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	at := func(seconds ...int) (all []*ua.DataValue) {
		for _, s := range seconds {
			all = append(all, &ua.DataValue{SourceTimestamp: from.Add(time.Duration(s) * time.Second)})
		}
		return all
	}
	p := &past{w: &watch{track: &track{}}, from: from, start: from.Add(-time.Second), end: from.Add(time.Hour)}
	if got := p.fresh(at(0, 1, 2)); len(got) != 2 || !p.covers || p.done || !p.start.Equal(from.Add(2*time.Second)) {
		t.Errorf("first page: %d fresh, %+v", len(got), p)
	}
	if got := p.fresh(at(2, 3)); len(got) != 1 || p.done {
		t.Errorf("second page: %d fresh, done %t", len(got), p.done)
	}
	if got := p.fresh(append(at(3), nil, &ua.DataValue{})); len(got) != 0 || !p.done {
		t.Errorf("a page with nothing new: %d fresh, done %t", len(got), p.done)
	}
	later := &past{w: &watch{track: &track{}}, from: from, start: from.Add(-time.Second), end: from.Add(time.Hour)}
	if later.fresh(at(5)); later.covers {
		t.Error("history that begins later than what is known covers nothing")
	}
	gap := &past{w: &watch{track: &track{}}, from: from, start: from.Add(-time.Second), end: from.Add(3 * time.Second), repair: &source.Gap{}}
	if got := gap.fresh(at(0, 1, 3)); len(got) != 1 || !gap.done || !gap.covers {
		t.Errorf("a repair gives %d values, done %t", len(got), gap.done)
	}
}

// TestLife_HistoryBeforeSubscription: what history had, the subscription brings a moment later, too. It is no new fact, and it
// begins no sequence anew.
func TestLife_HistoryBeforeSubscription(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "nsu=urn:x;s=Count", Pattern: PatternRecord, Seq: "."}}, History: &History{}})
	w := &watch{role: roleValue, track: l.tracks[0]}
	l.watches = []*watch{w}
	begin := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	value := func(n uint32) *ua.DataValue {
		return &ua.DataValue{EncodingMask: ua.DataValueValue | ua.DataValueSourceTimestamp, Value: ua.MustVariant(n), SourceTimestamp: begin.Add(time.Duration(n) * time.Second)}
	}
	var b source.Batch
	l.changed(w, value(1), nil, l.deps.Now(), &b)
	for n := uint32(2); n <= 4; n++ {
		l.historic(&past{w: w}, value(n), &b)
	}
	w.track.filled = l.deps.Now()
	late := w.track.filled.Add(time.Second)
	for n := uint32(3); n <= 6; n++ {
		l.changed(w, value(n), nil, late, &b)
	}
	var got []uint64
	for _, s := range b.Signals {
		got = append(got, *s.Seq)
	}
	if !slices.Equal(got, numbers(6)) || len(b.Gaps) > 0 {
		t.Errorf("numbers %v, gaps %+v", got, b.Gaps)
	}
	if n := l.Status().Duplicates; n != 2 {
		t.Errorf("%d duplicates, want 2", n)
	}
}
