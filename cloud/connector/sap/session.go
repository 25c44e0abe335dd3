package sap

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
)

// session holds the token that writes carry beside the session's cookie. Callers that find it expired together fetch
// one new one.
type session struct {
	turn chan struct{} // held by the caller that fetches

	mu         sync.Mutex // guards token and generation
	token      string
	generation int // counts tokens; 0 = none yet
}

func newSession() session { return session{turn: make(chan struct{}, 1)} }

func (s *session) current() (string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, s.generation
}

// write makes a changing call with a valid token. A token that the system refuses is replaced once; the refused call
// had no effect, so it may be made again.
func (c *Client) write(ctx context.Context, service string, req httpcall.Request) (httpcall.Answer, *connector.Result) {
	used := 0
	for {
		token, generation, bad := c.newerToken(ctx, service, used)
		if bad != nil {
			return httpcall.Answer{}, bad
		}
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set("X-CSRF-Token", token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		a := c.http.Do(ctx, req)
		if !tokenRequired(&a) || used > 0 {
			return a, nil
		}
		used = generation
	}
}

func tokenRequired(a *httpcall.Answer) bool {
	return a.Status == http.StatusForbidden && strings.EqualFold(a.Header.Get("X-CSRF-Token"), "Required")
}

// newerToken returns a token younger than the one used before; 0 is satisfied by any.
func (c *Client) newerToken(ctx context.Context, service string, used int) (string, int, *connector.Result) {
	if token, generation := c.session.current(); generation > used {
		return token, generation, nil
	}
	select {
	case c.session.turn <- struct{}{}:
	case <-ctx.Done():
		a := httpcall.Answer{Err: ctx.Err()}
		r := a.Result()
		return "", 0, &r
	}
	defer func() { <-c.session.turn }()
	if token, generation := c.session.current(); generation > used {
		return token, generation, nil
	}
	return c.fetchToken(ctx, service)
}

// fetchToken asks the service's root, with a slash at the end first: some systems need it, others refuse it.
func (c *Client) fetchToken(ctx context.Context, service string) (string, int, *connector.Result) {
	fetch := http.Header{"X-Csrf-Token": {"Fetch"}, "Accept": {"application/json"}}
	a := c.http.Do(ctx, httpcall.Request{Method: http.MethodHead, Path: service + "/", Header: fetch})
	token := a.Header.Get("X-CSRF-Token")
	if a.Err == nil && (token == "" || !a.OK()) && a.Status != http.StatusUnauthorized {
		a = c.http.Do(ctx, httpcall.Request{Method: http.MethodGet, Path: service, Header: fetch})
		token = a.Header.Get("X-CSRF-Token")
	}
	if !a.OK() {
		r := told(&a)
		return "", 0, &r
	}
	if token == "" || strings.EqualFold(token, "Required") {
		r := a.Unclear("no_token", "the service hands out no CSRF token")
		return "", 0, &r
	}
	c.http.Hide(token)
	for _, cookie := range (&http.Response{Header: a.Header}).Cookies() {
		c.http.Hide(cookie.Value)
	}
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	c.session.token = token
	c.session.generation++
	return token, c.session.generation, nil
}
