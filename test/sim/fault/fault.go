// Package fault makes a simulated business system fail as real ones do: on demand, on every n-th matching request, at
// the place that matters (before or after the effect).
package fault

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind string

// Kinds that [Set.Wrap] plays for every system.
const (
	LostAfter    Kind = "lost_after"    // the effect takes place, the connection is cut before the answer
	LostBefore   Kind = "lost_before"   // the connection is cut, nothing takes place
	Down         Kind = "down"          // every connection is cut
	Status       Kind = "status"        // answers Status with an empty error body, nothing takes place
	StatusAfter  Kind = "status_after"  // the effect takes place, the answer is Status
	Throttle     Kind = "throttle"      // 429 with RetryAfter
	Slow         Kind = "slow"          // answers after Delay; the effect takes place before it
	Stuck        Kind = "stuck"         // answers after Delay; the effect takes place after it
	Nothing      Kind = "nothing"       // 2xx, nothing takes place
	LoginPage    Kind = "login_page"    // 200 with a page in HTML, nothing takes place
	ErrorBody    Kind = "error_body"    // 200 with an error in the body, nothing takes place
	Echo         Kind = "echo"          // 400 with all of the request's header in its error, nothing takes place
	Garbage      Kind = "garbage"       // 200 with a body that is cut off in the middle
	Huge         Kind = "huge"          // 200 with a body without end
	Redirect     Kind = "redirect"      // 307 to Location
	Conflict     Kind = "conflict"      // 412
	Unversioned  Kind = "unversioned"   // 428
	TokenNeeded  Kind = "token_needed"  // 403 with x-csrf-token: Required
	Unauthorized Kind = "unauthorized"  // 401
	Expired      Kind = "token_expired" // all sessions and tokens are forgotten before the request is served
)

// Fault says what fails.
type Fault struct {
	Kind  Kind   `json:"kind"`
	On    string `json:"on,omitempty"`    // write (default), read, any
	Path  string `json:"path,omitempty"`  // part of the path; empty = every path
	Every int    `json:"every,omitempty"` // acts on every n-th matching request; 0 and 1 = on each
	Times int    `json:"times,omitempty"` // acts so often; 0 = until cleared

	Status     int      `json:"status,omitempty"`      // for status; 0 = 503
	RetryAfter string   `json:"retry_after,omitempty"` // for throttle and status, sent as it is
	Delay      Duration `json:"delay,omitempty"`       // for slow and stuck
	Location   string   `json:"location,omitempty"`    // for redirect
}

// Duration is a [time.Duration] that JSON shows as text, such as 250ms.
type Duration time.Duration

// MarshalText writes the duration's text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the duration's text.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Set holds the faults in force. It is safe for concurrent use; the zero Set has none.
type Set struct {
	// Forget drops all sessions, for the kind token_expired. Nil: nothing to drop.
	Forget func()

	mu     sync.Mutex // guards active
	active []*counted
}

type counted struct {
	Fault
	seen, acted int
}

// Add puts a fault in force.
func (s *Set) Add(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = append(s.active, &counted{Fault: f})
}

// Clear ends all faults.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = nil
}

// Acted returns how often the faults in force have acted.
func (s *Set) Acted() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.active {
		n += c.acted
	}
	return n
}

// take returns the first fault that acts on the request, or none.
func (s *Set) take(r *http.Request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.active {
		if !c.matches(r) || c.Times > 0 && c.acted == c.Times {
			continue
		}
		c.seen++
		if c.Every > 1 && c.seen%c.Every != 0 {
			continue
		}
		c.acted++
		return c.Fault, true
	}
	return Fault{}, false
}

func (c *counted) matches(r *http.Request) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case c.Kind == Down || c.On == "any":
	case c.On == "read" && !read, c.On != "read" && read:
		return false
	}
	return strings.Contains(r.URL.Path, c.Path)
}

// Wrap returns a handler that lets the faults act on next.
func (s *Set) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := s.take(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		s.play(f, w, r, next)
	})
}

func (s *Set) play(f Fault, w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch f.Kind {
	case LostBefore, Down:
		cut()
	case LostAfter:
		next.ServeHTTP(httptest.NewRecorder(), r)
		cut()
	case StatusAfter:
		next.ServeHTTP(httptest.NewRecorder(), r)
		refuse(w, f)
	case Slow:
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		wait(r, f)
		replay(w, answer)
	case Stuck:
		// The body is read first: a caller that goes away while we wait must not take it along.
		body, _ := io.ReadAll(r.Body)
		wait(r, f)
		late := r.Clone(r.Context())
		late.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, late)
	case Expired:
		if s.Forget != nil {
			s.Forget()
		}
		next.ServeHTTP(w, r)
	default:
		s.answer(f, w, r)
	}
}

// answer plays the kinds that never reach the system.
func (s *Set) answer(f Fault, w http.ResponseWriter, r *http.Request) {
	switch f.Kind {
	case Throttle:
		f.Status = http.StatusTooManyRequests
	case Conflict:
		f.Status = http.StatusPreconditionFailed
	case Unversioned:
		f.Status = http.StatusPreconditionRequired
	case Unauthorized:
		f.Status = http.StatusUnauthorized
	case TokenNeeded:
		w.Header().Set("X-CSRF-Token", "Required")
		f.Status = http.StatusForbidden
	case Redirect:
		w.Header().Set("Location", f.Location)
		f.Status = http.StatusTemporaryRedirect
	case Nothing:
		if r.Method == http.MethodPatch || r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body(w, "application/json", "{}")
		return
	case LoginPage:
		body(w, "text/html; charset=utf-8", "<!DOCTYPE html><html><body><form>Log in</form></body></html>")
		return
	case ErrorBody:
		body(w, "application/json", `{"error":{"code":"SY/530","message":{"lang":"en","value":"An exception was raised."}}}`)
		return
	case Echo:
		w.Header().Set("ETag", r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		user, password, _ := r.BasicAuth()
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": password, "message": fmt.Sprint(user, ":", password, " ", r.Header)}})
		return
	case Garbage:
		body(w, "application/json", `{"d":{"results":[{"Material":"MA`)
		return
	case Huge:
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodHead { // has no body to go on with
			return
		}
		for chunk := strings.Repeat(" ", 1<<16); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
		return
	}
	refuse(w, f)
}

func body(w http.ResponseWriter, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	_, _ = io.WriteString(w, text)
}

func refuse(w http.ResponseWriter, f Fault) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	status := f.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	w.WriteHeader(status)
}

func replay(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// wait holds the request up, also after its caller has gone: the system works on.
func wait(r *http.Request, f Fault) {
	timer := time.NewTimer(time.Duration(f.Delay))
	defer timer.Stop()
	done := r.Context().Done()
	if f.Kind == Stuck {
		done = nil
	}
	select {
	case <-timer.C:
	case <-done:
	}
}

// cut ends the connection without an answer; the server of net/http knows this value.
func cut() { panic(http.ErrAbortHandler) }

// Command is a request to the control endpoint of a simulator.
type Command struct {
	Do    string `json:"do"` // add, clear, snapshot, restore, forget
	Fault Fault  `json:"fault,omitzero"`
}

// Control returns the handler of a control endpoint: POST with a [Command] as JSON. More holds the system's own verbs.
func (s *Set) Control(more map[string]func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c Command
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&c); err != nil {
			http.Error(w, fmt.Sprintf("command: %v", err), http.StatusBadRequest)
			return
		}
		switch run := more[c.Do]; {
		case c.Do == "add" && c.Fault.Kind != "":
			s.Add(c.Fault)
		case c.Do == "clear":
			s.Clear()
		case run != nil:
			run()
		default:
			http.Error(w, fmt.Sprintf("unknown command %q", c.Do), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
