package notice_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/notice"
)

func serve(s *notice.Sink, method, path, body, id string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if id != "" {
		r.Header.Set("Message-ID", id)
	}
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, r)
	return w
}

const message = `{"order":"SO-1","line":"10","lot":"lot::M:1","step":"held","subject":"Lot 1 is held"}`

func TestSink(t *testing.T) {
	s, err := notice.New(notice.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if w := serve(s, "POST", "/messages", message, "<HF1>"); w.Code != http.StatusCreated {
			t.Fatalf("sent: %d %s", w.Code, w.Body)
		}
	}
	got := s.ByID("HF1")
	if len(got) != 2 || got[0].Duplicate || !got[1].Duplicate || len(s.About("SO-1", "10", "lot::M:1")) != 2 || len(s.Messages()) != 2 {
		t.Errorf("the same id twice: %+v", got)
	}
	if b := s.Of("SO-1/10 lot::M:1"); len(b) != 2 || b[0].Kind != "notice_held" || b[1].Kind != notice.Duplicate {
		t.Errorf("book %+v", b)
	}
	if w := serve(s, "GET", "/messages?message_id=HF1", "", ""); strings.Count(w.Body.String(), "MSG-") != 2 {
		t.Errorf("by id: %s", w.Body)
	}
	if w := serve(s, "GET", "/messages/MSG-00002", "", ""); !strings.Contains(w.Body.String(), `"message_id":"HF1"`) {
		t.Errorf("one: %s", w.Body)
	}
	for path, want := range map[string]int{"/messages/MSG-9": http.StatusNotFound} {
		if w := serve(s, "GET", path, "", ""); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := serve(s, "POST", "/messages", `{"order":"SO-1"}`, "HF2"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a message without a subject: %d", w.Code)
	}
}

func TestSink_References(t *testing.T) {
	s, err := notice.New(notice.Config{References: "dropped"})
	if err != nil {
		t.Fatal(err)
	}
	serve(s, "POST", "/messages", message, "HF1")
	if got := s.Messages(); len(got) != 1 || got[0].MessageID != "" {
		t.Errorf("dropped: %+v", got)
	}
	if s, err = notice.New(notice.Config{References: "missing"}); err != nil {
		t.Fatal(err)
	}
	if w := serve(s, "GET", "/messages?message_id=HF1", "", ""); w.Code != http.StatusBadRequest {
		t.Errorf("missing: %d", w.Code)
	}
}
