package main

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// full is a view with something in every place, and with what a plant could send to spoil a terminal.
func full() *view {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	v := &view{
		facts: facts{
			At: at,
			Agent: localapi.Status{
				Uplink:     localapi.Uplink{Since: at.Add(-3 * time.Minute)},
				Lanes:      []localapi.Lane{{Depth: 12345678, Urgent: 1234, Oldest: at.Add(-time.Hour)}, {Depth: 1}},
				Sources:    []localapi.Source{{State: "live", Received: 123456789}, {State: "backing_off"}},
				Quarantine: localapi.Quarantine{Count: 12},
			},
			Cloud: api.Overview{
				Plants: []api.PlantOverview{{Plant: "p1", LastAccepted: at.Add(-time.Second), Lots: 12345, Held: 1234}},
				Effects: []api.EffectOverview{{
					System: "a-long-name", Kind: quality.LotUsageSet, Outcomes: map[quality.Outcome]int64{event.Applied: 1234, event.AlreadyApplied: 1},
					Waiting: 123456, Exception: 7, Last: event.RetryLater,
				}},
				Deadletters: map[string]int64{"E-1": 3},
			},
			Blocked: blocking{"L-12345678901234567890", at.Add(-time.Minute), at},
		},
		Seed: 18446744073709551615, Running: 100 * time.Hour, FirstEvent: time.Second, WANCut: at, ERPStopped: at, Killed: time.Time{},
		API: "http://127.0.0.1:54321/api/v1", Metrics: "127.0.0.1:54321/metrics (cloud)  127.0.0.1:54322/metrics (agent)",
		Dir: "/tmp/" + strings.Repeat("deep/", 30), Said: strings.Repeat("said ", 40),
	}
	for i := range 30 {
		l := api.LotLine{Number: strings.Repeat("9", 40), HeldFor: "torque\x1b[2J\n" + strings.Repeat("é", 200), HeldSince: at.Add(time.Duration(i) * time.Second)}
		if i%2 == 0 {
			l.Usage = []api.Usage{{Usage: event.InInspection}}
		}
		v.Held = append(v.Held, l)
	}
	return v
}

// TestView_TableFits draws on small and large terminals: no line is too long, none is lost off the bottom.
func TestView_TableFits(t *testing.T) {
	for _, c := range []struct{ columns, rows int }{{40, 16}, {80, 24}, {80, 25}, {132, 50}, {200, 100}} {
		lines := full().table(c.columns, c.rows)
		if len(lines) > c.rows {
			t.Errorf("%d lines on %d rows", len(lines), c.rows)
		}
		for _, l := range lines {
			text := l.render(c.columns, false)
			if n := utf8.RuneCountInString(text); n > c.columns {
				t.Errorf("%d columns on %d: %q", n, c.columns, text)
			}
			if strings.ContainsAny(text, "\x1b\n\r") {
				t.Errorf("a line says more than text: %q", text)
			}
		}
		if last := lines[len(lines)-1].render(c.columns, false); !strings.HasPrefix("f fail a part   w mend the WAN   e start the ERP   k kill the agent   q quit", last) {
			t.Errorf("the last line is %q", last)
		}
	}
}

func TestView_Words(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*view)
		want   string
	}{
		"link down":           {func(*view) {}, "link DOWN for 3m00s   backlog 12345679 (1234 urgent)   oldest 1h00m"},
		"link up":             {func(v *view) { v.Agent.Uplink.Up = true }, "link up for 3m00s"},
		"agent starts":        {func(v *view) { v.AgentErr = errors.New("no agent") }, "  agent    starting"},
		"agent killed":        {func(v *view) { v.Killed = v.At; v.AgentErr = errors.New("no agent") }, "KILLED 0.0s ago"},
		"sources":             {func(*view) {}, "1 of 2 sources live, 123456789 messages read, 12 not understood"},
		"cloud":               {func(*view) {}, "last event 1.0s ago   12345 lots, 1234 held   3 dead letters"},
		"cloud silent":        {func(v *view) { v.CloudErr = errors.New("refused") }, "does not answer: refused"},
		"ERP stopped":         {func(*view) {}, "ERP s4     STOPPED 0.0s ago"},
		"ERP running":         {func(v *view) { v.ERPStopped = time.Time{} }, "ERP s4     running"},
		"latency":             {func(v *view) { v.Blocked.Lot = "L-1" }, "nothing of it free in the ERP after 60.0 s"},
		"no hold yet":         {func(v *view) { v.Blocked = blocking{} }, "LAST HOLD  none yet"},
		"nothing held":        {func(v *view) { v.Held = nil }, "none"},
		"the rest of the lot": {func(*view) {}, "more: holdfast-cloud lots list --state held"},
		"effects":             {func(*view) {}, "a-lon…  set the lot's usage            1235    123456         7   retry later"},
		"first event":         {func(*view) {}, "first event after 1.0 s"},
		"no event":            {func(v *view) { v.FirstEvent = 0 }, "waiting for the first event"},
	} {
		t.Run(name, func(t *testing.T) {
			v := full()
			c.change(v)
			var all []string
			for _, l := range v.table(100, 24) {
				all = append(all, l.render(100, false))
			}
			if text := strings.Join(all, "\n"); !strings.Contains(text, c.want) {
				t.Errorf("lacks %q:\n%s", c.want, text)
			}
		})
	}
}

func TestLine_RenderColour(t *testing.T) {
	l := line{}.add(4, red, "ab").add(0, normal, "cd")
	if got := l.render(80, true); got != "\x1b[31mab  \x1b[0mcd" {
		t.Errorf("coloured: %q", got)
	}
	if got := l.render(3, true); got != "\x1b[31mab \x1b[0m" {
		t.Errorf("cut off: %q", got)
	}
	if got := l.render(80, false); got != "ab  cd" {
		t.Errorf("plain: %q", got)
	}
}
