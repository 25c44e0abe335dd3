package sap

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

const cookieName = "SAP_SESSIONID_S4H_100"

type session struct {
	token string
	begun time.Time
}

// authorise answers what is wrong with log-in or token, and hands out a token to who asks for one.
func (s *Simulator) authorise(w http.ResponseWriter, r *http.Request) bool {
	if s.cfg.User != "" && !s.logIn(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="SAP NetWeaver Application Server"`)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, "<html><body>Logon failed</body></html>")
		return false
	}
	id, current := s.session(r)
	if strings.EqualFold(r.Header.Get("X-CSRF-Token"), "Fetch") {
		if current.token == "" {
			s.serial++
			id = fmt.Sprintf("session-%d", s.serial)
			current = session{token: fmt.Sprintf("token-%d==", s.serial), begun: s.cfg.Now()}
			s.sessions[id] = current
		}
		s.fetches++
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true})
		w.Header().Set("X-CSRF-Token", current.token)
		return true
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	if token := r.Header.Get("X-CSRF-Token"); token == "" || token != current.token {
		w.Header().Set("X-CSRF-Token", "Required")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, "CSRF token validation failed")
		return false
	}
	return true
}

func (s *Simulator) logIn(r *http.Request) bool {
	if s.cfg.LockAfter > 0 && s.bad >= s.cfg.LockAfter {
		s.bad++
		return false
	}
	user, password, ok := r.BasicAuth()
	if ok && user == s.cfg.User && password == s.cfg.Password {
		return true
	}
	s.bad++
	return false
}

func (s *Simulator) session(r *http.Request) (string, session) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", session{}
	}
	current, ok := s.sessions[c.Value]
	if !ok || s.cfg.TokenTTL > 0 && s.cfg.Now().Sub(current.begun) > s.cfg.TokenTTL {
		delete(s.sessions, c.Value)
		return "", session{}
	}
	return c.Value, current
}

// ForgetSessions ends all sessions: their tokens are refused from now on.
func (s *Simulator) ForgetSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = map[string]session{}
}

// SetPassword changes the user's password.
func (s *Simulator) SetPassword(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Password = password
}

// BadLogins returns how many log-ins were refused.
func (s *Simulator) BadLogins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}

// TokensFetched returns how often a token was asked for.
func (s *Simulator) TokensFetched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}
