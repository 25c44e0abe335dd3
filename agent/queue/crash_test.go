//go:build failpoint

package queue

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestCrash kills a process that writes a lane at every hook, the n-th time it gets there, run after run on the same
// directory, and looks for each record whose Put had returned.
func TestCrash(t *testing.T) {
	if dir := os.Getenv("QUEUE_CRASH_DIR"); dir != "" {
		crashingWriter(t, dir)
		return
	}
	hooks := []string{"queue.before_commit", "queue.after_commit", "queue.before_rename", "queue.after_rename", "queue.before_ack"}
	for _, hook := range hooks {
		t.Run(hook, func(t *testing.T) {
			dir := t.TempDir()
			acknowledged := map[string]bool{}
			for run := 1; run <= 8; run++ {
				nth := run * 3
				if strings.HasSuffix(hook, "rename") {
					nth = 1 + run%3
				}
				for _, id := range crash(t, dir, run, fmt.Sprintf("%s=kill:%d", hook, nth)) {
					acknowledged[id] = true
				}
				checkCrashed(t, dir, acknowledged)
			}
			t.Logf("%d records acknowledged, asked for", len(acknowledged))
		})
	}
}

// crash runs the writer until it is killed and returns the ids that it acknowledged.
func crash(t *testing.T, dir string, run int, failpoints string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), "QUEUE_CRASH_DIR="+dir, "QUEUE_CRASH_RUN="+strconv.Itoa(run), "HOLDFAST_FAILPOINTS="+failpoints)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("writer with %s: %v\n%s%s", failpoints, err, out, stderr.String())
	}
	var ids []string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// crashConfig has room for all that the runs write, so that nothing sent is deleted.
func crashConfig(dir string) Config {
	cfg := testConfig(dir)
	cfg.Quota, cfg.SegmentBytes = 1<<30, minSegmentBytes
	return cfg
}

// crashingWriter puts, acknowledges and prints what is stored until a failpoint kills it.
func crashingWriter(t *testing.T, dir string) {
	cfg := crashConfig(dir)
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	epoch := "run" + os.Getenv("QUEUE_CRASH_RUN")
	if err := l.Begin(epoch, ""); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 100_000; n++ {
		r := testRecord(n)
		r.ID = fmt.Sprintf("%s-%d", epoch, n)
		r.Value = make([]byte, 8*kib)
		first, err := l.Put(context.Background(), Batch{Records: []Record{r}, Cursors: map[string][]byte{"s": []byte(r.ID)}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("ack " + r.ID)
		if err := l.Ack(Position{epoch, first}); err != nil {
			t.Fatal(err)
		}
		if n%10 == 0 {
			if err := l.do(l.flushAcked); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkCrashed opens what the writer left and looks for every acknowledged record.
func checkCrashed(t *testing.T, dir string, acknowledged map[string]bool) {
	t.Helper()
	l := openLane(t, crashConfig(dir))
	defer closeLane(t, l)
	if d := l.Recovered(); len(d) > 0 {
		t.Errorf("damage after a kill: %+v", d)
	}
	there := map[string]bool{}
	for _, r := range readAll(t, l) {
		there[r.ID] = true
	}
	for id := range acknowledged {
		if !there[id] {
			t.Errorf("acknowledged record %s is lost", id)
		}
	}
	if l.Acked() == (Position{}) {
		return
	}
	if last := l.LastOf(l.Acked().Epoch); l.Acked().Seq > last {
		t.Errorf("acked %v lies beyond %d", l.Acked(), last)
	}
}
