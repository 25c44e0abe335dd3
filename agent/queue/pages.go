package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The layout of a bbolt file, version 2 (bbolt internal/common: page.go, meta.go, inode.go). Only what is needed to
// read one is named here.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	pageElement = 16

	pageBranch = 0x01
	pageLeaf   = 0x02

	leafBucket = 0x01 // flag of an element whose value is a bucket

	metaSum   = 56 // offset of the checksum in a meta
	metaBytes = 64

	maxDepth = 64
)

var errPages = errors.New("damaged pages")

func pageErr(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errPages, fmt.Sprintf(format, args...))
}

// pages reads a bbolt file by plain reads. bbolt maps a file and trusts it: a file cut short ends the process by
// SIGBUS, a flipped bit in a page makes it panic, loop or return wrong keys. Here every page is checked for its
// number, its kind, its bounds and the order of its keys, and is visited once.
type pages struct {
	file     *os.File
	pageSize int64
	root     uint64
	end      uint64            // first page beyond those in use
	seen     map[uint64]bool   // pages read so far; a second way to one is damage
	buckets  map[string][]byte // by name: root page and sequence, then the page itself if it is inline
}

// openPages opens the file at path and checks its two meta pages. Both must be good: with one of them damaged bbolt
// falls back to the other, which silently takes back the last commit.
func openPages(path string) (*pages, error) { return openPagesWith(path, false) }

// openPagesWith with lenient set is content with one good meta page.
func openPagesWith(path string, lenient bool) (*pages, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &pages{file: file, seen: map[uint64]bool{}}
	if err = p.readMetas(lenient); err == nil {
		err = p.readBuckets()
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return p, nil
}

func (p *pages) Close() error { return p.file.Close() }

func (p *pages) readMetas(lenient bool) error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	newest, err := p.readMeta(0)
	p.pageSize = int64(os.Getpagesize())
	if err == nil {
		p.pageSize = int64(binary.LittleEndian.Uint32(newest[8:]))
	} else if !lenient {
		return err
	}
	if p.pageSize < 512 || p.pageSize > 1<<20 || p.pageSize&(p.pageSize-1) != 0 {
		return pageErr("page size %d", p.pageSize)
	}
	second, err := p.readMeta(p.pageSize)
	switch {
	case err != nil && (!lenient || newest == nil):
		return err
	case err != nil:
	case newest == nil:
		newest = second
	default:
		older := second
		if txid(older) > txid(newest) {
			newest, older = older, newest
		}
		if txid(newest) != txid(older)+1 {
			return pageErr("meta pages of transactions %d and %d", txid(newest), txid(older))
		}
	}
	p.root = binary.LittleEndian.Uint64(newest[16:])
	p.end = binary.LittleEndian.Uint64(newest[40:])
	if p.end < 3 || p.end > uint64(info.Size()/p.pageSize) {
		return pageErr("%d pages in use, the file has %d", p.end, info.Size()/p.pageSize)
	}
	return nil
}

func (p *pages) readMeta(offset int64) ([]byte, error) {
	buf := make([]byte, pageHeader+metaBytes)
	if _, err := p.file.ReadAt(buf, offset); err != nil {
		return nil, cutShort(err, "meta page")
	}
	meta := buf[pageHeader:]
	if binary.LittleEndian.Uint32(meta) != boltMagic || binary.LittleEndian.Uint32(meta[4:]) != boltVersion {
		return nil, pageErr("meta page without its mark")
	}
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSum])
	if sum.Sum64() != binary.LittleEndian.Uint64(meta[metaSum:]) {
		return nil, pageErr("meta page checksum")
	}
	return meta, nil
}

func txid(meta []byte) uint64 { return binary.LittleEndian.Uint64(meta[48:]) }

func cutShort(err error, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return pageErr("file ends within %s", what)
	}
	return err
}

func (p *pages) readBuckets() error {
	p.buckets = map[string][]byte{}
	return p.walk(p.root, bounds{}, 0, func(e element) error {
		if !e.bucket || len(e.value) < pageHeader {
			return pageErr("a plain value among the buckets")
		}
		p.buckets[string(e.key)] = bytes.Clone(e.value)
		return nil
	})
}

// each calls fn with every pair of the named bucket in key order, once per bucket. A bucket that does not exist is an
// error. Key and value are valid until fn returns. An error of fn ends the walk.
func (p *pages) each(bucket string, fn func(key, value []byte) error) error {
	found, ok := p.buckets[bucket]
	if !ok {
		return pageErr("no bucket %q", bucket)
	}
	plain := func(e element) error {
		if e.bucket {
			return pageErr("a bucket within bucket %q", bucket)
		}
		return fn(e.key, e.value)
	}
	if root := binary.LittleEndian.Uint64(found); root != 0 {
		return p.walk(root, bounds{}, 0, plain)
	}
	inline := found[pageHeader:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint16(inline[8:]) != pageLeaf {
		return pageErr("bucket %q is inline and no leaf", bucket)
	}
	return p.eachOf(inline, pageLeaf, bounds{}, 0, plain)
}

type element struct {
	key, value []byte
	at         int // where in its page the value lies
	bucket     bool
	child      uint64
}

// bounds are what a parent promises of a child's keys: low <= key < high. nil leaves a side open.
type bounds struct{ low, high []byte }

func (b bounds) hold(key []byte) bool {
	return (b.low == nil || bytes.Compare(b.low, key) <= 0) && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

func (p *pages) walk(id uint64, in bounds, depth int, fn func(element) error) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	flags := binary.LittleEndian.Uint16(page[8:])
	if flags != pageBranch && flags != pageLeaf {
		return pageErr("page %d has flags %#x", id, flags)
	}
	return p.eachOf(page, flags, in, depth, fn)
}

// read returns page id with its overflow.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= p.end {
		return nil, pageErr("page %d of %d", id, p.end)
	}
	head := make([]byte, pageHeader)
	if _, err := p.file.ReadAt(head, int64(id)*p.pageSize); err != nil {
		return nil, cutShort(err, "a page")
	}
	if got := binary.LittleEndian.Uint64(head); got != id {
		return nil, pageErr("page %d says it is %d", id, got)
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if more >= p.end-id || int64(more)*p.pageSize > 2*maxFrame {
		return nil, pageErr("page %d has an overflow of %d", id, more)
	}
	for n := id; n <= id+more; n++ {
		if p.seen[n] {
			return nil, pageErr("page %d is reached twice", n)
		}
		p.seen[n] = true
	}
	page := make([]byte, int64(more+1)*p.pageSize)
	if _, err := p.file.ReadAt(page, int64(id)*p.pageSize); err != nil {
		return nil, cutShort(err, "a page")
	}
	return page, nil
}

func (p *pages) eachOf(page []byte, flags uint16, in bounds, depth int, fn func(element) error) error {
	if depth > maxDepth {
		return pageErr("tree deeper than %d", maxDepth)
	}
	elements, err := elementsOf(page, flags)
	if err != nil {
		return err
	}
	for i, e := range elements {
		if i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 || !in.hold(e.key) {
			return pageErr("keys out of order")
		}
		if flags == pageLeaf {
			if err := fn(e); err != nil {
				return err
			}
			continue
		}
		below := bounds{low: e.key, high: in.high}
		if i+1 < len(elements) {
			below.high = elements[i+1].key
		}
		if err := p.walk(e.child, below, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// elementsOf returns the elements of a page; they share its memory.
func elementsOf(page []byte, flags uint16) ([]element, error) {
	if len(page) < pageHeader {
		return nil, pageErr("short page")
	}
	count := int(binary.LittleEndian.Uint16(page[10:]))
	if count == 0 && flags == pageBranch {
		return nil, pageErr("a branch page without elements")
	}
	elements := make([]element, 0, min(count, len(page)/pageElement))
	for i := range count {
		e, err := elementOf(page, flags, i)
		if err != nil {
			return nil, err
		}
		elements = append(elements, e)
	}
	return elements, nil
}

// elementOf returns element i of a page with a whole header.
func elementOf(page []byte, flags uint16, i int) (element, error) {
	at := pageHeader + i*pageElement
	if at+pageElement > len(page) {
		return element{}, pageErr("element %d beyond its page", i)
	}
	word := func(n int) uint64 { return uint64(binary.LittleEndian.Uint32(page[at+4*n:])) }
	var e element
	var offset, keySize, valueSize uint64
	if flags == pageBranch {
		offset, keySize = word(0), word(1)
		e.child = binary.LittleEndian.Uint64(page[at+8:])
	} else {
		if word(0) > leafBucket {
			return e, pageErr("an element with flags %#x", word(0))
		}
		e.bucket = word(0) == leafBucket
		offset, keySize, valueSize = word(1), word(2), word(3)
	}
	from := uint64(at) + offset
	if from+keySize+valueSize > uint64(len(page)) || keySize == 0 {
		return e, pageErr("element %d beyond its page", i)
	}
	e.key = page[from : from+keySize : from+keySize]
	e.at = int(from + keySize)
	e.value = page[e.at : e.at+int(valueSize)]
	return e, nil
}
