package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
)

// wreck is what can be read of a damaged segment, whatever its tree says: all its leaf pages are looked at, those no
// longer in use too. That is sound since a seq of an epoch never has two contents: after a commit of unknown outcome
// the lane stops, and the next run has another epoch.
type wreck struct {
	name    segmentName
	file    *os.File
	records map[uint64]place
	cursors map[string][]cursor
	tail    tail // of the latest commit found
	head    *head
	ended   bool   // whether last is known
	last    uint64 // seq of the last record the file had
}

// place is where a sound record frame lies in the file.
type place struct {
	offset int64
	size   int32
	urgent bool
	at     int64
}

// salvage saves what can be read of the damaged segment called name into a segment of the next generation, then sets
// the damaged one aside. Prev is what the lane knows of the epoch; next is the first seq of the epoch's next segment,
// 0 if there is none. A crash at any point leaves either the damaged file, or both, in their places.
func salvage(dir string, name segmentName, reason error, prev string, next uint64) (segmentName, error) {
	w := wreck{name: name, records: map[uint64]place{}, cursors: map[string][]cursor{}}
	if err := w.read(filepath.Join(dir, name.String())); err != nil {
		return name, fmt.Errorf("salvage %s: %w", name, err)
	}
	if !w.ended && next > 0 {
		w.ended, w.last = true, next-1
	}
	if w.head != nil && w.head.Prev != "" {
		prev = w.head.Prev
	}
	saved := name
	saved.generation++
	h := w.newHead(prev, reason)
	err := createSegment(dir, saved, h, func(db *bbolt.DB) error { return w.fill(db, h) })
	if err = errors.Join(err, w.file.Close()); err != nil { // closed before it is renamed, as Windows wants
		return name, fmt.Errorf("salvage %s: %w", name, err)
	}
	return saved, setAside(dir, name.String())
}

// setAside renames a file so that no Open takes it for a segment again.
func setAside(dir, name string) error {
	target := filepath.Join(dir, name+damagedSuffix)
	for n := 2; ; n++ {
		_, err := os.Lstat(target)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		target = filepath.Join(dir, fmt.Sprintf("%s%s.%d", name, damagedSuffix, n))
	}
	if err := os.Rename(filepath.Join(dir, name), target); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	return syncDir(dir)
}

func (w *wreck) read(path string) error {
	var err error
	if w.file, err = os.Open(path); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return errors.Join(err, w.file.Close())
	}
	size := int64(os.Getpagesize())
	var known *tail
	if p, err := openPagesWith(path, true); err == nil {
		size = p.pageSize
		known = w.knownTail(p)
		_ = p.Close()
	}
	whole := isSound(path)
	for id := int64(2); id*size < info.Size(); {
		id += w.readPage(id, size, info.Size())
	}
	w.findLast(known, whole)
	return nil
}

// knownTail returns the tail that the tree leads to. Where only its frame is spoilt but the tree of the records is sound,
// the last key says as much. nil: neither can be read.
func (w *wreck) knownTail(p *pages) *tail {
	var known *tail
	err := p.each(bucketHead, func(key, value []byte) error {
		if t, err := decodeTail(value, w.name.epoch); err == nil && string(key) == keyTail {
			known = &t
		}
		return nil
	})
	if known != nil || err != nil {
		return known
	}
	t := tail{Last: w.name.first - 1}
	err = p.each(bucketRecord, func(key, _ []byte) error {
		if len(key) != 8 {
			return pageErr("record key %x", key)
		}
		t.Last = binary.BigEndian.Uint64(key)
		return nil
	})
	if err != nil {
		return nil
	}
	return &t
}

// isSound tells whether both meta pages and the tree above the buckets are good.
func isSound(path string) bool {
	p, err := openPages(path)
	if err == nil {
		_ = p.Close()
	}
	return err == nil
}

// findLast works out the last seq that was committed. With both meta pages good the tail that they lead to is true.
// With one of them lost the latest commit may stand in pages that it alone led to, and counts if found there. Where no
// tail is known the end stays open.
func (w *wreck) findLast(known *tail, whole bool) {
	if known == nil {
		return
	}
	w.ended, w.last = true, known.Last
	if !whole {
		w.last = max(w.last, w.highest())
		if w.tail.Commits == known.Commits+1 {
			w.last = max(w.last, w.tail.Last)
		}
	}
	for seq := range w.records {
		if seq > w.last {
			delete(w.records, seq)
		}
	}
}

// highest returns the last seq found, or that before the segment's first.
func (w *wreck) highest() uint64 {
	seq := w.name.first - 1
	for n := range w.records {
		seq = max(seq, n)
	}
	return seq
}

// readPage collects what page id holds and returns by how many pages to go on.
func (w *wreck) readPage(id, size, fileSize int64) int64 {
	head := make([]byte, pageHeader)
	if _, err := w.file.ReadAt(head, id*size); err != nil {
		return 1
	}
	if binary.LittleEndian.Uint64(head) != uint64(id) || binary.LittleEndian.Uint16(head[8:]) != pageLeaf {
		return 1
	}
	more := int64(binary.LittleEndian.Uint32(head[12:]))
	if (id+more+1)*size > fileSize || more*size > 2*maxFrame {
		more = 0
	}
	page := make([]byte, (more+1)*size)
	if _, err := w.file.ReadAt(page, id*size); err != nil {
		return 1
	}
	w.collect(page, id*size, true)
	return more + 1
}

// collect keeps the sound frames of a leaf page that begins at offset of the file. Only what a page lists as an
// element counts: bytes within a payload that look like a frame do not.
func (w *wreck) collect(page []byte, offset int64, outer bool) {
	if len(page) < pageHeader {
		return
	}
	for i := range int(binary.LittleEndian.Uint16(page[10:])) {
		e, err := elementOf(page, pageLeaf, i)
		if err != nil {
			continue
		}
		at := offset + int64(e.at)
		if e.bucket {
			if outer && len(e.value) > pageHeader && binary.LittleEndian.Uint64(e.value) == 0 {
				w.collect(e.value[pageHeader:], at+pageHeader, false)
			}
			continue
		}
		w.keep(e, at)
	}
}

func (w *wreck) keep(e element, offset int64) {
	epoch := w.name.epoch
	if len(e.value) < frameHeader {
		return
	}
	switch kind(e.value[2]) {
	case kindRecord:
		r, err := decodeRecord(e.value, epoch, nil)
		if err == nil && len(e.key) == 8 && binary.BigEndian.Uint64(e.key) == r.Seq && r.Seq >= w.name.first {
			w.records[r.Seq] = place{offset, int32(len(e.value)), r.Urgent, unixNano(r.At)}
		}
	case kindCursor:
		if c, err := decodeCursor(e.value, epoch); err == nil && c.source == string(e.key) {
			w.cursors[c.source] = append(w.cursors[c.source], c)
		}
	case kindTail:
		if t, err := decodeTail(e.value, epoch); err == nil && t.Commits >= w.tail.Commits {
			w.tail = t
		}
	case kindHead:
		if h, err := decodeHead(e.value); err == nil && h.Epoch == epoch && h.First == w.name.first {
			w.head = &h
		}
	}
}

// newHead names what is missing.
func (w *wreck) newHead(prev string, reason error) head {
	h := head{
		Version: formatVersion, Ordinal: w.name.ordinal, Epoch: w.name.epoch, Prev: prev, First: w.name.first,
		From: w.name.String(), Reason: reason.Error(),
	}
	next := h.First
	for _, seq := range slices.Sorted(maps.Keys(w.records)) {
		if seq > next {
			h.Missing = append(h.Missing, span{next, seq - 1})
		}
		next = seq + 1
	}
	switch {
	case !w.ended:
		h.Missing = append(h.Missing, span{From: next})
	case w.last >= next:
		h.Missing = append(h.Missing, span{next, w.last})
	}
	return h
}

// fill copies the saved records, as they are, into a new segment.
func (w *wreck) fill(db *bbolt.DB, h head) error {
	seqs := slices.Sorted(maps.Keys(w.records))
	t := tail{Last: h.skip(h.First) - 1, Min: noTime, Max: noTime}
	for part := range slices.Chunk(seqs, DefaultMaxBatch) {
		err := db.Update(func(tx *bbolt.Tx) error {
			for _, seq := range part {
				if err := w.copyRecord(tx, seq, &t); err != nil {
					return err
				}
			}
			t.Commits++
			t.Last = h.skip(part[len(part)-1]+1) - 1
			return tx.Bucket([]byte(bucketHead)).Put([]byte(keyTail), appendTail(h.Epoch, t))
		})
		if err != nil {
			return err
		}
	}
	return db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketCursor))
		for _, c := range w.safeCursors(w.highest()) {
			if err := bucket.Put([]byte(c.source), appendCursor(nil, h.Epoch, c)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketHead)).Put([]byte(keyTail), appendTail(h.Epoch, t))
	})
}

func (w *wreck) copyRecord(tx *bbolt.Tx, seq uint64, t *tail) error {
	from := w.records[seq]
	frame := make([]byte, from.size)
	if _, err := w.file.ReadAt(frame, from.offset); err != nil {
		return err
	}
	bucket := tx.Bucket([]byte(bucketRecord))
	bucket.FillPercent = fillPercent
	if err := bucket.Put(seqKey(seq), frame); err != nil {
		return err
	}
	t.Records++
	t.note(fromUnixNano(from.at))
	if !from.urgent {
		return nil
	}
	return tx.Bucket([]byte(bucketUrgent)).Put(seqKey(seq), appendUrgent(nil, w.name.epoch, seq))
}

// safeCursors returns each source's newest cursor that lies not beyond the last record saved: with an older one the
// source reads again what was lost, with a newer one it would not.
func (w *wreck) safeCursors(last uint64) []cursor {
	var safe []cursor
	for _, all := range w.cursors {
		best := -1
		for i, c := range all {
			if c.seq <= last && (best < 0 || c.newerThan(all[best])) {
				best = i
			}
		}
		if best >= 0 {
			safe = append(safe, all[best])
		}
	}
	return safe
}
