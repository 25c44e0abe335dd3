package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// defaultRead bounds one read transaction, which keeps pages from being used again while it lasts.
	defaultRead      = 500
	defaultReadBytes = mib
)

// Next returns records that follow after, in order: at least one, at most limit and about maxBytes of frames, all of
// one epoch. 0 means 500 records, 1 MiB. The zero position stands for [Lane.Acked]. It blocks until there is a record,
// ctx is done, or the lane fails or closes. Damaged records are left out and reported ([Config.OnDamage]); a seq that
// jumps within an epoch is such a place, or one that was shed.
func (l *Lane) Next(ctx context.Context, after Position, limit, maxBytes int) ([]Record, error) {
	for {
		l.mu.Lock()
		err, changed := l.readable(), l.changed
		from := after
		if from == (Position{}) {
			from = l.state.Acked
		}
		part, found := l.locate(from)
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if !found {
			if err := l.waitChange(ctx, changed); err != nil {
				return nil, err
			}
			continue
		}
		part.limit, part.maxBytes = limit, maxBytes
		records, err := l.read(part)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			return records, nil
		}
		after = part.seg.position(part.to)
	}
}

// More tells whether [Lane.Next] would find a record behind after at once. The channel is closed when the lane changes
// next; a lane that failed or was closed has more, so that Next tells why.
func (l *Lane) More(after Position) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readable() != nil {
		return true, l.changed
	}
	if after == (Position{}) {
		after = l.state.Acked
	}
	_, found := l.locate(after)
	return found, l.changed
}

// part is a run of seqs within one segment.
type part struct {
	seg             *segment
	from, to        uint64
	sealed          bool
	limit, maxBytes int // 0 = default
}

// locate returns the first part of the lane that lies beyond p; l.mu is held.
func (l *Lane) locate(p Position) (part, bool) {
	start := 0
	switch last := l.lastSegment(p.Epoch); {
	case p.Epoch == "":
	case last >= 0:
		start = last
		for start > 0 && l.segments[start-1].epoch() == p.Epoch {
			start--
		}
	default: // its segments are deleted: go on with the first later epoch
		at := l.state.indexOf(p.Epoch)
		for start < len(l.segments) && l.state.indexOf(l.segments[start].epoch()) < at {
			start++
		}
	}
	for i, seg := range l.segments[start:] {
		from := seg.first()
		if seg.epoch() == p.Epoch {
			from = max(from, p.Seq+1)
		}
		from = seg.summary.head.skip(from)
		if !seg.broken && from <= seg.last() {
			return part{seg: seg, from: from, to: seg.last(), sealed: start+i < len(l.segments)-1 || !l.begun}, true
		}
	}
	return part{}, false
}

// lastSegment returns the index of the newest segment of epoch, -1 if there is none; l.mu is held.
func (l *Lane) lastSegment(epoch string) int {
	for i := len(l.segments) - 1; i >= 0; i-- {
		if l.segments[i].epoch() == epoch {
			return i
		}
	}
	return -1
}

// read returns the sound records of a part, in order, and reports the others. A segment deleted in between has none.
// If nothing is returned, nothing readable lies between from and to.
func (l *Lane) read(p part) ([]Record, error) {
	err := l.hold(p.seg)
	if errors.Is(err, os.ErrNotExist) && p.seg.deleted() {
		return nil, nil
	}
	if err != nil {
		l.breakSegment(p.seg)
		l.report(p.seg, []span{{p.from, p.to}}, err.Error())
		return nil, nil
	}
	r := partReader{part: p, next: p.from}
	viewErr := p.seg.view(r.run)
	if err := p.seg.release(); err != nil {
		return nil, err
	}
	if viewErr != nil {
		l.breakSegment(p.seg)
		l.report(p.seg, append(r.bad, span{r.next, p.to}), viewErr.Error())
		return r.records, nil
	}
	l.report(p.seg, r.bad, "record damaged")
	return r.records, nil
}

// partReader reads one part in one transaction.
type partReader struct {
	part
	next    uint64 // seq due next
	bytes   int
	records []Record
	bad     []span
}

func (r *partReader) run(tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(bucketRecord))
	if bucket == nil {
		return pageErr("no bucket %q", bucketRecord)
	}
	r.records = make([]Record, 0, min(r.most(), int(min(r.to-r.from, defaultRead))+1))
	c := bucket.Cursor()
	for key, value := c.Seek(seqKey(r.from)); key != nil; key, value = c.Next() {
		if len(key) != 8 {
			continue
		}
		seq := binary.BigEndian.Uint64(key)
		if seq > r.to && !r.sealed || r.full() {
			break
		}
		if seq > r.to || seq < r.next {
			continue
		}
		r.take(seq, value)
	}
	if !r.full() {
		r.miss(r.to + 1)
	}
	return nil
}

func (r *partReader) full() bool {
	maxBytes := r.maxBytes
	if maxBytes <= 0 {
		maxBytes = defaultReadBytes
	}
	return len(r.records) >= r.most() || r.bytes >= maxBytes || r.next > r.to
}

// most returns how many records are read at the most.
func (r *partReader) most() int {
	if r.limit <= 0 {
		return defaultRead
	}
	return r.limit
}

// miss notes that the seqs from the one due up to before seq are not there.
func (r *partReader) miss(seq uint64) {
	r.next = r.seg.summary.head.skip(r.next)
	if r.next >= seq {
		return
	}
	if n := len(r.bad); n > 0 && r.bad[n-1].To+1 == r.next {
		r.bad[n-1].To = seq - 1
	} else {
		r.bad = append(r.bad, span{r.next, seq - 1})
	}
	r.next = seq
}

func (r *partReader) take(seq uint64, value []byte) {
	r.miss(seq)
	var like []Header
	if n := len(r.records); n > 0 {
		like = r.records[n-1].Headers
	}
	record, err := decodeRecord(value, r.seg.epoch(), like)
	if err != nil || record.Seq != seq {
		r.miss(seq + 1)
		return
	}
	record.Prev = r.seg.summary.head.Prev
	r.records = append(r.records, record)
	r.bytes += len(value)
	r.next = seq + 1
}

// hold keeps seg open until its release, and warm until another sealed segment is read.
func (l *Lane) hold(seg *segment) error {
	if err := seg.hold(); err != nil {
		return err
	}
	var cold *segment
	l.mu.Lock()
	active := l.begun && seg == l.segments[len(l.segments)-1]
	if !active && !l.closed && l.warm != seg && slices.Contains(l.segments, seg) && seg.hold() == nil {
		cold, l.warm = l.warm, seg
	}
	l.mu.Unlock()
	if cold == nil {
		return nil
	}
	return cold.release()
}

func (l *Lane) breakSegment(seg *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.broken = true
}

// report tells of damaged places, each once in this run.
func (l *Lane) report(seg *segment, bad []span, reason string) {
	for _, b := range bad {
		if b.From > b.To {
			continue
		}
		d := Damage{File: seg.name.String(), Epoch: seg.epoch(), FromSeq: b.From, ToSeq: b.To, Reason: reason}
		l.mu.Lock()
		known := l.reported[d.key()]
		l.reported[d.key()] = true
		d.Sent = l.state.isSent(seg.position(b.To))
		l.mu.Unlock()
		if known {
			continue
		}
		l.cfg.Log.Error().Str("file", d.File).Uint64("seq", d.FromSeq).Uint64("to_seq", d.ToSeq).Str("reason", reason).Msg("queue records damaged")
		l.cfg.OnDamage(d)
	}
}

// record reads the record at p; ok is false where there is none that can be read.
func (l *Lane) record(p Position) (r Record, ok bool, err error) {
	l.mu.Lock()
	var at part
	for i, seg := range l.segments {
		if seg.epoch() == p.Epoch && seg.first() <= p.Seq && p.Seq <= seg.last() && !seg.broken {
			at = part{seg: seg, from: p.Seq, to: p.Seq, sealed: i < len(l.segments)-1, limit: 1}
		}
	}
	l.mu.Unlock()
	if at.seg == nil {
		return r, false, nil
	}
	records, err := l.read(at)
	if err != nil || len(records) == 0 {
		return r, false, err
	}
	return records[0], true, nil
}

// Range selects records of [Lane.Scan]. Zero fields select all.
type Range struct {
	From, To       time.Time // by Record.At: From <= At < To
	Epoch          string
	FromSeq, ToSeq uint64 // both included; 0 leaves the side open
	SentOnly       bool   // only up to the acked position
}

func (r Range) holds(rec *Record) bool {
	return (r.From.IsZero() || !rec.At.Before(r.From)) && (r.To.IsZero() || rec.At.Before(r.To)) &&
		rec.Seq >= r.FromSeq && (r.ToSeq == 0 || rec.Seq <= r.ToSeq)
}

// mayHold tells whether a record of seg can be in the range.
func (r Range) mayHold(seg *segment) bool {
	t := seg.summary.tail
	switch {
	case r.Epoch != "" && r.Epoch != seg.epoch():
		return false
	case seg.last() < r.FromSeq || r.ToSeq != 0 && seg.first() > r.ToSeq:
		return false
	case t.Max == noTime:
		return r.From.IsZero() && r.To.IsZero()
	}
	return (r.From.IsZero() || t.Max >= r.From.UnixNano()) && (r.To.IsZero() || t.Min < r.To.UnixNano())
}

// Scan calls fn with each record of the range that is on disk now, in order, sent ones and unsent ones. fn may take
// its time: nothing is held while it runs, and what is deleted meanwhile is passed over. An error of fn ends the scan
// and is returned.
func (l *Lane) Scan(ctx context.Context, r Range, fn func(Record) error) error {
	for _, p := range l.parts(r) {
		for p.from <= p.to {
			if err := ctx.Err(); err != nil {
				return err
			}
			records, err := l.read(p)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			for i := range records {
				if !r.holds(&records[i]) {
					continue
				}
				if err := fn(records[i]); err != nil {
					return err
				}
			}
			p.from = records[len(records)-1].Seq + 1
		}
	}
	return nil
}

// parts returns what a scan of r has to read.
func (l *Lane) parts(r Range) []part {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []part
	for i, seg := range l.segments {
		p := part{seg: seg, from: max(seg.first(), r.FromSeq), to: seg.last(), sealed: i < len(l.segments)-1 || !l.begun}
		if r.ToSeq != 0 {
			p.to = min(p.to, r.ToSeq)
		}
		if r.SentOnly && !l.state.isSent(seg.position(p.to)) {
			p.to = 0
			if seg.epoch() == l.state.Acked.Epoch {
				p.to = min(seg.last(), l.state.Acked.Seq)
			}
		}
		if !seg.broken && p.from <= p.to && r.mayHold(seg) {
			parts = append(parts, p)
		}
	}
	return parts
}

// Tail returns the last n records on disk, oldest first, over epochs: from their ids and headers the agent knows what
// a source may deliver again.
func (l *Lane) Tail(n int) ([]Record, error) {
	parts := l.parts(Range{})
	var tail []Record
	for i := len(parts) - 1; i >= 0 && len(tail) < n; i-- {
		records, err := l.lastOfPart(parts[i], n-len(tail))
		if err != nil {
			return nil, err
		}
		tail = append(records, tail...)
	}
	return tail, nil
}

// lastOfPart returns the last n records of a part.
func (l *Lane) lastOfPart(p part, n int) ([]Record, error) {
	if span := p.to - p.from + 1; span > uint64(n) {
		p.from = p.to - uint64(n) + 1
	}
	var all []Record
	for p.from <= p.to {
		records, err := l.read(p)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			break
		}
		all = append(all, records...)
		p.from = all[len(all)-1].Seq + 1
	}
	return all, nil
}
