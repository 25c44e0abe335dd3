package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is a lane beside an oracle in memory.
type model struct {
	dir     string
	lane    *Lane
	epoch   int
	number  int // records made
	stored  []Record
	acked   int // index into stored: all before it are acknowledged
	read    int // index into stored: the reader's place
	cursors map[string][]byte
}

func (m *model) config() Config {
	cfg := testConfig(m.dir)
	cfg.SegmentBytes = minSegmentBytes
	return cfg
}

func (m *model) open(t *rapid.T) {
	l, err := Open(context.Background(), m.config())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if d := l.Recovered(); len(d) > 0 {
		t.Fatalf("damage without a fault: %+v", d)
	}
	if len(m.stored) > 0 {
		last := m.stored[len(m.stored)-1]
		if epoch, seq := l.Last(); epoch != last.Epoch || seq != last.Seq {
			t.Fatalf("Last = %s/%d, want %v", epoch, seq, last.Position())
		}
	}
	m.epoch++
	epoch := "e" + strconv.Itoa(m.epoch)
	if err := l.Begin(epoch, "before "+epoch); err != nil {
		t.Fatalf("Begin: %v", err)
	}
	m.lane = l
}

func (m *model) place(index int) Position {
	if index == 0 {
		return Position{}
	}
	return m.stored[index-1].Position()
}

func (m *model) put(t *rapid.T) {
	var b Batch
	for range rapid.IntRange(1, 12).Draw(t, "records") {
		m.number++
		r := testRecord(m.number)
		r.Urgent = rapid.IntRange(0, 4).Draw(t, "urgent") == 0
		r.Value = bytes.Repeat([]byte{byte(m.number)}, rapid.SampledFrom([]int{0, 10, 500, 5000, 40_000}).Draw(t, "size"))
		b.Records = append(b.Records, r)
	}
	if source := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "source"); source != "" {
		b.Cursors = map[string][]byte{source: []byte(strconv.Itoa(m.number))}
		m.cursors[source] = b.Cursors[source]
	}
	first, err := m.lane.Put(context.Background(), b)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	epoch := "e" + strconv.Itoa(m.epoch)
	if wanted := m.lane.LastOf(epoch) - uint64(len(b.Records)) + 1; first != wanted {
		t.Fatalf("first = %d, want %d", first, wanted)
	}
	for i, r := range b.Records {
		m.stored = append(m.stored, want(r, epoch, first+uint64(i)))
	}
}

func (m *model) reopen(t *rapid.T) {
	if err := m.lane.Verify(context.Background()); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if err := m.lane.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	m.open(t)
	m.read = m.acked
}

func (m *model) next(t *rapid.T) {
	if m.read == len(m.stored) {
		return
	}
	limit := rapid.IntRange(1, 50).Draw(t, "limit")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := m.lane.Next(ctx, m.place(m.read), limit, 0)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	if len(got) == 0 || len(got) > limit || len(got) > len(m.stored)-m.read || !reflect.DeepEqual(got, m.stored[m.read:m.read+len(got)]) {
		t.Fatalf("Next after %v gives %d records that differ", m.place(m.read), len(got))
	}
	m.read += len(got)
}

func (m *model) ack(t *rapid.T) {
	to := rapid.IntRange(0, m.read).Draw(t, "ack")
	if to == 0 {
		return
	}
	if err := m.lane.Ack(m.place(to)); err != nil {
		t.Fatalf("Ack: %v", err)
	}
	m.acked = max(m.acked, to)
}

func (m *model) scan(t *rapid.T) {
	from := rapid.IntRange(0, m.number).Draw(t, "from")
	to := rapid.IntRange(from, m.number+1).Draw(t, "to")
	r := Range{From: testRecord(from).At, To: testRecord(to).At, SentOnly: rapid.Bool().Draw(t, "sent")}
	var wanted, got []string
	for i, rec := range m.stored {
		if !rec.At.Before(r.From) && rec.At.Before(r.To) && (!r.SentOnly || i < m.acked) {
			wanted = append(wanted, rec.ID)
		}
	}
	err := m.lane.Scan(context.Background(), r, func(rec Record) error { got = append(got, rec.ID); return nil })
	if err != nil || fmt.Sprint(wanted) != fmt.Sprint(got) {
		t.Fatalf("Scan(%d to %d, sent %t) = %d records, %v, want %d", from, to, r.SentOnly, len(got), err, len(wanted))
	}
}

// check compares what can be asked without reading on.
func (m *model) check(t *rapid.T) {
	urgent := 0
	for _, r := range m.stored[m.acked:] {
		if r.Urgent {
			urgent++
		}
	}
	s := m.lane.Stat()
	if s.Depth != uint64(len(m.stored)-m.acked) || s.Urgent != urgent || s.Acked != m.place(m.acked) {
		t.Fatalf("stat %+v, want depth %d, urgent %d, acked %v", s, len(m.stored)-m.acked, urgent, m.place(m.acked))
	}
	if m.acked < len(m.stored) && !s.Oldest.Equal(m.stored[m.acked].At) {
		t.Fatalf("oldest %v, want %v", s.Oldest, m.stored[m.acked].At)
	}
	if got := m.lane.Cursors(); len(got) != len(m.cursors) || len(got) > 0 && !reflect.DeepEqual(got, m.cursors) {
		t.Fatalf("cursors %q, want %q", got, m.cursors)
	}
	tail, err := m.lane.Tail(5)
	if err != nil || len(m.stored) > 0 && !reflect.DeepEqual(tail, m.stored[max(0, len(m.stored)-5):]) {
		t.Fatalf("tail of %d records differs, %v", len(tail), err)
	}
}

func TestLane_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{cursors: map[string][]byte{}}
		m.dir = fastDir(t)
		m.open(rt)
		defer func() {
			if err := m.lane.Verify(context.Background()); err != nil {
				rt.Errorf("Verify: %v", err)
			}
			if err := m.lane.Close(); err != nil {
				rt.Errorf("Close: %v", err)
			}
			_ = os.RemoveAll(m.dir)
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "reopen": m.reopen, "next": m.next, "ack": m.ack, "scan": m.scan, "": m.check,
		})
	})
}
