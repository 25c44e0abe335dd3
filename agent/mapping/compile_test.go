package mapping

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// sampled returns a mapping to telemetry, which needs neither key nor samples.
func sampled() Config {
	return Config{
		Name: "sampled", Version: 1, From: From{Topic: "{site}/{press}/value"},
		Event: Event{
			Type: string(event.TypeValueSampled),
			Data: map[string]any{"equipment": "t.press", "signal": `"torque"`, "value": "string(p)", "unit": `"N.m"`, "status": `"good"`},
		},
	}
}

// recorded returns a mapping to lane quality with its samples.
func recorded() Config {
	return Config{
		Name: "recorded", Version: 1, From: From{Topic: "{site}/{press}/result"},
		Event: Event{
			Type: string(event.TypeCharacteristicRecorded), Lot: `lot("", "M", p.lot)`, Key: []any{"p.id"},
			Data: map[string]any{
				"inspection_id": `id("inspection", p.id)`, "characteristic": `"torque"`, "sample_no": json.Number("1"),
				"kind": `"attribute"`, "value": "p.value", "evaluation": `"pass"`, "measured_at": "sig.arrived",
			},
		},
		Samples: []Sample{
			{Name: "good", Payload: `{"id":"1","lot":"L","value":"OK"}`, Want: []Want{{Lot: "lot::M:L"}}},
			{Name: "bad", Payload: `{"id":"1","value":"OK"}`, WantError: "lot"},
		},
	}
}

func TestCompile(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		compile(t, []Config{sampled(), recorded()}, options())
	})
	for name, c := range map[string]struct {
		change     func(*Config)
		path, code string
		want       string
	}{
		"ErrName":             {func(c *Config) { c.Name = "Press 4" }, "name", CodeInvalid, "a-z"},
		"ErrNameTwice":        {func(c *Config) { c.Name = "sampled" }, "name", CodeInvalid, "twice"},
		"ErrVersion":          {func(c *Config) { c.Version = 0 }, "version", CodeInvalid, "from 1"},
		"ErrSource":           {func(c *Config) { c.From.Source = "mess" }, "from.source", CodeInvalid, "no source"},
		"ErrDecode":           {func(c *Config) { c.Decode = "xml" }, "decode", CodeInvalid, "json or text"},
		"ErrOnError":          {func(c *Config) { c.OnError = "drop" }, "on_error", CodeInvalid, "quarantine"},
		"ErrTopicEmpty":       {func(c *Config) { c.From.Topic = "" }, "from.topic", CodeInvalid, "is empty"},
		"ErrTopicHash":        {func(c *Config) { c.From.Topic = "a/#/b" }, "from.topic", CodeInvalid, "# before its end"},
		"ErrTopicCapture":     {func(c *Config) { c.From.Topic = "a/x{line}" }, "from.topic", CodeInvalid, "whole level"},
		"ErrTopicTwice":       {func(c *Config) { c.From.Topic = "{press}/{press}" }, "from.topic", CodeInvalid, "twice"},
		"ErrType":             {func(c *Config) { c.Event.Type = "quality.characteristic.recorded.v9" }, "event.type", CodeInvalid, "it knows quality.characteristic.recorded.v1"},
		"ErrTypeMissing":      {func(c *Config) { c.Event.Type = "" }, "event.type", CodeInvalid, "no type"},
		"ErrTypeOfAgent":      {func(c *Config) { c.Event.Type = string(event.TypeGapRecorded) }, "event.type", CodeInvalid, "not made by mappings"},
		"ErrUnknownName":      {func(c *Config) { c.Event.Data["value"] = "rwo.v" }, "event.data.value", CodeInvalid, "unknown name rwo"},
		"ErrConstantQuoted":   {func(c *Config) { c.Event.Data["kind"] = "attribute" }, "event.data.kind", CodeInvalid, `'"attribute"'`},
		"ErrSyntax":           {func(c *Config) { c.Event.Data["value"] = "p.(" }, "event.data.value", CodeInvalid, "expected name"},
		"ErrCapture":          {func(c *Config) { c.Event.Data["equipment"] = "t.line" }, "event.data.equipment", CodeInvalid, "line"},
		"ErrClock":            {func(c *Config) { c.Event.Data["measured_at"] = "now()" }, "event.data.measured_at", CodeInvalid, "unknown name now"},
		"ErrArithmetic":       {func(c *Config) { c.Event.Data["value"] = "p.value * 2" }, "event.data.value", CodeInvalid, "use add, sub, mul or div"},
		"ErrNegation":         {func(c *Config) { c.Event.Data["value"] = "-p.value" }, "event.data.value", CodeInvalid, "sub(0, x)"},
		"ErrMethod":           {func(c *Config) { c.Event.Data["value"] = "p.value.String()" }, "event.data.value", CodeInvalid, "only functions"},
		"ErrTooLarge":         {func(c *Config) { c.Event.Data["value"] = strings.Repeat("p.value ?? ", 600) + "p.value" }, "event.data.value", CodeInvalid, "nodes"},
		"ErrZone":             {func(c *Config) { c.Event.Time = `layout(p.t, "15:04", "Europe/Nowhere")` }, "event.time", CodeInvalid, "no time zone"},
		"ErrTable":            {func(c *Config) { c.Event.Data["value"] = `lookup("nope", p.value)` }, "event.data.value", CodeInvalid, "no table"},
		"ErrMaxAge":           {func(c *Config) { c.Event.Data["value"] = `state("Lot", "soon")` }, "event.data.value", CodeInvalid, "max_age"},
		"ErrMember":           {func(c *Config) { c.Event.Data["sampleNo"] = "1" }, "event.data.sampleNo", CodeInvalid, `did you mean "sample_no"`},
		"ErrMemberRequired":   {func(c *Config) { delete(c.Event.Data, "characteristic") }, "event.data.characteristic", CodeInvalid, "the type requires it"},
		"ErrMemberObject":     {func(c *Config) { c.Event.Data["value"] = map[string]any{"a": "1"} }, "event.data.value", CodeInvalid, "no expression"},
		"ErrLotInData":        {func(c *Config) { c.Event.Data["lot"] = `"x"` }, "event.data.lot", CodeInvalid, "event.lot"},
		"ErrLotMissing":       {func(c *Config) { c.Event.Lot = "" }, "event.lot", CodeInvalid, "the type requires it"},
		"ErrKeyMissing":       {func(c *Config) { c.Event.Key = nil }, "event.key", CodeKey, "no key"},
		"ErrKeyText":          {func(c *Config) { c.Event.Key = "p.id" }, "event.key", CodeKey, "a list of expressions"},
		"ErrKeyEmpty":         {func(c *Config) { c.Event.Key = []any{} }, "event.key", CodeKey, "empty"},
		"ErrKeyOfArrival":     {func(c *Config) { c.Event.Key = []any{"p.id", "sig.arrived"} }, "event.key[1]", CodeKey, "time of arrival"},
		"ErrArrivalWithState": {func(c *Config) { c.Event.Key, c.Event.Lot = "arrival", `lot("", "M", state("Lot", "8h"))` }, "event.lot", CodeKey, "another lot"},
		"ErrCause":            {func(c *Config) { c.Event.Cause = "nobody" }, "event.cause", CodeInvalid, "earlier mapping"},
		"ErrCauseOtherRows":   {func(c *Config) { c.Event.Cause = "sampled" }, "event.cause", CodeInvalid, "its rows are not ours"},
		"ErrNoSamples":        {func(c *Config) { c.Samples = nil }, "samples", CodeSample, "want_error"},
		"ErrNoBadSample":      {func(c *Config) { c.Samples = c.Samples[:1] }, "samples", CodeSample, "want_error"},
		"ErrSampleLot":        {func(c *Config) { c.Samples[0].Want[0].Lot = "lot::M:X" }, "samples[0].want[0].lot", CodeSample, `lot is "lot::M:L"`},
		"ErrSampleData": {func(c *Config) { c.Samples[0].Want[0].Data = map[string]any{"sample_no": json.Number("2")} },
			"samples[0].want[0].data.sample_no", CodeSample, `"1": the sample wants "2"`},
		"ErrSampleFails":    {func(c *Config) { c.Samples[0].Payload = "{" }, "samples[0]", CodeSample, "fails: decode"},
		"ErrSampleNotBad":   {func(c *Config) { c.Samples[1].Payload = c.Samples[0].Payload }, "samples[1].want_error", CodeSample, "does not fail"},
		"ErrSampleCount":    {func(c *Config) { c.When = "p.skip == nil"; c.Samples[0].Payload = `{"skip":1}` }, "samples[0].want", CodeSample, "gives 0 events"},
		"ErrSampleInvalid":  {func(c *Config) { c.Samples[0].Payload = `{"id":"1","lot":"L","value":""}` }, "samples[0]", CodeSample, "characters"},
		"ErrRememberNoTag":  {func(c *Config) { c.Remember = []Remember{{Value: "p"}} }, "remember[0].tag", CodeInvalid, "tag is missing"},
		"ErrSampleBothWant": {func(c *Config) { c.Samples[0].WantError = "lot" }, "samples[0]", CodeSample, "both"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := recorded()
			c.change(&bad)
			m, errs := Compile([]Config{sampled(), bad}, options())
			if m != nil {
				t.Error("a mapper was made")
			}
			i := slices.IndexFunc(errs, func(e *Error) bool {
				return e.Path == "mappings[1]."+c.path && e.Code == c.code && strings.Contains(e.Message, c.want)
			})
			if i < 0 {
				t.Errorf("errors are %v, want one at %s with %s and %q", errs, c.path, c.code, c.want)
			}
		})
	}
}

func TestCompile_NamesAllErrorsAtOnce(t *testing.T) {
	bad := recorded()
	bad.Version, bad.Event.Key = 0, nil
	bad.Event.Data["value"], bad.Event.Data["kind"] = "x", "y"
	if _, errs := Compile([]Config{bad}, options()); len(errs) != 4 {
		t.Errorf("%d errors, want 4: %v", len(errs), errs)
	}
}

func TestCompile_KeyArrival(t *testing.T) {
	c := recorded()
	c.Event.Key = "arrival"
	t.Run("OK", func(t *testing.T) {
		m := compile(t, []Config{sampled(), c}, options())
		if got := m.Arrival(); !slices.Equal(got, []string{"recorded"}) {
			t.Errorf("Arrival() = %v", got)
		}
		r := m.Map(message("mes", "p1/press4/result", []byte(`{"id":"1","lot":"L","value":"OK"}`)), View{})
		if len(r.Events) != 1 || r.Events[0].ID != "" {
			t.Errorf("result is %+v, want one event without id", r)
		}
	})
	t.Run("ErrStandby", func(t *testing.T) {
		opts := options()
		opts.Standby = true
		_, errs := Compile([]Config{c}, opts)
		if len(errs) != 1 || errs[0].Code != CodeKey {
			t.Errorf("errors are %v, want %s", errs, CodeKey)
		}
	})
}

func TestMapper_Lane(t *testing.T) {
	from := func(c Config, source string) Config {
		c.Name, c.From.Source = c.Name+source, source
		return c
	}
	opts := options()
	opts.Sources = nil // any id
	for name, c := range map[string]struct {
		configs []Config
		want    event.Lane
	}{
		"sampled values only":                  {[]Config{from(sampled(), "press")}, event.LaneTelemetry},
		"no mapping: all of it is quarantined": {[]Config{from(sampled(), "mes")}, event.LaneQuality},
		"both":                                 {[]Config{from(sampled(), "press"), from(recorded(), "press")}, event.LaneQuality},
		"a mapping of all sources":             {[]Config{from(sampled(), "press"), recorded()}, event.LaneQuality},
	} {
		if got := compile(t, c.configs, opts).Lane("press"); got != c.want {
			t.Errorf("%s: lane is %s, want %s", name, got, c.want)
		}
	}
}
