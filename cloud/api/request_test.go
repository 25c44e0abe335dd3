package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Body(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	good := `{"reason":"scratch"}`
	send := func(contentType string, body *strings.Reader, chunked bool) *answer {
		h := http.Header{}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		if chunked {
			return f.call("quality", http.MethodPost, path, h, struct{ *onlyReader }{&onlyReader{body}})
		}
		return f.call("quality", http.MethodPost, path, h, body)
	}
	big := `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`
	tests := []struct {
		name, contentType, body string
		chunked                 bool
		status                  int
	}{
		{"ErrTooLarge", "application/json", big, false, http.StatusRequestEntityTooLarge},
		{"ErrTooLargeInChunks", "application/json", big, true, http.StatusRequestEntityTooLarge},
		{"ErrNoContentType", "", good, false, http.StatusUnsupportedMediaType},
		{"ErrForm", "application/x-www-form-urlencoded", "reason=scratch", false, http.StatusUnsupportedMediaType},
		{"ErrText", "text/plain", good, false, http.StatusUnsupportedMediaType},
		{"ErrLatin1", "application/json; charset=iso-8859-1", good, false, http.StatusUnsupportedMediaType},
		{"ErrDataBehind", "application/json", good + `{"reason":"other"}`, false, http.StatusBadRequest},
		{"ErrNotJSON", "application/json", `{"reason":`, false, http.StatusBadRequest},
		{"ErrNoBody", "application/json", "", false, http.StatusBadRequest},
		{"ErrUnknownMember", "application/json", `{"reason":"x","until":"tomorrow"}`, false, http.StatusUnprocessableEntity},
		{"ErrKind", "application/json", `{"reason":"x","kind":"forever"}`, false, http.StatusUnprocessableEntity},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			send(test.contentType, strings.NewReader(test.body), test.chunked).refused(t, test.status, problem.Usage)
		})
	}
	t.Run("ErrNoReason", func(t *testing.T) {
		f.post("quality", path, nil, map[string]string{"reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
	})
	t.Run("OKCharset", func(t *testing.T) {
		if a := send("application/json; charset=utf-8", strings.NewReader(good), false); a.status != http.StatusOK {
			t.Errorf("answer %d: %s", a.status, a.body)
		}
	})
	var lot api.Lot
	f.get("quality", lotPath(lotB)).into(t, &lot)
	if len(lot.OpenHolds) != 1 {
		t.Errorf("%d holds, want the one of the good request", len(lot.OpenHolds))
	}
}

// TestAPI_SlowBody sends a body that never ends. The API does not wait for it for ever.
func TestAPI_SlowBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.BodyWithin = 50 * time.Millisecond })
	f.seed()
	body, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	go func() { _, _ = write.Write([]byte(`{"reason":`)) }() // ends when the request reads it
	a := f.call("quality", http.MethodPost, lotPath(lotB)+"/holds", http.Header{"Content-Type": {"application/json"}}, body)
	a.refused(t, http.StatusRequestTimeout, problem.Usage)
}

// onlyReader hides the length, so that the body goes in chunks.
type onlyReader struct{ r *strings.Reader }

func (o *onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

func TestAPI_IdempotencyKey(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	key := func() http.Header { return http.Header{"Idempotency-Key": {"k1"}} }
	first := f.post("quality", path, key(), map[string]string{"reason": "scratch"})
	var h api.Hold
	first.into(t, &h)
	f.now = f.now.Add(60e9)
	t.Run("OKAgain", func(t *testing.T) {
		again := f.post("quality", path, key(), map[string]string{"reason": "scratch"})
		if again.status != http.StatusOK || !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("again %d %s, first %s", again.status, again.body, first.body)
		}
	})
	t.Run("ErrOtherAct", func(t *testing.T) {
		f.post("quality", path, key(), map[string]string{"reason": "dent"}).refused(t, http.StatusConflict, problem.EventConflict)
	})
	t.Run("OtherCallerSameKey", func(t *testing.T) {
		var other api.Hold
		f.post("operator", path, key(), map[string]string{"reason": "dent"}).into(t, &other)
		if other.ID == h.ID || other.Authority != event.AuthorityOperator || other.PlacedBy != "operator" {
			t.Errorf("hold %+v", other)
		}
	})
	t.Run("LiftAgain", func(t *testing.T) {
		lift := path + "/" + url.PathEscape(string(h.ID)) + "/lift"
		a := f.post("quality", lift, key(), map[string]string{"reason": "sorted"})
		b := f.post("quality", lift, key(), map[string]string{"reason": "sorted"})
		if a.status != http.StatusOK || !bytes.Equal(a.body, b.body) {
			t.Errorf("first %d %s, again %d %s", a.status, a.body, b.status, b.body)
		}
		f.post("quality", lift, nil, map[string]string{"reason": "sorted"}).refused(t, http.StatusConflict, problem.RuleRefused)
	})
}

func TestAPI_SameKeyAtOnce(t *testing.T) {
	f := newFixture(t)
	f.seed()
	const calls = 8
	answers := make(chan *answer, calls)
	for range calls {
		go func() {
			answers <- f.post("quality", lotPath(lotB)+"/holds", http.Header{"Idempotency-Key": {"k"}}, map[string]string{"reason": "scratch"})
		}()
	}
	for range calls {
		if a := <-answers; a.status != http.StatusOK && a.status != http.StatusConflict {
			t.Errorf("answer %d: %s", a.status, a.body)
		}
	}
	var lot api.Lot
	f.get("viewer", lotPath(lotB)).into(t, &lot)
	if len(lot.OpenHolds) != 1 || len(lot.Deadletters) != 0 {
		t.Errorf("holds %+v, dead letters %+v: want one hold", lot.OpenHolds, lot.Deadletters)
	}
}

func TestAPI_IfMatch(t *testing.T) {
	f := newFixture(t)
	f.seed()
	a := f.get("quality", lotPath(lotB))
	tag := a.header.Get("ETag")
	if tag == "" {
		t.Fatal("a lot has no ETag")
	}
	path := lotPath(lotB) + "/holds"
	var h api.Hold
	f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": "scratch"}).into(t, &h)
	lift := path + "/" + url.PathEscape(string(h.ID)) + "/lift"
	f.post("quality", lift, http.Header{"If-Match": {tag}}, map[string]string{"reason": "sorted"}).
		refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": "dent"}).
		refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	tag = f.get("quality", lotPath(lotB)).header.Get("ETag")
	f.post("quality", lift, http.Header{"If-Match": {tag}}, map[string]string{"reason": "sorted"}).into(t, &h)
	if h.LiftedBy != "quality" || h.LiftReason != "sorted" {
		t.Errorf("hold %+v", h)
	}
}

func TestAPI_IfMatchInTransaction(t *testing.T) {
	f := newFixture(t)
	f.seed()
	path := lotPath(lotB) + "/holds"
	tag := f.get("quality", lotPath(lotB)).header.Get("ETag")
	t.Run("of many at once with one ETag, one is done", func(t *testing.T) {
		const callers = 8
		statuses := make(chan int, callers)
		for n := range callers {
			go func() {
				a := f.post("quality", path, http.Header{"If-Match": {tag}}, map[string]string{"reason": fmt.Sprint("scratch ", n)})
				statuses <- a.status
			}()
		}
		count := map[int]int{}
		for range callers {
			count[<-statuses]++
		}
		if count[http.StatusOK] != 1 || count[http.StatusPreconditionFailed] != callers-1 {
			t.Errorf("answers by status: %v", count)
		}
	})
	tag = f.get("quality", lotPath(lotB)).header.Get("ETag")
	header := func() http.Header { return http.Header{"If-Match": {tag}, "Idempotency-Key": {"again"}} }
	t.Run("the same act again is no stale one", func(t *testing.T) {
		var first, second api.Hold
		f.post("quality", path, header(), map[string]string{"reason": "dent"}).into(t, &first)
		a := f.post("quality", path, header(), map[string]string{"reason": "dent"})
		a.into(t, &second)
		if a.header.Get("Idempotent-Replayed") != "true" || first.ID != second.ID {
			t.Errorf("the second answer is %+v, replayed %q", second, a.header.Get("Idempotent-Replayed"))
		}
	})
	for name, value := range map[string]string{
		"ErrBare": "3", "ErrText": `"abc"`, "ErrZero": `"0"`, "ErrList": `"1", "2"`, "ErrSigned": `"+3"`, "ErrPast": `"1"`,
	} {
		t.Run(name, func(t *testing.T) {
			f.post("quality", path, http.Header{"If-Match": {value}}, map[string]string{"reason": "x"}).
				refused(t, http.StatusPreconditionFailed, problem.StateMoved)
		})
	}
	t.Run("any", func(t *testing.T) {
		var h api.Hold
		f.post("quality", path, http.Header{"If-Match": {"*"}}, map[string]string{"reason": "any"}).into(t, &h)
	})
}
