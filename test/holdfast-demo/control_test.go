package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
)

// stage is a demo without programs: what roles are told is kept.
type stage struct {
	*demo
	office, orders bytes.Buffer
}

// newStage has two plants; only the first has a press line.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{demo: &demo{world: &world{}, until: map[broken]time.Time{}, calls: make(chan func())}}
	s.world.office = &s.office
	sites := dialect.Sites()
	slices.SortStableFunc(sites, func(a, b dialect.Site) int { return len(b.Lines) - len(a.Lines) })
	sites[1].Lines = nil
	for _, site := range sites[:2] {
		wan, err := proxy.Start("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(wan.Close)
		s.plants = append(s.plants, &plantWorld{Site: site, orders: &s.orders, wan: wan})
	}
	s.view.Plants = make([]plantView, len(s.plants))
	return s
}

// perform makes the calls of the control page until the test ends.
func (s *stage) perform(t *testing.T) {
	ended := make(chan struct{})
	go func() { // ends with the test
		for {
			select {
			case call := <-s.calls:
				call()
			case <-ended:
				return
			}
		}
	}()
	t.Cleanup(func() { close(ended) })
}

// What is broken for a time is mended once, when that time is over; by hand before that, it is not mended again.
func TestDemo_BreakFor(t *testing.T) {
	s := newStage(t)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	erp, wan := broken{keyERP, -1}, broken{keyWAN, 0}
	step := func(after time.Duration, orders int, since bool) {
		t.Helper()
		if err := s.mendDue(now.Add(after)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(s.office.String(), `"do":"erp"`); n != orders || s.since(erp).IsZero() == since {
			t.Errorf("after %s: %d orders, broken since %s", after, n, s.since(erp))
		}
	}
	for _, b := range []broken{erp, wan} {
		if said, err := s.breakFor(b, time.Minute, now); err != nil || !strings.HasSuffix(said, "; it is mended after 1m00s") {
			t.Fatalf("%q, %v", said, err)
		}
	}
	step(59*time.Second, 1, true)
	if _, err := s.breakFor(erp, time.Minute, now.Add(30*time.Second)); err != nil { // longer, not twice
		t.Fatal(err)
	}
	step(60*time.Second, 1, true)
	if !s.since(wan).IsZero() {
		t.Error("the WAN is not whole again")
	}
	step(90*time.Second, 2, false)
	step(10*time.Minute, 2, false)

	if _, err := s.breakFor(erp, time.Minute, now); err != nil {
		t.Fatal(err)
	}
	if err := s.press(keyERP); err != nil {
		t.Fatal(err)
	}
	step(time.Hour, 4, false)
	if _, err := s.breakFor(broken{keyFail, 1}, 0, now); err != nil || len(s.until) > 0 || !strings.Contains(s.orders.String(), `"do":"fail"`) {
		t.Errorf("a part that fails: %v, %v, %s", err, s.until, s.orders.String())
	}
}

func TestDemo_Known(t *testing.T) {
	s := newStage(t)
	for b, want := range map[broken]bool{
		{keyERP, -1}: true, {keyERP, 0}: false, {keyQMS, -1}: true, {keyWAN, 0}: true, {keyWAN, 2}: false, {keyWAN, -1}: false, {keyFail, 1}: true,
		{keyFreeze, 0}: true, {keyFreeze, 1}: false, {keyAgent, 1}: true, {'q', 0}: false, {0, 0}: false,
	} {
		if got := s.known(b); got != want {
			t.Errorf("%c at %d is known: %t", b.key, b.plant, got)
		}
	}
}

// newControl serves the control page of a stage, whose console is a fake that takes one log-in form.
func newControl(t *testing.T, s *stage) (c *control, logIns *int) {
	t.Helper()
	c, err := openControl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	logIns = new(int)
	console := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `<form><input type="hidden" name="token" value="form-token"></form>`)
		case r.PostFormValue("token") != "form-token" || r.PostFormValue("name") != "vera" || r.PostFormValue("password") != c.password:
			http.Error(w, "refused", http.StatusForbidden)
		default:
			*logIns++
			http.SetCookie(w, &http.Cookie{Name: "holdfast", Value: "SESSION", Path: "/"})
			http.Redirect(w, r, "/lots", http.StatusSeeOther)
		}
	}))
	c.base, c.link = console.URL, "one-time"
	server := &http.Server{Handler: c.handler(s.demo), ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(c.listener) }() // ends with the server
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		console.Close()
	})
	s.perform(t)
	return c, logIns
}

// ask sends a request that follows no redirect.
func ask(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func request(t *testing.T, method, to string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// The link logs its visitor in, once, and is nobody else's.
func TestControl_Enter(t *testing.T) {
	c, logIns := newControl(t, newStage(t))
	if says := c.says(); !strings.Contains(says, "/enter?link=one-time") {
		t.Errorf("says %q", says)
	}
	if res, _ := ask(t, request(t, http.MethodGet, c.url("enter?link=guessed"), nil)); res.StatusCode != http.StatusNotFound {
		t.Errorf("a guessed link: %d", res.StatusCode)
	}
	res, _ := ask(t, request(t, http.MethodGet, c.url("enter?link=one-time"), nil))
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != c.base+"/lots" || *logIns != 1 {
		t.Fatalf("%d to %s, %d log-ins", res.StatusCode, res.Header.Get("Location"), *logIns)
	}
	if k := res.Cookies(); len(k) != 1 || k[0].Name != "holdfast" || k[0].Value != "SESSION" || !k[0].HttpOnly || k[0].Domain != "" || k[0].Path != "/" {
		t.Errorf("cookies are %v", k)
	}
	if res, _ := ask(t, request(t, http.MethodGet, c.url("enter?link=one-time"), nil)); res.StatusCode != http.StatusNotFound || *logIns != 1 {
		t.Errorf("the second time: %d", res.StatusCode)
	}
	if res, _ := ask(t, request(t, http.MethodGet, c.url("enter?link="), nil)); res.StatusCode != http.StatusNotFound {
		t.Errorf("an empty link: %d", res.StatusCode)
	}
	if says := c.says(); strings.Contains(says, "enter") || !strings.Contains(says, c.base) {
		t.Errorf("says %q afterwards", says)
	}
}

// The page is for this machine, by its own address, and takes no form of another page.
func TestControl_Loopback(t *testing.T) {
	s := newStage(t)
	c, _ := newControl(t, s)
	foreign := request(t, http.MethodPost, c.url(""), url.Values{"key": {"e"}, "seconds": {"60"}})
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	renamed := request(t, http.MethodGet, c.url(""), nil)
	renamed.Host = "evil.example"
	guessed := request(t, http.MethodGet, "http://"+c.listener.Addr().String()+"/", nil)
	for name, x := range map[string]struct {
		r    *http.Request
		want int
	}{"foreign form": {foreign, 403}, "another name": {renamed, 403}, "without its path": {guessed, 404}} {
		if res, _ := ask(t, x.r); res.StatusCode != x.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, x.want)
		}
	}
	far := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.url(""), nil)
	far.RemoteAddr = "192.0.2.1:4711"
	w := httptest.NewRecorder()
	c.handler(s.demo).ServeHTTP(w, far)
	if w.Code != http.StatusForbidden || s.office.Len() > 0 {
		t.Errorf("another machine: %d, orders %s", w.Code, s.office.String())
	}
}

// Buttons break and mend, and the page says what is broken and until when.
func TestControl_Act(t *testing.T) {
	s := newStage(t)
	c, _ := newControl(t, s)
	page := func() string {
		t.Helper()
		res, text := ask(t, request(t, http.MethodGet, c.url(""), nil))
		if res.StatusCode != http.StatusOK || strings.Contains(text, "<script") {
			t.Fatalf("%d\n%s", res.StatusCode, text)
		}
		return text
	}
	press := func(status int, fields ...string) {
		t.Helper()
		form := url.Values{}
		for i := 0; i+1 < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		if res, text := ask(t, request(t, http.MethodPost, c.url(""), form)); res.StatusCode != status {
			t.Errorf("%v: %d, want %d: %s", fields, res.StatusCode, status, text)
		}
	}
	for _, want := range []string{"Plant " + s.plants[0].Plant, "This plant has no line", "Stop the ERPs", "for 1 min", "vera", c.password, c.base + "/fleet"} {
		if text := page(); !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	press(303, "key", "e", "plant", "-1", "seconds", "60")
	if text := page(); !strings.Contains(text, "broken for") || !strings.Contains(text, "mended in") || !strings.Contains(text, "the ERPs are stopped") {
		t.Errorf("the page does not say what is broken:\n%s", text)
	}
	press(303, "key", "e", "plant", "-1", "mend", "1")
	press(303, "key", "e", "plant", "-1", "mend", "1") // mended meanwhile: nothing is broken by it
	if text := page(); strings.Contains(text, "broken for") || strings.Count(s.office.String(), "erp") != 2 {
		t.Errorf("it is not mended, %s:\n%s", s.office.String(), text)
	}
	press(303, "key", "w", "plant", "1", "seconds", "15")
	press(303, "key", "z", "plant", "0", "seconds", "300")
	press(303, "key", "f", "plant", "0")
	for _, bad := range [][]string{
		{"key", "e", "plant", "-1", "seconds", "61"}, {"key", "e", "plant", "-1"}, {"key", "w", "plant", "2", "seconds", "60"}, {"key", "z", "plant", "1", "seconds", "60"},
		{"key", "q", "plant", "0", "seconds", "60"}, {"plant", "0", "seconds", "60"}, {"key", "w", "plant", "one", "seconds", "60"}, {"key", "wk", "plant", "0", "seconds", "60"},
	} {
		press(422, bad...)
	}
	if res, text := ask(t, request(t, http.MethodGet, c.url("control.css"), nil)); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/css") || strings.Contains(text, "url(") {
		t.Errorf("style: %d %v", res.StatusCode, res.Header)
	}
}
