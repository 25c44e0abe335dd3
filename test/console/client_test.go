package console

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"
	"time"
)

// client is a visitor without a browser, for what no test is about.
type client struct {
	h      *house
	http   *http.Client
	tokens []string // of the forms that it sent
}

func (h *house) client() *client {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &client{h: h, http: &http.Client{Jar: jar, Timeout: time.Minute}}
}

// get returns a page's status and text.
func (c *client) get(path string) (status int, text string) {
	c.h.t.Helper()
	res, err := c.http.Get(c.h.base + path)
	if err != nil {
		c.h.t.Fatal(err)
	}
	return res.StatusCode, read(c.h.t, res)
}

func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	tokenPattern = regexp.MustCompile(`name="token" value="([^"]+)"`)
	linksPattern = regexp.MustCompile(`href="(/[^"]+)"`)
)

// post sends a form that stands on a page, and follows where it leads. Fields are names and values.
func (c *client) post(page, path string, fields ...string) {
	c.h.t.Helper()
	status, text := c.submit(page, path, fields...)
	if status != http.StatusOK {
		c.h.t.Fatalf("%s answers %d: %s", path, status, text)
	}
}

// submit is like post for a form that may be refused.
func (c *client) submit(page, path string, fields ...string) (status int, text string) {
	c.h.t.Helper()
	_, text = c.get(page)
	m := tokenPattern.FindStringSubmatch(text)
	if m == nil {
		c.h.t.Fatalf("page %s has no form: %s", page, text)
	}
	c.tokens = append(c.tokens, m[1])
	form := url.Values{"token": {m[1]}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	res, err := c.http.PostForm(c.h.base+path, form)
	if err != nil {
		c.h.t.Fatal(err)
	}
	return res.StatusCode, read(c.h.t, res)
}

func (c *client) logIn(p person) {
	c.h.t.Helper()
	c.post("/login", "/login", "name", p.name, "password", p.password)
}
