package console

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestLiveSources(t *testing.T) {
	live, stale := event.SourceStanding{State: "live"}, event.SourceStanding{State: "stale"}
	for name, c := range map[string]struct {
		sources   []event.SourceStanding
		omitted   int64
		live, all int64
	}{
		"None":             {nil, 0, 0, 0},
		"AllLive":          {[]event.SourceStanding{live, live}, 0, 2, 2},
		"OneSilent":        {[]event.SourceStanding{stale, live}, 0, 1, 2},
		"CalmOnesLeftOut":  {[]event.SourceStanding{stale, live}, 8, 9, 10},
		"NotKnownLeftOut":  {[]event.SourceStanding{stale, stale}, 8, 0, 10},
		"NothingHadItsRow": {nil, 3, 3, 3},
	} {
		if live, all := liveSources(&event.AgentStatus{Sources: c.sources, Omitted: c.omitted}); live != c.live || all != c.all {
			t.Errorf("%s: %d of %d, want %d of %d", name, live, all, c.live, c.all)
		}
	}
}

func TestVisit_Size(t *testing.T) {
	v := &visit{}
	for n, want := range map[int64]string{0: "0 B", 1023: "1,023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 8 << 30: "8.0 GiB", 5 << 50: "5120.0 TiB"} {
		if got := v.Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestVisit_Certificates(t *testing.T) {
	w, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	v := &visit{Now: now, c: &Console{words: w}}
	for _, c := range []struct {
		end         time.Time
		class, word string
	}{
		{time.Time{}, "calm", "none in use"}, {now.Add(-time.Second), "bad", "ended"}, {now.Add(time.Hour), "alarm", "0 days"},
		{now.Add(25 * time.Hour), "alarm", "1 day"}, {now.Add(29*24*time.Hour + time.Hour), "alarm", "29 days"}, {now.Add(30 * 24 * time.Hour), "calm", "30 days"},
	} {
		if b := v.Certificates(event.At(c.end)); b.Class != c.class || b.Word != c.word {
			t.Errorf("%s is %s %q, want %s %q", c.end, b.Class, b.Word, c.class, c.word)
		}
	}
}
