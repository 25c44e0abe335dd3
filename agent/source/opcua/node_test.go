package opcua

import (
	"strings"
	"testing"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

func TestParseNode(t *testing.T) {
	for text, want := range map[string]string{
		"nsu=urn:example:plant:line1;s=Line1.Torque":       "nsu=urn:example:plant:line1;s=Line1.Torque",
		"nsu=http://vendor.com/UA/;i=5001":                 "nsu=http://vendor.com/UA/;i=5001",
		"nsu=urn:x;s=a;b=c":                                "nsu=urn:x;s=a;b=c",
		"nsu=urn:x;b=AQID":                                 "nsu=urn:x;b=AQID",
		"nsu=urn:x;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63": "nsu=urn:x;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
		"i=2258":      "i=2258",
		"ns=0;i=2258": "i=2258",
		"nsu=http://opcfoundation.org/UA/;i=2258": "i=2258",
		"":                       "!is empty",
		"ns=3;s=Line1":           "!did you mean nsu=<uri>;s=Line1, with the URI at place 3",
		"nsu=;s=Line1":           "!no namespace URI",
		"nsu=urn:x;Line1":        "!is no node",
		"nsu=urn:x;i=-1":         "!want 0 to 4294967295",
		"nsu=urn:x;i=4294967296": "!want 0 to 4294967295",
		"nsu=urn:x;g=xyz":        "!no GUID",
		"nsu=urn:x;b=!":          "!no base64",
		"nsu=urn:x;q=1":          "!want i, s, g or b",
		"urn:x;s=1":              "!is no node",
		"nsu=urn:x;s=" + strings.Repeat("x", 5000): "!4096 at most",
	} {
		n, err := parseNode(text)
		reason, bad := strings.CutPrefix(want, "!")
		switch {
		case bad && (err == nil || !strings.Contains(err.Error(), reason)):
			t.Errorf("parseNode(%.60q) gives %v, %v, want an error with %q", text, n, err, reason)
		case !bad && (err != nil || n.String() != want):
			t.Errorf("parseNode(%q) gives %v, %v, want %s", text, n, err, want)
		}
	}
}

func TestSpaces_Resolve(t *testing.T) {
	s := spaces{namespaceUA, "urn:server", "urn:example:plant:pressline1"}
	n, _ := parseNode("nsu=urn:example:plant:pressline1;s=Line1.Torque")
	id, err := s.resolve(n)
	if err != nil || id.String() != "ns=2;s=Line1.Torque" || s.name(id) != n.String() {
		t.Errorf("resolved to %v, %v, named %s", id, err, s.name(id))
	}
	n, _ = parseNode("nsu=urn:example:plant:presslin1;s=Line1.Torque")
	if _, err = s.resolve(n); err == nil || !strings.Contains(err.Error(), `did you mean "urn:example:plant:pressline1"?`) {
		t.Errorf("got %v, want the nearest namespace", err)
	}
	n, _ = parseNode("nsu=http://other;s=Line1.Torque")
	if _, err = s.resolve(n); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("got %v, want no guess", err)
	}
	if name := s.name(ua.NewNumericNodeID(9, 1)); name != "ns=9;i=1" {
		t.Errorf("node of an unknown namespace is named %s", name)
	}
}

func FuzzParseNode(f *testing.F) {
	for _, seed := range []string{"nsu=urn:x;s=a", "i=1", "ns=0;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", ";;;", "nsu=;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNode(text)
		if err != nil {
			return
		}
		again, err := parseNode(n.String())
		if err != nil || again != n {
			t.Errorf("%q is %q, which reads as %v, %v", text, n, again, err)
		}
	})
}

func TestStatus(t *testing.T) {
	for status, want := range map[ua.StatusCode]struct {
		quality  source.Quality
		overflow bool
		name     string
	}{
		0:          {source.Good, false, "Good (0x00000000)"},
		0x480:      {source.Good, true, "Good (0x00000000)"},
		0x40900480: {source.Uncertain, true, "UncertainLastUsableValue (0x40900000)"},
		0x808C0000: {source.Bad, false, "BadSensorFailure (0x808C0000)"},
		0xC0000000: {source.Bad, false, "0xC0000000"},
		0x80:       {source.Good, false, "Good (0x00000000)"}, // the overflow bit says nothing without the type of the info
		0x80340000: {source.Bad, false, "BadNodeIdUnknown (0x80340000)"},
	} {
		if q, o, n := quality(status), overflowed(status), statusName(status); q != want.quality || o != want.overflow || n != want.name {
			t.Errorf("%#x: %s, overflow %t, %s, want %+v", uint32(status), q, o, n, want)
		}
	}
}
