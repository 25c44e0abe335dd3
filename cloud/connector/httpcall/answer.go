package httpcall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// maxEvidence bounds how much of an answer is kept as evidence, in bytes.
const maxEvidence = 2048

// Answer is how a call ended.
type Answer struct {
	Status int // 0 = no answer came
	Header http.Header
	Body   []byte
	// Err says why there is no answer, or no whole one.
	Err error
	// Sent tells whether the request may have reached the system. What was not sent had no effect.
	Sent bool

	reads   bool
	now     time.Time
	hide    *redactor
	request Request
}

// OK tells whether the answer is whole and has a status of 2xx.
func (a *Answer) OK() bool { return a.Err == nil && a.Status >= 200 && a.Status < 300 }

// JSON tells whether the answer says that its body is JSON. A log-in page is not.
func (a *Answer) JSON() bool {
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// Date returns the system's time, or zero if it did not say.
func (a *Answer) Date() time.Time {
	t, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Result gives the answer the meaning that its status has where the system's own words say nothing else.
func (a *Answer) Result() connector.Result {
	if a.Err != nil {
		return a.failure()
	}
	r := a.As(outcome(a.Status, a.reads), "http_"+strconv.Itoa(a.Status), http.StatusText(a.Status))
	r.Refused = a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden || a.Status == http.StatusProxyAuthRequired
	if r.Outcome == event.RetryLater {
		r.RetryAfter = a.retryAfter()
	}
	return r
}

// As makes the answer a result with the system's own code and words.
func (a *Answer) As(o event.Outcome, code, message string) connector.Result {
	return connector.Result{Outcome: o, Code: cut(a.hide.clean(code), 64), Message: cut(a.hide.clean(message), 1024), Evidence: a.evidence()}
}

// Told is [Answer.Result] in the system's own words, as far as it has any.
func (a *Answer) Told(code, message string) connector.Result {
	r := a.Result()
	if code != "" {
		r.Code = cut(a.hide.clean(code), 64)
	}
	if message != "" {
		r.Message = cut(a.hide.clean(message), 1024)
	}
	return r
}

// Unclear makes a result of an answer that cannot be read: a write may have taken place, a read is tried later.
func (a *Answer) Unclear(code, message string) connector.Result {
	if a.reads {
		return a.As(event.RetryLater, code, message)
	}
	return a.As(event.Unknown, code, message)
}

// outcome maps a status. After a 5xx other than 503 a write may have taken place: it is looked up, not repeated.
func outcome(status int, reads bool) event.Outcome {
	switch status {
	case http.StatusPreconditionFailed, http.StatusPreconditionRequired, http.StatusConflict:
		return event.Conflict
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusLocked, http.StatusTooEarly:
		return event.RetryLater
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return event.Rejected
	}
	switch {
	case status >= 200 && status < 300:
		return ""
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return event.Rejected
	case !reads && (status >= 500 || status == http.StatusRequestTimeout):
		return event.Unknown
	}
	return event.RetryLater // a redirect that was not followed, a broken read
}

// failure gives a call without an answer its meaning.
func (a *Answer) failure() connector.Result {
	code := "transport"
	switch {
	case errors.Is(a.Err, errRefused):
		code = "log_in_refused"
	case errors.Is(a.Err, errRedirect):
		code = "redirect"
	case errors.Is(a.Err, errTooLarge):
		code = "answer_too_large"
	case untrusted(a.Err):
		code = "tls"
	case errors.Is(a.Err, context.Canceled):
		code = "cancelled"
	case errors.Is(a.Err, context.DeadlineExceeded), errors.Is(a.Err, os.ErrDeadlineExceeded):
		code = "timeout"
	}
	o := event.RetryLater
	if !a.reads && a.Sent {
		o = event.Unknown
	}
	r := a.As(o, code, reason(a.Err))
	r.Refused = code == "log_in_refused"
	return r
}

// reason returns an error's text without the URL that net/http puts before it.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// retryAfter returns how long the system wants to be left alone, at most [connector.MaxRetryAfter]. A value that makes
// no sense, or lies in the past, is 0.
func (a *Answer) retryAfter() time.Duration {
	text := a.Header.Get("Retry-After")
	var wait time.Duration
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(max(n, 0), 1<<31)) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		now := a.now
		if date := a.Date(); !date.IsZero() {
			now = date // one clock, whatever ours says
		}
		wait = max(at.Sub(now), 0)
	}
	return min(wait, connector.MaxRetryAfter)
}

type evidence struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	SHA256  string `json:"request_sha256,omitempty"`
	IfMatch string `json:"if_match,omitempty"`
	Status  int    `json:"answer_code,omitempty"`
	ETag    string `json:"etag,omitempty"`
	After   string `json:"retry_after,omitempty"`
	Sent    bool   `json:"sent"`
	Error   string `json:"error,omitempty"`
	Answer  string `json:"answer,omitempty"`
}

func (a *Answer) evidence() []byte {
	path := a.request.Path
	if len(a.request.Query) > 0 {
		path += "?" + encode(a.request.Query)
	}
	e := evidence{
		Method: a.request.Method, Path: a.hide.clean(path), Status: a.Status, Sent: a.Sent,
		IfMatch: a.request.Header.Get("If-Match"), ETag: a.hide.clean(a.Header.Get("ETag")), After: a.hide.clean(a.Header.Get("Retry-After")),
		Answer: cut(a.hide.clean(strings.ToValidUTF8(string(a.Body), "\ufffd")), maxEvidence),
	}
	if a.request.Body != nil {
		sum := sha256.Sum256(a.request.Body)
		e.SHA256 = hex.EncodeToString(sum[:])
	}
	if a.Err != nil {
		e.Error = a.hide.clean(reason(a.Err))
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Appendf(nil, `{"error":%q}`, err) // strings and numbers always encode
	}
	return raw
}

// cut shortens text to at most n bytes, at a character's end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
