package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

const (
	payloadBytes = 400
	lots         = 200 // in work at the same time, one part of each after the other
)

// payload returns the press's message number n, from 1, of exactly payloadBytes: what the mapping reads, and what a real
// controller sends besides.
func payload(n int, at time.Time) []byte {
	lot := n % lots
	text := fmt.Sprintf(`{"record":"%d","rev":1,"lot":"L-%05d","material":"MAT-%d","inspection":"INS-%05d","characteristic":"torque",`+
		`"sample":%d,"value":"%d.%02d","unit":"N.m","lsl":"40","usl":"50","safety":true,"at":"%s",`+
		`"tool":"TW-%02d","program":"PRG-%03d","cycle_ms":%d,"angle":"%d.%d","serial":"%016x","operator":"`,
		n, lot, 100+lot%7, lot, n, 41+n%8, n%100, plant.Stamp(at.Add(time.Duration(n)*time.Millisecond)),
		n%12, lot%30, 900+n%200, 80+n%20, n%10, uint64(n)*0x9e3779b97f4a7c15)
	const end = `"}`
	return []byte(text + strings.Repeat("o", payloadBytes-len(text)-len(end)) + end)
}

// sample reads the number back from an event of that message, or from the message itself; 0 for another event. What fills
// a record up stands behind the JSON value.
func sample(value []byte) int {
	var of struct {
		SampleNo int `json:"sample_no"`
		Sample   int `json:"sample"` // of a raw payload
	}
	if json.NewDecoder(bytes.NewReader(value)).Decode(&of) != nil {
		return 0
	}
	return max(of.SampleNo, of.Sample)
}

// keyOf returns the lot of a payload without decoding it: a bare pipeline, too, must keep the order within a lot.
func keyOf(payload []byte) []byte {
	_, rest, _ := strings.Cut(string(payload), `"lot":"`)
	lot, _, _ := strings.Cut(rest, `"`)
	return []byte(lot)
}

// shape is what a record of ours looks like: the bare pipeline fills its own up to the same size.
type shape struct {
	Value   string      `json:"value"`
	Headers [][2]string `json:"headers"`
}

// shapeOf takes the shape of a record.
func shapeOf(r *kgo.Record) shape {
	s := shape{Value: string(r.Value)}
	for _, h := range r.Headers {
		s.Headers = append(s.Headers, [2]string{h.Key, string(h.Value)})
	}
	return s
}

func (s *shape) bytes() int {
	n := len(s.Value)
	for _, h := range s.Headers {
		n += len(h[0]) + len(h[1])
	}
	return n
}

func (s *shape) write(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func readShape(path string) (s *shape, err error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s = &shape{}
	return s, json.Unmarshal(text, s)
}

// poolBytes is more than a producer's batch, so that no compressor finds the same noise twice.
const poolBytes = 4 << 20

// filler makes the bytes of a padded record. Of those that differ in each record of ours (id, hash, trace) it makes noise,
// which no compressor shrinks; the rest is what stands in ours.
type filler struct {
	shape *shape
	noise []byte
	at    int
}

func newFiller(s *shape) *filler {
	if s == nil {
		return nil
	}
	var raw [poolBytes / 2]byte
	_, _ = rand.NewChaCha8([32]byte{1}).Read(raw[:])
	return &filler{shape: s, noise: []byte(hex.EncodeToString(raw[:]))}
}

// value returns the payload with what a record of ours has beyond it.
func (f *filler) value(payload []byte) []byte {
	if f == nil || len(f.shape.Value) <= len(payload) {
		return payload
	}
	out := make([]byte, 0, len(f.shape.Value))
	out = append(out, payload...)
	rest := len(f.shape.Value) - len(payload)
	hash := min(64, rest) // provenance has the hash of the raw payload
	return append(append(out, f.take(hash)...), f.shape.Value[len(payload)+hash:]...)
}

// headers returns as many bytes of headers as a record of ours has.
func (f *filler) headers() []kgo.RecordHeader {
	if f == nil {
		return nil
	}
	all := make([]kgo.RecordHeader, 0, len(f.shape.Headers))
	for _, h := range f.shape.Headers {
		value := []byte(h[1])
		switch h[0] {
		case event.HeaderID, event.HeaderHash, event.HeaderTrace:
			value = f.take(len(value))
		}
		all = append(all, kgo.RecordHeader{Key: h[0], Value: value})
	}
	return all
}

func (f *filler) take(n int) []byte {
	if f.at+n > len(f.noise) {
		f.at = 0
	}
	f.at += n
	return f.noise[f.at-n : f.at : f.at]
}
