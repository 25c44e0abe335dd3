package httpcall_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = quiet()
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, cfg httpcall.Config) *httpcall.Client {
	t.Helper()
	cfg.Random = func() float64 { return 0 }
	c, err := httpcall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func do(t *testing.T, c *httpcall.Client, method string) httpcall.Answer {
	t.Helper()
	req := httpcall.Request{Method: method, Path: "/x"}
	if method != http.MethodGet && method != http.MethodHead {
		req.Body = []byte(`{"a":1}`)
	}
	return c.Do(t.Context(), req)
}

func TestClient_Do_Tries(t *testing.T) {
	cut := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	later := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, c := range []struct {
		name    string
		method  string
		answer  func(http.ResponseWriter)
		tries   int32
		outcome event.Outcome
	}{
		{"a read is tried again after a cut connection", "GET", cut, 3, event.RetryLater},
		{"a read is tried again after 502", "GET", status(502), 3, event.RetryLater},
		{"a read is tried again after 500", "HEAD", status(500), 3, event.RetryLater},
		{"a read waits for who says when", "GET", later, 1, event.RetryLater},
		{"a throttled read is not tried again", "GET", status(429), 1, event.RetryLater},
		{"a refused read is not tried again", "GET", status(404), 1, event.Rejected},
		{"a POST is tried once when its connection is cut", "POST", cut, 1, event.Unknown},
		{"a PATCH is tried once when its connection is cut", "PATCH", cut, 1, event.Unknown},
		{"a POST is tried once after 500, and may have taken place", "POST", status(500), 1, event.Unknown},
		{"a POST is tried once after 502, and may have taken place", "POST", status(502), 1, event.Unknown},
		{"a POST is tried once after 503, which says it did not", "POST", status(503), 1, event.RetryLater},
		{"a POST is tried once after 504, and may have taken place", "POST", status(504), 1, event.Unknown},
		{"a POST after 408 may have taken place", "POST", status(408), 1, event.Unknown},
		{"409 is a conflict", "POST", status(409), 1, event.Conflict},
		{"412 is a conflict", "PATCH", status(412), 1, event.Conflict},
		{"428 is a conflict", "PATCH", status(428), 1, event.Conflict},
		{"423 is tried later", "PATCH", status(423), 1, event.RetryLater},
		{"400 is refused", "POST", status(400), 1, event.Rejected},
		{"422 is refused", "POST", status(422), 1, event.Rejected},
		{"501 is refused", "POST", status(501), 1, event.Rejected},
		{"403 stops the target", "POST", status(403), 1, event.RetryLater},
		{"204 is acknowledged", "PATCH", status(204), 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tries atomic.Int32
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { tries.Add(1); c.answer(w) })
			a := do(t, client(t, httpcall.Config{BaseURL: s.URL}), c.method)
			if r := a.Result(); r.Outcome != c.outcome || tries.Load() != c.tries {
				t.Errorf("%d tries, %v; want %d and %q", tries.Load(), r, c.tries, c.outcome)
			}
		})
	}
}

func TestClient_Do_NothingSentIsNoDoubt(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close() // nobody listens there any more
	a := do(t, client(t, httpcall.Config{BaseURL: s.URL}), http.MethodPost)
	if r := a.Result(); r.Outcome != event.RetryLater || a.Sent {
		t.Errorf("write that found nobody: %v, sent %t; want retry_later", r, a.Sent)
	}
}

func TestClient_Do_CancelledWriteIsInDoubt(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	a := client(t, httpcall.Config{BaseURL: s.URL}).Do(ctx, httpcall.Request{Method: http.MethodPost, Path: "/x", Body: []byte("{}")})
	if r := a.Result(); r.Outcome != event.Unknown || r.Code != "cancelled" {
		t.Errorf("write that was given up: %v; want unknown", r)
	}
}

func TestClient_Do_Redirects(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was called") })
	var s *httptest.Server
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away/x":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/here/x":
			http.Redirect(w, r, s.URL+"/there", http.StatusTemporaryRedirect)
		}
	})
	for _, c := range []struct {
		base, method string
		outcome      event.Outcome
	}{
		{"/away", "GET", event.RetryLater}, {"/away", "POST", event.RetryLater},
		{"/here", "GET", ""}, {"/here", "POST", event.RetryLater},
	} {
		a := do(t, client(t, httpcall.Config{BaseURL: s.URL + c.base}), c.method)
		if r := a.Result(); r.Outcome != c.outcome {
			t.Errorf("%s %s: %v, want %q", c.method, c.base, r, c.outcome)
		}
	}
}

func TestClient_Do_AnswersAreLimited(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := strings.Repeat("x", 1<<16)
		for {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	c := client(t, httpcall.Config{BaseURL: s.URL})
	read, write := do(t, c, http.MethodGet), do(t, c, http.MethodPost)
	if r := read.Result(); r.Outcome != event.RetryLater || r.Code != "answer_too_large" {
		t.Errorf("endless answer to a read: %v", r)
	}
	if r := write.Result(); r.Outcome != event.Unknown || r.Code != "answer_too_large" {
		t.Errorf("endless answer to a write: %v; want unknown", r)
	}
}

func TestClient_Do_UntrustedCertificate(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	a := do(t, client(t, httpcall.Config{BaseURL: s.URL}), http.MethodGet)
	if r := a.Result(); r.Outcome != event.RetryLater || r.Code != "tls" || calls.Load() != 0 {
		t.Errorf("certificate of an unknown authority: %v after %d calls", r, calls.Load())
	}
}

func TestAnswer_RetryAfter(t *testing.T) {
	clock := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header string
		want   time.Duration
	}{
		{"5", 5 * time.Second}, {"0", 0}, {"-1", 0}, {"abc", 0}, {"", 0}, {"1.5", 0}, {"86400", connector.MaxRetryAfter},
		{"9223372036854775807", connector.MaxRetryAfter}, {"99999999999999999999999", 0},
		{clock.Add(time.Minute).Format(http.TimeFormat), time.Minute}, {clock.Add(-time.Minute).Format(http.TimeFormat), 0},
		{clock.Add(240 * time.Hour).Format(http.TimeFormat), connector.MaxRetryAfter},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", clock.Format(http.TimeFormat)) // an hour behind ours: the wait is counted by one clock
			w.Header().Set("Retry-After", c.header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		a := do(t, client(t, httpcall.Config{BaseURL: s.URL, Now: func() time.Time { return clock.Add(time.Hour) }}), http.MethodPost)
		if r := a.Result(); r.RetryAfter != c.want || r.Outcome != event.RetryLater {
			t.Errorf("Retry-After %q: %s, %v; want %s", c.header, r.RetryAfter, r, c.want)
		}
	}
}

func TestClient_Do_LogIn(t *testing.T) {
	var mu sync.Mutex
	bad, password := 0, "right"
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, p, _ := r.BasicAuth(); p != password {
			bad++
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := client(t, httpcall.Config{BaseURL: s.URL, Authorise: func(r *http.Request) { r.SetBasicAuth("u", "wrong") }})
	storm := func() {
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				a := do(t, c, http.MethodGet)
				if r := a.Result(); !r.Refused || r.Outcome != event.RetryLater {
					t.Errorf("call with a wrong password: %v", r)
				}
			})
		}
		done.Wait()
	}
	storm()
	storm()
	if bad != 2 {
		t.Errorf("%d log-ins of 40 calls, want 2", bad)
	}
	c.Reset()
	password = "wrong" // which now is the right one
	if a := do(t, c, http.MethodPost); !a.OK() {
		t.Errorf("after reset: %v", a.Result())
	}
}

func TestClient_Do_LogInExpires(t *testing.T) {
	var expired atomic.Bool
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if expired.Swap(false) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := client(t, httpcall.Config{BaseURL: s.URL})
	for range 5 {
		expired.Store(true)
		if a := do(t, c, http.MethodPost); !a.OK() {
			t.Fatalf("call after the session ended: %v", a.Result())
		}
	}
}

func TestClient_NoSecretLeaves(t *testing.T) {
	const secret, session = `cana/ry+"pass`, "session-token=="
	var logs strings.Builder
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, p, _ := r.BasicAuth()
		w.Header().Set("ETag", session)
		w.Header().Set("Retry-After", p)
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, p+" "+r.Header.Get("Authorization")+" "+url.QueryEscape(p)+" "+session+strings.Repeat("y", 5000)+p)
	})
	c := client(t, httpcall.Config{
		BaseURL: s.URL, Secrets: []string{secret, "u:" + secret}, Log: zerolog.New(&logs).Level(zerolog.DebugLevel),
		Authorise: func(r *http.Request) { r.SetBasicAuth("u", secret) },
	})
	c.Hide(session)
	a := c.Do(t.Context(), httpcall.Request{Method: http.MethodGet, Path: "/" + url.PathEscape(secret), Query: url.Values{"q": {secret}}})
	r := a.Told(secret, "refused "+secret)
	if !json.Valid(r.Evidence) {
		t.Errorf("evidence is no JSON: %s", r.Evidence)
	}
	if logs.Len() == 0 {
		t.Error("the retries left no debug line")
	}
	all := string(r.Evidence) + r.Error() + r.Code + logs.String()
	for _, form := range []string{secret, session, url.QueryEscape(secret), url.PathEscape(secret), `cana/ry+\"pass`,
		base64.StdEncoding.EncodeToString([]byte("u:" + secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
		if strings.Contains(all, form) {
			t.Errorf("%q stands in %s", form, all)
		}
	}
}

func TestNew_Err(t *testing.T) {
	for _, address := range []string{"", "s4", "ftp://s4", "http://", "https://user:hunter2@s4", "http://s4\x7f:hunter2"} {
		_, err := httpcall.New(httpcall.Config{BaseURL: address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v; want an error that does not show the address", address, err)
		}
	}
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
