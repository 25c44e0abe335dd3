package httpcall

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestClient_Do_DrippingAnswerEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-r.Context().Done():
				tick.Stop()
				return
			case <-tick.C:
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
			}
		}
	}))
	defer s.Close()
	c, err := New(Config{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	c.read.HTTPClient.Timeout, c.write.HTTPClient.Timeout = 50*time.Millisecond, 50*time.Millisecond
	for method, want := range map[string]event.Outcome{http.MethodGet: event.RetryLater, http.MethodPost: event.Unknown} {
		a := c.Do(t.Context(), Request{Method: method, Path: "/x"})
		if r := a.Result(); r.Outcome != want || r.Code != "timeout" {
			t.Errorf("%s: %v, want %s by time-out", method, r, want)
		}
	}
}
