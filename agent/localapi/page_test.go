package localapi

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Number(7): "7", Number(1000): "1,000", Number(uint64(12_345_678)): "12,345,678", Things(1, "event"): "1 event", Things(2000, "event"): "2,000 events",
		Size(12): "12 B", Size(1 << 20): "1.0 MiB", Size(312 << 20): "312 MiB", Size(1<<30 - 1): "1.0 GiB", Size(5 << 50): "5120 TiB",
		Age(-time.Second): "0.0s", Age(400 * time.Millisecond): "0.4s", Age(27 * time.Second): "27s", Age(41 * time.Minute): "41m",
		Age(192 * time.Minute): "3h 12m", Age(460 * time.Hour): "19d 4h",
	} {
		if got != want {
			t.Errorf("got %q: want %q", got, want)
		}
	}
}

// outage is a status in which all that a page can show is there.
func outage() Status {
	at := time.Date(2026, 11, 24, 14, 2, 11, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	return Status{
		Plant: "halle-1", Agent: "gw1", Build: "v1.4.0", Config: "7f3c01ab22cd", UpSince: ago(460 * time.Hour), AsOf: at,
		ConfigSince: ago(26 * time.Hour), ConfigRefused: &Refusal{At: ago(6 * time.Minute), Problem: "agent.yaml:12:9 queue.disk"},
		Uplink:   Uplink{Since: ago(192 * time.Minute), LastError: "reach kafka-1:9093: i/o timeout (E-2101)", NextTry: at.Add(27 * time.Second), Head: ago(192 * time.Minute), Answered: 5118},
		Downlink: Downlink{Since: ago(192 * time.Minute), LastError: "read what the cloud says: i/o timeout (E-2101)", Lots: 1204, AgeKnown: true, Age: 11530, MaxAge: 14400, Superseded: "a clone"},
		Lanes: []Lane{
			{Name: "quality", Depth: 1207, Urgent: 3, Oldest: ago(170 * time.Minute), Bytes: 12 << 20, Quota: 5 << 30, FullIn: 8_000_000},
			{Name: "telemetry", Depth: 183_013, Oldest: ago(192 * time.Minute), Bytes: 300 << 20, Quota: 2 << 30, FullIn: 288_000, DrainIn: 366, Outflow: 500, ReserveUsed: 1 << 20, Reserve: 1 << 30, Shed: 12},
		},
		Sources: []Source{
			{ID: "press-4", Transport: "mqtt", Address: "ssl://broker:8883", State: source.Live, Since: ago(19 * time.Hour), LastSignal: at, Received: 1_204_118},
			{ID: "mes", Transport: "mqtt", State: source.Refused, Since: ago(41 * time.Minute), Problem: "not authorised (E-4001)", Next: "check the rights", AtMostOnce: []string{"acme/note"}},
			{ID: "cell-2", Transport: "opcua", State: source.Silent, Since: ago(time.Hour), Items: 12, Signals: map[source.Quality]int{source.Good: 11, source.Bad: 1}, Troubled: []string{"torque_2: BadNodeIdUnknown (E-4102)"}, OpenGaps: 1, Facts: []string{"sampled every 200 ms"}},
		},
		Ending:  []Certificate{{Use: "own", For: []string{"kafka"}, Subject: "CN=gw1", NotAfter: ago(30 * time.Hour), Days: -2}},
		Arrival: []string{"andon"}, Mixed: []Mixed{{Source: "press-4", Urgent: []string{"r"}, Others: []string{"s"}}},
		Quarantine: Quarantine{Count: 22, Newest: []Quarantined{{At: ago(time.Minute), Source: "mes", Item: "acme/<script>alert(1)</script>", Code: "E-6301", Reason: `num: is the text "canary-of-a-payload": want a number`}}},
	}
}

// get asks the page of an agent with a status.
func get(t *testing.T, s Status, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	var log strings.Builder
	Page(mux, func() Status { return s }, zerolog.New(&log))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if log.Len() > 0 {
		t.Error(log.String())
	}
	return w
}

// The page shows what a person at the gateway asks first, and each trouble with its next step.
func TestPage(t *testing.T) {
	w := get(t, outage(), "/")
	text := w.Body.String()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, text)
	}
	for _, want := range []string{
		"Plant halle-1, agent gw1", "184,220 events on disk, oldest 3h 12m, room for another 3d 8h.", "3 of them urgent", "they go first when the link is back",
		"Superseded by another gateway:</strong> a clone", `bad">down</span> for 3h 12m, next try in 27s`, "i/o timeout (E-2101)", "3h 12m ago; all that the cloud asked is answered", "free lots may move for another 47m",
		"12 MiB of 5.0 GiB", "reserve 1.0 MiB of 1.0 GiB", "6m", "1,204,118", `badge bad">refused`, `badge alarm">stale`, `badge calm">live`, "11 of 12 good", "torque_2: BadNodeIdUnknown (E-4102)",
		"<strong>Next:</strong> check the rights.", "sampled every 200 ms", "E-6301", "acme/&lt;script&gt;", "ended 1 day ago", "a redelivered message may count twice", "Make it a source of its own", "QoS 0",
		"As of 2026-11-24 14:02:11 UTC", "</span> for 1d 2h", "A newer configuration was refused 6m ago",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q:\n%s", want, text)
		}
	}
	for _, hidden := range []string{"canary-of-a-payload", "agent.yaml:12:9"} {
		if strings.Contains(text, hidden) {
			t.Errorf("the page quotes %q", hidden)
		}
	}
}

func TestPage_Calm(t *testing.T) {
	s := Status{Plant: "p1", Agent: "gw1", Uplink: Uplink{Up: true}, Downlink: Downlink{Up: true}, Lanes: []Lane{{Name: "quality"}}}
	text := get(t, s, "/").Body.String()
	for _, want := range []string{
		"All that was collected has been sent.", "The configuration names no source.", "All that was read was understood.", `calm">up</span>`, "no lot may move until the cloud is heard", "none yet</dd>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"urgent (", "Superseded", "Certificates that end", "A newer configuration", "To know", `class="why"`} {
		if strings.Contains(text, not) {
			t.Errorf("the page shows %q", not)
		}
	}
	s.Downlink.Barrier = 7
	if text := get(t, s, "/").Body.String(); !strings.Contains(text, "none yet; the cloud waits for the next one, to release lots") {
		t.Errorf("what is asked is not shown:\n%s", text)
	}
	s.Downlink.AgeKnown, s.Downlink.Age, s.Downlink.MaxAge = true, 20000, 14400
	if text := get(t, s, "/").Body.String(); !strings.Contains(text, "no lot may move any more") {
		t.Errorf("what is too old still answers:\n%s", text)
	}
}

// The page has no script and no style of its own, names no other host, and lets nobody frame it or load into it.
func TestPage_KeepsToItself(t *testing.T) {
	w := get(t, outage(), "/")
	text := w.Body.String()
	if m := regexp.MustCompile(`(?i)<script|style=|\son[a-z]+=|<form|https?://|="//`).FindString(text); m != "" {
		t.Errorf("the page holds %q", m)
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy is %q", csp)
	}
	style := get(t, outage(), "/page.css")
	if style.Code != http.StatusOK || style.Header().Get("Content-Type") != "text/css; charset=utf-8" || strings.Contains(style.Body.String(), "url(") {
		t.Errorf("style: %d %v", style.Code, style.Header())
	}
	if w := get(t, outage(), "/other"); w.Code != http.StatusNotFound {
		t.Errorf("another path answers %d", w.Code)
	}
}
