package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Position is a place in a lane: epochs in the order of their beginning, then seq. The zero Position lies before
// everything.
type Position struct {
	Epoch string
	Seq   uint64 // from 1; 0 = before the epoch's first record
}

// Header is one Kafka header, kept in order and byte for byte.
type Header struct {
	Key   string
	Value []byte // nil comes back as empty
}

// Record is one entry of a lane. The lane looks into no byte of it but the fields named here.
type Record struct {
	Epoch string // set by the lane
	Prev  string // set by the lane: the text that [Lane.Begin] was given for Epoch
	Seq   uint64 // set by the lane

	Urgent  bool
	ID      string    // event id, up to 64 KiB
	At      time.Time // when it was recorded, for ranges and ages; comes back in UTC
	Key     []byte    // nil and empty differ, as in Kafka
	Headers []Header
	Value   []byte // nil and empty differ
}

// Position returns the record's place.
func (r Record) Position() Position { return Position{r.Epoch, r.Seq} }

// Batch is what one commit must hold whole. The lane keeps none of its memory once it is
// stored.
type Batch struct {
	Records []Record
	Cursors map[string][]byte // by source; replaces what the source had before

	// UseReserve lets the batch use the reserve although it has no urgent record: for gaps and losses, and for
	// sources that are set apart for urgent events.
	UseReserve bool
}

func (b Batch) mayUseReserve() bool {
	if b.UseReserve {
		return true
	}
	for i := range b.Records {
		if b.Records[i].Urgent {
			return true
		}
	}
	return false
}

// bytes returns about what the batch takes in a segment: frames, keys, elements, and a page rounded up for each large
// value.
func (b Batch) bytes() int64 {
	const element = 16 + 8
	var sum int64
	for i := range b.Records {
		size := int64(b.Records[i].size()) + element
		if size > pageGuess/4 {
			size += pageGuess
		}
		sum += size
		if b.Records[i].Urgent {
			sum += element + frameHeader + 8
		}
	}
	for source, cursor := range b.Cursors {
		sum += int64(len(source)) + int64(len(cursor)) + 64
	}
	return sum + sum/16
}

// pageGuess is the page size for estimates; the true one is the operating system's.
const pageGuess = 4096

const (
	flagUrgent byte = 1 << iota
	flagKey
	flagValue
	flagsKnown = flagUrgent | flagKey | flagValue
)

// noTime stands for the zero time, which has no nanosecond count.
const noTime = math.MinInt64

// size is an upper bound of the record's frame.
func (r *Record) size() int {
	n := frameHeader + 8 + 8 + 1 + 5*binary.MaxVarintLen32 + len(r.ID) + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 2*binary.MaxVarintLen32 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

func (r *Record) check() error {
	if len(r.ID) > 64*kib {
		return fmt.Errorf("record id of %d bytes, 64 KiB is the most", len(r.ID))
	}
	if n := r.size(); n > maxFrame {
		return fmt.Errorf("record of %d bytes, %d is the most", n, maxFrame)
	}
	return nil
}

// appendRecord appends the record's frame to buf, under r.Epoch and r.Seq.
func appendRecord(buf []byte, r *Record) []byte {
	start := len(buf)
	buf = beginFrame(buf, kindRecord)
	buf = binary.BigEndian.AppendUint64(buf, r.Seq)
	buf = binary.BigEndian.AppendUint64(buf, uint64(unixNano(r.At)))
	var flags byte
	if r.Urgent {
		flags |= flagUrgent
	}
	if r.Key != nil {
		flags |= flagKey
	}
	if r.Value != nil {
		flags |= flagValue
	}
	buf = append(buf, flags)
	buf = appendBytes(buf, r.ID)
	buf = appendBytes(buf, r.Key)
	buf = binary.AppendUvarint(buf, uint64(len(r.Headers)))
	for i := range r.Headers {
		buf = appendBytes(buf, r.Headers[i].Key)
		buf = appendBytes(buf, r.Headers[i].Value)
	}
	buf = appendBytes(buf, r.Value)
	endFrame(buf, start, r.Epoch)
	return buf
}

// decodeRecord reads a record of epoch from its frame. The record shares no memory with data, but the names of its headers
// with like, where they are the same.
func decodeRecord(data []byte, epoch string, like []Header) (Record, error) {
	body, err := openFrame(data, kindRecord, epoch)
	if err != nil {
		return Record{}, err
	}
	in := reader{rest: append([]byte(nil), body...)}
	r := Record{Epoch: epoch, Seq: in.uint64(), At: fromUnixNano(int64(in.uint64()))}
	var flags byte
	if part := in.take(1); part != nil {
		flags = part[0]
	}
	r.ID = string(in.bytes())
	key := in.bytes()
	if n := in.count(); n > 0 {
		r.Headers = make([]Header, 0, min(n, 64))
		for ; n > 0 && !in.bad; n-- {
			r.Headers = append(r.Headers, Header{Key: nameLike(in.bytes(), like, len(r.Headers)), Value: in.bytes()})
		}
	}
	value := in.bytes()
	if !in.done() || flags&^flagsKnown != 0 || r.Seq == 0 {
		return Record{}, errBody
	}
	r.Urgent = flags&flagUrgent != 0
	if flags&flagKey != 0 {
		r.Key = key
	} else if len(key) > 0 {
		return Record{}, errBody
	}
	if flags&flagValue != 0 {
		r.Value = value
	} else if len(value) > 0 {
		return Record{}, errBody
	}
	return r, nil
}

// nameLike returns a header's name. Most records have the same names in the same places.
func nameLike(name []byte, like []Header, place int) string {
	if place < len(like) && like[place].Key == string(name) {
		return like[place].Key
	}
	return string(name)
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func appendUrgent(buf []byte, epoch string, seq uint64) []byte {
	start := len(buf)
	buf = beginFrame(buf, kindUrgent)
	buf = binary.BigEndian.AppendUint64(buf, seq)
	endFrame(buf, start, epoch)
	return buf
}

func decodeUrgent(data []byte, epoch string) (uint64, error) {
	body, err := openFrame(data, kindUrgent, epoch)
	if err != nil {
		return 0, err
	}
	in := reader{rest: body}
	seq := in.uint64()
	if !in.done() {
		return 0, errBody
	}
	return seq, nil
}

// cursor is a source's position with the place of the commit that brought it, by which the newer of two is known.
type cursor struct {
	source string
	seq    uint64 // last seq of the segment when the cursor was stored
	count  uint64 // commits of the segment before it
	value  []byte
}

func (c cursor) newerThan(other cursor) bool {
	return c.seq > other.seq || c.seq == other.seq && c.count > other.count
}

func appendCursor(buf []byte, epoch string, c cursor) []byte {
	start := len(buf)
	buf = beginFrame(buf, kindCursor)
	buf = binary.BigEndian.AppendUint64(buf, c.seq)
	buf = binary.BigEndian.AppendUint64(buf, c.count)
	buf = appendBytes(buf, c.source)
	buf = appendBytes(buf, c.value)
	endFrame(buf, start, epoch)
	return buf
}

// decodeCursor reads a cursor; it shares no memory with data.
func decodeCursor(data []byte, epoch string) (cursor, error) {
	body, err := openFrame(data, kindCursor, epoch)
	if err != nil {
		return cursor{}, err
	}
	in := reader{rest: append([]byte(nil), body...)}
	c := cursor{seq: in.uint64(), count: in.uint64(), source: string(in.bytes()), value: in.bytes()}
	if !in.done() {
		return cursor{}, errBody
	}
	return c, nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
