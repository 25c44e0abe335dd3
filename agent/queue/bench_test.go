package queue

import (
	"context"
	"testing"
)

// BenchmarkLane_Put reports records/s with a sync in each commit.
func BenchmarkLane_Put(b *testing.B) {
	for _, c := range []struct {
		name     string
		batch    int
		parallel int // callers per processor, 0 = one caller
	}{{"Batch1", 1, 0}, {"Batch100", 100, 0}, {"Parallel32x1", 1, 32}, {"Parallel32x100", 100, 32}} {
		b.Run(c.name, func(b *testing.B) {
			cfg := testConfig(b.TempDir())
			cfg.Quota, cfg.SegmentBytes = 1<<40, DefaultSegmentBytes
			l := beginLane(b, cfg, "e1")
			batch := bigBatch(1, c.batch)
			put := func() {
				if _, err := l.Put(context.Background(), batch); err != nil {
					b.Error(err)
				}
			}
			b.ResetTimer()
			if c.parallel == 0 {
				for b.Loop() {
					put()
				}
			} else {
				b.SetParallelism(c.parallel)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						put()
					}
				})
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkLane_Next reports records/s of reading a lane from its beginning, checksums verified.
func BenchmarkLane_Next(b *testing.B) {
	const records = 20_000
	cfg := testConfig(b.TempDir())
	cfg.SegmentBytes = mib
	l := beginLane(b, cfg, "e1")
	for n := 0; n < records; n += 500 {
		if _, err := l.Put(context.Background(), bigBatch(n, 500)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		drain(b, l, Position{}, records)
	}
	b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkCheckSegment reports MB/s of the check that each file passes at start.
func BenchmarkCheckSegment(b *testing.B) {
	cfg := testConfig(b.TempDir())
	cfg.Quota, cfg.SegmentBytes = 1<<30, 1<<26
	l := beginLane(b, cfg, "e1")
	for n := 0; n < 50_000; n += 500 {
		if _, err := l.Put(context.Background(), bigBatch(n, 500)); err != nil {
			b.Fatal(err)
		}
	}
	closeLane(b, l)
	path := segmentFiles(b, cfg.Dir)[0]
	size, err := fileBytes(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if err := CheckSegment(path); err != nil {
			b.Fatal(err)
		}
	}
}
