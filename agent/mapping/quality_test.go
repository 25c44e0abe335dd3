package mapping

import (
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// torque returns a mapping of a press that states the quality of its values.
func torque() Config {
	c := recorded()
	c.From = From{Source: "press1", Topic: "Torque"}
	c.Event.Data["kind"], c.Event.Data["value"], c.Event.Data["unit"] = `"variable"`, "num(p.value)", `"N.m"`
	c.Event.Data["lsl"], c.Event.Data["usl"], c.Event.Data["evaluation"] = `"40"`, `"50"`, `judge(num(p.value), "40", "50")`
	c.Samples = []Sample{
		{Name: "good", Payload: `{"id":"1","lot":"L","value":45.1,"quality":"good"}`, Want: []Want{{Lot: "lot::M:L"}}},
		{Name: "bad", Payload: `{"id":"1","lot":"L","quality":"good"}`, WantError: "data.value"},
	}
	return c
}

func rated() Options {
	o := options()
	o.Sources["press1"] = Source{Quality: true}
	return o
}

func value(q source.Quality, payload string) source.Signal {
	s := message("press1", "Torque", []byte(payload))
	s.Kind, s.Transport, s.Quality, s.Status = source.KindValue, "opcua", q, 0x80320000
	return s
}

func TestMapper_Map_Doubtful(t *testing.T) {
	const payload = `{"id":"1","lot":"L","value":45.1,"quality":"bad","status":"0x80320000"}`
	for name, c := range map[string]struct {
		change     func(*Config)
		quality    source.Quality
		evaluation event.Evaluation // "" = quarantined
		want       string           // the reason
		skipped    int
	}{
		"Good":            {func(*Config) {}, source.Good, event.Pass, "", 0},
		"Bad":             {func(*Config) {}, source.Bad, "", "calls the value bad (status 0x80320000), and the mapping does not look at that", 0},
		"Uncertain":       {func(*Config) {}, source.Uncertain, "", "calls the value uncertain", 0},
		"Stale":           {func(*Config) {}, source.Stale, "", "calls the value stale", 0},
		"JudgedElsewhere": {func(c *Config) { c.Event.Data["evaluation"] = `"none"` }, source.Bad, "", "does not look at that", 0},
		"LookedAtAndNotRated": {func(c *Config) {
			c.Event.Data["evaluation"] = `p.quality == "good" ? judge(num(p.value), "40", "50") : "none"`
		}, source.Bad, event.NotEvaluated, "", 0},
		"LookedAtByStatus": {func(c *Config) {
			c.Event.Data["evaluation"] = `sig.status == 0 ? judge(num(p.value), "40", "50") : "none"`
		}, source.Uncertain, event.NotEvaluated, "", 0},
		"LookedAtAndLeft":   {func(c *Config) { c.When = `sig.quality == "good"` }, source.Bad, "", "", 1},
		"LookedAtAndJudged": {func(c *Config) { c.When = `sig.quality != "stale"` }, source.Bad, "", "judge: its source calls the value bad", 0},
		"LookedAtAndPassed": {func(c *Config) {
			c.Event.Data["evaluation"] = `sig.quality == "stale" ? "none" : "pass"`
		}, source.Bad, "", "nothing passes by it", 0},
		"FailsAllTheSame": {func(c *Config) {
			c.Event.Data["evaluation"] = `sig.quality == "good" ? "pass" : "fail"`
		}, source.Bad, event.Fail, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := torque()
			c.change(&cfg)
			r := compile(t, []Config{cfg}, rated()).Map(value(c.quality, payload), View{})
			if c.want != "" {
				code, text := reason(t, r)
				if len(r.Events) != 0 || !strings.Contains(text, c.want) || code != CodeQuality && !strings.Contains(text, "judge") {
					t.Errorf("%d events, quarantined by %s: %s; want %q", len(r.Events), code, text, c.want)
				}
				if q := r.Quarantine.Data.(*event.RecordQuarantined); q.Lot != "lot::M:L" {
					t.Errorf("the record concerns %q, so that other lots wait for it", q.Lot)
				}
				return
			}
			if r.Quarantine != nil || r.Skipped != c.skipped || len(r.Events) != 1-c.skipped {
				t.Fatalf("%d events, %d skipped, quarantine %v", len(r.Events), r.Skipped, r.Quarantine)
			}
			if c.skipped == 0 && r.Events[0].Data.(*event.CharacteristicRecorded).Evaluation != c.evaluation {
				t.Errorf("evaluation %s, want %s", r.Events[0].Data.(*event.CharacteristicRecorded).Evaluation, c.evaluation)
			}
		})
	}
}

// TestMapper_Map_DoubtfulMessage shows that a message, whose broker rates nothing, is as good as its payload says.
func TestMapper_Map_DoubtfulMessage(t *testing.T) {
	cfg := torque()
	sig := value(source.Uncertain, `{"id":"1","lot":"L","value":45.1}`)
	sig.Kind = source.KindMessage
	if r := compile(t, []Config{cfg}, rated()).Map(sig, View{}); len(r.Events) != 1 || r.Quarantine != nil {
		t.Errorf("%d events, quarantine %v", len(r.Events), r.Quarantine)
	}
}

// TestMapper_Map_DoubtfulSample shows that telemetry carries what is bad: it judges nothing.
func TestMapper_Map_DoubtfulSample(t *testing.T) {
	cfg := sampled()
	cfg.From, cfg.Event.Data["equipment"], cfg.Event.Data["value"], cfg.Event.Data["status"] = From{Source: "press1", Topic: "Torque"}, `"press1"`, "p.value", "p.quality"
	r := compile(t, []Config{cfg}, rated()).Map(value(source.Bad, `{"value":45.1,"quality":"bad"}`), View{})
	if len(r.Events) != 1 || r.Quarantine != nil {
		t.Errorf("%d events, quarantine %v", len(r.Events), r.Quarantine)
	}
}

func TestMapper_Map_DoubtfulState(t *testing.T) {
	for name, c := range map[string]struct {
		good string
		kept bool
	}{
		"BadUnlessSaid":   {"", false},
		"GoodOfElse":      {"p.value > 0", false},
		"LookedAtAndGood": {`sig.quality != "stale"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Name: "tag", Version: 1, From: From{Source: "press1", Topic: "Torque"}, Remember: []Remember{{Tag: `"torque"`, Value: "p.value", Good: c.good}}}
			r := compile(t, []Config{cfg}, rated()).Map(value(source.Uncertain, `{"value":45.1}`), View{})
			if r.Quarantine != nil || len(r.Changes) != 1 || r.Changes[0].Good != c.kept {
				t.Errorf("changes %+v, quarantine %v", r.Changes, r.Quarantine)
			}
		})
	}
}

// TestCompile_DoubtfulSample shows that samples meet the rule, too.
func TestCompile_DoubtfulSample(t *testing.T) {
	cfg := torque()
	cfg.Samples = append(cfg.Samples,
		Sample{Name: "a bad sensor", Payload: `{"id":"1","lot":"L","value":45.1,"quality":"bad"}`, WantError: "quality"})
	compile(t, []Config{cfg}, rated())
	cfg.Samples[2] = Sample{Name: "a bad sensor", Payload: cfg.Samples[2].Payload, Want: []Want{{Data: map[string]any{"evaluation": "pass"}}}}
	_, errs := Compile([]Config{cfg}, rated())
	if len(errs) != 1 || errs[0].Code != CodeSample || errs[0].Sample != "a bad sensor" || !strings.Contains(errs[0].Message, "calls the value bad") {
		t.Errorf("errors %v", errs)
	}
}
