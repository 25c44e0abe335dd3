package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"
)

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []Record{{}, testRecord(1), urgentRecord(2), {Key: []byte{}, Value: []byte{}, Headers: []Header{{}}}} {
		r.Epoch, r.Seq = "e1", 7
		f.Add(appendRecord(nil, &r), true)
		f.Add(appendRecord(nil, &r), false)
	}
	f.Add(appendUrgent(nil, "e1", 3), true)
	f.Add([]byte("HFR"), false)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		if mend && len(data) >= frameHeader {
			// A right checksum over arbitrary bytes leads into the body's parser.
			data = bytes.Clone(data)
			copy(data, beginFrame(nil, kindRecord))
			endFrame(data, 0, "e1")
		}
		r, err := decodeRecord(data, "e1", nil)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Errorf("error %v is no frame error", err)
			}
			return
		}
		again, err := decodeRecord(appendRecord(nil, &r), "e1", nil)
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("record does not survive: %+v, %+v, %v", r, again, err)
		}
		if _, err := decodeRecord(data, "e2", nil); err == nil {
			t.Error("record passes for one of another epoch")
		}
	})
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add(appendCursor(nil, "e1", cursor{source: "mes", seq: 3, count: 4, value: []byte("v")})[frameHeader:])
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := append(beginFrame(nil, kindCursor), body...)
		endFrame(frame, 0, "e1")
		c, err := decodeCursor(frame, "e1")
		if err != nil {
			return
		}
		again, err := decodeCursor(appendCursor(nil, "e1", c), "e1")
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("cursor does not survive: %+v, %+v, %v", c, again, err)
		}
	})
}

// TestDecodeRecord_EveryBit flips each bit of a frame: none may pass.
func TestDecodeRecord_EveryBit(t *testing.T) {
	r := urgentRecord(1)
	r.Epoch, r.Seq = "e1", 1
	frame := appendRecord(nil, &r)
	for bit := range len(frame) * 8 {
		frame[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeRecord(frame, "e1", nil); err == nil {
			t.Errorf("bit %d flipped and not noticed", bit)
		}
		frame[bit/8] ^= 1 << (bit % 8)
	}
	for n := range frame {
		if _, err := decodeRecord(frame[:n], "e1", nil); err == nil {
			t.Errorf("frame cut to %d bytes and not noticed", n)
		}
	}
}

func TestDecodeRecord_Refusals(t *testing.T) {
	good := testRecord(1)
	good.Epoch, good.Seq = "e1", 1
	const flags = frameHeader + 16
	cases := []struct {
		name  string
		spoil func(frame []byte) []byte
	}{
		{"SeqZero", func(b []byte) []byte { binary.BigEndian.PutUint64(b[frameHeader:], 0); return b }},
		{"UnknownFlag", func(b []byte) []byte { b[flags] |= 0x80; return b }},
		{"KeyWithoutFlag", func(b []byte) []byte { b[flags] &^= flagKey; return b }},
		{"ValueWithoutFlag", func(b []byte) []byte { b[flags] &^= flagValue; return b }},
		{"TrailingByte", func(b []byte) []byte { return append(b, 0) }},
		{"LengthBeyondEnd", func(b []byte) []byte { b[flags+1] = 0xff; return b }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			frame := c.spoil(appendRecord(nil, &good))
			endFrame(frame, 0, "e1")
			if _, err := decodeRecord(frame, "e1", nil); !errors.Is(err, errBody) {
				t.Errorf("error = %v, want %v", err, errBody)
			}
		})
	}
}

func TestRecord_SizeIsAnUpperBound(t *testing.T) {
	for _, r := range []Record{{}, testRecord(1), {ID: "x", At: time.Unix(0, 0), Value: make([]byte, 200*kib)}} {
		if n := len(appendRecord(nil, &r)); n > r.size() {
			t.Errorf("frame of %d bytes, size says %d", n, r.size())
		}
	}
}

func TestParseSegmentName(t *testing.T) {
	for _, n := range []segmentName{{1, "e1", 1, 0}, {4711, "0123456789abcdef0123456789abcdef", 1 << 40, 2}} {
		if got, ok := parseSegmentName(n.String()); !ok || got != n {
			t.Errorf("parse %s = %+v, %t", n, got, ok)
		}
	}
	for _, name := range []string{"", "meta.db", "lock", "1-e1-1.db", "0000000001-e1-00000000000000000001.db.damaged", "tmp-0000000001-e1-00000000000000000001.db", "0000000001-E1-00000000000000000001.db"} {
		if got, ok := parseSegmentName(name); ok {
			t.Errorf("parse %q = %+v", name, got)
		}
	}
}
