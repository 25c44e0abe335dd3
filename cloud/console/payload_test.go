package console

import (
	"bytes"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

func TestPayloadOf_JSON(t *testing.T) {
	const value = `{"lot":"x","q":{"value":1.0,"unit":"lb"},"results":[{"value":"a\": b"},{"value":"7"}],"tags":["a","b"],"empty":{},"none":[]}`
	for path, want := range map[string]string{
		"q": `"q": {`, "q.unit": `"unit": "lb"`, "q.value": `"value": 1.0`, "results[0].value": `"value": "a\": b"`, "results[1].value": `"value": "7"`,
		"tags[1]": `"b"`, "empty": `"empty": {}`, "none": `"none": []`, "results[1]": `{`, "tags": `"tags": [`,
	} {
		p := payloadOf([]byte(value), []api.Fault{{Path: path}})
		if p.Kind != kindJSON || p.Cut != 0 {
			t.Fatalf("it is %+v", p)
		}
		var marked []string
		for _, l := range p.Lines {
			if l.Mark == markFault {
				marked = append(marked, l.Marked)
			}
		}
		if len(marked) != 1 || marked[0] != want {
			t.Errorf("of %s is marked %q, want %q", path, marked, want)
		}
	}
	p := payloadOf([]byte(value), []api.Fault{{Path: "q", Missing: "scale"}, {Path: "lot", Hint: true}})
	if p.Lines[2].Missing != "scale" || p.Lines[2].Mark != markFault || p.Lines[1].Mark != markHint {
		t.Errorf("lines are %+v", p.Lines[:3])
	}
	if p := payloadOf([]byte(value), []api.Fault{{Missing: "origin"}}); p.Lines[0].Missing != "origin" || p.Lines[0].Marked != "{" {
		t.Errorf("the first line is %+v", p.Lines[0])
	}
}

func TestPayloadOf_Others(t *testing.T) {
	if p := payloadOf(nil, nil); p.Kind != kindEmpty || len(p.Lines) != 0 {
		t.Errorf("nothing is %+v", p)
	}
	p := payloadOf([]byte("{\"lot\":\"x\",\r\n\"q\":\"é\",}\n"), []api.Fault{{Byte: 23}})
	if p.Kind != kindText || len(p.Lines) != 3 || p.Lines[1].Marked != "}" || p.Lines[1].Before != `"q":"é",` || p.Lines[0].Before != `{"lot":"x",` {
		t.Errorf("text is %+v", p)
	}
	if p := payloadOf([]byte("{\"q\":\"é\"é"), []api.Fault{{Byte: 11}}); p.Lines[0].Marked != "é" || p.Lines[0].After != "" {
		t.Errorf("the second byte of a character is %+v", p.Lines)
	}
	if p := payloadOf([]byte("{\"a\":\n"), []api.Fault{{Byte: 6}}); p.Lines[0].Marked != "⏎" {
		t.Errorf("the end of a line is %+v", p.Lines)
	}
	p = payloadOf([]byte("\x00\x01AB\xff<&>abcdefghij"), []api.Fault{{Byte: 5}})
	if p.Kind != kindBinary || len(p.Lines) != 2 || p.Lines[0].Marked != "ff" || !strings.HasPrefix(p.Lines[0].Before, "00000000  00 01 41 42 ") || !strings.HasSuffix(p.Lines[0].After, " ..AB.<&>abcdefgh") {
		t.Errorf("bytes are %+v", p)
	}
	if got := payloadOf(bytes.Repeat([]byte{7}, maxHex+9), nil); got.Cut != 9 || len(got.Lines) != maxHex/bytesPerLine {
		t.Errorf("%d lines, %d cut", len(got.Lines), got.Cut)
	}
	if got := payloadOf(bytes.Repeat([]byte("é"), maxPlain), nil); got.Cut != maxPlain || got.Kind != kindText {
		t.Errorf("%s with %d cut", got.Kind, got.Cut)
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	if got := payloadOf([]byte(deep), nil); got.Kind != kindText || len(pretty([]byte(deep))) != len(deep) {
		t.Errorf("what is nested too deep is %s", got.Kind)
	}
}

// Whatever a value is, all that is shown of it is of it, and what is marked stands there once.
func FuzzPayloadOf(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"x\"]"]}}`), "a.b[1]", 0)
	f.Add([]byte("{\"a\":\n}"), "", 6)
	f.Add([]byte("\x00\xff"), "", 2)
	f.Fuzz(func(t *testing.T, value []byte, path string, at int) {
		fault := api.Fault{Path: path}
		if at > 0 {
			fault = api.Fault{Byte: at}
		}
		p := payloadOf(value, []api.Fault{fault})
		marks := 0
		for _, l := range p.Lines {
			if l.Mark != "" {
				marks++
			}
		}
		if marks > 1 || p.Size != len(value) || p.Cut < 0 || p.Cut > len(value) {
			t.Errorf("%d marks, %d bytes, %d cut", marks, p.Size, p.Cut)
		}
	})
}
