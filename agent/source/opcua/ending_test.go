package opcua

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// TestSource_GoBack goes back to what is on disk: a value that was looked at and not stored must be missed.
func TestSource_GoBack(t *testing.T) {
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
	if err := l.super.Guard(func() error {
		see(&nine, at.Add(time.Second))
		panic("a length of minus one")
	}); err == nil {
		t.Error("a panic is no error")
	}
	if *x.seq != 7 || !x.last.Equal(at) || !l.at.Contact.Equal(at) {
		t.Errorf("track %+v, contact %s", x, l.at.Contact)
	}
}

func TestSource_Ending(t *testing.T) {
	l := deskLife(t, Config{Items: []Item{{Node: "i=2258"}}})
	for name, c := range map[string]struct {
		lived time.Duration
		err   error
		want  source.Ending
	}{
		"lost":           {time.Second, problem.New(problem.SourceDown, "x"), source.Ending{Reason: source.GapDisconnect}},
		"lost at last":   {time.Minute, problem.New(problem.SourceDown, "x"), source.Ending{Reason: source.GapDisconnect, Steady: true}},
		"silent":         {time.Second, problem.New(problem.SourceStale, "x"), source.Ending{Reason: source.GapWatchdog}},
		"ended":          {time.Second, problem.New(problem.SourceDown, "%w", errStatusChange), source.Ending{Reason: source.GapStatusChange}},
		"not trusted":    {0, problem.New(problem.ServerTrust, "x"), source.Ending{Reason: source.GapTrustRefused, Refused: true, Wait: 5 * time.Second}},
		"wrong password": {0, problem.New(problem.SourceRefused, "%w", errLogin), source.Ending{Reason: source.GapDisconnect, Refused: true, Wait: 30 * time.Second}},
		"no such node":   {0, problem.New(problem.NodeMissing, "x"), source.Ending{Reason: source.GapDisconnect, Refused: true, Wait: 5 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Err = c.err
			if got := l.ending(c.lived, c.err); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
