package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testConfig is a lane in dir without a time of its own.
func testConfig(dir string) Config {
	return Config{
		Dir: dir, Name: "quality", Quota: 16 * mib, SegmentBytes: mib, KeepSent: time.Hour, AllowTmpfs: true,
		Clock: func() time.Time { return noon },
		Free:  func(string) (int64, error) { return 1 << 40, nil },
	}
}

// openLane opens a lane that is verified and closed at the test's end.
func openLane(t testing.TB, cfg Config) *Lane {
	t.Helper()
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeLane(t, l) })
	return l
}

func closeLane(t testing.TB, l *Lane) {
	t.Helper()
	if err := l.Verify(context.Background()); err != nil && !errors.Is(err, ErrClosed) && l.Err() == nil {
		t.Errorf("Verify: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// beginLane opens a lane and begins epoch.
func beginLane(t testing.TB, cfg Config, epoch string) *Lane {
	t.Helper()
	l := openLane(t, cfg)
	if err := l.Begin(epoch, "before "+epoch); err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return l
}

func testRecord(n int) Record {
	return Record{
		ID: "event-" + strconv.Itoa(n), At: noon.Add(time.Duration(n) * time.Second), Key: []byte("lot-" + strconv.Itoa(n%7)),
		Headers: []Header{{"ce_id", []byte(strconv.Itoa(n))}, {"ce_type", []byte("characteristic.recorded")}},
		Value:   bytes.Repeat([]byte{byte('a' + n%26)}, 300),
	}
}

func urgentRecord(n int) Record {
	r := testRecord(n)
	r.Urgent = true
	return r
}

// putRecords puts records from to to, each in a batch of its own.
func putRecords(t testing.TB, l *Lane, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		putBatch(t, l, testRecord(n))
	}
}

func putBatch(t testing.TB, l *Lane, records ...Record) uint64 {
	t.Helper()
	first, err := l.Put(context.Background(), Batch{Records: records})
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return first
}

// drain reads on from after until n records have come.
func drain(t testing.TB, l *Lane, after Position, n int) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var all []Record
	for len(all) < n {
		part, err := l.Next(ctx, after, 100, 0)
		if err != nil {
			t.Fatalf("Next after %v with %d of %d records: %v", after, len(all), n, err)
		}
		all = append(all, part...)
		after = part[len(part)-1].Position()
	}
	return all
}

// want fills in what the lane adds to a record.
func want(r Record, epoch string, seq uint64) Record {
	r.Epoch, r.Prev, r.Seq = epoch, "before "+epoch, seq
	return r
}

func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func code(t testing.TB, err error, want problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != want {
		t.Errorf("error = %v, want code %s", err, want)
	}
}

func TestLane_Put(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		if first := putBatch(t, l, testRecord(1), urgentRecord(2)); first != 1 {
			t.Errorf("first = %d, want 1", first)
		}
		if first := putBatch(t, l, testRecord(3)); first != 3 {
			t.Errorf("first = %d, want 3", first)
		}
		got := drain(t, l, Position{}, 3)
		diff(t, "records", []Record{want(testRecord(1), "e1", 1), want(urgentRecord(2), "e1", 2), want(testRecord(3), "e1", 3)}, got)
	})
	t.Run("KeepsNilAndEmptyApart", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		records := []Record{{}, {Key: []byte{}, Value: []byte{}}, {Headers: []Header{{"", []byte{}}}}}
		putBatch(t, l, records...)
		got := drain(t, l, Position{}, 3)
		for i := range records {
			diff(t, "record", want(records[i], "e1", uint64(i+1)), got[i])
		}
	})
	t.Run("CursorOnly", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		first, err := l.Put(t.Context(), Batch{Cursors: map[string][]byte{"mes": []byte("7")}})
		if first != 0 || err != nil {
			t.Errorf("Put = %d, %v", first, err)
		}
		diff(t, "cursors", map[string][]byte{"mes": []byte("7")}, l.Cursors())
	})
	t.Run("ErrNotBegun", func(t *testing.T) {
		l := openLane(t, testConfig(t.TempDir()))
		if _, err := l.Put(t.Context(), Batch{Records: []Record{testRecord(1)}}); err == nil {
			t.Error("Put before Begin succeeded")
		}
	})
	t.Run("ErrTooLarge", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		if _, err := l.Put(t.Context(), Batch{Records: []Record{{Value: make([]byte, maxFrame)}}}); err == nil {
			t.Error("Put of a record beyond the limit succeeded")
		}
		putRecords(t, l, 1, 1)
	})
	t.Run("ErrClosed", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		closeLane(t, l)
		if _, err := l.Put(t.Context(), Batch{Records: []Record{testRecord(1)}}); !errors.Is(err, ErrClosed) {
			t.Errorf("Put after Close: %v", err)
		}
	})
}

func TestLane_PutGroupsCommits(t *testing.T) {
	const writers, each = 16, 25
	l := beginLane(t, testConfig(t.TempDir()), "e1")
	var wg sync.WaitGroup
	firsts := make([][]uint64, writers)
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				first, err := l.Put(context.Background(), Batch{Records: []Record{testRecord(w*1000 + n), testRecord(w*1000 + 500 + n)}})
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				firsts[w] = append(firsts[w], first)
			}
		})
	}
	wg.Wait()
	got := drain(t, l, Position{}, writers*each*2)
	for w, all := range firsts {
		for n, first := range all {
			diff(t, "first of batch", want(testRecord(w*1000+n), "e1", first), got[first-1])
			diff(t, "second of batch", want(testRecord(w*1000+500+n), "e1", first+1), got[first])
		}
	}
	l.mu.Lock()
	commits := l.segments[0].summary.tail.Commits
	l.mu.Unlock()
	if commits >= writers*each {
		t.Errorf("%d commits for %d batches: none was shared", commits, writers*each)
	}
}

func TestLane_Reopen(t *testing.T) {
	dir := t.TempDir()
	l := beginLane(t, testConfig(dir), "e1")
	if _, err := l.Put(t.Context(), Batch{Records: []Record{testRecord(1), testRecord(2)}, Cursors: map[string][]byte{"a": []byte("1"), "b": []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	closeLane(t, l)

	l = openLane(t, testConfig(dir))
	if epoch, seq := l.Last(); epoch != "e1" || seq != 2 {
		t.Errorf("Last = %s/%d, want e1/2", epoch, seq)
	}
	if err := l.Begin("e1", ""); err == nil {
		t.Error("an epoch was begun twice")
	}
	if err := l.Begin("e2", "before e2"); err != nil {
		t.Fatal(err)
	}
	if epoch, seq := l.Last(); epoch != "e1" || seq != 2 {
		t.Errorf("Last = %s/%d with an empty e2, want e1/2", epoch, seq)
	}
	if _, err := l.Put(t.Context(), Batch{Records: []Record{testRecord(3)}, Cursors: map[string][]byte{"b": []byte("3")}}); err != nil {
		t.Fatal(err)
	}
	got := append(drain(t, l, Position{}, 2), drain(t, l, Position{"e1", 2}, 1)...)
	diff(t, "records", []Record{want(testRecord(1), "e1", 1), want(testRecord(2), "e1", 2), want(testRecord(3), "e2", 1)}, got)
	diff(t, "cursors", map[string][]byte{"a": []byte("1"), "b": []byte("3")}, l.Cursors())
	tail, err := l.Tail(2)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "tail", got[1:], tail)
	closeLane(t, l)

	// The newest segment alone has every source's cursor.
	s, err := inspect(segmentFiles(t, dir)[1], true)
	if err != nil || len(s.cursors) != 2 {
		t.Errorf("newest segment has cursors %v, %v", s.cursors, err)
	}
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, _, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name.String()))
	}
	return paths
}

func TestLane_Seals(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.SegmentBytes = minSegmentBytes
	l := beginLane(t, cfg, "e1")
	for n := 1; n <= 3000; n += 100 {
		var b Batch
		for i := n; i < n+100; i++ {
			b.Records = append(b.Records, testRecord(i))
		}
		b.Cursors = map[string][]byte{"s": []byte(strconv.Itoa(n))}
		if _, err := l.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Stat().Segments; n < 4 {
		t.Errorf("%d segments for 1.4 MB, want at least 4", n)
	}
	for i, r := range drain(t, l, Position{}, 3000) {
		if r.Seq != uint64(i+1) || r.ID != testRecord(i+1).ID {
			t.Fatalf("record %d is %d %s", i+1, r.Seq, r.ID)
		}
	}
	for _, path := range segmentFiles(t, dir) {
		if size, err := fileBytes(path); err != nil || size > minSegmentBytes+cfg.allocBytes() {
			t.Errorf("%s has %d bytes, %v", filepath.Base(path), size, err)
		}
	}
}

func TestLane_Next(t *testing.T) {
	t.Run("WaitsForARecord", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		got := make(chan []Record)
		go func() {
			records, err := l.Next(context.Background(), Position{}, 0, 0)
			if err != nil {
				t.Errorf("Next: %v", err)
			}
			got <- records
		}()
		putRecords(t, l, 1, 1)
		diff(t, "records", []Record{want(testRecord(1), "e1", 1)}, <-got)
	})
	t.Run("KeepsLimits", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		putRecords(t, l, 1, 20)
		for _, c := range []struct{ limit, bytes, want int }{{3, 0, 3}, {0, 1, 1}, {0, 900, 3}, {100, 0, 20}} {
			got, err := l.Next(t.Context(), Position{}, c.limit, c.bytes)
			if err != nil || len(got) != c.want {
				t.Errorf("Next(limit %d, bytes %d) = %d records, %v, want %d", c.limit, c.bytes, len(got), err, c.want)
			}
		}
	})
	t.Run("StartsBehindAcked", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		putRecords(t, l, 1, 5)
		if err := l.Ack(Position{"e1", 3}); err != nil {
			t.Fatal(err)
		}
		if got := drain(t, l, Position{}, 2); got[0].Seq != 4 {
			t.Errorf("first unsent is %d, want 4", got[0].Seq)
		}
	})
	t.Run("ErrContext", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Next(ctx, Position{}, 0, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("Next = %v", err)
		}
	})
	t.Run("ErrClosed", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		got := make(chan error)
		go func() {
			_, err := l.Next(context.Background(), Position{}, 0, 0)
			got <- err
		}()
		closeLane(t, l)
		if err := <-got; !errors.Is(err, ErrClosed) {
			t.Errorf("Next = %v", err)
		}
	})
	t.Run("RecordsOutliveClose", func(t *testing.T) {
		l := beginLane(t, testConfig(t.TempDir()), "e1")
		putRecords(t, l, 1, 1)
		got := drain(t, l, Position{}, 1)
		closeLane(t, l)
		diff(t, "record", want(testRecord(1), "e1", 1), got[0])
	})
}

func TestLane_Ack(t *testing.T) {
	dir := t.TempDir()
	l := beginLane(t, testConfig(dir), "e1")
	putRecords(t, l, 1, 10)
	for _, p := range []Position{{"e1", 11}, {"e9", 1}, {}} {
		if err := l.Ack(p); err == nil {
			t.Errorf("Ack(%v) succeeded", p)
		}
	}
	for _, seq := range []uint64{4, 2, 6} {
		if err := l.Ack(Position{"e1", seq}); err != nil {
			t.Errorf("Ack(%d): %v", seq, err)
		}
	}
	diff(t, "acked", Position{"e1", 6}, l.Acked())
	if s := l.Stat(); s.Depth != 4 || s.Sent != 6 {
		t.Errorf("depth %d, sent %d, want 4, 6", s.Depth, s.Sent)
	}
	closeLane(t, l)

	l = beginLane(t, testConfig(dir), "e2")
	diff(t, "acked after reopening", Position{"e1", 6}, l.Acked())
	putRecords(t, l, 11, 12)
	if s := l.Stat(); s.Depth != 6 {
		t.Errorf("depth %d, want 6", s.Depth)
	}
	if err := l.Ack(Position{"e2", 1}); err != nil {
		t.Fatal(err)
	}
	if s := l.Stat(); s.Depth != 1 {
		t.Errorf("depth %d, want 1", s.Depth)
	}
	if err := l.Ack(Position{"e1", 9}); err != nil {
		t.Fatal(err)
	}
	diff(t, "acked after an older one", Position{"e2", 1}, l.Acked())
}

func TestLane_NextUrgent(t *testing.T) {
	dir := t.TempDir()
	l := beginLane(t, testConfig(dir), "e1")
	putBatch(t, l, testRecord(1), urgentRecord(2), testRecord(3), urgentRecord(4), urgentRecord(5))
	next := func(limit int) []uint64 {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		records, err := l.NextUrgent(ctx, limit)
		if err != nil {
			t.Fatalf("NextUrgent: %v", err)
		}
		var seqs []uint64
		for _, r := range records {
			if !r.Urgent {
				t.Errorf("record %d is not urgent", r.Seq)
			}
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}
	diff(t, "first", []uint64{2, 4}, next(2))
	l.RetryUrgent(Position{"e1", 4})
	diff(t, "given back", []uint64{4, 5}, next(9))
	l.AckUrgent(Position{"e1", 2})
	if n := l.Stat().Urgent; n != 2 {
		t.Errorf("%d urgent, want 2", n)
	}
	if err := l.Ack(Position{"e1", 4}); err != nil {
		t.Fatal(err)
	}
	if n := l.Stat().Urgent; n != 1 {
		t.Errorf("%d urgent, want 1", n)
	}
	closeLane(t, l)

	l = beginLane(t, testConfig(dir), "e2")
	diff(t, "after reopening", []uint64{5}, next(9))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.NextUrgent(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("NextUrgent = %v", err)
	}
}

func TestLane_Scan(t *testing.T) {
	dir := t.TempDir()
	l := beginLane(t, testConfig(dir), "e1")
	putRecords(t, l, 1, 600)
	closeLane(t, l)
	l = beginLane(t, testConfig(dir), "e2")
	putRecords(t, l, 601, 610)
	if err := l.Ack(Position{"e1", 590}); err != nil {
		t.Fatal(err)
	}
	at := func(n int) time.Time { return testRecord(n).At }
	cases := []struct {
		name     string
		r        Range
		from, to int // record numbers; from > to: none
	}{
		{"All", Range{}, 1, 610},
		{"Time", Range{From: at(595), To: at(605)}, 595, 604},
		{"Epoch", Range{Epoch: "e2"}, 601, 610},
		{"Seq", Range{Epoch: "e1", FromSeq: 7, ToSeq: 9}, 7, 9},
		{"SentOnly", Range{From: at(580), SentOnly: true}, 580, 590},
		{"SentOnlyOfUnsentEpoch", Range{Epoch: "e2", SentOnly: true}, 1, 0},
		{"UnknownEpoch", Range{Epoch: "e3"}, 1, 0},
		{"BeforeAll", Range{To: at(1)}, 1, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := c.from
			err := l.Scan(t.Context(), c.r, func(r Record) error {
				if r.ID != testRecord(n).ID {
					t.Errorf("got %s, want %s", r.ID, testRecord(n).ID)
				}
				n++
				return nil
			})
			if err != nil || n != c.to+1 && c.from <= c.to || c.from > c.to && n != c.from {
				t.Errorf("ended at %d, %v, want %d", n-1, err, c.to)
			}
		})
	}
	t.Run("ErrOfCaller", func(t *testing.T) {
		stop := errors.New("stop")
		if err := l.Scan(t.Context(), Range{}, func(Record) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("Scan = %v", err)
		}
	})
}

func TestLane_LastOf(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.KeepSent = 0
	l := beginLane(t, cfg, "e1")
	putRecords(t, l, 1, 4)
	if err := l.Ack(Position{"e1", 4}); err != nil {
		t.Fatal(err)
	}
	closeLane(t, l)
	l = beginLane(t, cfg, "e2")
	closeLane(t, l) // retires e1
	if files := segmentFiles(t, dir); len(files) != 1 {
		t.Fatalf("segments %v, want that of e2 only", files)
	}
	l = openLane(t, cfg)
	if n := l.LastOf("e1"); n != 4 {
		t.Errorf("LastOf(e1) = %d, want 4 although its segment is gone", n)
	}
	if n := l.LastOf("e2"); n != 0 {
		t.Errorf("LastOf(e2) = %d, want 0", n)
	}
	if epoch, seq := l.Last(); epoch != "e1" || seq != 4 {
		t.Errorf("Last = %s/%d", epoch, seq)
	}
	if d := l.Recovered(); len(d) > 0 {
		t.Errorf("damage %v", d)
	}
}

func TestOpen_Refusals(t *testing.T) {
	t.Run("ErrLocked", func(t *testing.T) {
		cfg := testConfig(t.TempDir())
		openLane(t, cfg)
		_, err := Open(t.Context(), cfg)
		code(t, err, problem.QueueLocked)
		if !strings.Contains(fmt.Sprint(err), strconv.Itoa(os.Getpid())) {
			t.Errorf("%v does not name the process", err)
		}
	})
	t.Run("ErrConfig", func(t *testing.T) {
		for _, change := range []func(*Config){
			func(c *Config) { c.Dir = "" }, func(c *Config) { c.Name = "" }, func(c *Config) { c.Quota = 1000 }, func(c *Config) { c.Reserve = -1 },
		} {
			cfg := testConfig(t.TempDir())
			change(&cfg)
			if _, err := Open(t.Context(), cfg); err == nil {
				t.Errorf("Open(%+v) succeeded", cfg)
			}
		}
	})
	t.Run("ErrNotChecked", func(t *testing.T) {
		cfg := testConfig(t.TempDir())
		closeLane(t, beginLane(t, cfg, "e1"))
		cfg.Check = func(context.Context, string) error { return fmt.Errorf("fork: %w", ErrNotChecked) }
		if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrNotChecked) {
			t.Errorf("Open = %v", err)
		}
		cfg.Check = nil
		if d := openLane(t, cfg).Recovered(); len(d) > 0 {
			t.Errorf("damage %v", d)
		}
	})
}

func TestLane_Begin(t *testing.T) {
	l := openLane(t, testConfig(t.TempDir()))
	for _, epoch := range []string{"", "UPPER", "a-b", "../x", strings.Repeat("a", 65)} {
		if err := l.Begin(epoch, ""); err == nil {
			t.Errorf("Begin(%q) succeeded", epoch)
		}
	}
	if err := l.Begin("e1", strings.Repeat("p", maxPrev+1)); err == nil {
		t.Error("Begin with a long prev succeeded")
	}
	if err := l.Begin("e1", strings.Repeat("p", maxPrev)); err != nil {
		t.Fatal(err)
	}
	if err := l.Begin("e2", ""); err == nil {
		t.Error("a second Begin succeeded")
	}
}
