package rest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Path leads to a part of decoded JSON, step by step: names with dots between them, [2] for the third entry of a list,
// [name=lot] for the first entry whose member name has the text lot. So CustomFields[name=lot].values[0] is the first value
// of a field that is known by its name. What is not there leads to nothing. The empty Path is the whole.
type Path string

// UnmarshalText reads a path.
func (p *Path) UnmarshalText(text []byte) error {
	path := Path(text)
	if _, err := path.steps(); err != nil {
		return err
	}
	*p = path
	return nil
}

// step goes from a value to one inside of it; nil = there is none.
type step func(v any) any

// steps returns the steps of the path in order.
func (p Path) steps() (steps []step, err error) {
	rest, named := string(p), true // a name may come next
	for rest != "" {
		if inside, open := strings.CutPrefix(rest, "["); open {
			which, after, closed := strings.Cut(inside, "]")
			switch {
			case !closed:
				return nil, fmt.Errorf("path %q has a [ without its ]", string(p))
			case named && len(steps) > 0:
				return nil, fmt.Errorf("path %q: a name is missing before %q", string(p), rest)
			}
			s, err := entry(which)
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", string(p), err)
			}
			steps, named = append(steps, s), false
			if rest = after; strings.HasPrefix(rest, ".") && rest != "." {
				rest, named = rest[1:], true
			}
			continue
		}
		end := strings.IndexAny(rest+"[", ".[")
		if !named || end == 0 || rest[end:] == "." {
			return nil, fmt.Errorf("path %q: a name is missing, or in the wrong place, at %q", string(p), rest)
		}
		steps, named = append(steps, member(rest[:end])), false
		if rest = rest[end:]; strings.HasPrefix(rest, ".") {
			rest, named = rest[1:], true
		}
	}
	return steps, nil
}

// member steps into an object.
func member(name string) step {
	return func(v any) any {
		object, _ := v.(map[string]any)
		return object[name]
	}
}

// entry steps into a list, by place or by the text of a member.
func entry(which string) (step, error) {
	if name, want, selects := strings.Cut(which, "="); selects && name != "" {
		return func(v any) any {
			list, _ := v.([]any)
			for _, item := range list {
				if object, ok := item.(map[string]any); ok && object[name] != nil && text(object[name]) == want {
					return item
				}
			}
			return nil
		}, nil
	}
	n, err := strconv.ParseUint(which, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("[%s] is neither a place in a list, such as [0], nor names an entry, such as [name=lot]", which)
	}
	return func(v any) any {
		if list, _ := v.([]any); n < uint64(len(list)) {
			return list[n]
		}
		return nil
	}, nil
}

// at follows a path into decoded JSON; nil = nothing is there.
func at(body any, path Path) any {
	steps, err := path.steps()
	if err != nil { // the mapping would not have been loaded
		return nil
	}
	for _, s := range steps {
		body = s(body)
	}
	return body
}

// atPath is at, but an empty path leads nowhere.
func atPath(body any, path Path) any {
	if path == "" {
		return nil
	}
	return at(body, path)
}

// text returns a value as text: numbers as they are written, null and nothing as "".
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	raw, err := json.Marshal(v)
	if err != nil { // decoded JSON always encodes
		return ""
	}
	return string(raw)
}
