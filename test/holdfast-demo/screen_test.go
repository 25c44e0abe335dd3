package main

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// full is a view with something in every place, and with what a plant could send to spoil a terminal.
func full() *view {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	v := &view{
		facts: facts{
			At: at,
			Cloud: api.Overview{
				Effects: []api.EffectOverview{{
					System: "a-long-name", Kind: quality.LotUsageSet, Outcomes: map[quality.Outcome]int64{event.Applied: 1234, event.AlreadyApplied: 1},
					Waiting: 123456, Exception: 7, Last: event.RetryLater,
				}, {System: "s4", Kind: quality.LotUsageSet}, {System: "s4", Kind: quality.StockTransfer}, {System: "qms1", Kind: quality.NonconformanceEnsure}},
				Deadletters: map[string]int64{"E-1": 3},
			},
			Waits:   []releaseWait{{"p2", "hold", 2}, {"p2", "answer", 1}, {"p3", "hold", 7}},
			Blocked: blocking{"L-12345678901234567890", at.Add(-time.Minute), at},
		},
		Seed: 18446744073709551615, Running: 100 * time.Hour, FirstEvent: time.Second, ERPStopped: at, Chosen: 1,
		Console: "http://127.0.0.1:54323/" + strings.Repeat("x", 26) + "/enter?link=" + strings.Repeat("y", 26),
		API:     "http://127.0.0.1:54321/api/v1", Metrics: "127.0.0.1:54321/metrics (cloud)",
		Dir: "/tmp/" + strings.Repeat("deep/", 30), Said: strings.Repeat("said ", 40),
	}
	for _, site := range dialect.Sites() {
		v.Plants = append(v.Plants, plantView{ID: site.Plant, Zone: site.Zone, Line: true, WANCut: at, Metrics: "127.0.0.1:54322/metrics"})
		v.Agents = append(v.Agents, agentFacts{Status: localapi.Status{
			Uplink:  localapi.Uplink{Since: at.Add(-3 * time.Minute), Answered: 1795520779106787},
			Lanes:   []localapi.Lane{{Depth: 1234567, Urgent: 123, Oldest: at.Add(-time.Hour)}, {Depth: 1}},
			Sources: []localapi.Source{{State: source.Live}, {State: source.BackingOff}},
		}})
		v.Cloud.Plants = append(v.Cloud.Plants, api.PlantOverview{Plant: event.PlantID(site.Plant), LastAccepted: at.Add(-time.Second), Lots: 12345, Held: 1234})
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

// draw lays a view out and writes it without colours.
func draw(v *view, columns, rows int) []string {
	var all []string
	for _, l := range v.table(columns, rows) {
		all = append(all, l.render(columns, false))
	}
	return all
}

// TestView_TableFits draws on small and large terminals: no line is too long, none is lost off the bottom.
func TestView_TableFits(t *testing.T) {
	for _, c := range []struct{ columns, rows int }{{40, 26}, {80, 24}, {80, 25}, {100, 30}, {132, 50}, {200, 100}} {
		lines := draw(full(), c.columns, c.rows)
		if len(lines) > c.rows {
			t.Errorf("%d lines on %d rows", len(lines), c.rows)
		}
		for _, text := range lines {
			if n := utf8.RuneCountInString(text); n > c.columns {
				t.Errorf("%d columns on %d: %q", n, c.columns, text)
			}
			if strings.ContainsAny(text, "\x1b\n\r") {
				t.Errorf("a line says more than text: %q", text)
			}
		}
		if last := lines[len(lines)-1]; !strings.HasSuffix(last, "q quit") {
			t.Errorf("the last line on %d columns is %q", c.columns, last)
		}
	}
}

// TestView_TableWidth proves that nothing but reasons and paths is cut off on 80 columns.
func TestView_TableWidth(t *testing.T) {
	text := strings.Join(draw(full(), 80, 30), "\n")
	for _, want := range []string{
		"  p1 London     DOWN 3m00s   1234568 (12…  1h00m  1/2  …106787  12345  1234",
		"SYSTEM    STATE           DONE WAITING PERSON  DONE, BY KIND",
		"a-long-…  running         1235  123456      7",
		"1-5 plant   f fail a part   w mend WAN   k kill agent   z freeze line",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

func TestView_Words(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*view)
		want   string
	}{
		"link down":           {func(*view) {}, "> p2 Berlin     DOWN 3m00s   1234568 (12…  1h00m  1/2  …106787  12345  1234   2 hold, 1 answer"},
		"link up":             {func(v *view) { v.Agents[4].Uplink.Up = true }, "  p5 Sao Paulo  up 3m00s"},
		"nothing waits":       {func(v *view) { v.Agents[0].Lanes = nil }, "DOWN 3m00s   0             -      1/2"},
		"agent starts":        {func(v *view) { v.Agents[0].Err = errors.New("no agent") }, "  p1 London     starting     ?             ?      -    -"},
		"agent killed":        {func(v *view) { v.Plants[0].Killed = v.At.Add(-time.Second) }, "  p1 London     KILLED 1.0s  ?             ?      -    "},
		"cloud":               {func(*view) {}, "last event 1.0s ago   61725 lots, 6170 held   3 dead letters"},
		"cloud silent":        {func(v *view) { v.CloudErr = errors.New("refused") }, "does not answer: refused"},
		"ERP stopped":         {func(*view) {}, "s4        STOPPED 0.0s"},
		"ERP running":         {func(v *view) { v.ERPStopped = time.Time{} }, "s4        running"},
		"QMS stopped":         {func(v *view) { v.QMSStopped = v.At }, "qms1      STOPPED 0.0s"},
		"kinds of effects":    {func(*view) {}, "0 usages set, 0 transfers"},
		"nothing asked for":   {func(v *view) { v.Cloud.Effects = nil }, "nothing was asked of any yet"},
		"releases wait":       {func(*view) {}, "RELEASES   wait for: 9 hold, 1 answer"},
		"no release waits":    {func(v *view) { v.Waits = nil }, "RELEASES   none waits"},
		"no answer yet":       {func(v *view) { v.Agents[1].Uplink.Answered = 0 }, "1h00m  1/2  -        12345  1234   2 hold, 1 answer"},
		"line frozen":         {func(v *view) { v.Plants[1].Frozen = v.At }, "z thaw line"},
		"latency":             {func(v *view) { v.Blocked.Lot = "L-1" }, "not free in the ERP after 60.0 s"},
		"no hold yet":         {func(v *view) { v.Blocked = blocking{} }, "LAST HOLD  none yet"},
		"nothing held":        {func(v *view) { v.Held = nil }, "none"},
		"the rest of the lot": {func(*view) {}, "more: holdfast-cloud lots list --state held"},
		"first event":         {func(*view) {}, "first event after 1.0 s"},
		"no event":            {func(v *view) { v.FirstEvent = 0 }, "waiting for the first event"},
		"keys":                {func(*view) {}, "1-5 plant   f fail a part   w mend WAN   k kill agent   z freeze line   e start ERPs   m stop QMS\nq quit"},
		"agent's metrics":     {func(v *view) { v.Held = nil }, "127.0.0.1:54322/metrics (agent of p2)"},
	} {
		t.Run(name, func(t *testing.T) {
			v := full()
			c.change(v)
			if text := strings.Join(draw(v, 100, 34), "\n"); !strings.Contains(text, c.want) {
				t.Errorf("lacks %q:\n%s", c.want, text)
			}
		})
	}
}

// TestView_Status proves that the line for a log names every plant, and nothing that a terminal would obey.
func TestView_Status(t *testing.T) {
	v := full()
	v.Plants[3].Killed = v.At.Add(-time.Minute)
	text := v.status()
	for _, want := range []string{"p1 DOWN 3m00s, unsent 1234568 (123); ", "p4 KILLED 1m00s", "61725 lots, 6170 held", "1235 done, 123456 waiting, 7 for a person; releases wait for: 9 hold, 1 answer"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q: %s", want, text)
		}
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

func TestReadWaits(t *testing.T) {
	page := `# HELP holdfast_cloud_release_waits Lots whose release waits now, by plant and reason.
# TYPE holdfast_cloud_release_waits gauge
holdfast_cloud_release_waits{plant="p1",reason="hold"} 3
holdfast_cloud_release_waits{plant="p2",reason="gap"} 0
holdfast_cloud_release_wait_seconds_total{plant="p1",reason="hold"} 12.5
`
	got, err := readWaits(strings.NewReader(page))
	if err != nil || len(got) != 1 || got[0] != (releaseWait{"p1", "hold", 3}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := readWaits(strings.NewReader(`holdfast_cloud_release_waits{plant="p1"}` + "\n")); err == nil {
		t.Error("a line without a value was taken")
	}
}
