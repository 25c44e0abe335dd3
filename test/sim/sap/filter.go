package sap

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// filter is a $filter expression: comparisons joined by and, or and brackets.
type filter struct {
	op          string // and, or, eq, ne, gt, ge, lt, le; empty = everything matches
	left, right *filter
	name        string
	value       any // string, bool, time.Time or nil
}

func parseFilter(text string) (*filter, error) {
	if strings.TrimSpace(text) == "" {
		return &filter{}, nil
	}
	p := &parser{rest: text}
	f := p.or()
	if p.err == nil && strings.TrimSpace(p.rest) != "" {
		p.err = fmt.Errorf("unexpected text at %q", p.rest)
	}
	return f, p.err
}

// wanted returns the text that a property must equal, or "" if the filter does not say so.
func (f *filter) wanted(name string) string {
	switch {
	case f == nil:
		return ""
	case f.op == "and":
		if v := f.left.wanted(name); v != "" {
			return v
		}
		return f.right.wanted(name)
	case f.op == "eq" && f.name == name:
		text, _ := f.value.(string)
		return text
	}
	return ""
}

// batches returns the batches that a filter names; ok is false if it lets others through, too.
func (f *filter) batches() (keys []batchKey, ok bool) {
	if f == nil {
		return nil, false
	}
	if k := (batchKey{f.wanted("Material"), f.wanted("Batch")}); k.material != "" && k.batch != "" {
		return []batchKey{k}, true
	}
	switch f.op {
	case "or":
		left, a := f.left.batches()
		right, b := f.right.batches()
		return append(left, right...), a && b
	case "and":
		if keys, ok = f.left.batches(); ok {
			return keys, true
		}
		return f.right.batches()
	}
	return nil, false
}

func (f *filter) matches(row map[string]any) bool {
	switch f.op {
	case "":
		return true
	case "and":
		return f.left.matches(row) && f.right.matches(row)
	case "or":
		return f.left.matches(row) || f.right.matches(row)
	}
	c, fits := compare(row[f.name], f.value)
	switch f.op {
	case "eq":
		return fits && c == 0
	case "ne":
		return !fits || c != 0
	case "gt":
		return fits && c > 0
	case "ge":
		return fits && c >= 0
	case "lt":
		return fits && c < 0
	}
	return fits && c <= 0
}

// compare orders two values of one type; a missing one equals only another missing one, and stands before all others.
func compare(a, b any) (int, bool) {
	a, b = plain(a), plain(b)
	// A number that is shown without its leading zeros is compared with them, whichever form the caller knows.
	x, numberA := a.(nonNegative)
	y, numberB := b.(nonNegative)
	if text, ok := b.(string); ok && numberA {
		y, numberB = nonNegative(text), true
	}
	if numberA && numberB {
		return strings.Compare(padded(string(x)), padded(string(y))), true
	}
	switch x := a.(type) {
	case nil:
		if b == nil {
			return 0, true
		}
		return -1, false
	case string:
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	case time.Time:
		y, ok := b.(time.Time)
		return x.Compare(y), ok
	case bool:
		y, ok := b.(bool)
		if ok && x == y {
			return 0, true
		}
		return 1, ok
	}
	return 1, false
}

// plain turns the date types into times to the millisecond, as they go over the wire.
func plain(v any) any {
	var t time.Time
	switch d := v.(type) {
	case dateTime:
		t = time.Time(d)
	case dateTimeOffset:
		t = time.Time(d)
	default:
		return v
	}
	if t.IsZero() {
		return nil
	}
	return t.Truncate(time.Millisecond)
}

type parser struct {
	rest  string
	depth int
	err   error
}

func (p *parser) or() *filter {
	f := p.and()
	for p.word("or") {
		f = &filter{op: "or", left: f, right: p.and()}
	}
	return f
}

func (p *parser) and() *filter {
	f := p.term()
	for p.word("and") {
		f = &filter{op: "and", left: f, right: p.term()}
	}
	return f
}

func (p *parser) term() *filter {
	p.rest = strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(p.rest, "(") {
		return p.comparison()
	}
	if p.depth++; p.depth > 50 {
		p.err = errors.New("filter is nested too deep")
		return &filter{}
	}
	p.rest = p.rest[1:]
	f := p.or()
	p.rest = strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(p.rest, ")") {
		p.fail("bracket is not closed")
		return f
	}
	p.rest = p.rest[1:]
	return f
}

func (p *parser) comparison() *filter {
	name, rest, ok := strings.Cut(p.rest, " ")
	op, rest, ok2 := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if !ok || !ok2 || !strings.Contains(" eq ne gt ge lt le ", " "+op+" ") {
		p.fail("comparison is malformed")
		return &filter{}
	}
	p.rest = strings.TrimLeft(rest, " ")
	return &filter{op: op, name: name, value: p.literal()}
}

func (p *parser) literal() any {
	for _, word := range []string{"null", "true", "false"} {
		if after, ok := strings.CutPrefix(p.rest, word); ok {
			p.rest = after
			if word == "null" {
				return nil
			}
			return word == "true"
		}
	}
	kind, after, ok := strings.Cut(p.rest, "'")
	if !ok {
		p.fail("literal is malformed")
		return nil
	}
	value, after, ok := cutString(after)
	if !ok {
		p.fail("literal is not closed")
		return nil
	}
	p.rest = after
	switch kind {
	case "":
		return value
	case "datetime", "datetimeoffset":
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
			if t, err := time.Parse(layout, value); err == nil {
				return t
			}
		}
	}
	p.fail("literal has no type")
	return nil
}

// word takes a joining word, if it comes next.
func (p *parser) word(w string) bool {
	rest := strings.TrimLeft(p.rest, " ")
	if p.err != nil || !strings.HasPrefix(rest, w+" ") {
		return false
	}
	p.rest = rest[len(w)+1:]
	return true
}

func (p *parser) fail(text string) {
	if p.err == nil {
		p.err = fmt.Errorf("filter: %s at %q", text, p.rest)
	}
}
