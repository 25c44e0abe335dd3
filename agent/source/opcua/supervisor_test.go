package opcua

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// TestSource_Guarded goes back to what is on disk: a value that was looked at and not stored must be missed.
func TestSource_Guarded(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "nsu=urn:x;s=Record", Pattern: PatternRecord, Seq: "Seq"}}})
	x := l.tracks[0]
	seven, nine := uint64(7), uint64(9)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	see := func(n *uint64, at time.Time) {
		x.observe(&reading{seq: n, at: at})
		l.take(x, reading{at: at}, &source.Batch{})
	}
	see(&seven, at)
	l.stored = l.at.bytes()
	err := l.guarded(func() error {
		see(&nine, at.Add(time.Second))
		panic("a length of minus one")
	})
	if !errors.Is(err, errPanicked) || problem.CodeOf(err) != problem.Internal {
		t.Errorf("got %v", err)
	}
	if *x.seq != 7 || !x.last.Equal(at) || !l.at.Contact.Equal(at) {
		t.Errorf("track %+v, contact %s", x, l.at.Contact)
	}
	if err := l.guarded(func() error { return nil }); err != nil {
		t.Errorf("got %v where nothing panicked", err)
	}
}

func TestSource_Judge(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "i=2258"}}})
	l.deps.Rand = func() float64 { return 0 }
	for name, c := range map[string]struct {
		err   error
		state source.State
		wait  time.Duration
	}{
		"lost":           {problem.New(problem.SourceDown, "x"), source.BackingOff, 500 * time.Millisecond},
		"not trusted":    {problem.New(problem.ServerTrust, "x"), source.Refused, 5 * time.Second},
		"wrong password": {problem.New(problem.SourceRefused, "%w", errLogin), source.Refused, 30 * time.Second},
		"no such node":   {problem.New(problem.NodeMissing, "x"), source.Refused, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			l.fails = 0
			if wait := l.judge(0, c.err); wait != c.wait || l.Status().State != c.state || l.Status().Problem == "" || l.Status().Next == "" {
				t.Errorf("waits %s, status %+v", wait, l.Status())
			}
		})
	}
	l.fails = 0
	var waits []time.Duration
	for range 6 {
		waits = append(waits, l.judge(time.Second, problem.New(problem.SourceDown, "x")))
	}
	if waits[1] != time.Second || waits[2] != 2*time.Second || waits[5] != 5*time.Second {
		t.Errorf("waits %v", waits)
	}
	if wait := l.judge(time.Minute, problem.New(problem.SourceDown, "x")); wait != 500*time.Millisecond {
		t.Errorf("waits %s after a long life", wait)
	}
}
