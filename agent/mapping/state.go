package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

const (
	// maxChanges is how many values of a tag are kept: enough for late and backfilled signals to meet the value of
	// their time.
	maxChanges = 256
	// maxTags bounds the tags of a source, since a plant can name them freely. The one not seen for longest goes.
	maxTags = 4096
)

// Change is a remembered value. Its JSON form is what an agent keeps across restarts.
type Change struct {
	Source  string    `json:"source"`
	Tag     string    `json:"tag"`
	Value   string    `json:"value"`
	Kind    string    `json:"kind,omitempty"` // number or bool; "" = text
	Good    bool      `json:"good"`
	From    time.Time `json:"from,omitzero"` // first source time of this value; zero = none
	Arrived time.Time `json:"arrived"`       // when it was last seen
	Clock   bool      `json:"synchronised"`  // whether the agent's clock was, when it was last seen
	// Restored says that Arrived is from another run of the agent, so that only wall clocks can be compared.
	Restored bool `json:"-"`
}

const (
	kindOfNumber = "number"
	kindOfTruth  = "bool"
)

// remember sets value and kind. A text is cloned: it is kept for long, and may be a piece of a long payload.
func (c *Change) remember(v any) error {
	switch v := v.(type) {
	case string:
		c.Value = strings.Clone(v)
	case bool:
		c.Value, c.Kind = strconv.FormatBool(v), kindOfTruth
	case int, Number:
		c.Value, c.Kind = fmt.Sprint(v), kindOfNumber
	default:
		return fmt.Errorf("is %s: want a text, a number, true or false", kind(v))
	}
	return nil
}

// value returns what was remembered, as an expression sees it.
func (c *Change) value() (any, error) {
	switch c.Kind {
	case kindOfNumber:
		return fromJSON(json.Number(c.Value))
	case kindOfTruth:
		return c.Value == "true", nil
	}
	return c.Value, nil
}

// State holds the remembered values of an agent's sources. It is a plain value without a lock: one goroutine at a
// time uses it. The zero State is empty.
type State struct {
	sources map[string]map[string][]Change // source, tag, oldest first by arrival
	shared  map[tagKey]bool                // histories that the original of this copy holds, too
}

type tagKey struct{ source, tag string }

// Copy returns a state to try changes on. From then on only one of the two may be changed: the copy, to take the
// original's place, or, once the copy is given up, the original.
func (s *State) Copy() *State {
	c := &State{sources: make(map[string]map[string][]Change, len(s.sources)), shared: map[tagKey]bool{}}
	for source, tags := range s.sources {
		c.sources[source] = maps.Clone(tags)
		for tag := range tags {
			c.shared[tagKey{source, tag}] = true
		}
	}
	return c
}

// Apply takes in the changes of a [Result].
func (s *State) Apply(changes []Change) {
	for _, c := range changes {
		if s.sources == nil {
			s.sources = map[string]map[string][]Change{}
		}
		tags := s.sources[c.Source]
		if tags == nil {
			tags = map[string][]Change{}
			s.sources[c.Source] = tags
		}
		history, known := tags[c.Tag]
		if !known && len(tags) >= maxTags {
			delete(tags, stalest(tags))
		}
		if at := (tagKey{c.Source, c.Tag}); s.shared[at] {
			history = slices.Clone(history)
			delete(s.shared, at)
		}
		tags[c.Tag] = extend(history, c)
	}
}

// extend appends a change, or refreshes the newest where the value is the same.
func extend(history []Change, c Change) []Change {
	if n := len(history); n > 0 {
		last := &history[n-1]
		if last.Value == c.Value && last.Kind == c.Kind && last.Good == c.Good && !c.From.Before(last.From) {
			last.Arrived, last.Clock, last.Restored = c.Arrived, c.Clock, c.Restored
			return history
		}
		if n >= maxChanges {
			history = slices.Delete(history, 0, n-maxChanges+1)
		}
	}
	return append(history, c)
}

func stalest(tags map[string][]Change) string {
	oldest, at := "", time.Time{}
	for tag, history := range tags {
		seen := history[len(history)-1].Arrived
		if oldest == "" || seen.Before(at) || (seen.Equal(at) && tag < oldest) {
			oldest, at = tag, seen
		}
	}
	return oldest
}

// Changes returns everything remembered of a source, by tag, oldest first, to be kept and given to
// [State.Restore] at the next start.
func (s *State) Changes(sourceID string) []Change {
	tags := s.sources[sourceID]
	names := make([]string, 0, len(tags))
	for tag := range tags {
		names = append(names, tag)
	}
	slices.Sort(names)
	var out []Change
	for _, tag := range names {
		out = append(out, tags[tag]...)
	}
	return out
}

// Restore takes in what an earlier run of the agent remembered.
func (s *State) Restore(changes []Change) {
	for _, c := range changes {
		c.Restored = true
		s.Apply([]Change{c})
	}
}

// View is what [Mapper.Map] may see besides the signal.
type View struct {
	State *State // nil = nothing is remembered
}

// scope is what functions see besides their arguments.
type scope struct {
	sig    *source.Signal
	tables map[string]map[string]string
	state  *State
	own    []Change          // what this signal itself tells
	at     time.Time         // the source time that state() looks back from; zero = none
	ages   map[string]string // of what state() gave, by tag
}

// recall returns the value that a tag had at the signal's time, and its age.
func (s *scope) recall(tag string, maxAge time.Duration) (any, time.Duration, error) {
	var best *Change
	if s.state != nil {
		history := s.state.sources[s.sig.Source][tag]
		for i := range history {
			best = s.newer(best, &history[i])
		}
	}
	for i := range s.own {
		if s.own[i].Tag == tag {
			best = s.newer(best, &s.own[i])
		}
	}
	switch {
	case best == nil:
		return nil, 0, errors.New("has not been seen")
	case !best.Good:
		return nil, 0, errors.New("is bad")
	case best.Restored && (!best.Clock || !s.sig.Clock.Synchronised):
		return nil, 0, errors.New("has an unknown age: it was seen before the agent's start, and a clock was not synchronised")
	}
	age := max(s.sig.Arrived.Sub(best.Arrived), 0)
	if age > maxAge {
		return nil, 0, fmt.Errorf("is %s old: want at most %s", age.Round(time.Second), maxAge)
	}
	value, err := best.value()
	return value, age, err
}

// newer returns the better of two changes, which come in order of arrival: the newest whose source time is not after
// the signal's; where either has no source time, the last to arrive.
func (s *scope) newer(best, c *Change) *Change {
	if s.at.IsZero() || c.From.IsZero() {
		return c
	}
	if c.From.After(s.at) || (best != nil && !best.From.IsZero() && c.From.Before(best.From)) {
		return best
	}
	return c
}
