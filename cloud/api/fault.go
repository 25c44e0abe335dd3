package api

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Fault is a place of a record that the cause of its refusal is about.
type Fault struct {
	Path    string `json:"path,omitempty" doc:"of the member, such as q.unit or results[2].value"`
	Missing string `json:"missing,omitempty" doc:"name of the member that the object at path lacks; absent path = the whole value"`
	Byte    int    `json:"byte,omitempty" doc:"where the value stops being the JSON that it should be, counted from 1"`
	Header  string `json:"header,omitempty" doc:"name of the header"`
	Hint    bool   `json:"hint,omitempty" doc:"the cause does not name the place, it names the value that stands there"`
}

var (
	faultByte    = regexp.MustCompile(`\bbyte ([0-9]{1,9})\b`)
	faultHeader  = regexp.MustCompile(`\bheader "?([A-Za-z0-9_-]+)"?`)
	faultPath    = regexp.MustCompile(`^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*|\[[0-9]{1,6}\])*$`)
	faultMissing = regexp.MustCompile(`lacks the member "([^"]{1,100})"`)
)

// maxHints bounds how many places a cause may hint at: a text that fits everywhere tells nothing.
const maxHints = 5

// faultsOf finds the places that a cause is about. A decoder's error names the path, a rule's error names values: those
// give hints.
func faultsOf(cause string, value []byte) []Fault {
	if m := faultHeader.FindStringSubmatch(cause); m != nil {
		return []Fault{{Header: m[1]}}
	}
	if m := faultByte.FindStringSubmatch(cause); m != nil {
		if at, err := strconv.Atoi(m[1]); err == nil && at >= 1 && at <= len(value) {
			return []Fault{{Byte: at}}
		}
	}
	tree, err := event.ParseJSON(value)
	if err != nil {
		return []Fault{}
	}
	if f, ok := namedFault(cause, tree); ok {
		return []Fault{f}
	}
	return hints(cause, tree)
}

// namedFault returns the place whose path stands in a cause, between colons, and that the value has.
func namedFault(cause string, tree any) (f Fault, ok bool) {
	if m := faultMissing.FindStringSubmatch(cause); m != nil {
		f.Missing, ok = m[1], true
	}
	for _, part := range strings.Split(cause, ": ") {
		if faultPath.MatchString(part) && resolve(tree, part) {
			f.Path, ok = part, true // the last one is the innermost
		}
	}
	return f, ok
}

// resolve tells whether a value has a member at a path.
func resolve(tree any, path string) bool {
	for path != "" {
		if path[0] == '[' {
			number, rest, _ := strings.Cut(path[1:], "]")
			array, ok := tree.([]any)
			i, err := strconv.Atoi(number)
			if !ok || err != nil || i >= len(array) {
				return false
			}
			tree, path = array[i], strings.TrimPrefix(rest, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		object, ok := tree.(map[string]any)
		if !ok {
			return false
		}
		if tree, ok = object[path[:end]]; !ok {
			return false
		}
		path = strings.TrimPrefix(path[end:], ".")
	}
	return true
}

// hints returns the members whose value a cause names as a word.
func hints(cause string, tree any) []Fault {
	found := []Fault{}
	eachLeaf("", tree, func(path, value string) {
		if path == "lot" || path == "provenance" || strings.HasPrefix(path, "provenance.") {
			return // what the record is about, and how it was read, stands in most causes and is no fault
		}
		if hasWord(cause, value) {
			found = append(found, Fault{Path: path, Hint: true})
		}
	})
	if len(found) > maxHints {
		return []Fault{}
	}
	slices.SortFunc(found, func(a, b Fault) int { return strings.Compare(a.Path, b.Path) })
	return found
}

// eachLeaf calls visit with every text and number of a value.
func eachLeaf(path string, v any, visit func(path, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			eachLeaf(memberPath(path, name), member, visit)
		}
	case []any:
		for i, element := range v {
			eachLeaf(path+"["+strconv.Itoa(i)+"]", element, visit)
		}
	case string:
		visit(path, v)
	case json.Number:
		visit(path, v.String())
	}
}

// memberPath returns the path of a member.
func memberPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// hasWord tells whether a text has a value as a word of its own. A single character is none: it stands everywhere.
func hasWord(text, value string) bool {
	if len(value) < 2 {
		return false
	}
	for at := 0; ; {
		i := strings.Index(text[at:], value)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(value)
		before, _ := utf8.DecodeLastRuneInString(text[:begin])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !inWord(before) && !inWord(after) {
			return true
		}
		at = begin + 1
	}
}

func inWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// FieldChange is one member that a correction changes.
type FieldChange struct {
	Path string          `json:"path"`
	Was  json.RawMessage `json:"was,omitempty" doc:"absent = it was not there"`
	Now  json.RawMessage `json:"now,omitempty" doc:"absent = it is not there"`
}

// changesOf lists what differs between two values, sorted by path. A first value that is no JSON differs as a whole.
func changesOf(was, now []byte) ([]FieldChange, error) {
	after, err := event.ParseJSON(now)
	if err != nil {
		return nil, err
	}
	before, err := event.ParseJSON(was)
	if err != nil {
		return []FieldChange{{Now: compact(after)}}, nil
	}
	changes := compare([]FieldChange{}, "", before, after)
	slices.SortFunc(changes, func(a, b FieldChange) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

func compare(all []FieldChange, path string, was, now any) []FieldChange {
	if a, ok := was.(map[string]any); ok {
		if b, ok := now.(map[string]any); ok {
			return compareObjects(all, path, a, b)
		}
	}
	if a, ok := was.([]any); ok {
		if b, ok := now.([]any); ok && len(a) == len(b) {
			for i := range a {
				all = compare(all, path+"["+strconv.Itoa(i)+"]", a[i], b[i])
			}
			return all
		}
	}
	if x, y := compact(was), compact(now); !bytes.Equal(x, y) {
		all = append(all, FieldChange{Path: path, Was: x, Now: y})
	}
	return all
}

func compareObjects(all []FieldChange, path string, was, now map[string]any) []FieldChange {
	for name, v := range was {
		if w, ok := now[name]; ok {
			all = compare(all, memberPath(path, name), v, w)
		} else {
			all = append(all, FieldChange{Path: memberPath(path, name), Was: compact(v)})
		}
	}
	for name, w := range now {
		if _, ok := was[name]; !ok {
			all = append(all, FieldChange{Path: memberPath(path, name), Now: compact(w)})
		}
	}
	return all
}

// compact encodes what ParseJSON read. Such a value always encodes.
func compact(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}
