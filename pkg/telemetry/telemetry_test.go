package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewLogger(t *testing.T) {
	t.Run("JSON", func(t *testing.T) {
		var buf bytes.Buffer
		logger := NewLogger(&buf, FormatJSON)
		logger.Debug().Msg("not shown")
		logger.Info().Str(KeyPlant, "p1").Msg("ready")
		var line map[string]string
		if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if at, err := time.Parse(timeLayout, line["time"]); err != nil || at.Location() != time.UTC || line["plant"] != "p1" || line["message"] != "ready" {
			t.Errorf("line = %v, %v", line, err)
		}
	})
	t.Run("Console", func(t *testing.T) {
		var buf bytes.Buffer
		logger := NewLogger(&buf, FormatConsole)
		logger.Warn().Str(KeySource, "mes").Msg("source stale")
		if line := buf.String(); !strings.Contains(line, "WRN source stale source=mes") || strings.Contains(line, "\x1b") {
			t.Errorf("line = %q", line)
		}
	})
}

func TestQuiet(t *testing.T) {
	var buf bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q := Quiet{Log: zerolog.New(&buf), Interval: time.Minute, Now: func() time.Time { return now }}
	lines := func() []string {
		defer buf.Reset()
		return strings.Split(strings.TrimSpace(buf.String()), "\n")
	}
	q.Recovered("sending again")
	if buf.Len() > 0 {
		t.Errorf("recovered without a failure: %s", buf.String())
	}
	for range 121 { // two minutes of one failure a second
		q.Failed(problem.New(problem.KafkaUnreachable, "dial kafka-1:9093"), "kafka unreachable")
		now = now.Add(time.Second)
	}
	got := lines()
	if len(got) != 3 || !strings.Contains(got[0], `"error_code":"E-2101"`) || strings.Contains(got[0], KeyPreviousErrors) ||
		!strings.Contains(got[2], `"previous_errors":120,"since":"2026-01-02T03:04:05.000Z"`) {
		t.Errorf("121 failures gave %d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	q.Recovered("sending again")
	q.Recovered("sending again")
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], `"previous_errors":121`) {
		t.Errorf("recovery gave %q", got)
	}
	if !q.Failed(io.EOF, "kafka unreachable") {
		t.Error("the first failure after a recovery is not logged at once")
	}
}

func TestNewMux(t *testing.T) {
	var reasons []string
	mux := NewMux(NewRegistry(), func() []string { return reasons })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, body := get("/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	reasons = []string{"queue quality is full", "data folder is read-only"}
	if code, body := get("/readyz"); code != 503 || body != "queue quality is full\ndata folder is read-only\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "go_build_info") {
		t.Errorf("metrics: %d %.200q", code, body)
	}
}

func TestServe(t *testing.T) {
	listen := func(t *testing.T) net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	t.Run("LetsAnswersFinish", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ln := listen(t)
		began, release := make(chan struct{}), make(chan struct{})
		server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(began)
			<-release
			_, _ = io.WriteString(w, "done")
		}), zerolog.Nop())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, ln, server) }()
		answer := make(chan string, 1)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		go func() {
			resp, err := client.Get("http://" + ln.Addr().String())
			if err != nil {
				answer <- err.Error()
				return
			}
			defer func() { _ = resp.Body.Close() }()
			body, _ := io.ReadAll(resp.Body)
			answer <- string(body)
		}()
		<-began
		cancel()
		close(release)
		if got := <-answer; got != "done" {
			t.Errorf("the answer in hand was %q", got)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Run("ErrListenerClosed", func(t *testing.T) {
		ln := listen(t)
		_ = ln.Close()
		if err := Serve(t.Context(), ln, NewServer(http.NotFoundHandler(), zerolog.Nop())); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v", err)
		}
	})
}
