package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed words/*.json
var wordFiles embed.FS

// words are all texts of the pages in one language, by key. A key ending in .one is taken for a count of one.
type words map[string]string

func readWords(language string) (words, error) {
	b, err := wordFiles.ReadFile("words/" + language + ".json")
	if err != nil {
		return nil, err
	}
	w := words{}
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("words of language %s: %w", language, err)
	}
	return w, nil
}

// text returns a text, with args put in like [fmt.Sprintf] does.
func (w words) text(key string, args ...any) (string, error) {
	s, ok := w[key]
	if !ok {
		return "", fmt.Errorf("there is no text %q", key)
	}
	if len(args) > 0 {
		s = fmt.Sprintf(s, args...)
	}
	return s, nil
}

// count returns the text for a number of things.
func (w words) count(key string, n int64) (string, error) {
	if _, ok := w[key+".one"]; ok && n == 1 {
		key += ".one"
	}
	if !strings.Contains(w[key], "%") {
		return w.text(key)
	}
	return w.text(key, digits(n))
}

// digits writes a number with commas between thousands.
func digits(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
