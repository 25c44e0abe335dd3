package opcua

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// reading is one value or event as it was read.
type reading struct {
	signal source.Signal
	at     time.Time // the source's own time; zero = missing
	ahead  bool      // its time is later than now, so that nothing may be concluded from it
	seq    *uint64   // nil = none
	print  string    // tells values with one number apart
	usable bool
}

// values is what readings of one life need to know.
type values struct {
	spaces spaces
	types  *types
	server string        // application URI
	skew   time.Duration // server's clock minus ours
	sign   func() source.Signal
}

// value turns a data value into a reading. Members are those of a counter, nil for others.
func (v *values) value(w *watch, dv *ua.DataValue, members []*ua.DataValue, arrived time.Time, more ...string) reading {
	r := reading{at: dv.SourceTimestamp, usable: true}
	if missing(r.at) {
		r.at = time.Time{}
	}
	s := v.sign()
	s.Ref, s.Kind, s.Status, s.Quality = w.track.name, source.KindValue, uint32(dv.Status), quality(dv.Status)
	s.Time, s.Arrived = r.at, arrived
	if !missing(dv.ServerTimestamp) {
		s.Server = dv.ServerTimestamp
	}
	if w.track.item.Pattern != PatternSample {
		s.Kind = source.KindRecord
	}
	r.ahead = r.at.After(arrived.Add(v.skew + mostAhead))
	s.Flags = append(s.Flags, more...)
	if overflowed(dv.Status) {
		s.Flags = append(s.Flags, source.FlagOverflow)
	}
	if r.ahead || r.at.Year() < 2000 || r.at.Before(w.track.last) && len(more) == 0 {
		s.Flags = append(s.Flags, source.FlagTimeSuspect)
	}
	content, why := v.content(w, dv, members, &s, &r)
	s.Seq = r.seq
	r.print = identityOf(string(content))[:16]
	s.Raw = v.encode(w.track.name, dv, &s, content, &r)
	if why != nil {
		r.usable = false
		s.Raw = append([]byte("value "+why.Error()+": "), s.Raw...)
	}
	r.signal = s
	return r
}

// content returns the value as JSON, or why it is none.
func (v *values) content(w *watch, dv *ua.DataValue, members []*ua.DataValue, s *source.Signal, r *reading) ([]byte, error) {
	x, err := v.plain(w.typ, dv, &w.seen)
	if err == nil {
		err = sequence(w.track, x, r)
	}
	if err == nil && w.role == roleCounter {
		x, err = v.members(w, x, members, s)
	}
	if err != nil {
		return []byte("null"), err
	}
	text, err := v.spaces.appendJSON(nil, x, 0)
	if err != nil {
		return []byte("null"), err
	}
	return text, nil
}

var (
	errNull = errors.New("is null, and its status is good")
	errSeq  = errors.New("has no sequence number where one is configured")
)

// plain returns what a data value holds, decoded. A bad one may hold nothing. Seen is the type of the first value of a
// node whose type is not known.
func (v *values) plain(d *definition, dv *ua.DataValue, seen *ua.TypeID) (any, error) {
	good := quality(dv.Status) == source.Good
	var x any
	if dv.Value != nil {
		x = dv.Value.Value()
	}
	if x == nil {
		if good {
			return nil, errNull
		}
		return nil, nil
	}
	if err := checkType(d, dv.Value.Type(), seen); err != nil {
		return nil, err
	}
	return v.unpack(d, x)
}

// checkType says that a value has another type than its node: a program was changed under us, or the value is garbage.
func checkType(d *definition, got ua.TypeID, seen *ua.TypeID) error {
	want := *seen
	switch {
	case d != nil && d.isStruct:
		want = ua.TypeID(typeExtensionObject)
	case d != nil && d.base != typeVariant && d.base != typeDataValue:
		want = ua.TypeID(d.base)
	case want == 0:
		*seen = got
		return nil
	}
	if got != want {
		return fmt.Errorf("is of the type %s, and its node of the type %s", typeName(got), typeName(want))
	}
	return nil
}

func typeName(t ua.TypeID) string {
	const prefix = "TypeID"
	if s := t.String(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return fmt.Sprint(byte(t))
}

// unpack decodes structures and names enumerations, alone and in lists.
func (v *values) unpack(d *definition, x any) (any, error) {
	switch x := x.(type) {
	case *ua.ExtensionObject:
		return v.structure(x)
	case []*ua.ExtensionObject:
		all := make([]any, len(x))
		for i := range x {
			o, err := v.structure(x[i])
			if err != nil {
				return nil, fmt.Errorf("at place %d %w", i, err)
			}
			all[i] = o
		}
		return all, nil
	case int32:
		if d != nil && d.names != nil {
			return enumeration(int64(x), d.names), nil
		}
	}
	return x, nil
}

func (v *values) structure(eo *ua.ExtensionObject) (any, error) {
	if eo == nil || eo.TypeID == nil || eo.TypeID.NodeID == nil {
		return nil, nil
	}
	body, isRaw := eo.Value.(*raw)
	switch {
	case eo.Value == nil:
		return nil, fmt.Errorf("is a structure of the unknown encoding %s, whose body the library dropped", v.spaces.name(eo.TypeID.NodeID))
	case !isRaw:
		return eo.Value, nil
	}
	d := v.types.byEncoding[eo.TypeID.NodeID.String()]
	if d == nil {
		return nil, fmt.Errorf("is a structure of the unknown encoding %s with the body %s", v.spaces.name(eo.TypeID.NodeID), hex.EncodeToString(body.body))
	}
	o, err := d.decode(body.body, v.types.byEncoding)
	if err != nil {
		return nil, fmt.Errorf("does not fit the definition of its structure: it %w; its body is %s", err, hex.EncodeToString(body.body))
	}
	return o, nil
}

// sequence takes the sequence number out of a value.
func sequence(t *track, x any, r *reading) error {
	if !t.item.sequenced() || x == nil {
		return nil
	}
	if o, ok := x.(object); ok {
		x, _ = o.get(t.item.Seq)
	} else if t.item.Seq != "." && t.item.Pattern != PatternCounter {
		return errSeq
	}
	n, ok := number(x)
	if !ok {
		return errSeq
	}
	r.seq = &n
	return nil
}

// members joins a counter with what was read when it moved. The record is as good as its worst member.
func (v *values) members(w *watch, counter any, read []*ua.DataValue, s *source.Signal) (any, error) {
	all := make(object, 0, len(read))
	for i, dv := range read {
		name := w.track.item.Members[i]
		if q := quality(dv.Status); worse(q, s.Quality) {
			s.Quality, s.Status = q, uint32(dv.Status)
		}
		x, err := v.plain(w.memTyp[i], dv, new(ua.TypeID))
		if err != nil {
			return nil, fmt.Errorf("of member %s %w", name, err)
		}
		all = append(all, member{name, x})
	}
	return object{{"counter", counter}, {"members", all}}, nil
}

func worse(a, b source.Quality) bool {
	rank := map[source.Quality]int{source.Good: 0, source.Uncertain: 1, source.Bad: 2}
	return rank[a] > rank[b]
}

// mostAhead is how far a source's clock may be ahead of ours, less the skew of its server.
const mostAhead = 2 * time.Second

// encode returns the reading as mappings see it.
func (v *values) encode(name string, dv *ua.DataValue, s *source.Signal, content []byte, r *reading) []byte {
	status := statusText(ua.StatusCode(s.Status))
	head := object{{"id", v.fact(name, dv, content, status, s.Arrived)}, {"node", name}}
	tail := object{{"quality", string(s.Quality)}, {"status", status}}
	if !r.at.IsZero() {
		tail = append(tail, member{"source_time", r.at})
	}
	if r.seq != nil {
		tail = append(tail, member{"seq", *r.seq})
	}
	front, _ := v.spaces.appendJSON(nil, head, 0) // texts, numbers and times always encode; a name is UTF-8 from YAML
	back, _ := v.spaces.appendJSON(nil, tail, 0)
	out := append(front[:len(front)-1], `,"value":`...)
	out = append(out, content...)
	out = append(out, ',')
	return append(out, back[1:]...)
}

// fact returns the identity of a fact: the same for a live and a history reading. Without a source time it is that of
// the server, else the arrival: equal values at two instants are two facts.
func (v *values) fact(name string, dv *ua.DataValue, content []byte, status string, arrived time.Time) string {
	at := timeText(dv.SourceTimestamp)
	if at == "" {
		at = timeText(dv.ServerTimestamp)
	}
	if at == "" {
		at = timeText(arrived)
	}
	return identityOf(v.server, name, at, string(content), status)
}

// identityOf hashes what identifies a fact.
func identityOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:", len(p)) // a hash never fails
		_, _ = io.WriteString(h, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
