package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// topicPattern matches topics as an MQTT filter does, and names levels: {line} matches one level and captures it.
type topicPattern struct {
	text   string
	levels []string
	names  []string // of the captures, in order
}

var captureName = regexp.MustCompile(`^\{[a-z][a-z0-9_]{0,31}\}$`)

// parseTopic reads a pattern such as {enterprise}/{site}/+/press/#.
func parseTopic(text string) (topicPattern, error) {
	p := topicPattern{text: text, levels: strings.Split(text, "/")}
	if text == "" {
		return p, fmt.Errorf("is empty: want a topic such as {enterprise}/{site}/press4/result")
	}
	for i, level := range p.levels {
		switch {
		case level == "+":
		case level == "#":
			if i != len(p.levels)-1 {
				return p, fmt.Errorf("has # before its end")
			}
		case strings.ContainsAny(level, "{}"):
			name := strings.Trim(level, "{}")
			if !captureName.MatchString(level) {
				return p, fmt.Errorf("has the level %q: a capture is a whole level, such as {line}", level)
			}
			for _, other := range p.names {
				if other == name {
					return p, fmt.Errorf("captures %s twice", level)
				}
			}
			p.names = append(p.names, name)
		case strings.ContainsAny(level, "+#"):
			return p, fmt.Errorf("has the level %q: + and # stand alone in their level", level)
		}
	}
	return p, nil
}

// match returns the captures of a topic that the pattern matches, in the order of its names.
func (p *topicPattern) match(topic string) (captures []string, ok bool) {
	// As at a broker, a wildcard in the first level does not match topics of the broker itself.
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(p.text, "$") {
		return nil, false
	}
	var room [8]string // most patterns fail, and most have fewer captures
	found := room[:0]
	rest, more := topic, true
	for _, level := range p.levels {
		if level == "#" {
			return append([]string(nil), found...), true
		}
		if !more {
			return nil, false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "+":
		case strings.HasPrefix(level, "{"):
			found = append(found, part)
		case level != part:
			return nil, false
		}
	}
	return append([]string(nil), found...), !more
}

// named returns captures by their names.
func (p *topicPattern) named(captures []string) map[string]string {
	named := make(map[string]string, len(captures))
	for i, part := range captures {
		named[p.names[i]] = part
	}
	return named
}

// example returns a topic that the pattern matches, for samples that name none.
func (p *topicPattern) example(plant string) string {
	levels := make([]string, len(p.levels))
	for i, level := range p.levels {
		switch level {
		case "{site}", "{plant}":
			levels[i] = plant
		case "+", "#":
			levels[i] = "x"
		default:
			levels[i] = strings.Trim(level, "{}")
		}
	}
	return strings.Join(levels, "/")
}

// foreign returns the captured plant if it is not ours. The level that names the plant is called site or plant.
func (p *topicPattern) foreign(captures []string, plant string) (other string, is bool) {
	for _, name := range []string{"plant", "site"} {
		if i := slices.Index(p.names, name); i >= 0 && captures[i] != plant {
			return captures[i], true
		}
	}
	return "", false
}
