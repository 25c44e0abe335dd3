package dispatch

import (
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
)

const (
	// probeEvery is how often a system that does not answer is tried, by one effect: no load for a system, and no wait to
	// speak of for a lot. All others may then stay away for long, since the first answer wakes them.
	probeEvery = 5 * time.Second
	// silentAfter is how many failures in a row make a system one that does not answer. Fewer may be those of an object.
	silentAfter = 5
)

// target is one system. It has workers of its own, so that one that is slow or down keeps no effect of another waiting.
type target struct {
	id     string
	system connector.System

	mu   sync.Mutex // guards what follows
	busy int        // effects out
	// answers tells whether the system answers. A new process does not know, so that the first answer wakes what an earlier
	// one left waiting.
	answers  bool
	failures int       // in a row
	returns  int       // how often it began to answer
	probe    time.Time // when the effect that tries next is due
}

// occupy counts effects that go out, or come back.
func (t *target) occupy(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy += n
}

// free returns how many of its workers are.
func (t *target) free(workers int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return workers - t.busy
}

// returned counts how often the system began to answer.
func (t *target) returned() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.returns
}

// answered notes an answer; true = it is the first one.
func (t *target) answered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !t.answers
	if first {
		t.returns++
	}
	t.answers, t.failures = true, 0
	return first
}

// absent notes a failure of the system, or for sure that it does not answer, and returns how long an effect stays away that
// would wait so long: while the system is silent, one of them comes back soon to see whether it still is.
func (t *target) absent(wait time.Duration, sure bool, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures++; !sure && t.failures < silentAfter {
		return wait
	}
	t.answers, t.failures = false, max(t.failures, silentAfter)
	if wait <= probeEvery || t.probe.After(now) {
		return wait
	}
	t.probe = now.Add(probeEvery)
	return probeEvery
}
