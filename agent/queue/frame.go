package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// kind says what a frame holds; it is part of what the checksum covers.
type kind byte

const (
	kindRecord kind = 'R'
	kindCursor kind = 'C'
	kindUrgent kind = 'U'
	kindHead   kind = 'H' // what a segment is: epoch, prev, first seq
	kindTail   kind = 'T' // how far a segment goes: last seq, times
	kindState  kind = 'S' // a value of meta.db
)

const (
	frameVersion = 1
	frameHeader  = 12

	// maxFrame bounds what a damaged length can make us allocate.
	maxFrame = 32 * mib
)

// The reasons why bytes are no frame. All of them wrap errFrame.
var (
	errFrame   = errors.New("damaged frame")
	errMagic   = frameError("no frame here")
	errVersion = frameError("unknown frame version")
	errLength  = frameError("frame length does not fit")
	errSum     = frameError("frame checksum does not match")
	errBody    = frameError("frame body does not parse")
)

type frameError string

func (e frameError) Error() string { return string(e) }
func (frameError) Unwrap() error   { return errFrame }

// beginFrame appends a frame's header to buf; the body follows, then [endFrame] fills in what is known then.
func beginFrame(buf []byte, k kind) []byte {
	return append(buf, 'H', 'F', byte(k), frameVersion, 0, 0, 0, 0, 0, 0, 0, 0)
}

// endFrame closes the frame that begins at start of buf. Seed is text that is not stored but must be known to read
// the frame: the epoch, so that a record cannot pass for one of another epoch.
func endFrame(buf []byte, start int, seed string) {
	frame := buf[start:]
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameHeader))
	binary.BigEndian.PutUint32(frame[8:], frameSum(frame, seed))
}

func frameSum(frame []byte, seed string) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, []byte(seed))
	sum = crc32.Update(sum, table, frame[:8])
	return crc32.Update(sum, table, frame[frameHeader:])
}

// openFrame returns the body of a frame that fills all of data. The body shares data's memory.
func openFrame(data []byte, k kind, seed string) ([]byte, error) {
	size, err := frameSize(data, k)
	switch {
	case err != nil:
		return nil, err
	case size != len(data):
		return nil, errLength
	case binary.BigEndian.Uint32(data[8:]) != frameSum(data, seed):
		return nil, errSum
	}
	return data[frameHeader:], nil
}

// frameSize returns the length of the frame whose header begins data, header included.
func frameSize(data []byte, k kind) (int, error) {
	if len(data) < frameHeader || data[0] != 'H' || data[1] != 'F' || data[2] != byte(k) {
		return 0, errMagic
	}
	if data[3] != frameVersion {
		return 0, errVersion
	}
	body := binary.BigEndian.Uint32(data[4:])
	if body > maxFrame {
		return 0, errLength
	}
	return frameHeader + int(body), nil
}

// reader takes the parts of a body from its front. After the first part that does not fit, bad is set and all that
// follows is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.bad = true
		return nil
	}
	part := r.rest[:n:n]
	r.rest = r.rest[n:]
	return part
}

func (r *reader) uint64() uint64 {
	if part := r.take(8); part != nil {
		return binary.BigEndian.Uint64(part)
	}
	return 0
}

func (r *reader) count() int {
	n, size := binary.Uvarint(r.rest)
	if r.bad || size <= 0 || n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (r *reader) bytes() []byte { return r.take(r.count()) }

func (r *reader) done() bool { return !r.bad && len(r.rest) == 0 }

func appendBytes[T string | []byte](buf []byte, part T) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(part)))
	return append(buf, part...)
}
