package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestPayload(t *testing.T) {
	at := time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)
	for _, n := range []int{1, 9, 10_000, 200_000} {
		p := payload(n, at)
		if len(p) != payloadBytes {
			t.Errorf("message %d has %d bytes, want %d", n, len(p), payloadBytes)
		}
		if got := sample(p); got != n {
			t.Errorf("message %d reads as %d", n, got)
		}
		if key := string(keyOf(p)); !strings.HasPrefix(key, "L-") || len(key) != len("L-00000") {
			t.Errorf("key of message %d is %q", n, key)
		}
	}
}

// TestPipeline_Encode: a padded record has as many bytes as the one that it imitates, and the message is still read from it.
func TestPipeline_Encode(t *testing.T) {
	p := payload(7, time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC))
	ours := &shape{Value: strings.Repeat("v", 700), Headers: [][2]string{{event.HeaderID, strings.Repeat("i", 36)}, {"ce_type", "t"}}}
	padded := pipeline{fill: newFiller(ours)}
	a, b := decode(padded.encode(p)), decode(padded.encode(p))
	if len(a.Value) != len(ours.Value) || !bytes.HasPrefix(a.Value, p) || sample(a.Value) != 7 {
		t.Errorf("value of %d bytes is %.80q", len(a.Value), a.Value)
	}
	if got := shapeOf(a); got.bytes() != ours.bytes() {
		t.Errorf("record has %d bytes, want %d", got.bytes(), ours.bytes())
	}
	if bytes.Equal(a.Headers[0].Value, b.Headers[0].Value) || !bytes.Equal(a.Headers[1].Value, b.Headers[1].Value) {
		t.Errorf("headers are %q and %q: want another id and the same type", a.Headers, b.Headers)
	}
	raw := pipeline{}
	if r := decode(raw.encode(p)); !bytes.Equal(r.Value, p) || len(r.Headers) != 0 || !bytes.Equal(r.Key, keyOf(p)) {
		t.Errorf("raw record is %q with %d headers under %q", r.Value, len(r.Headers), r.Key)
	}
}

// TestVerdict: what the bench calls lost, repeated and out of order.
func TestVerdict(t *testing.T) {
	type message struct {
		partition int32
		n         int
		seq       string
	}
	for _, c := range []struct {
		name                  string
		messages              []message
		lost, again, disorder int
	}{
		{"all there", []message{{0, 1, "2"}, {1, 2, "3"}, {0, 3, "4"}}, 0, 0, 0},
		{"one lost", []message{{0, 1, "2"}, {0, 3, "4"}}, 1, 0, 0},
		{"one twice", []message{{0, 1, "2"}, {0, 2, "3"}, {0, 2, "3"}, {0, 3, "4"}}, 0, 1, 0},
		{"behind a later one in its partition", []message{{0, 1, "2"}, {0, 3, "4"}, {0, 2, "3"}}, 0, 0, 1},
		{"numbered behind a later one in another", []message{{0, 1, "2"}, {1, 2, "4"}, {0, 3, "3"}}, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, last := &verdict{seen: make([]uint64, 4)}, map[int32]int{}
			for _, m := range c.messages {
				r := &kgo.Record{Partition: m.partition, Value: payload(m.n, time.Now()), Headers: []kgo.RecordHeader{{Key: event.HeaderSeq, Value: []byte(m.seq)}}}
				if !v.take(r, last) {
					t.Fatalf("message %d is taken for one that nobody sent", m.n)
				}
			}
			v.order()
			if v.lost() != c.lost || v.duplicates != c.again || v.disorder != c.disorder {
				t.Errorf("%d lost, %d twice, %d out of order: want %d, %d, %d", v.lost(), v.duplicates, v.disorder, c.lost, c.again, c.disorder)
			}
		})
	}
	v := &verdict{seen: make([]uint64, 4)}
	if v.take(&kgo.Record{Value: payload(4, time.Now())}, map[int32]int{}) {
		t.Error("a message beyond the last one is taken")
	}
}

func TestLargest(t *testing.T) {
	top := `File: holdfast
      flat  flat%   sum%        cum   cum%
     0.10s  1.00%  1.00%      5.00s 50.00%  github.com/holdfast-mesh/holdfast/agent/mapping.(*Mapper).Map
     0.10s  1.00%  2.00%      2.00s 20.00%  github.com/holdfast-mesh/holdfast/pkg/event.(*Event).Seal
     0.10s  1.00%  3.00%      3.00s 30.00%  github.com/holdfast-mesh/holdfast/agent/queue.(*Lane).commitWaiting
     0.10s  1.00%  4.00%      9.00s 90.00%  main.main
`
	got := largest([]byte(top))
	if len(got) != 3 || got[0].Percent != 50 || got[1].Percent != 30 || got[2].Percent != 20 || !strings.HasPrefix(got[1].Name, "commit") {
		t.Errorf("costs are %v", got)
	}
}

func TestParseIntake(t *testing.T) {
	a, ok := parseIntake("BenchmarkIntake/sqlite-2  \t 3\t 9000 bare-events/s\t 3000 events/s\t 0.33 of-bare\t 3.1 rows/event\n")
	if want := (applied{"sqlite", 3000, 9000, 0.33, 3.1}); !ok || a != want {
		t.Errorf("got %v, %v, want %v", a, ok, want)
	}
	if _, ok := parseIntake("BenchmarkIntake/postgres"); ok {
		t.Error("a heading is taken for a result")
	}
}

// TestReport_Write: the page keeps what stands around the tables, and says whether the goal was reached.
func TestReport_Write(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\na stale table\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReport(options{})
	for name, rates := range map[string][]float64{"holdfast": {90, 40, 60}, "bare, padded": {100, 110, 90}, "bare, raw": {200, 200, 200}} {
		for i, rate := range rates {
			if err := r.add("W1", i+1, &measured{Competitor: name, Rate: rate}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	if err := r.write(&out, options{page: page, rounds: 3}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "reaches **0.60** of the padded bare pipeline's rate and 0.30 of the raw one's. The goal of 0.5 is reached.", "\nafter\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "stale") {
		t.Errorf("page has the old tables still:\n%s", text)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.write(&out, options{page: page}); err == nil {
		t.Error("a page without marks is written")
	}
}
