package queue

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLane_Ends(t *testing.T) {
	cfg := testConfig(t.TempDir())
	check := func(l *Lane, what string, want ...End) {
		t.Helper()
		if diff := cmp.Diff(want, l.Ends()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	end := func(epoch string, seq uint64) End { return End{Position{epoch, seq}, "before " + epoch} }

	l := beginLane(t, cfg, "aa")
	check(l, "an epoch without a record", end("aa", 0))
	putRecords(t, l, 1, 3)
	check(l, "what is stored counts", end("aa", 3))
	closeLane(t, l)

	l = openLane(t, cfg)
	check(l, "before an epoch is begun")
	if err := l.Begin("bb", "before bb"); err != nil {
		t.Fatal(err)
	}
	check(l, "an unsent tail comes first", end("aa", 3), end("bb", 0))
	putRecords(t, l, 1, 2)
	if err := l.Ack(Position{"aa", 2}); err != nil {
		t.Fatal(err)
	}
	check(l, "one record of the tail is left", end("aa", 3), end("bb", 2))
	if err := l.Ack(Position{"aa", 3}); err != nil {
		t.Fatal(err)
	}
	check(l, "the tail is sent", end("bb", 2))
	if err := l.Ack(Position{"bb", 2}); err != nil {
		t.Fatal(err)
	}
	check(l, "all is sent", end("bb", 2))
	closeLane(t, l)
	check(l, "a closed lane has none")
}

func TestLane_EachUrgent(t *testing.T) {
	cfg := testConfig(t.TempDir())
	l := beginLane(t, cfg, "aa")
	put := func(l *Lane, records ...Record) {
		t.Helper()
		if _, err := l.Put(t.Context(), Batch{Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	put(l, testRecord(1), urgentRecord(2), urgentRecord(3))
	closeLane(t, l)
	l = beginLane(t, cfg, "bb")
	put(l, urgentRecord(4), testRecord(5), urgentRecord(6))
	seen := func(after map[string]uint64) (ids []string) {
		t.Helper()
		note := func(r Record) error { ids = append(ids, r.ID); return nil }
		if err := l.EachUrgent(t.Context(), func(epoch string) uint64 { return after[epoch] }, note); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if err := l.Ack(Position{"aa", 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.NextUrgent(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		after map[string]uint64
		want  []string
	}{
		{"all, whether sent or not", nil, []string{"event-2", "event-3", "event-4", "event-6"}},
		{"behind one of the first run", map[string]uint64{"aa": 2}, []string{"event-3", "event-4", "event-6"}},
		{"none of the first run", map[string]uint64{"aa": math.MaxUint64}, []string{"event-4", "event-6"}},
		{"behind the first of each", map[string]uint64{"aa": 3, "bb": 1}, []string{"event-6"}},
		{"none", map[string]uint64{"aa": 3, "bb": 3}, nil},
	} {
		if got := seen(c.after); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := l.Epochs(); !slices.Equal(got, []string{"aa", "bb"}) {
		t.Errorf("epochs are %v", got)
	}
	stop := errors.New("enough")
	if err := l.EachUrgent(t.Context(), func(string) uint64 { return 0 }, func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestLane_EachUrgent_ManySegments(t *testing.T) {
	l := beginLane(t, smallConfig(t.TempDir()), "aa")
	for n := range 400 {
		r := testRecord(n)
		r.Urgent = n%50 == 0
		putBatch(t, l, r)
	}
	if s := l.Stat(); s.Segments < 2 {
		t.Fatalf("%d segments: the test needs several", s.Segments)
	}
	var seqs []uint64
	if err := l.EachUrgent(t.Context(), func(string) uint64 { return 51 }, func(r Record) error { seqs = append(seqs, r.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seqs, []uint64{101, 151, 201, 251, 301, 351}) {
		t.Errorf("found %v", seqs)
	}
}
