package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	agent "github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// samples runs the samples of a mapping. One to a type of lane quality has a good and a bad one.
func (c *compiler) samples(m *Mapper, cfg *Config) {
	good, bad := false, false
	for i := range cfg.Samples {
		s := &cfg.Samples[i]
		path := fmt.Sprintf("samples[%d]", i)
		if s.WantError != "" && s.Want != nil {
			c.failSample(path, s, "has both want and want_error")
			continue
		}
		good = good || len(s.Want) > 0
		bad = bad || s.WantError != ""
		c.sample(m, cfg, s, path)
	}
	spec, _ := event.Lookup(event.Type(cfg.Event.Type))
	if spec.Lane == event.LaneQuality && (!good || !bad) {
		c.fail(CodeSample, "samples", "a mapping to lane quality has a sample that gives an event and one that fails by want_error")
	}
}

func (c *compiler) failSample(path string, s *Sample, format string, args ...any) {
	c.fail(CodeSample, path, format, args...)
	c.errs[len(c.errs)-1].Sample = s.Name
}

func (c *compiler) sample(m *Mapper, cfg *Config, s *Sample, path string) {
	sig, view, err := c.signal(m, cfg, s)
	if err != nil {
		c.failSample(path+".state", s, "%v", err)
		return
	}
	events, failed := m.try(c.index, sig, view)
	switch {
	case s.WantError != "":
		c.wantError(path, s, failed)
	case len(failed) > 0:
		c.failSample(path, s, "fails: %s", failed[0].text)
	case len(events) != len(s.Want):
		c.failSample(path+".want", s, "gives %d events: the sample wants %d", len(events), len(s.Want))
	default:
		for i, e := range events {
			c.compare(fmt.Sprintf("%s.want[%d]", path, i), s, e, s.Want[i])
		}
	}
}

// try maps a signal with one mapping, and the one whose events cause its own.
func (m *Mapper) try(index int, sig agent.Signal, view View) ([]*event.Event, []failure) {
	only := *m
	only.mappings = slices.Clone(m.mappings[:index+1])
	cause := only.mappings[index].cause
	for i := range only.mappings {
		if i != index && i != cause {
			only.mappings[i].source = "\x00" // takes nothing
		}
	}
	r := newRun(&only, &sig, view)
	all := r.all()
	var events []*event.Event
	for _, e := range all.Events {
		if string(e.Data.ReadBy().Mapping) == only.mappings[index].name {
			events = append(events, e)
		}
	}
	return events, slices.DeleteFunc(r.problems, func(f failure) bool {
		return f.mapping != nil && f.mapping != &only.mappings[index]
	})
}

// sampleTime is when samples arrive. Any fixed time does.
var sampleTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func (c *compiler) signal(m *Mapper, cfg *Config, s *Sample) (agent.Signal, View, error) {
	sig := agent.Signal{
		Source: cfg.From.Source, Transport: "sample", Ref: s.Topic, Kind: agent.KindMessage, Raw: []byte(s.Payload),
		Quality: agent.Uncertain, Arrived: sampleTime, Clock: agent.ClockState{Synchronised: true},
	}
	if sig.Source == "" {
		sig.Source = "sample"
	}
	known := c.opts.Sources[sig.Source]
	sig.System, sig.Equipment = known.System, known.Equipment
	if sig.System == "" {
		sig.System = sig.Source
	}
	if known.Quality {
		sig.Kind, sig.Quality = agent.KindValue, stated(s.Payload)
	}
	if sig.Ref == "" {
		sig.Ref = m.mappings[c.index].topic.example(string(c.opts.Plant))
	}
	state := &State{}
	for _, tag := range slices.Sorted(maps.Keys(s.State)) {
		value, err := exact(s.State[tag])
		change := Change{Source: sig.Source, Tag: tag, Good: true, Arrived: sampleTime, Clock: true}
		if err == nil {
			err = change.remember(value)
		}
		if err != nil {
			return sig, View{}, fmt.Errorf("state %s %w", tag, err)
		}
		state.Apply([]Change{change})
	}
	return sig, View{State: state}, nil
}

// stated returns the quality that stands in a payload as its source writes it. An event has none: it happened.
func stated(payload string) agent.Quality {
	said := struct{ Quality agent.Quality }{agent.Good}
	_ = json.Unmarshal([]byte(payload), &said) // a sample of what is no JSON shows how that fails
	return said.Quality
}

// wantError checks that a sample fails where it says, by field or by a part of the error's text.
func (c *compiler) wantError(path string, s *Sample, failed []failure) {
	for _, f := range failed {
		if f.field == s.WantError || strings.Contains(f.text, s.WantError) {
			return
		}
	}
	if len(failed) == 0 {
		c.failSample(path+".want_error", s, "does not fail: the sample wants an error at %q", s.WantError)
		return
	}
	c.failSample(path+".want_error", s, "fails otherwise than by %q: %s", s.WantError, failed[0].text)
}

// compare checks that an event can be sealed and has what the sample names.
func (c *compiler) compare(path string, s *Sample, e *event.Event, want Want) {
	sealed := *e
	if sealed.ID == "" {
		sealed.ID = placeholderID
	}
	if err := sealed.Seal("agent"); err != nil {
		c.failSample(path, s, "gives an event that is not valid: %v", err)
		return
	}
	if got := string(e.Data.Concerns()); want.Lot != "" && got != want.Lot {
		c.failSample(path+".lot", s, "lot is %q: the sample wants %q", got, want.Lot)
	}
	if got := event.At(e.Time).String(); want.Time != "" && got != want.Time {
		c.failSample(path+".time", s, "time is %s: the sample wants %s", got, want.Time)
	}
	tree, err := event.ParseJSON(sealed.Value)
	if err != nil {
		c.failSample(path, s, "gives a value that is not valid: %v", err)
		return
	}
	c.compareTree(path+".data", s, "data", tree, want.Data)
}

func (c *compiler) compareTree(path string, s *Sample, name string, tree any, want map[string]any) {
	object, _ := tree.(map[string]any)
	for _, member := range slices.Sorted(maps.Keys(want)) {
		got, present := object[member]
		at, full := path+"."+member, name+"."+member
		inner, isObject := want[member].(map[string]any)
		switch {
		case want[member] == nil:
			if present {
				c.failSample(at, s, "%s is %v: the sample wants none", full, got)
			}
		case !present:
			c.failSample(at, s, "%s is missing: the sample wants %v", full, want[member])
		case isObject:
			c.compareTree(at, s, full, got, inner)
		case scalar(got) != scalar(want[member]):
			c.failSample(at, s, "%s is %q: the sample wants %q", full, scalar(got), scalar(want[member]))
		}
	}
}

// scalar returns a value as YAML and JSON both write it; a number without quotes is its text.
func scalar(v any) string {
	if n, ok := v.(json.Number); ok {
		return string(n)
	}
	return fmt.Sprint(v)
}
