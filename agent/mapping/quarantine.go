package mapping

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Bounds of what a quarantine record carries, so that it always fits an event.
const (
	maxRaw    = 64 << 10 // payloads up to this are kept whole, in bytes
	headOfRaw = 4 << 10  // of longer ones this much is kept, beside length and hash
	maxItem   = 1024     // characters of a topic
	maxErrors = 50
	maxError  = 500 // characters
)

// quarantine makes the record of everything that was not understood. A signal has one record, whatever failed in it:
// its id depends on source, item and payload alone, so that a second delivery gives the same one.
func (r *run) quarantine() *event.Event {
	at := r.quarantineTime()
	p := r.provenance(nil, "", r.timeQuality(at, false))
	p.Errors, p.Ages = r.errors(), nil
	// The system of the agent's own facts is the agent; it is known in one plant only.
	key := []string{r.sig.Source, item(r.sig), string(p.RawSHA256)}
	e := &event.Event{
		ID:     event.NaturalID(string(r.mapper.plant), r.mapper.agent, key, event.TypeRecordQuarantined, 0),
		Source: "/" + string(r.mapper.plant) + "/" + r.mapper.agent,
		Time:   at,
		Plant:  r.mapper.plant,
		Data: &event.RecordQuarantined{
			MayLot:    event.MayLot{Lot: r.lot()},
			Source:    event.Name(r.sig.Source),
			Item:      item(r.sig),
			Reason:    p.Errors[0],
			Code:      event.Name(r.problems[0].code),
			Equipment: event.EquipmentID(r.sig.Equipment),
			RawSHA256: p.RawSHA256,
			Traced:    event.Traced{Provenance: p},
		},
	}
	if e.Time.IsZero() {
		e.Time = r.sig.Arrived
	}
	return e
}

// quarantineTime returns the time of what was not understood, zero where it is not known: a payload that carries the
// times of its facts may tell of any time before it arrived.
func (r *run) quarantineTime() time.Time {
	if slices.ContainsFunc(r.works, func(w work) bool { return w.time != nil }) {
		return time.Time{}
	}
	return r.sig.Time
}

// lot returns the lot of everything that failed, or "" where that is not one lot: then the record concerns the
// equipment.
func (r *run) lot() event.LotKey {
	for _, f := range r.problems {
		if f.lot == "" || f.lot != r.problems[0].lot {
			return ""
		}
	}
	return r.problems[0].lot
}

func (r *run) errors() []string {
	var out []string
	for i, f := range r.problems {
		if i == maxErrors {
			return append(out, fmt.Sprintf("and %d more", len(r.problems)-maxErrors))
		}
		out = append(out, shorten(f.text, maxError))
	}
	return out
}

// shorten returns valid UTF-8 of at most so many characters.
func shorten(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// item names what was read: topic, node or file, and the part of it.
func item(sig *source.Signal) string {
	name := sig.Ref
	if sig.Item != "" {
		name += "#" + sig.Item
	}
	if name == "" {
		return "(empty)"
	}
	return shorten(name, maxItem)
}

// provenance says how the signal was read. Raw is the part of the payload that matters; with "" the payload itself
// stands in it, where the mapping has one row or there is none.
func (r *run) provenance(m *mapping, raw string, quality event.TimeQuality) event.Provenance {
	p := event.Provenance{
		Source:      event.Name(r.sig.Source),
		Item:        item(r.sig),
		Transport:   event.Name(r.sig.Transport),
		RawSHA256:   r.payloadHash(),
		ArrivedAt:   event.At(r.sig.Arrived),
		Ages:        r.scope.ages,
		TimeQuality: quality,
	}
	for _, f := range r.sig.Flags {
		p.Flags = append(p.Flags, event.Name(f))
	}
	if m != nil {
		p.Mapping, p.MappingVersion = event.Name(m.name), m.version
	}
	switch {
	case raw != "":
		setRaw(&p, []byte(raw), int64(len(raw)))
	case m == nil || m.rows == nil:
		length := int64(len(r.sig.Raw))
		if r.sig.Cut != nil {
			length = r.sig.Cut.Length
		}
		setRaw(&p, r.sig.Raw, length)
	}
	return p
}

func (r *run) payloadHash() event.Hash {
	if r.sig.Cut != nil {
		return event.Hash(r.sig.Cut.SHA256)
	}
	if r.hash == "" {
		sum := sha256.Sum256(r.sig.Raw)
		var text [2 * sha256.Size]byte
		hex.Encode(text[:], sum[:])
		r.hash = event.Hash(text[:])
	}
	return r.hash
}

// setRaw keeps bytes as text where they are text. Length is that of the whole payload.
func setRaw(p *event.Provenance, raw []byte, length int64) {
	if len(raw) > maxRaw {
		raw = head(raw)
	}
	if int64(len(raw)) < length {
		p.RawLength = length
	}
	switch {
	case len(raw) == 0:
	case utf8.Valid(raw):
		p.Raw = string(raw)
	default:
		p.RawBase64 = base64.StdEncoding.EncodeToString(raw)
	}
}

// head returns the first bytes of a payload, without a character cut in half at their end.
func head(raw []byte) []byte {
	end := headOfRaw
	for i := range utf8.UTFMax - 1 {
		if utf8.RuneStart(raw[headOfRaw-i]) {
			end = headOfRaw - i
			break
		}
	}
	return raw[:end]
}

// Quarantine returns the record of a signal whose event could not be encoded: a fault of its mapping that Map can't see.
func (m *Mapper) Quarantine(sig source.Signal, cause error) *event.Event {
	r := newRun(m, &sig, View{})
	r.fail(nil, -1, "", CodeFailed, cause)
	return r.quarantine()
}
