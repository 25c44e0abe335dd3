package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// formatVersion is written into every segment and meta.db. A file with a higher one is left alone.
const formatVersion = 1

const (
	bucketHead   = "head"
	bucketRecord = "record"
	bucketUrgent = "urgent"
	bucketCursor = "cursor"

	keyHead = "head"
	keyTail = "tail"
)

// head says what a segment is; it is written before the segment gets its name and never changes.
type head struct {
	Version int    `json:"version"`
	Ordinal uint64 `json:"ordinal"`
	Epoch   string `json:"epoch"`
	Prev    string `json:"prev"`
	First   uint64 `json:"first"` // seq of the first record it can hold

	// Of a salvaged segment only.
	From    string `json:"from,omitempty"`    // the file it was saved from
	Reason  string `json:"reason,omitempty"`  // why
	Missing []span `json:"missing,omitempty"` // what could not be saved, in order
}

// tail says how far a segment goes; every commit writes it anew.
type tail struct {
	Last    uint64 // seq of the last record, First-1 when there is none
	Records uint64
	Commits uint64
	Min     int64 // least and greatest time of its records, in Unix nanoseconds; noTime when there is none
	Max     int64
}

func appendHead(h head) ([]byte, error) {
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	buf := append(beginFrame(nil, kindHead), body...)
	endFrame(buf, 0, "")
	return buf, nil
}

func decodeHead(data []byte) (head, error) {
	var h head
	body, err := openFrame(data, kindHead, "")
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, errBody
	}
	return h, nil
}

func appendTail(epoch string, t tail) []byte {
	buf := beginFrame(nil, kindTail)
	for _, n := range []uint64{t.Last, t.Records, t.Commits, uint64(t.Min), uint64(t.Max)} {
		buf = append(buf, seqKey(n)...)
	}
	endFrame(buf, 0, epoch)
	return buf
}

func decodeTail(data []byte, epoch string) (tail, error) {
	body, err := openFrame(data, kindTail, epoch)
	if err != nil {
		return tail{}, err
	}
	in := reader{rest: body}
	t := tail{Last: in.uint64(), Records: in.uint64(), Commits: in.uint64(), Min: int64(in.uint64()), Max: int64(in.uint64())}
	if !in.done() {
		return tail{}, errBody
	}
	return t, nil
}

// note extends t by a record time.
func (t *tail) note(at time.Time) {
	n := unixNano(at)
	if n == noTime {
		return
	}
	if t.Min == noTime || n < t.Min {
		t.Min = n
	}
	if t.Max == noTime || n > t.Max {
		t.Max = n
	}
}

// openFrom returns the first seq that the head names as missing without an end, or 0.
func (h head) openFrom() uint64 {
	if n := len(h.Missing); n > 0 && h.Missing[n-1].To == 0 {
		return h.Missing[n-1].From
	}
	return 0
}

// summary is what a lane keeps in memory of a segment.
type summary struct {
	head    head
	tail    tail
	urgent  []uint64
	cursors []cursor
}

// CheckSegment reads the segment file at path whole and tells whether every page, record, checksum, index entry and
// cursor of it is sound. It maps nothing and cannot fault, whatever the file holds; it reads in the time the disk
// needs. Its error says what is wrong; [problem.QueueVersion] marks a file of a newer version.
func CheckSegment(path string) error {
	_, err := inspect(path, true)
	return err
}

// inspect reads a segment's summary by plain reads, and with deep every record too.
func inspect(path string, deep bool) (summary, error) {
	p, err := openPages(path)
	if err != nil {
		return summary{}, err
	}
	defer func() { _ = p.Close() }()
	var s summary
	if err := s.readHead(p); err != nil {
		return s, err
	}
	epoch := s.head.Epoch
	err = p.each(bucketUrgent, func(key, value []byte) error {
		seq, err := decodeUrgent(value, epoch)
		if err != nil || !bytes.Equal(key, seqKey(seq)) {
			return pageErr("urgent index entry %x", key)
		}
		s.urgent = append(s.urgent, seq)
		return nil
	})
	if err != nil {
		return s, err
	}
	err = p.each(bucketCursor, func(key, value []byte) error {
		c, err := decodeCursor(value, epoch)
		if err != nil || c.source != string(key) {
			return pageErr("cursor of %q", key)
		}
		s.cursors = append(s.cursors, c)
		return nil
	})
	if err != nil || !deep {
		return s, err
	}
	return s, s.checkRecords(p)
}

func (s *summary) readHead(p *pages) error {
	var rawHead, rawTail []byte
	err := p.each(bucketHead, func(key, value []byte) error {
		switch string(key) {
		case keyHead:
			rawHead = bytes.Clone(value)
		case keyTail:
			rawTail = bytes.Clone(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.head, err = decodeHead(rawHead); err != nil {
		return fmt.Errorf("segment head: %w", err)
	}
	if s.head.Version > formatVersion {
		return problem.New(problem.QueueVersion, "segment %s has format %d, this version knows %d", p.file.Name(), s.head.Version, formatVersion)
	}
	if s.tail, err = decodeTail(rawTail, s.head.Epoch); err != nil {
		return fmt.Errorf("segment tail: %w", err)
	}
	return nil
}

// checkRecords reads every record: the frame under its key, seqs without a hole but those the head names, the urgent
// index equal to the records' marks, and the tail equal to what is there.
func (s *summary) checkRecords(p *pages) error {
	walk := recordWalk{head: s.head, urgent: s.urgent, next: s.head.First}
	err := p.each(bucketRecord, walk.record)
	if err != nil {
		return err
	}
	return walk.end(s.tail)
}

// recordWalk checks a segment's records one after the other.
type recordWalk struct {
	head    head
	urgent  []uint64 // index entries not met yet
	next    uint64   // seq expected next
	records uint64
}

func (w *recordWalk) record(key, value []byte) error {
	if len(key) != 8 {
		return pageErr("record key %x", key)
	}
	r, err := decodeRecord(value, w.head.Epoch, nil)
	if err != nil {
		return fmt.Errorf("record %x: %w", key, err)
	}
	if !bytes.Equal(key, seqKey(r.Seq)) {
		return pageErr("record %d under key %x", r.Seq, key)
	}
	w.next = w.head.skip(w.next)
	if r.Seq != w.next {
		return pageErr("record %d where %d is due", r.Seq, w.next)
	}
	indexed := len(w.urgent) > 0 && w.urgent[0] == r.Seq
	if indexed != r.Urgent {
		return pageErr("record %d and the urgent index disagree", r.Seq)
	}
	if indexed {
		w.urgent = w.urgent[1:]
	}
	w.next++
	w.records++
	return nil
}

func (w *recordWalk) end(t tail) error {
	last := w.head.skip(w.next) - 1
	if last != t.Last || w.records != t.Records || len(w.urgent) > 0 {
		return pageErr("records end at %d with %d of them, the tail says %d with %d", last, w.records, t.Last, t.Records)
	}
	return nil
}

// skip returns the first seq from seq on that the head does not name as missing.
func (h head) skip(seq uint64) uint64 {
	for _, m := range h.Missing {
		if m.To != 0 && seq >= m.From && seq <= m.To {
			seq = m.To + 1
		}
	}
	return seq
}
