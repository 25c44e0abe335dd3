package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

func TestExplain(t *testing.T) {
	r := call(t, "", nil, "explain", "E-6305")
	if r.code != cli.ExitOK || r.err != "" {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	golden(t, "explain-one.txt", r.out)
	r = call(t, "", nil, "explain")
	if r.code != cli.ExitOK || r.err != "" {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	for _, page := range cli.Pages() {
		if !strings.Contains(r.out, "\n"+string(page.Code)+"   "+page.Title) {
			t.Errorf("%s is not listed", page.Code)
		}
	}
	var page cli.Page
	if r = call(t, "", nil, "explain", "2101", "-o", "json"); json.Unmarshal([]byte(r.out), &page) != nil || page.Code != "E-2101" || page.Next == "" {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
	if r = call(t, "", nil, "explain", "E-2199"); r.code != cli.ExitUsage || !strings.Contains(r.err, "without a code") {
		t.Errorf("a code that is none: exit %d: %s", r.code, r.err)
	}
}

// TestExplain_EveryCode explains each code that stands anywhere in the programs' own text.
func TestExplain_EveryCode(t *testing.T) {
	code := regexp.MustCompile(`\bE-[1-9][0-9]{3}\b`)
	seen := map[string]string{}
	for _, dir := range []string{"agent", "cloud", "pkg", "deploy"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".md") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, c := range code.FindAllString(string(text), -1) {
				seen[c] = path
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if len(seen) < 50 {
		t.Fatalf("only %d codes were found", len(seen))
	}
	for c, path := range seen {
		if _, err := cli.ParseCode(c); err != nil {
			t.Errorf("%s names %s, which has no page", path, c)
		}
	}
}

func TestComplete(t *testing.T) {
	p := everyone(t)
	socket := serve(t, &fake{lots: []localapi.Lot{{Lot: "lot::MAT-100:L-1"}, {Lot: "lot::MAT-100:L-2"}, {Lot: "lot::MAT-200:L-1"}}})
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"Verbs":     {[]string{"ce"}, []string{"cert\tcertificates"}},
		"Codes":     {[]string{"explain", "E-51"}, []string{"E-5101\ttwo gateways"}},
		"OneCode":   {[]string{"explain", "E-5101", ""}, nil},
		"Waiting":   {[]string{"--config", p.configFile, "cert", "trust", ""}, []string{thumbOf(t, "server.der") + "\trejected urn:example:press1", thumbOf(t, "server-expired.der") + "\trejected"}},
		"Any":       {[]string{"--config", p.configFile, "cert", "show", thumbOf(t, "own.der")[:4]}, []string{thumbOf(t, "own.der") + "\town urn:holdfast:p1:gw1"}},
		"Lots":      {[]string{"--socket", socket, "lot", "show", "lot::MAT-100"}, []string{"lot::MAT-100:L-1", "lot::MAT-100:L-2"}},
		"NoAgent":   {[]string{"--socket", "/nowhere/agent.sock", "lot", "show", ""}, nil},
		"Format":    {[]string{"status", "-o", ""}, []string{"table", "json"}},
		"Lane":      {[]string{"queue", "replay", "--lane", "t"}, []string{"telemetry"}},
		"Qualities": {[]string{"tap", "--quality", "quar"}, []string{"quarantined"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := call(t, "", nil, append([]string{"__complete"}, c.args...)...)
			lines := strings.Split(strings.TrimSpace(r.out), "\n")
			got := lines[:len(lines)-1] // the last one tells the shell not to add files
			if r.code != cli.ExitOK || lines[len(lines)-1] != ":4" || len(got) != len(c.want) {
				t.Fatalf("exit %d: %q: want %q", r.code, lines, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(r.out, want) {
					t.Errorf("%q does not offer %q", r.out, want)
				}
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := call(t, "", nil, "completion", shell); r.code != cli.ExitOK || !strings.Contains(r.out, "holdfast-agent") {
			t.Errorf("%s: exit %d: %.200s", shell, r.code, r.err)
		}
	}
}
