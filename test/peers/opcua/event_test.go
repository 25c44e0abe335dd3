//go:build unix

package opcua

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
)

const (
	countField = "nsu=urn:example:peer:press7;Count"
	notifier   = "events i=2253"
)

type eventBody struct {
	ID        string `json:"id"`
	Fields    map[string]any
	Condition *struct {
		Name   string `json:"name"`
		Active bool   `json:"active"`
	} `json:"condition"`
}

func bodyOf(t *testing.T, s source.Signal) (b eventBody) {
	t.Helper()
	if err := json.Unmarshal(s.Raw, &b); err != nil {
		t.Fatalf("%s: %v", s.Raw, err)
	}
	return b
}

// alarms returns the ids of the alarm's states that say active, or not.
func (r *rig) alarms(active bool) (ids []string) {
	for _, s := range r.sink.of(notifier) {
		if b := bodyOf(r.t, s); s.Kind == source.KindAlarm && b.Condition.Name == "ForceAlarm" && b.Condition.Active == active {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// TestPeer_Events reads events by their own count, and an alarm that stands over a lost connection.
func TestPeer_Events(t *testing.T) {
	r := newRig(t, func(c *opcua.Config) {
		c.Events = []opcua.Events{{Fields: []string{countField, "nsu=urn:example:peer:press7;Serial"}, Seq: countField}}
	})
	newest := func() uint64 { return r.sink.newest(notifier) }
	r.until(returns, "events", func() bool { return newest() > 5 })
	r.tell(`{"do":"alarm","on":true}`)
	r.until(returns, "the alarm", func() bool { return len(r.alarms(true)) > 0 })
	first := r.alarms(true)[0]
	n := newest()
	r.front.Reset()
	r.until(returns, "newer events", func() bool { return newest() > n+3 && r.state() == source.Live })
	r.until(returns, "the alarm that stands, again", func() bool { return len(r.alarms(true)) > 1 })
	if again := r.alarms(true); again[len(again)-1] != first {
		t.Errorf("the alarm came again as %s, and was %s", again[len(again)-1], first)
	}
	r.tell(`{"do":"alarm","on":false}`)
	r.until(returns, "the alarm's end", func() bool { return len(r.alarms(false)) > 0 })
	pass(settled)
	made := r.tell(`{"do":"halt"}`).Made
	r.until(returns, "the last event", func() bool { return newest() >= made })
	r.sink.account(t, notifier, made)
	for _, s := range r.sink.of(notifier) {
		if b := bodyOf(t, s); s.Kind == source.KindEvent && s.Seq != nil && (b.Fields["Serial"] == "" || b.Condition != nil || s.Time.IsZero()) {
			t.Errorf("event %s", s.Raw)
		}
	}
}

// TestPeer_PlainEvents reads events that have no count: what happened while nobody listened stays an open gap.
func TestPeer_PlainEvents(t *testing.T) {
	r := newRig(t, func(c *opcua.Config) {
		c.Items = c.Items[1:2]
		c.Events = []opcua.Events{{Fields: []string{countField}, Types: []string{"i=2041"}}}
	})
	r.until(returns, "events", func() bool { return len(r.sink.of(notifier)) > 3 })
	r.front.Reset()
	r.until(returns, "an open gap that names the notifier", func() bool {
		return slices.ContainsFunc(r.sink.open(), func(g source.Gap) bool { return slices.Contains(g.Items, notifier) })
	})
}

// TestPeer_BadStatus keeps the number that comes with a bad status, and the status.
func TestPeer_BadStatus(t *testing.T) {
	r := newRig(t, nil)
	r.tell(`{"do":"bad","on":true}`)
	var bad source.Signal
	r.until(returns, "a bad value", func() bool {
		i := slices.IndexFunc(r.sink.of(force), func(s source.Signal) bool { return s.Quality == source.Bad })
		if i >= 0 {
			bad = r.sink.of(force)[i]
		}
		return i >= 0
	})
	var b struct {
		Value   float64 `json:"value"`
		Quality string  `json:"quality"`
		Status  string  `json:"status"`
	}
	if err := json.Unmarshal(bad.Raw, &b); err != nil || b.Value < 45 || b.Quality != "bad" || b.Status != "0x808C0000" || bad.Status != 0x808C0000 {
		t.Errorf("bad value %s, status %#x, %v", bad.Raw, bad.Status, err)
	}
}
