package queue

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// smallConfig is a lane that is full after about 1,500 records.
func smallConfig(dir string) Config {
	cfg := testConfig(dir)
	cfg.Quota, cfg.Reserve, cfg.SegmentBytes = mib, 512*kib, minSegmentBytes
	return cfg
}

func bigBatch(from, n int) Batch {
	var b Batch
	for i := range n {
		b.Records = append(b.Records, testRecord(from+i))
	}
	return b
}

// fillLane puts batches until the lane is full and returns how many records it took.
func fillLane(t testing.TB, l *Lane, useReserve bool) int {
	t.Helper()
	for n := 0; ; n += 20 {
		b := bigBatch(n+1, 20)
		b.UseReserve = useReserve
		_, err := l.Put(context.Background(), b)
		if problem.CodeOf(err) == problem.QueueFull {
			return n
		}
		if err != nil {
			t.Fatalf("Put: %v", err)
		}
		checkSize(t, l)
	}
}

// checkSize holds the files' sizes on disk against quota and reserve.
func checkSize(t testing.TB, l *Lane) {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(l.cfg.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the lane deleted it meanwhile
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Errorf("measure %s: %v", l.cfg.Dir, err)
	}
	if limit := l.cfg.Quota + l.cfg.Reserve; sum > limit {
		t.Errorf("files take %d bytes of %d", sum, limit)
	}
}

func TestLane_Quota(t *testing.T) {
	t.Run("RefusesAndKeeps", func(t *testing.T) {
		l := beginLane(t, smallConfig(t.TempDir()), "e1")
		n := fillLane(t, l, false)
		if n < 500 {
			t.Errorf("full after %d records of 350 bytes, want at least half of the quota used", n)
		}
		s := l.Stat()
		if s.Bytes > s.Quota || s.ReserveUsed != 0 || s.Depth != uint64(n) {
			t.Errorf("stat %+v", s)
		}
		got := drain(t, l, Position{}, n)
		if got[n-1].Seq != uint64(n) {
			t.Errorf("last seq %d, want %d", got[n-1].Seq, n)
		}
	})
	t.Run("UrgentUsesReserve", func(t *testing.T) {
		l := beginLane(t, smallConfig(t.TempDir()), "e1")
		n := fillLane(t, l, false)
		putBatch(t, l, urgentRecord(n+1))
		more := fillLane(t, l, true)
		if s := l.Stat(); more < 100 || s.ReserveUsed <= 0 || s.ReserveUsed > s.Reserve {
			t.Errorf("%d records more, reserve used %d of %d", more, s.ReserveUsed, s.Reserve)
		}
		_, err := l.Put(t.Context(), Batch{Records: []Record{urgentRecord(1)}})
		for err == nil {
			_, err = l.Put(t.Context(), Batch{Records: []Record{urgentRecord(1)}})
		}
		code(t, err, problem.QueueFull)
		checkSize(t, l)
	})
	t.Run("WinsOverSentData", func(t *testing.T) {
		l := beginLane(t, smallConfig(t.TempDir()), "e1")
		for n := 1; n < 5000; n += 20 {
			if _, err := l.Put(t.Context(), bigBatch(n, 20)); err != nil {
				t.Fatalf("Put at %d: %v", n, err)
			}
			if err := l.Ack(Position{"e1", uint64(n + 19)}); err != nil {
				t.Fatal(err)
			}
			if s := l.Stat(); s.Bytes > s.Quota {
				t.Fatalf("%d bytes of %d", s.Bytes, s.Quota)
			}
		}
	})
	t.Run("HoldsUnderConcurrency", func(t *testing.T) {
		l := beginLane(t, smallConfig(t.TempDir()), "e1")
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					b := bigBatch(n, 1+w*10)
					b.UseReserve = w%2 == 0
					if _, err := l.Put(context.Background(), b); err != nil {
						code(t, err, problem.QueueFull)
						return
					}
					checkSize(t, l)
				}
			})
		}
		wg.Wait()
		if err := l.Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("WaitRoom", func(t *testing.T) {
		l := beginLane(t, smallConfig(t.TempDir()), "e1")
		n := fillLane(t, l, false)
		b := bigBatch(n+1, 20)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.WaitRoom(ctx, b); !errors.Is(err, context.Canceled) {
			t.Errorf("WaitRoom of a full lane = %v", err)
		}
		room := make(chan error)
		go func() { room <- l.WaitRoom(context.Background(), b) }()
		if err := l.Ack(Position{"e1", uint64(n)}); err != nil {
			t.Fatal(err)
		}
		if err := <-room; err != nil {
			t.Errorf("WaitRoom = %v", err)
		}
		if _, err := l.Put(t.Context(), b); err != nil {
			t.Errorf("Put = %v", err)
		}
	})
	t.Run("DiskFull", func(t *testing.T) {
		cfg := smallConfig(t.TempDir())
		var free atomic.Int64
		free.Store(6 * mib) // below the margin, above half of it
		cfg.Free = func(string) (int64, error) { return free.Load(), nil }
		l := beginLane(t, cfg, "e1")
		_, err := l.Put(t.Context(), bigBatch(1, 1))
		code(t, err, problem.DiskFull)
		putBatch(t, l, urgentRecord(1))
		free.Store(mib)
		_, err = l.Put(t.Context(), Batch{Records: []Record{urgentRecord(2)}})
		code(t, err, problem.DiskFull)
		free.Store(1 << 40)
		putBatch(t, l, testRecord(2))
	})
}

func TestLane_Retire(t *testing.T) {
	cfg := smallConfig(t.TempDir())
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	set(noon)
	cfg.Clock = func() time.Time { return *now.Load() }
	l := beginLane(t, cfg, "e1")
	for n := 1; n <= 1000; n += 20 {
		if _, err := l.Put(t.Context(), bigBatch(n, 20)); err != nil {
			t.Fatal(err)
		}
	}
	before := l.Stat().Segments
	upkeep := func() {
		t.Helper()
		if err := l.do(func() error { l.upkeep(); return l.Err() }); err != nil {
			t.Fatal(err)
		}
	}
	set(noon.Add(24 * time.Hour))
	upkeep()
	if n := l.Stat().Segments; n != before {
		t.Errorf("%d of %d segments left with nothing sent", n, before)
	}
	if err := l.Ack(Position{"e1", 1000}); err != nil {
		t.Fatal(err)
	}
	set(noon.Add(time.Minute))
	upkeep()
	if n := l.Stat().Segments; n != before {
		t.Errorf("%d of %d segments left before their time", n, before)
	}
	set(noon.Add(1000*time.Second + cfg.KeepSent))
	upkeep()
	if n := l.Stat().Segments; n != 1 {
		t.Errorf("%d segments left, want the active one", n)
	}
	if last, _ := l.Tail(1); len(last) != 1 || last[0].Seq != 1000 {
		t.Errorf("tail %v", last)
	}
}

func TestLane_Drop(t *testing.T) {
	dir := t.TempDir()
	l := beginLane(t, smallConfig(dir), "e1")
	if _, ok := l.OldestShed(); ok {
		t.Error("something to shed in an empty lane")
	}
	putBatch(t, l, urgentRecord(1))
	n := fillLane(t, l, false) + 1
	if err := l.Ack(Position{"e1", 10}); err != nil {
		t.Fatal(err)
	}
	shed, ok := l.OldestShed()
	if !ok || shed.Epoch != "e1" || shed.FromSeq != 11 || shed.Count != shed.ToSeq-10 || !shed.From.Equal(testRecord(1).At) {
		t.Fatalf("shed %+v, %t", shed, ok)
	}
	wrong := shed
	wrong.ToSeq++
	if err := l.Drop(wrong); err == nil {
		t.Error("a plan that does not fit was carried out")
	}
	if err := l.Drop(shed); err != nil {
		t.Fatal(err)
	}
	if err := l.Drop(shed); err == nil {
		t.Error("a plan was carried out twice")
	}
	if s := l.Stat(); s.Shed != shed.Count || s.Depth != uint64(n)-shed.ToSeq {
		t.Errorf("stat %+v after %+v", s, shed)
	}
	if got := drain(t, l, Position{}, 1); got[0].Seq != shed.ToSeq+1 {
		t.Errorf("goes on at %d, want %d", got[0].Seq, shed.ToSeq+1)
	}
	if err := l.Ack(Position{"e1", 20}); err != nil {
		t.Errorf("ack of a shed record that was in flight: %v", err)
	}
	closeLane(t, l)
	l = openLane(t, smallConfig(dir))
	if d := l.Recovered(); len(d) > 0 {
		t.Errorf("shed records came back as damage: %v", d)
	}
	if got := drain(t, l, Position{}, 1); got[0].Seq != shed.ToSeq+1 {
		t.Errorf("goes on at %d, want %d", got[0].Seq, shed.ToSeq+1)
	}
}

// TestLane_ShedForEver keeps a lane that nobody drains at its quota: it never stands still and never has nothing to
// shed.
func TestLane_ShedForEver(t *testing.T) {
	l := beginLane(t, smallConfig(t.TempDir()), "e1")
	for n := 1; n < 6000; {
		_, err := l.Put(t.Context(), bigBatch(n, 20))
		switch {
		case err == nil:
			n += 20
		case problem.CodeOf(err) == problem.QueueFull:
			shed, ok := l.OldestShed()
			if !ok {
				t.Fatal("full with nothing to shed")
			}
			if err := l.Drop(shed); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatal(err)
		}
	}
	if s := l.Stat(); s.Shed+s.Depth != s.Received {
		t.Errorf("received %d, shed %d, left %d", s.Received, s.Shed, s.Depth)
	}
}

func TestLane_LargeRecords(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.SegmentBytes = minSegmentBytes
	l := beginLane(t, cfg, "e1")
	for n := range 5 {
		putBatch(t, l, Record{ID: strconv.Itoa(n), Value: bytes.Repeat([]byte{byte(n)}, 400*kib)})
		if s := l.Stat(); s.Bytes > s.Quota {
			t.Errorf("%d bytes of %d", s.Bytes, s.Quota)
		}
	}
	if got := drain(t, l, Position{}, 5); got[4].ID != "4" {
		t.Errorf("last is %s", got[4].ID)
	}
}

func TestLane_Fails(t *testing.T) {
	l := beginLane(t, testConfig(t.TempDir()), "e1")
	putRecords(t, l, 1, 1)
	if err := l.segments[0].db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := l.Put(t.Context(), bigBatch(2, 1))
	code(t, err, problem.QueueCommit)
	<-l.Failed()
	code(t, l.Err(), problem.QueueCommit)
	for name, call := range map[string]func() error{
		"Put":        func() error { _, err := l.Put(t.Context(), bigBatch(2, 1)); return err },
		"Next":       func() error { _, err := l.Next(t.Context(), Position{}, 0, 0); return err },
		"NextUrgent": func() error { _, err := l.NextUrgent(t.Context(), 1); return err },
		"WaitRoom":   func() error { return l.WaitRoom(t.Context(), bigBatch(2, 1)) },
		"Declared":   func() error { return l.Declared(Damage{}) },
	} {
		t.Run(name, func(t *testing.T) { code(t, call(), problem.QueueCommit) })
	}
}
