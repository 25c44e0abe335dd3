package wms_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/wms"
)

func post(t *testing.T, s *wms.Simulator, path, body, match string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("If-Match", match)
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, r)
	return w
}

func TestSimulator(t *testing.T) {
	s, err := wms.New(wms.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const lot = "lot::M:1"
	pick := s.AddTask(lot, "pick", "SO-1")
	if err := s.Start(pick); err == nil {
		t.Error("a task of a lot that nobody freed was started")
	}
	w := post(t, s, "/lots/lot::M:1/release", `{"tasks":[]}`, `"2"`)
	if w.Code != http.StatusOK || s.Releases(lot) != 1 || s.Gate(lot) != wms.GateOpen || s.Tasks(lot)[0].State != wms.Ready {
		t.Fatalf("freed: %d %s, %+v", w.Code, w.Body, s.Tasks(lot))
	}
	if w := post(t, s, "/lots/lot::M:1/release", `{}`, w.Header().Get("ETag")); w.Code != http.StatusOK || s.Releases(lot) != 1 {
		t.Errorf("freed again: %d, %d releases; want an answer and no effect", w.Code, s.Releases(lot))
	}
	if err := s.Start(pick); err != nil {
		t.Error(err)
	}
	ship := s.AddTask(lot, "ship", "SO-1")
	if w := post(t, s, "/lots/lot::M:1/hold", `{}`, `"3"`); w.Code != http.StatusPreconditionFailed {
		t.Errorf("an old version: %d", w.Code)
	}
	if w := post(t, s, "/lots/lot::M:1/hold", `{"reference":"HF1"}`, `"5"`); w.Code != http.StatusOK || s.Holds(lot) != 1 {
		t.Errorf("held: %d %s", w.Code, w.Body)
	}
	states := map[string]wms.State{}
	for _, task := range s.Tasks(lot) {
		states[task.ID] = task.State
	}
	if states[pick] != wms.Active || states[ship] != wms.Blocked {
		t.Errorf("held: %v; want what had started to go on", states)
	}
	if err := s.Finish(pick); err != nil {
		t.Error(err)
	}
	if last := s.Of(lot); last[len(last)-1].Kind != wms.TaskDone || last[len(last)-1].FreeAfter {
		t.Errorf("book %+v", last)
	}
	s.Snapshot()
	s.SetState(ship, wms.Done)
	s.Restore()
	if got := s.Tasks(lot)[1].State; got != wms.Blocked {
		t.Errorf("restored: %s", got)
	}
}
