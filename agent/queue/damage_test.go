package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// writeSample fills dir with two epochs over some segments and returns what is in them, in order.
func writeSample(t testing.TB, dir string) []Record {
	t.Helper()
	cfg := testConfig(dir)
	cfg.SegmentBytes = minSegmentBytes
	var all []Record
	for _, epoch := range []string{"e1", "e2"} {
		l := beginLane(t, cfg, epoch)
		for n := 1; n <= 700; n += 10 {
			b := bigBatch(n, 10)
			b.Records[3].Urgent = true
			b.Cursors = map[string][]byte{"src": []byte(epoch + "/" + strconv.Itoa(n+9))}
			if _, err := l.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for i, r := range b.Records {
				all = append(all, want(r, epoch, uint64(n+i)))
			}
		}
		if epoch == "e1" {
			if err := l.Ack(Position{"e1", 100}); err != nil {
				t.Fatal(err)
			}
		}
		closeLane(t, l)
	}
	return all
}

// fastDir returns a directory on a memory file system where there is one: what these tests ask is what is read, not
// what is synced.
func fastDir(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "queue") //nolint:usetesting // t.TempDir can not be told to use memory
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := fastDir(t)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// readAll returns every record on disk.
func readAll(t testing.TB, l *Lane) []Record {
	t.Helper()
	var all []Record
	if err := l.Scan(t.Context(), Range{}, func(r Record) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// account holds what a lane gives back against what was put: no record may differ, and each one missing must stand in
// a damage. It returns how many are missing.
func account(t *testing.T, l *Lane, put []Record) (missing int) {
	t.Helper()
	got := map[Position]Record{}
	for _, r := range readAll(t, l) {
		got[r.Position()] = r
	}
	damages := l.Recovered()
	for _, r := range put {
		g, ok := got[r.Position()]
		delete(got, r.Position())
		if ok {
			if !reflect.DeepEqual(r, g) {
				t.Errorf("silent wrong value at %v:\n%s", r.Position(), cmp.Diff(r, g))
			}
			continue
		}
		missing++
		declared := slices.ContainsFunc(damages, func(d Damage) bool {
			return d.Epoch == r.Epoch && d.FromSeq > 0 && d.FromSeq <= r.Seq && (d.ToSeq == 0 || r.Seq <= d.ToSeq)
		})
		if !declared {
			t.Errorf("record %v is missing and no damage says so: %+v", r.Position(), damages)
		}
	}
	for p := range got {
		t.Errorf("record %v was never put", p)
	}
	return missing
}

// TestOpen_BitFlips flips bits in every file of a lane, many times over.
func TestOpen_BitFlips(t *testing.T) {
	const rounds = 250
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := fastDir(t)
	put := writeSample(t, dir)
	files := append(segmentFiles(t, dir), filepath.Join(dir, stateFile))
	missing, found := 0, 0
	for range rounds {
		work := copyDir(t, dir)
		path := filepath.Join(work, filepath.Base(files[rnd.IntN(len(files))]))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rnd.IntN(3) {
			data[usedOffset(rnd, path, len(data))] ^= 1 << rnd.IntN(8)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLane(t, testConfig(work))
		missing += account(t, l, put)
		if len(l.Recovered()) > 0 {
			found++
		}
		checkAfterDamage(t, l)
		closeLane(t, l)
		if t.Failed() {
			t.Fatalf("after a flip in %s", filepath.Base(path))
		}
	}
	t.Logf("%d of %d flips found, %.3f %% of the records of the damaged lanes lost", found, rounds, 100*float64(missing)/float64(rounds*len(put)))
}

// usedOffset prefers the pages in use: files grow in steps.
func usedOffset(rnd *rand.Rand, path string, size int) int {
	if p, err := openPages(path); err == nil {
		size = int(p.end) * int(p.pageSize)
		_ = p.Close()
	}
	return rnd.IntN(size)
}

// checkAfterDamage holds acked, cursors and the urgent index against what they can be.
func checkAfterDamage(t *testing.T, l *Lane) {
	t.Helper()
	if a := l.Acked(); a != (Position{"e1", 100}) && a != (Position{}) {
		t.Errorf("acked is %v", a)
	}
	if c, ok := l.Cursors()["src"]; ok && !bytes.HasPrefix(c, []byte("e1/")) && !bytes.HasPrefix(c, []byte("e2/")) {
		t.Errorf("cursor is %q", c)
	}
	if err := l.Begin("e3", "before e3"); err != nil {
		t.Fatal(err)
	}
	putRecords(t, l, 1, 3)
	if err := l.Verify(t.Context()); err != nil {
		t.Errorf("Verify after salvage: %v", err)
	}
}

// TestOpen_Truncated cuts every file at many lengths.
func TestOpen_Truncated(t *testing.T) {
	const rounds = 120
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := fastDir(t)
	put := writeSample(t, dir)
	files := append(segmentFiles(t, dir), filepath.Join(dir, stateFile))
	for i := range rounds {
		work := copyDir(t, dir)
		path := filepath.Join(work, filepath.Base(files[i%len(files)]))
		size, err := fileBytes(path)
		if err != nil {
			t.Fatal(err)
		}
		to := rnd.Int64N(size)
		if i%3 == 0 {
			to = to / 4096 * 4096
		}
		if err := os.Truncate(path, to); err != nil {
			t.Fatal(err)
		}
		l := openLane(t, testConfig(work))
		account(t, l, put)
		checkAfterDamage(t, l)
		closeLane(t, l)
		if t.Failed() {
			t.Fatalf("after %s was cut to %d of %d", filepath.Base(path), to, size)
		}
	}
}

// TestOpen_MetaPages spoils each meta page of each file: bbolt would fall back to the other one, and so to the commit
// before.
func TestOpen_MetaPages(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	for _, path := range append(segmentFiles(t, dir), filepath.Join(dir, stateFile)) {
		for page := range 2 {
			t.Run(filepath.Base(path)+"/"+strconv.Itoa(page), func(t *testing.T) {
				work := copyDir(t, dir)
				file := filepath.Join(work, filepath.Base(path))
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				data[page*os.Getpagesize()+pageHeader+20]++
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				l := openLane(t, testConfig(work))
				if n := account(t, l, put); n > 0 || len(l.Recovered()) != 1 {
					t.Errorf("%d records missing, damages %+v", n, l.Recovered())
				}
				if c := string(l.Cursors()["src"]); c != "e2/700" {
					t.Errorf("cursor %q", c)
				}
				checkAfterDamage(t, l)
			})
		}
	}
}

// TestOpen_HeadAndTail spoils every copy of a segment's head or tail: all records are saved, under the right prev, and
// where the file ended is known all the same.
func TestOpen_HeadAndTail(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	for _, mark := range []string{"HFH\x01", "HFT\x01"} {
		for _, path := range segmentFiles(t, dir) {
			t.Run(mark[:3]+"/"+filepath.Base(path), func(t *testing.T) {
				work := copyDir(t, dir)
				file := filepath.Join(work, filepath.Base(path))
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, bytes.ReplaceAll(data, []byte(mark), []byte("hfx\x01")), 0o600); err != nil {
					t.Fatal(err)
				}
				l := openLane(t, testConfig(work))
				if n := account(t, l, put); n > 0 {
					t.Errorf("%d records missing", n)
				}
				if d := l.Recovered(); len(d) != 1 || d[0].FromSeq != 0 || d[0].Salvaged == 0 {
					t.Errorf("damages %+v", d)
				}
				checkAfterDamage(t, l)
			})
		}
	}
}

func TestOpen_SetsAside(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	path := segmentFiles(t, dir)[1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, []byte("event-400"))
	data[at+7]++
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	l := openLane(t, testConfig(dir))
	damages := l.Recovered()
	if len(damages) == 0 || damages[0].File != filepath.Base(path) || damages[0].Salvaged == 0 {
		t.Fatalf("damages %+v", damages)
	}
	if n := account(t, l, put); n > 1 {
		t.Errorf("%d records lost by one flipped byte", n)
	}
	aside, err := os.ReadFile(path + damagedSuffix)
	if err != nil || !bytes.Equal(aside, data) {
		t.Errorf("the damaged file was not kept as it was: %v", err)
	}
	closeLane(t, l)

	l = openLane(t, testConfig(dir))
	diff(t, "damages of the second Open", damages, l.Recovered())
	for _, d := range damages {
		if err := l.Declared(d); err != nil {
			t.Fatal(err)
		}
	}
	closeLane(t, l)
	if d := openLane(t, testConfig(dir)).Recovered(); len(d) > 0 {
		t.Errorf("declared damage came back: %+v", d)
	}
}

func TestOpen_Vanished(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	names, _, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		t.Run(name.String(), func(t *testing.T) {
			work := copyDir(t, dir)
			if err := os.Remove(filepath.Join(work, name.String())); err != nil {
				t.Fatal(err)
			}
			l := openLane(t, testConfig(work))
			if n := account(t, l, put); n == 0 {
				t.Error("nothing is missing")
			}
			if err := l.Begin("e3", ""); err != nil {
				t.Fatal(err)
			}
			if newest := l.segments[len(l.segments)-1].name; newest.ordinal != names[len(names)-1].ordinal+1 {
				t.Errorf("segment %d of %d is gone, the next one is %s", i+1, len(names), newest)
			}
			if err := l.Close(); err != nil { // Verify finds the hole, as it must
				t.Error(err)
			}
		})
	}
	t.Run("All", func(t *testing.T) {
		work := copyDir(t, dir)
		for _, name := range names {
			if err := os.Remove(filepath.Join(work, name.String())); err != nil {
				t.Fatal(err)
			}
		}
		if d := openLane(t, testConfig(work)).Recovered(); len(d) == 0 {
			t.Error("no damage")
		}
	})
	t.Run("StateOnly", func(t *testing.T) {
		work := copyDir(t, dir)
		if err := os.Remove(filepath.Join(work, stateFile)); err != nil {
			t.Fatal(err)
		}
		l := openLane(t, testConfig(work))
		if n := account(t, l, put); n > 0 || l.Acked() != (Position{}) {
			t.Errorf("%d missing, acked %v", n, l.Acked())
		}
	})
}

// TestOpen_Leftovers opens what a crash can leave between two steps.
func TestOpen_Leftovers(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	paths := segmentFiles(t, dir)
	cases := []struct {
		name  string
		leave func(t *testing.T, dir string)
	}{
		{"TemporaryFiles", func(t *testing.T, dir string) {
			for _, name := range []string{"tmp-0000000009-e9-00000000000000000001.db", "tmp-meta.db"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"NamedSegmentThatStateDoesNotKnow", func(t *testing.T, dir string) {
			name := segmentName{ordinal: 100, epoch: "e9", first: 1}
			last, _ := parseSegmentName(filepath.Base(paths[len(paths)-1]))
			name.ordinal = last.ordinal + 1
			if err := createSegment(dir, name, head{Version: 1, Ordinal: name.ordinal, Epoch: "e9", First: 1}, nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"SalvagedBesideTheDamaged", func(t *testing.T, dir string) {
			name, _ := parseSegmentName(filepath.Base(paths[0]))
			damaged := filepath.Join(dir, name.String())
			data, err := os.ReadFile(damaged)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := salvage(dir, name, errors.New("test"), "", 0); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(damaged, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			work := copyDir(t, dir)
			c.leave(t, work)
			l := openLane(t, testConfig(work))
			if n := account(t, l, put); n > 0 {
				t.Errorf("%d records missing", n)
			}
			checkAfterDamage(t, l)
			entries, err := os.ReadDir(work)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if strings.HasPrefix(entry.Name(), tempPrefix) {
					t.Errorf("%s is still there", entry.Name())
				}
			}
		})
	}
}

func TestOpen_NewerVersion(t *testing.T) {
	newerSegment := func(t *testing.T, dir string) {
		name := segmentName{ordinal: 99, epoch: "e9", first: 1}
		if err := createSegment(dir, name, head{Version: formatVersion + 1, Ordinal: 99, Epoch: "e9", First: 1}, nil); err != nil {
			t.Fatal(err)
		}
	}
	newerState := func(t *testing.T, dir string) {
		if err := createState(dir, state{Version: formatVersion + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for name, write := range map[string]func(*testing.T, string){"Segment": newerSegment, "State": newerState} {
		t.Run(name, func(t *testing.T) {
			dir := fastDir(t)
			writeSample(t, dir)
			write(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "tmp-x"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			_, err := Open(t.Context(), testConfig(dir))
			code(t, err, problem.QueueVersion)
			diff(t, "files", before, listing(t, dir))
		})
	}
}

// listing returns the content of all files but the lock.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if entry.Name() != lockFile {
			all[entry.Name()] = string(data)
		}
	}
	return all
}

// TestLane_DamageWhileRunning damages records under an open lane: they are left out and reported, the rest flows.
func TestLane_DamageWhileRunning(t *testing.T) {
	dir := fastDir(t)
	put := writeSample(t, dir)
	cfg := testConfig(dir)
	var damages []Damage
	cfg.OnDamage = func(d Damage) { damages = append(damages, d) }
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	path := segmentFiles(t, dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"event-150", "event-151", "event-200"} {
		for at := bytes.Index(data, []byte(id)); at >= 0; {
			data[at] ^= 1
			at = bytes.Index(data, []byte(id))
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, l)
	if len(got) != len(put)-3 {
		t.Errorf("%d records of %d", len(got), len(put))
	}
	wanted := []span{{150, 151}, {200, 200}}
	for i, d := range damages {
		if i >= len(wanted) || d.FromSeq != wanted[i].From || d.ToSeq != wanted[i].To || d.Epoch != "e1" {
			t.Errorf("damage %+v", d)
		}
	}
	if len(damages) != len(wanted) {
		t.Errorf("%d damages, want %d", len(damages), len(wanted))
	}
	if err := l.Verify(t.Context()); err == nil {
		t.Error("Verify finds nothing")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestLane_FileCutWhileRunning cuts a mapped file: reading beyond its end is a fault, which must not end the process.
func TestLane_FileCutWhileRunning(t *testing.T) {
	dir := fastDir(t)
	writeSample(t, dir)
	cfg := testConfig(dir)
	damaged := 0
	cfg.OnDamage = func(Damage) { damaged++ }
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, l, Position{}, 1) // maps the first segment
	if err := os.Truncate(segmentFiles(t, dir)[0], 8192); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, l)
	if len(got) == 0 || got[len(got)-1].Epoch != "e2" || damaged == 0 {
		t.Errorf("%d records read, %d damages", len(got), damaged)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheckSegment(t *testing.T) {
	dir := fastDir(t)
	writeSample(t, dir)
	paths := segmentFiles(t, dir)
	for _, path := range paths {
		if err := CheckSegment(path); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if err := CheckSegment(filepath.Join(dir, "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	change := func(fn func(tx *bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, boltOptions(false))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(fn), db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name  string
		spoil func(*testing.T, string)
	}{
		{"RecordMissing", change(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketRecord)).Delete(seqKey(5)) })},
		{"LastRecordMissing", change(func(tx *bbolt.Tx) error {
			key, _ := tx.Bucket([]byte(bucketRecord)).Cursor().Last()
			return tx.Bucket([]byte(bucketRecord)).Delete(key)
		})},
		{"RecordMoved", change(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRecord))
			return b.Put(seqKey(5), bytes.Clone(b.Get(seqKey(6))))
		})},
		{"RecordOfAnotherEpoch", change(func(tx *bbolt.Tx) error {
			r := want(testRecord(5), "e9", 5)
			return tx.Bucket([]byte(bucketRecord)).Put(seqKey(5), appendRecord(nil, &r))
		})},
		{"IndexMisses", change(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketUrgent)).Delete(seqKey(4)) })},
		{"IndexTooMuch", change(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketUrgent)).Put(seqKey(5), appendUrgent(nil, "e1", 5))
		})},
		{"NoHead", change(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketHead)) })},
		{"StrangeCursor", change(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketCursor)).Put([]byte("x"), []byte("y")) })},
		{"Empty", func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(copyDir(t, dir), filepath.Base(paths[0]))
			c.spoil(t, path)
			if err := CheckSegment(path); err == nil {
				t.Error("found nothing")
			}
		})
	}
}

// readMapped reads a segment that passed its check the way a lane does.
func readMapped(t *testing.T, path string, records int) {
	t.Helper()
	seg := &segment{path: path}
	if err := seg.hold(); err != nil {
		t.Fatalf("open a checked segment: %v", err)
	}
	n := 0
	err := seg.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketRecord)).ForEach(func(_, value []byte) error {
			n++
			_, err := decodeRecord(value, "e1", nil)
			return err
		})
	})
	if err != nil || n != records {
		t.Errorf("checked segment gives %d records of %d, %v", n, records, err)
	}
	if err := seg.release(); err != nil {
		t.Error(err)
	}
}

// FuzzSalvage spoils a segment in two places and cuts it: the check ends with an answer, and what salvage makes of the
// rest passes the check.
func FuzzSalvage(f *testing.F) {
	name := segmentName{ordinal: 1, epoch: "e1", first: 1}
	source := fastDir(f)
	l := beginLane(f, testConfig(source), "e1")
	for n := range 30 {
		putBatch(f, l, urgentRecord(n))
	}
	closeLane(f, l)
	sample, err := os.ReadFile(filepath.Join(source, name.String()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(pageHeader+16), uint64(1), uint32(4096+pageHeader+48), uint64(1)<<40, uint32(len(sample)))
	f.Add(uint32(3*4096+8), uint64(0xffff), uint32(5*4096), uint64(7), uint32(5*4096))
	f.Add(uint32(0), uint64(0), uint32(0), uint64(0), uint32(0))
	f.Fuzz(func(t *testing.T, at1 uint32, mask1 uint64, at2 uint32, mask2 uint64, cut uint32) {
		data := bytes.Clone(sample)
		for at, mask := range map[uint32]uint64{at1: mask1, at2: mask2} {
			word := data[at%uint32(len(data)-8):]
			binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)^mask)
		}
		data = data[:min(int(cut), len(data))]
		dir := fastDir(t)
		path := filepath.Join(dir, name.String())
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		reason := CheckSegment(path)
		if reason == nil {
			readMapped(t, path, 30)
			return
		}
		saved, err := salvage(dir, name, reason, "", 0)
		if err != nil {
			t.Fatalf("salvage: %v", err)
		}
		if err := CheckSegment(filepath.Join(dir, saved.String())); err != nil {
			t.Errorf("salvaged segment: %v", err)
		}
	})
}
