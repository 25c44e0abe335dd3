package source

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Status returns a snapshot.
func (v *Supervisor) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	st := v.status
	st.AtMostOnce, st.Troubled, st.Facts = slices.Clone(st.AtMostOnce), slices.Clone(st.Troubled), slices.Clone(st.Facts)
	st.Signals = maps.Clone(st.Signals)
	return st
}

// Set changes the state. A nil err clears the problem.
func (v *Supervisor) Set(state State, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.standing = troubleOf(err)
	v.enter(state, v.standing)
}

// Update changes counters and lists of the status.
func (v *Supervisor) Update(change func(*Status)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.status)
}

// enter is called with the lock held.
func (v *Supervisor) enter(state State, why trouble) {
	if v.status.State != state {
		v.status.State, v.status.Since = state, v.deps.Now()
	}
	v.status.Problem, v.status.Next = why.problem, why.next
}

func troubleOf(err error) trouble {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return trouble{p.Error(), p.Next}
	}
	if err != nil {
		return trouble{problem: err.Error()}
	}
	return trouble{}
}

// isFull says that the queue takes nothing, once a batch waits for long.
func (v *Supervisor) isFull() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.status.State == Live || v.status.State == Backfilling {
		v.before = v.status.State
		v.enter(Full, troubleOf(problem.New(problem.QueueFull, "%s", v.rules.Waits)))
	}
}

func (v *Supervisor) notFull() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.status.State == Full {
		v.fullUntil = time.Now()
		v.enter(v.before, v.standing)
	}
}

// WasFull tells whether the queue took nothing at some time of the last while, so that what the other side dropped is
// ours.
func (v *Supervisor) WasFull(while time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.fullUntil) < while
}
