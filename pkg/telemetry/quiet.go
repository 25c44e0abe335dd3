package telemetry

import (
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// DefaultQuietInterval is how often an enduring failure is logged: 60 lines an hour are seen in any log and fill none.
const DefaultQuietInterval = time.Minute

// Quiet logs what a loop fails at without filling the log: the first failure at once, further ones once an interval
// with their count, and one line when it works again. The zero value with a Log is ready for use. Several goroutines
// may use it at once.
type Quiet struct {
	Log      zerolog.Logger
	Interval time.Duration    // 0 = DefaultQuietInterval
	Now      func() time.Time // nil = time.Now

	mu     sync.Mutex // guards what follows; held over no logging
	count  int        // failures since the last success
	since  time.Time  // the first of them
	logged time.Time  // the last line
}

// Failed notes a failure and logs it if it is due, with message, a constant phrase, at level warn. It tells whether it
// logged.
func (q *Quiet) Failed(err error, message string) bool {
	count, since, due := q.fail(q.now())
	if !due {
		return false
	}
	e := q.Log.Warn().AnErr(KeyError, err)
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		e = e.Str(KeyErrorCode, string(p.Code))
	}
	if count > 1 {
		e = e.Int(KeyPreviousErrors, count-1).Str(KeySince, since.UTC().Format(timeLayout))
	}
	e.Msg(message)
	return true
}

func (q *Quiet) fail(now time.Time) (count int, since time.Time, due bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count++
	if q.count == 1 {
		q.since = now
	}
	interval := q.Interval
	if interval <= 0 {
		interval = DefaultQuietInterval
	}
	if due = q.count == 1 || now.Sub(q.logged) >= interval; due {
		q.logged = now
	}
	return q.count, q.since, due
}

// Recovered logs message once at level info if there were failures since the last call, and forgets them. It is
// cheap, so that a loop may call it on each success.
func (q *Quiet) Recovered(message string) {
	q.mu.Lock()
	count, since := q.count, q.since
	q.count = 0
	q.mu.Unlock()
	if count > 0 {
		q.Log.Info().Int(KeyPreviousErrors, count).Str(KeySince, since.UTC().Format(timeLayout)).Msg(message)
	}
}

func (q *Quiet) now() time.Time {
	if q.Now != nil {
		return q.Now()
	}
	return time.Now()
}
