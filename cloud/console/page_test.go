package console

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// sources returns the text of all files of the package that may name a word.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		b, err := templateFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// TestWords_Complete: a template that names a word which does not exist fails when somebody sees it, so it fails here.
func TestWords_Complete(t *testing.T) {
	w, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	text := sources(t)
	for _, m := range regexp.MustCompile(`[.$](?:T|N) "([a-z0-9_.]+)"`).FindAllStringSubmatch(text, -1) {
		if w[m[1]] == "" {
			t.Errorf("there is no text %q", m[1])
		}
	}
	for key := range w {
		list, _, _ := strings.Cut(key, ".")
		base := strings.TrimSuffix(key, ".one")
		used := strings.Contains(text, `"`+base+`"`) || strings.Contains(text, `Word "`+list+`"`) || strings.Contains(text, `(print "`+key[:strings.LastIndexByte(key, '.')+1]+`"`)
		if !used && !usedByCode(key) {
			t.Errorf("nothing uses the text %q", key)
		}
		if base != key && w[base] == "" {
			t.Errorf("text %q has no form for many", key)
		}
	}
}

// usedByCode names the lists of words that are not looked up by a template.
func usedByCode(key string) bool {
	list, _, _ := strings.Cut(key, ".")
	switch list {
	case "did", "who", "release", "usage", "verdict", "effectstate", "outcome", "stage", "decision", "hearing", "clock", "certificates", "source", "letter", "switch", "link", "anchor", "act", "object", "next":
		return true
	}
	switch key {
	case "login.title", "first.title", "account.title", "board.title", "search.title", "lot.title", "users.title", "fleet.title", "plant.title",
		"exceptions.title", "exceptions.cause_title", "exception.title", "systems.title", "system.title", "audit.title":
		return true
	}
	return false
}

func TestWords_Count(t *testing.T) {
	w := words{"a": "%s things", "a.one": "one thing", "b": "%s"}
	for _, c := range []struct {
		key  string
		n    int64
		want string
	}{{"a", 0, "0 things"}, {"a", 1, "one thing"}, {"a", 2, "2 things"}, {"b", 1, "1"}, {"b", 1234567, "1,234,567"}, {"b", -1234, "-1,234"}, {"b", 123, "123"}} {
		if got, err := w.count(c.key, c.n); err != nil || got != c.want {
			t.Errorf("%s of %d is %q, %v, want %q", c.key, c.n, got, err, c.want)
		}
	}
	if _, err := w.text("c"); err == nil {
		t.Error("a text that does not exist is no error")
	}
}

// TestAssets_Vendored: what others wrote is what they published.
func TestAssets_Vendored(t *testing.T) {
	sums, err := staticFiles.ReadFile("static/vendor/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(sums)); lines.Scan(); {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		b, err := staticFiles.ReadFile("static/vendor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what was published", name)
		}
		known[name] = true
	}
	files, err := fs.Glob(staticFiles, "static/vendor/*.js")
	if err != nil || len(files) != len(known) || len(files) == 0 {
		t.Errorf("files %v, sums of %v, %v", files, known, err)
	}
	for _, file := range files {
		name := strings.TrimPrefix(file, "static/vendor/")
		licence := "static/vendor/" + name[:strings.LastIndexByte(name[:strings.IndexByte(name, '.')], '-')] + "-LICENSE"
		if _, err := staticFiles.ReadFile(licence); err != nil {
			t.Errorf("%s has no licence: %v", name, err)
		}
	}
}

// TestPages_NoForeignHost: no page names an address of another host, and none has a script or style of its own, which
// the policy would refuse.
func TestPages_NoForeignHost(t *testing.T) {
	css, err := staticFiles.ReadFile("static/console.css")
	if err != nil {
		t.Fatal(err)
	}
	js, err := staticFiles.ReadFile("static/console.js")
	if err != nil {
		t.Fatal(err)
	}
	text := sources(t)
	for _, all := range []string{text, string(css), string(js)} {
		if m := regexp.MustCompile(`(https?:)?//[a-z0-9.]+\.[a-z]+|@import|url\(`).FindString(all); m != "" {
			t.Errorf("a page names %q", m)
		}
	}
	if m := regexp.MustCompile(`\sstyle=|\son[a-z]+=|<script>|<style`).FindString(text); m != "" {
		t.Errorf("a template has %q", m)
	}
	if lines := strings.Count(string(js), "\n"); lines >= 300 {
		t.Errorf("the own script has %d lines", lines)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{"": false, "gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0": false, "br": false, "xgzip": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", header)
		if acceptsGzip(r) != want {
			t.Errorf("%q: %t", header, !want)
		}
	}
}

func FuzzVisit_Back(f *testing.F) {
	for _, s := range []string{"/base/lots", "//evil", "/base//evil", `/base/\evil`, "https://evil/base/", "/base/lots?x=//y", "/basement", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, to string) {
		v := &visit{c: &Console{cfg: Config{BasePath: "/base"}}}
		got := v.back(to)
		if !strings.HasPrefix(got, "/base/") || strings.ContainsAny(got, "\r\n\\") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}
