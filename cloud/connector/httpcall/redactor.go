package httpcall

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// maxHidden bounds how many secrets are remembered: the fixed ones and the last session tokens.
const maxHidden = 256

// redactor replaces secrets in texts. It is safe for concurrent use.
type redactor struct {
	mu    sync.RWMutex // guards forms
	forms []string
}

// add hides secrets as they are and in the encodings in which an answer or a URL may show them.
func (r *redactor) add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if s == "" || slices.Contains(r.forms, s) {
			continue
		}
		r.forms = append(r.forms, s)
		quoted, _ := json.Marshal(s) // a string always encodes
		for _, form := range []string{
			base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)),
			url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(quoted), `"`),
		} {
			if !slices.Contains(r.forms, form) {
				r.forms = append(r.forms, form)
			}
		}
	}
	if over := len(r.forms) - maxHidden; over > 0 {
		keep := maxHidden / 2 // the first are the fixed ones
		r.forms = slices.Delete(r.forms, keep, keep+over)
	}
}

// clean returns text without any of the secrets. A nil redactor, that of an answer that no call gave, knows none.
func (r *redactor) clean(text string) string {
	if r == nil {
		return text
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, form := range r.forms {
		if strings.Contains(text, form) {
			text = strings.ReplaceAll(text, form, "(secret)")
		}
	}
	return text
}
