package httpcall

import (
	"context"
	"net/http"
	"sync"
)

// maxLogins is how many refused log-ins in a row are risked: systems lock a user after three to six.
const maxLogins = 2

// login keeps a wrong password from locking the user out. Until the system has accepted the credentials once, one
// caller at a time tries them.
type login struct {
	turn chan struct{} // held by the caller that tries

	mu         sync.Mutex // guards all below
	good       bool
	bad        int // refusals in a row
	generation int // counts refusals, so that callers that were refused together count once
}

func newLogin() login { return login{turn: make(chan struct{}, 1)} }

// pass is what a caller holds during a call.
type pass struct {
	generation int
	trying     bool
}

// enter waits until a request may leave. It returns [errRefused] once the credentials are known to be bad.
func (l *login) enter(ctx context.Context) (pass, error) {
	if p, decided, err := l.look(false); decided {
		return p, err
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return pass{}, ctx.Err()
	}
	p, _, err := l.look(true)
	if err != nil || !p.trying {
		<-l.turn
	}
	return p, err
}

func (l *login) look(mine bool) (p pass, decided bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.bad >= maxLogins:
		return pass{}, true, errRefused
	case l.good:
		return pass{generation: l.generation}, true, nil
	}
	return pass{generation: l.generation, trying: mine}, false, nil
}

// leave notes how a call ended and tells whether it is worth one more try.
func (l *login) leave(p pass, status int) (again bool) {
	l.mu.Lock()
	switch {
	case status == http.StatusUnauthorized:
		if p.generation == l.generation {
			l.good = false
			l.bad++
			l.generation++
		}
		again = l.bad < maxLogins
	case status >= 200 && status < 500 && status != http.StatusTooManyRequests:
		l.good, l.bad = true, 0
	}
	l.mu.Unlock()
	if p.trying {
		<-l.turn
	}
	return again
}

func (l *login) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = 0
	l.good = false
}
