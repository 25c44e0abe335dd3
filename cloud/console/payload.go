package console

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Bounds of what a page shows of a record's value; all of it can be downloaded.
const (
	maxPretty     = 64 << 10 // bytes of JSON that are laid out
	maxPlain      = 16 << 10 // bytes of other text
	maxHex        = 4 << 10  // bytes of anything else
	bytesPerLine  = 16
	kindJSON      = "json"
	kindText      = "text"
	kindBinary    = "binary"
	kindEmpty     = "empty"
	markFault     = "fault"
	markHint      = "hint"
	lineSeparator = "\n"
)

// payload is a record's value as a page shows it: JSON line by line, other text as it is, anything else in hex.
type payload struct {
	Kind  string
	Size  int
	Cut   int // bytes that are not shown
	Lines []payloadLine
}

// payloadLine is one line of a value. What is marked stands between Before and After.
type payloadLine struct {
	Number  int
	Before  string
	Marked  string
	After   string
	Mark    string // fault, hint, or empty
	Missing string // name of the member that the object which begins here lacks
	path    string // of the member that the line is, or begins; JSON only
}

// payloadOf lays a value out and marks the places that the cause of its refusal is about.
func payloadOf(value []byte, faults []api.Fault) payload {
	p := payload{Size: len(value)}
	switch {
	case len(value) == 0:
		p.Kind = kindEmpty
	case len(value) <= maxPretty && isTree(value):
		p.Kind = kindJSON
		p.layOut(value)
		p.mark(faults)
	case isText(value):
		p.Kind = kindText
		p.text(value, byteOf(faults))
	default:
		p.Kind = kindBinary
		p.hex(value, byteOf(faults))
	}
	return p
}

// isTree tells whether a value is JSON that is not nested so deep that laying it out would take more room than it says.
func isTree(value []byte) bool {
	_, err := event.ParseJSON(value)
	return err == nil
}

func isText(value []byte) bool {
	return utf8.Valid(value) && bytes.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) < 0
}

func byteOf(faults []api.Fault) int {
	for _, f := range faults {
		if f.Byte > 0 {
			return f.Byte
		}
	}
	return 0
}

// layOut indents JSON. It keeps every token as it was written: 1.0 stays 1.0.
func (p *payload) layOut(value []byte) {
	var b bytes.Buffer
	if err := json.Indent(&b, value, "", "  "); err != nil {
		return // it was JSON a moment ago
	}
	var open []node
	for i, text := range strings.Split(b.String(), lineSeparator) {
		line := payloadLine{Number: i + 1, Before: text}
		token := strings.TrimSuffix(strings.TrimLeft(text, " "), ",")
		if token == "}" || token == "]" {
			open = open[:len(open)-1]
			p.Lines = append(p.Lines, line)
			continue
		}
		name, rest := memberName(token)
		if n := len(open); n > 0 {
			line.path = open[n-1].child(name)
		}
		if rest == "{" || rest == "[" {
			open = append(open, node{path: line.path, array: rest == "["})
		}
		p.Lines = append(p.Lines, line)
	}
}

// node is an object or array that a line has begun.
type node struct {
	path  string
	array bool
	next  int // index of the next element
}

// child returns the path of the next member or element.
func (n *node) child(name string) string {
	switch {
	case n.array:
		n.next++
		return n.path + "[" + strconv.Itoa(n.next-1) + "]"
	case n.path == "":
		return name
	}
	return n.path + "." + name
}

// memberName splits a line of indented JSON into the name of a member, empty for an element, and its value.
func memberName(token string) (name, value string) {
	if !strings.HasPrefix(token, `"`) {
		return "", token
	}
	end := 1
	for end < len(token) && token[end] != '"' {
		if token[end] == '\\' {
			end++
		}
		end++
	}
	if end+1 > len(token) || !strings.HasPrefix(token[end+1:], ": ") {
		return "", token
	}
	if json.Unmarshal([]byte(token[:end+1]), &name) != nil {
		return "", token
	}
	return name, token[end+3:]
}

// mark marks the lines of JSON that faults are about.
func (p *payload) mark(faults []api.Fault) {
	for _, f := range faults {
		if f.Header != "" || f.Byte > 0 {
			continue
		}
		for i := range p.Lines {
			l := &p.Lines[i]
			if l.path != f.Path || f.Path == "" && i > 0 {
				continue
			}
			l.Mark, l.Missing = markFault, f.Missing
			if f.Hint {
				l.Mark = markHint
			}
			indent := len(l.Before) - len(strings.TrimLeft(l.Before, " "))
			token := strings.TrimSuffix(l.Before[indent:], ",")
			l.Before, l.Marked, l.After = l.Before[:indent], token, l.Before[indent+len(token):]
			break
		}
	}
}

// text shows a text line by line, with the character that a byte lies in marked; 0 = none.
func (p *payload) text(value []byte, at int) {
	if len(value) > maxPlain {
		end := maxPlain
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		p.Cut, value = len(value)-end, value[:end]
	}
	offset := 0
	for i, text := range strings.Split(string(value), lineSeparator) {
		line := payloadLine{Number: i + 1, Before: strings.TrimSuffix(text, "\r")}
		if in := at - 1 - offset; at > 0 && in >= 0 && in <= len(text) {
			line.markAt(in)
		}
		p.Lines = append(p.Lines, line)
		offset += len(text) + 1
	}
}

// markAt marks the character that a byte of the line lies in. The line's end is marked by a sign.
func (l *payloadLine) markAt(in int) {
	text := l.Before
	l.Mark = markFault
	if in >= len(text) {
		l.Marked = "⏎"
		return
	}
	for in > 0 && !utf8.RuneStart(text[in]) {
		in--
	}
	_, size := utf8.DecodeRuneInString(text[in:])
	l.Before, l.Marked, l.After = text[:in], text[in:in+size], text[in+size:]
}

// hex shows bytes in lines of sixteen, with what of them is a printable character beside.
func (p *payload) hex(value []byte, at int) {
	if len(value) > maxHex {
		p.Cut, value = len(value)-maxHex, value[:maxHex]
	}
	for offset := 0; offset < len(value); offset += bytesPerLine {
		row := value[offset:min(offset+bytesPerLine, len(value))]
		line := payloadLine{Number: offset/bytesPerLine + 1}
		first, in := fmt.Sprintf("%08x  ", offset), at-1-offset
		if at > 0 && in >= 0 && in < len(row) {
			line.Mark = markFault
			line.Before = first + spaced(row[:in])
			line.Marked = hex.EncodeToString(row[in : in+1])
			line.After = " " + spaced(row[in+1:])
		} else {
			line.Before = first + spaced(row)
		}
		line.After += strings.Repeat("   ", bytesPerLine-len(row)) + " " + printable(row)
		p.Lines = append(p.Lines, line)
	}
}

func spaced(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		fmt.Fprintf(&s, "%02x ", x)
	}
	return s.String()
}

func printable(b []byte) string {
	out := make([]byte, len(b))
	for i, x := range b {
		out[i] = '.'
		if x >= ' ' && x < 0x7f {
			out[i] = x
		}
	}
	return string(out)
}

// pretty returns JSON to be edited: indented, every token as it was written; anything else as it is.
func pretty(value []byte) string {
	var b bytes.Buffer
	if len(value) > maxPretty || !isTree(value) || json.Indent(&b, value, "", "  ") != nil {
		return string(value)
	}
	return b.String()
}
