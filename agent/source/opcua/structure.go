package opcua

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gopcua/opcua/ua"
)

// raw takes the place of every structure that the library does not know: it would throw the body away. Its registry is
// one per process and keyed by node with namespace index, so that all our types are this one.
type raw struct {
	body []byte
}

// Decode keeps a copy of the body. The library calls it with the body alone.
func (r *raw) Decode(b []byte) (int, error) {
	r.body = append([]byte(nil), b...)
	return len(b), nil
}

// Encode returns the body as it came.
func (r *raw) Encode() ([]byte, error) { return r.body, nil }

// builtin is the number of a built-in type (OPC 10000-6, 5.1.2); 0 = none.
type builtin uint8

const (
	typeBoolean builtin = iota + 1
	typeSByte
	typeByte
	typeInt16
	typeUInt16
	typeInt32
	typeUInt32
	typeInt64
	typeUInt64
	typeFloat
	typeDouble
	typeString
	typeDateTime
	typeGUID
	typeByteString
	typeXMLElement
	typeNodeID
	typeExpandedNodeID
	typeStatusCode
	typeQualifiedName
	typeLocalizedText
	typeExtensionObject
	typeDataValue
	typeVariant
	typeDiagnosticInfo
)

// definition is how one data type of a server is encoded: a built-in type, an enumeration or a structure.
type definition struct {
	base      builtin          // of what is no structure
	names     map[int64]string // of an enumeration; nil = none
	structure ua.StructureType
	fields    []fieldDefinition // of a structure; nil = none
	isStruct  bool
}

type fieldDefinition struct {
	name     string
	typ      *definition
	rank     int32 // -1 scalar, 1 list, more: a list of lists
	optional bool
	subtypes bool // the value may be of a subtype, and stands in an ExtensionObject or Variant
}

// Bounds of what is decoded. A length comes from the other side, and is believed only within them.
const (
	maxElements   = 65536
	maxDimensions = 8
	maxFields     = 4096
)

var (
	errShort    = errors.New("ends in the middle of a value")
	errLeftOver = errors.New("has bytes left over behind its last member")
)

// decode reads a structure's body. Types are the other structures known, by encoding id.
func (d *definition) decode(body []byte, types map[string]*definition) (object, error) {
	c := &reader{b: body, types: types}
	o, err := c.structure(d, 0)
	if err != nil {
		return nil, err
	}
	if len(c.b) > 0 {
		return nil, fmt.Errorf("%w (%d of %d)", errLeftOver, len(c.b), len(body))
	}
	return o, nil
}

// reader reads a body from its front. Each method checks what it takes against what is there.
type reader struct {
	b     []byte
	types map[string]*definition // by encoding id, for structures inside that say which one they are
	total int                    // elements of all lists so far
}

func (c *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(c.b) {
		return nil, errShort
	}
	head := c.b[:n]
	c.b = c.b[n:]
	return head, nil
}

func (c *reader) uint32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// structure reads the members of a structure or union.
func (c *reader) structure(d *definition, depth int) (object, error) {
	if depth > maxNest {
		return nil, errNest
	}
	var mask uint32
	var err error
	switch d.structure {
	case ua.StructureTypeUnion, ua.StructureTypeUnionWithSubtypedValues:
		return c.union(d, depth)
	case ua.StructureTypeStructureWithOptionalFields:
		if mask, err = c.uint32(); err != nil {
			return nil, err
		}
	}
	o := make(object, 0, len(d.fields))
	bit := 0
	for i := range d.fields {
		f := &d.fields[i]
		if f.optional && d.structure == ua.StructureTypeStructureWithOptionalFields {
			present := mask&(1<<bit) != 0
			bit++
			if !present {
				continue
			}
		}
		v, err := c.field(f, depth)
		if err != nil {
			return nil, fmt.Errorf("member %s %w", f.name, err)
		}
		o = append(o, member{f.name, v})
	}
	if bit < 32 && mask>>bit != 0 {
		return nil, fmt.Errorf("has a mask of optional members %#x with more than the %d that it has", mask, bit)
	}
	return o, nil
}

// union reads the one member that is present.
func (c *reader) union(d *definition, depth int) (object, error) {
	which, err := c.uint32()
	switch {
	case err != nil:
		return nil, err
	case which == 0:
		return object{}, nil
	case int64(which) > int64(len(d.fields)):
		return nil, fmt.Errorf("names member %d of a union of %d", which, len(d.fields))
	}
	f := &d.fields[which-1]
	v, err := c.field(f, depth)
	if err != nil {
		return nil, fmt.Errorf("member %s %w", f.name, err)
	}
	return object{{f.name, v}}, nil
}

func (c *reader) field(f *fieldDefinition, depth int) (any, error) {
	one := func() (any, error) {
		if f.subtypes {
			return c.boxed(f.typ, depth)
		}
		return c.value(f.typ, depth)
	}
	switch {
	case f.rank < 1:
		return one()
	case f.rank == 1:
		n, err := c.length()
		if err != nil {
			return nil, err
		}
		return c.list(n, one)
	}
	return c.matrix(f.rank, one)
}

// length reads how many elements follow; -1 = no list at all.
func (c *reader) length() (int, error) {
	u, err := c.uint32()
	if err != nil {
		return 0, err
	}
	n := int(int32(u))
	switch {
	case n < -1:
		return 0, fmt.Errorf("has a list of the length %d", n)
	case n > maxElements:
		return 0, fmt.Errorf("has a list of %d elements: want %d at most", n, maxElements)
	}
	return n, nil
}

// list reads elements. They are appended one by one, so that a length that lies costs no memory.
func (c *reader) list(n int, one func() (any, error)) (any, error) {
	if n < 0 {
		return nil, nil
	}
	if c.total += n; c.total > maxElements {
		return nil, fmt.Errorf("has more than %d elements in all its lists", maxElements)
	}
	all := []any{}
	for range n {
		v, err := one()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// matrix reads the lengths of all dimensions, then the elements, the last dimension fastest (OPC 10000-6, 5.2.5).
func (c *reader) matrix(rank int32, one func() (any, error)) (any, error) {
	n, err := c.length()
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, nil
	}
	if n > maxDimensions || int32(n) != rank {
		return nil, fmt.Errorf("has %d dimensions: want %d", n, rank)
	}
	dims := make([]int, n)
	all := 1
	for i := range dims {
		if dims[i], err = c.length(); err != nil {
			return nil, err
		}
		dims[i] = max(dims[i], 0)
		if all *= dims[i]; all > maxElements {
			return nil, fmt.Errorf("has more than %d elements", maxElements)
		}
	}
	return c.rows(dims, one)
}

func (c *reader) rows(dims []int, one func() (any, error)) (any, error) {
	if len(dims) == 1 {
		return c.list(dims[0], one)
	}
	return c.list(dims[0], func() (any, error) { return c.rows(dims[1:], one) })
}

// boxed reads a value whose own type stands beside it.
func (c *reader) boxed(d *definition, depth int) (any, error) {
	if d.isStruct {
		return c.extension(depth + 1)
	}
	return c.variant(depth + 1)
}

func (c *reader) value(d *definition, depth int) (any, error) {
	if d.isStruct {
		return c.structure(d, depth+1)
	}
	switch d.base {
	case typeVariant:
		return c.variant(depth + 1)
	case typeExtensionObject:
		return c.extension(depth + 1)
	case typeDataValue:
		return c.dataValue(depth + 1)
	}
	v, err := c.builtin(d.base)
	if n, ok := v.(int32); ok && err == nil && d.names != nil {
		return enumeration(int64(n), d.names), nil
	}
	return v, err
}

// enumeration is a number with its name.
func enumeration(n int64, names map[int64]string) object {
	name, ok := names[n]
	if !ok {
		return object{{"number", n}, {"name", nil}}
	}
	return object{{"number", n}, {"name", name}}
}

func (c *reader) builtin(t builtin) (any, error) {
	width := map[builtin]int{
		typeBoolean: 1, typeSByte: 1, typeByte: 1, typeInt16: 2, typeUInt16: 2, typeInt32: 4, typeUInt32: 4, typeInt64: 8,
		typeUInt64: 8, typeFloat: 4, typeDouble: 8, typeDateTime: 8, typeStatusCode: 4,
	}[t]
	if width == 0 {
		return c.variable(t)
	}
	b, err := c.take(width)
	if err != nil {
		return nil, err
	}
	var wide [8]byte
	copy(wide[:], b)
	u := binary.LittleEndian.Uint64(wide[:])
	switch t {
	case typeBoolean:
		return u != 0, nil
	case typeSByte:
		return int8(u), nil
	case typeByte:
		return uint8(u), nil
	case typeInt16:
		return int16(u), nil
	case typeUInt16:
		return uint16(u), nil
	case typeInt32:
		return int32(u), nil
	case typeUInt32:
		return uint32(u), nil
	case typeInt64:
		return int64(u), nil
	case typeFloat:
		return math.Float32frombits(uint32(u)), nil
	case typeDouble:
		return math.Float64frombits(u), nil
	case typeDateTime:
		return instant(u), nil
	case typeStatusCode:
		return ua.StatusCode(u), nil
	}
	return u, nil
}

// variable reads what has no fixed width.
func (c *reader) variable(t builtin) (any, error) {
	switch t {
	case typeString, typeXMLElement, typeByteString:
		b, err := c.bytes()
		switch {
		case err != nil:
			return nil, err
		case t == typeByteString:
			return b, nil
		case b == nil:
			return nil, nil
		}
		return string(b), nil
	case typeGUID:
		b, err := c.take(16)
		if err != nil {
			return nil, err
		}
		g := new(ua.GUID)
		_, err = g.Decode(b)
		return g, err
	case typeLocalizedText:
		return c.localized()
	}
	return c.library(t)
}

// bytes reads a length and as many bytes; nil = none.
func (c *reader) bytes() ([]byte, error) {
	u, err := c.uint32()
	if err != nil {
		return nil, err
	}
	if int32(u) == -1 {
		return nil, nil
	}
	return c.take(int(int32(u)))
}

func (c *reader) localized() (any, error) {
	mask, err := c.take(1)
	if err != nil {
		return nil, err
	}
	var parts [2]string
	for i := range parts {
		if mask[0]&(1<<i) == 0 {
			continue
		}
		b, err := c.bytes()
		if err != nil {
			return nil, err
		}
		parts[i] = string(b)
	}
	return object{{"locale", parts[0]}, {"text", parts[1]}}, nil
}

// library reads what has neither lengths nor depth that could end the library.
func (c *reader) library(t builtin) (v any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			v, err = nil, fmt.Errorf("cannot be decoded: %v", fault)
		}
	}()
	var n int
	switch t {
	case typeNodeID:
		id := new(ua.NodeID)
		n, err = id.Decode(c.b)
		v = id
	case typeExpandedNodeID:
		id := new(ua.ExpandedNodeID)
		n, err = id.Decode(c.b)
		v = id
	case typeQualifiedName:
		name := new(ua.QualifiedName)
		n, err = ua.Decode(c.b, name)
		v = name
	default:
		return nil, fmt.Errorf("is of the built-in type %d, which no record has", t)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be decoded: %w", err)
	}
	_, err = c.take(n)
	return v, err
}

// variant reads a value with its type. The library does so, too, but without a bound on the depth.
func (c *reader) variant(depth int) (any, error) {
	if depth > maxNest {
		return nil, errNest
	}
	mask, err := c.take(1)
	if err != nil {
		return nil, err
	}
	kind := &definition{base: builtin(mask[0] & 0x3f)}
	one := func() (any, error) { return c.value(kind, depth) }
	switch {
	case kind.base == 0:
		return nil, nil
	case mask[0]&ua.VariantArrayValues == 0:
		return one()
	}
	n, err := c.length()
	if err != nil {
		return nil, err
	}
	list, err := c.list(n, one)
	if err != nil || mask[0]&ua.VariantArrayDimensions == 0 {
		return list, err
	}
	return c.reshaped(list)
}

// reshaped reads the dimensions that stand behind the elements.
func (c *reader) reshaped(list any) (any, error) {
	n, err := c.length()
	if err != nil {
		return nil, err
	}
	if n > maxDimensions {
		return nil, fmt.Errorf("has %d dimensions: want %d at most", n, maxDimensions)
	}
	all, _ := list.([]any)
	dims, size := make([]int, max(n, 0)), 1
	for i := range dims {
		if dims[i], err = c.length(); err != nil {
			return nil, err
		}
		if size *= max(dims[i], 0); size > maxElements {
			break
		}
	}
	if size != len(all) || n < 1 {
		return nil, fmt.Errorf("has dimensions for %d elements, and %d elements", size, len(all))
	}
	for i := n - 1; i > 0 && size > 0; i-- {
		var rows []any
		for len(all) > 0 {
			rows = append(rows, all[:dims[i]:dims[i]])
			all = all[dims[i]:]
		}
		all = rows
	}
	return all, nil
}

// extension reads a structure that says which one it is.
func (c *reader) extension(depth int) (any, error) {
	id, err := c.library(typeExpandedNodeID)
	if err != nil {
		return nil, err
	}
	form, err := c.take(1)
	if err != nil || form[0] == ua.ExtensionObjectEmpty {
		return nil, err
	}
	body, err := c.bytes()
	if err != nil {
		return nil, err
	}
	node := id.(*ua.ExpandedNodeID).NodeID
	d := c.types[node.String()]
	if d == nil || form[0] != ua.ExtensionObjectBinary {
		return object{{"type", node}, {"body", body}}, nil
	}
	inner := &reader{b: body, types: c.types, total: c.total}
	o, err := inner.structure(d, depth+1)
	c.total = inner.total
	if err == nil && len(inner.b) > 0 {
		err = errLeftOver
	}
	return o, err
}

// dataValue reads a value with status and times, of which only the value is kept.
func (c *reader) dataValue(depth int) (v any, err error) {
	mask, err := c.take(1)
	if err != nil {
		return nil, err
	}
	if mask[0]&ua.DataValueValue != 0 {
		if v, err = c.variant(depth + 1); err != nil {
			return nil, err
		}
	}
	for bit, width := range map[byte]int{
		ua.DataValueStatusCode: 4, ua.DataValueSourceTimestamp: 8, ua.DataValueSourcePicoseconds: 2, ua.DataValueServerTimestamp: 8,
		ua.DataValueServerPicoseconds: 2,
	} {
		if mask[0]&bit == 0 {
			continue
		}
		if _, err := c.take(width); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// instant returns a time in units of 100 ns since 1601; zero = missing or outside of what a time can be.
func instant(ticks uint64) time.Time {
	const toUnix = 11644473600 // seconds from 1601 to 1970
	if ticks == 0 || ticks >= math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(int64(ticks/1e7)-toUnix, int64(ticks%1e7)*100).UTC()
}
