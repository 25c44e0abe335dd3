package console

import (
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestCharts(t *testing.T) {
	r := func(name, value string, judged event.Evaluation) api.Result {
		return api.Result{Characteristic: name, Value: value, Unit: "mm", Lower: "11.50", Upper: "12.50", Evaluation: judged}
	}
	results := []api.Result{
		r("depth", "12.0", event.Pass), r("width", "12", event.Pass), r("depth", "12.7", event.Fail), r("colour", "red", event.Pass), r("depth", "11.9", event.Indeterminate),
	}
	all := charts(results)
	if len(all) != 2 || all[0].Characteristic != "depth" || all[1].Characteristic != "width" || len(all[0].Points) != 3 || all[0].Bad != 2 {
		t.Fatalf("charts are %+v", all)
	}
	c := all[0]
	upper, lower := c.Lines[1], c.Lines[0]
	if upper.Kind != "upper" || lower.Kind != "lower" || !(upper.Y < lower.Y) {
		t.Errorf("limits are %+v", c.Lines)
	}
	if out := c.Points[1]; !out.Bad || out.Y >= upper.Y {
		t.Errorf("the result above the limit lies at %v, the limit at %v", out.Y, upper.Y)
	}
	for _, p := range c.Points {
		if p.X < chartLeft || p.X > chartWidth-chartRight || p.Y < chartTop || p.Y > chartHeight-chartBottom {
			t.Errorf("point %+v lies outside of the plot", p)
		}
	}
	if !reflect.DeepEqual(all, charts(results)) {
		t.Error("the same results give another picture")
	}
	// All values alike, huge, or tiny: still a picture.
	for _, value := range []string{"0", "7", "-3", "1e29", "0.000001"} {
		c := charts([]api.Result{{Characteristic: "x", Value: value, Evaluation: event.NotEvaluated}})
		if len(c) != 1 || len(c[0].Ticks) < 2 || len(c[0].Ticks) > 12 {
			t.Errorf("%s: %+v", value, c)
		}
	}
}

func FuzzCharts(f *testing.F) {
	f.Add("12", "11", "13")
	f.Add("NaN", "Inf", "-Inf")
	f.Add("1e308", "-1e308", "")
	f.Fuzz(func(t *testing.T, value, lower, upper string) {
		for _, c := range charts([]api.Result{{Characteristic: "x", Value: value, Lower: event.Decimal(lower), Upper: event.Decimal(upper)}}) {
			if len(c.Ticks) > 50 {
				t.Errorf("%d ticks", len(c.Ticks))
			}
		}
	})
}

func TestLayOut(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 14, 2, 0, time.UTC)
	hop := func(after time.Duration, stage api.Stage, where string, wait float64) api.Hop {
		return api.Hop{At: at.Add(after), Stage: stage, Where: where, Wait: wait}
	}
	trace := api.Trace{Plant: "p1", Hops: []api.Hop{
		hop(0, api.StageSource, "press-4", 0), hop(6*time.Millisecond, api.StageAgent, "p1/a1", 0.006), hop(3*time.Hour, api.StageCloud, "topic", 10799.994),
		hop(3*time.Hour, api.StageAsked, "s4", 0), hop(3*time.Hour+410*time.Millisecond, api.StageSettled, "s4", 0.41), hop(4*time.Hour, api.StageWaiting, "qms1", 3600),
		hop(4*time.Hour, api.StageKept, "cloud", 0),
	}}
	line := layOut(&trace)
	var lanes []string
	for _, l := range line.Lanes {
		lanes = append(lanes, l.Kind+" "+l.Name)
	}
	if want := []string{"plant p1", "cloud ", "system s4", "system qms1", "kept "}; !reflect.DeepEqual(lanes, want) {
		t.Errorf("lanes are %q, want %q", lanes, want)
	}
	for i, m := range line.Marks {
		if i > 0 && m.X < line.Marks[i-1].X || m.From > m.X || m.X < laneLeft || m.X > lineWidth-laneRight {
			t.Errorf("mark %d lies at %v from %v", i, m.X, m.From)
		}
	}
	if m := line.Marks[4]; m.Kind != "wait" || m.From != line.Marks[3].X {
		t.Errorf("the change that was read back is %+v, asked at %v", m, line.Marks[3].X)
	}
	if len(line.Pauses) != 2 || line.Pauses[0].Seconds < 10_000 {
		t.Errorf("pauses are %+v", line.Pauses)
	}
	if !reflect.DeepEqual(line, layOut(&trace)) {
		t.Error("the same trace gives another picture")
	}
	if empty := layOut(&api.Trace{}); len(empty.Marks) != 0 {
		t.Errorf("an empty trace gives %+v", empty)
	}
	one := layOut(&api.Trace{Hops: trace.Hops[:1]})
	if len(one.Marks) != 1 || one.Marks[0].X < laneLeft {
		t.Errorf("one hop gives %+v", one)
	}
	long := api.Trace{}
	for i := range maxMarks + 50 {
		long.Hops = append(long.Hops, hop(time.Duration(i)*time.Second, api.StageCloud, "cloud", 0))
	}
	if line := layOut(&long); len(line.Marks) != maxMarks || line.Cut != 50 {
		t.Errorf("%d marks, %d cut", len(line.Marks), line.Cut)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 ms", 52 * time.Millisecond: "52 ms", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 90 * time.Second: "1 min",
		3*time.Hour + 12*time.Minute: "3 h 12 min", 49 * time.Hour: "2 d 1 h", 19*24*time.Hour + 4*time.Hour: "19 d 4 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestVisit_Time(t *testing.T) {
	v := &visit{c: &Console{}, Now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	at := time.Date(2026, 11, 24, 9, 14, 2, 0, time.UTC)
	for _, c := range []struct {
		zone string
		utc  bool
		at   time.Time
		want string
	}{
		{"Europe/Berlin", false, at, `<time datetime="2026-11-24T09:14:02Z" title="2026-11-24 09:14:02.000 UTC">24 Nov 10:14:02 <span class="zone">CET</span></time>`},
		{"Europe/Berlin", true, at, `<time datetime="2026-11-24T09:14:02Z" title="2026-11-24 09:14:02.000 UTC">24 Nov 09:14:02 <span class="zone">UTC</span></time>`},
		{"<nonsense>", false, at, `<time datetime="2026-11-24T09:14:02Z" title="2026-11-24 09:14:02.000 UTC">24 Nov 09:14:02 <span class="zone">UTC</span></time>`},
		{"UTC", false, at.AddDate(-1, 0, 0), `<time datetime="2025-11-24T09:14:02Z" title="2025-11-24 09:14:02.000 UTC">24 Nov 2025 09:14 <span class="zone">UTC</span></time>`},
		{"UTC", false, time.Time{}, "–"},
	} {
		v.UTC = c.utc
		if got := string(v.Time(c.at, c.zone)); got != c.want {
			t.Errorf("%v in %s is\n%s, want\n%s", c.at, c.zone, got, c.want)
		}
	}
}
