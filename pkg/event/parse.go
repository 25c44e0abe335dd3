package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of JSON that [ParseJSON] reads.
const MaxDepth = 64

// ParseJSON reads one JSON value into map[string]any, []any, string, bool, json.Number or nil. It is stricter than
// encoding/json: it refuses invalid UTF-8, a name used twice in one object, nesting beyond [MaxDepth], numbers beyond
// float64's range, and anything after the value. Numbers keep their text. All texts of a value share one copy of b: who
// keeps a short one for long clones it.
//
// It does not use the decoder of encoding/json, whose tokens are the only way there to see a name twice and cost four
// times as much, for each message that an agent reads.
func ParseJSON(b []byte) (any, error) {
	var room [32]parsedMember // most values have fewer
	p := parser{text: string(b), members: room[:0]}
	if !utf8.ValidString(p.text) {
		return nil, errors.New("is not UTF-8")
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, fmt.Errorf("has more than one JSON value: at byte %d", p.at)
	}
	return v, nil
}

// parser reads JSON (RFC 8259) from valid UTF-8.
type parser struct {
	text    string
	at      int
	members []parsedMember // of the objects that have begun, so that each map is made in its size
}

type parsedMember struct {
	name  string
	value any
	at    int // where its name ends
}

// space passes white space over.
func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// next returns the next byte that is no white space, without taking it; 0 at the end, which is no byte of JSON.
func (p *parser) next() byte {
	p.space()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// wrong says that what stands at the parser's place is not what has to stand there.
func (p *parser) wrong(want string) error {
	if p.at >= len(p.text) {
		return fmt.Errorf("is not JSON: byte %d: %w", p.at, io.ErrUnexpectedEOF)
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return fmt.Errorf("is not JSON: byte %d: invalid character %q: want %s", p.at, r, want)
}

func (p *parser) value(depth int) (any, error) {
	c := p.next()
	switch c {
	case '{', '[':
		if depth == MaxDepth {
			return nil, fmt.Errorf("is nested deeper than %d: at byte %d", MaxDepth, p.at)
		}
		p.at++
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case '"':
		return p.str()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	if c == '-' || '0' <= c && c <= '9' {
		return p.number()
	}
	return nil, p.wrong("a value")
}

// word takes a literal.
func (p *parser) word(word string) error {
	for i := range len(word) {
		if p.at == len(p.text) || p.text[p.at] != word[i] {
			return p.wrong(word)
		}
		p.at++
	}
	return nil
}

func (p *parser) object(depth int) (any, error) {
	if p.next() == '}' {
		p.at++
		return map[string]any{}, nil
	}
	from := len(p.members)
	for {
		if p.next() != '"' {
			return nil, p.wrong("a name")
		}
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		at := p.at
		if p.next() != ':' {
			return nil, p.wrong("a colon")
		}
		p.at++
		value, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		p.members = append(p.members, parsedMember{name, value, at})
		if ended, err := p.comma('}'); err != nil {
			return nil, err
		} else if ended {
			return p.close(from)
		}
	}
}

// close makes the object of the members from one on.
func (p *parser) close(from int) (any, error) {
	members := p.members[from:]
	p.members = p.members[:from]
	object := make(map[string]any, len(members))
	for i, m := range members {
		if object[m.name] = m.value; len(object) == i {
			return nil, fmt.Errorf("has the name %.60q twice in one object: at byte %d", m.name, m.at)
		}
	}
	return object, nil
}

func (p *parser) array(depth int) (any, error) {
	array := []any{}
	if p.next() == ']' {
		p.at++
		return array, nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
		if ended, err := p.comma(']'); ended || err != nil {
			return array, err
		}
	}
}

// comma takes what stands between two members, or the end of them.
func (p *parser) comma(end byte) (ended bool, err error) {
	switch p.next() {
	case ',':
		p.at++
		return false, nil
	case end:
		p.at++
		return true, nil
	}
	return false, p.wrong("a comma or " + string(rune(end)))
}

// str takes a text.
func (p *parser) str() (string, error) {
	start := p.at
	escaped := false
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if !escaped {
				return p.text[start+1 : p.at-1], nil
			}
			return p.unescape(start)
		case c == '\\':
			escaped = true
			p.at++ // what follows ends nothing
		case c < ' ':
			return "", p.wrong("no control character in a text")
		}
	}
	p.at = len(p.text)
	return "", p.wrong("the end of a text")
}

// unescape reads the text from start, quotes included, to the parser's place.
func (p *parser) unescape(start int) (s string, err error) {
	if err := json.Unmarshal([]byte(p.text[start:p.at]), &s); err != nil {
		return "", fmt.Errorf("is not JSON: byte %d: %w", start, err)
	}
	return s, nil
}

// number takes a number.
func (p *parser) number() (any, error) {
	start := p.at
	if p.text[p.at] == '-' {
		p.at++
	}
	if p.at < len(p.text) && p.text[p.at] == '0' {
		p.at++ // nothing of the whole part follows a leading zero
	} else if err := p.digits(); err != nil {
		return nil, err
	}
	if p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	scaled := p.at < len(p.text) && p.text[p.at]|0x20 == 'e'
	if scaled {
		if p.at++; p.at < len(p.text) && (p.text[p.at] == '+' || p.text[p.at] == '-') {
			p.at++
		}
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	n := json.Number(p.text[start:p.at])
	const within = 300 // digits, of the 308 that a float64 has in front of the point
	if scaled || len(n) > within {
		if _, err := strconv.ParseFloat(string(n), 64); err != nil {
			return nil, fmt.Errorf("number %.40s is out of range: at byte %d", n, p.at)
		}
	}
	return n, nil
}

// digits takes one digit at least.
func (p *parser) digits() error {
	start := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	if p.at == start {
		return p.wrong("a digit")
	}
	return nil
}
