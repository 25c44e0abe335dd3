package opcua

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// set changes the state. A nil err clears the problem.
func (s *Source) set(state source.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State != state {
		s.status.State, s.status.Since = state, s.deps.Now()
	}
	s.status.Problem, s.status.Next = "", ""
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		s.status.Problem, s.status.Next = p.Error(), p.Next
	} else if err != nil {
		s.status.Problem = err.Error()
	}
	s.standing, s.standingNext = s.status.Problem, s.status.Next
}

// count changes counters and lists of the status.
func (s *Source) count(change func(*source.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// Status implements [source.Source].
func (s *Source) Status() source.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Troubled, st.Facts = slices.Clone(st.Troubled), slices.Clone(st.Facts)
	return st
}

// isFull says that the queue takes nothing, once a batch waits for long.
func (s *Source) isFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State == source.Live || s.status.State == source.Backfilling {
		s.before = s.status.State
		s.status.State, s.status.Since = source.Full, s.deps.Now()
		p := problem.New(problem.QueueFull, "values wait in the server's queue, since ours takes none")
		s.status.Problem, s.status.Next = p.Error(), p.Next
	}
}

func (s *Source) notFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State == source.Full {
		s.fullUntil = time.Now()
		s.status.State, s.status.Since, s.status.Problem, s.status.Next = s.before, s.deps.Now(), s.standing, s.standingNext
	}
}

// troubled shows the items that are not read. The source is live all the same.
func (s *Source) troubled(watches []*watch) {
	var all []string
	for _, w := range watches {
		if w.trouble != nil && w.track != nil {
			all = append(all, fmt.Sprintf("%s: %v", w.track.name, w.trouble))
		}
	}
	s.count(func(st *source.Status) { st.Troubled = all[:min(len(all), 10)] })
	if s.Status().State != source.Live {
		return
	}
	var err error
	if len(all) > 0 {
		err = problem.New(problem.NodeMissing, "%d of %d items are not read, the first is %s", len(all), len(s.tracks), all[0])
	}
	s.set(source.Live, err)
}

// facts says in words what was agreed with the server, and what a person should know of it.
func (l *life) facts(warn string) []string {
	all := []string{
		fmt.Sprintf("security %s", l.cfg.Security),
		fmt.Sprintf("server's clock minus ours %s", l.values.skew.Round(time.Millisecond)),
	}
	if warn != "" {
		all = append(all, warn)
	}
	all = append(all, l.notes...)
	if l.server.noHistory {
		all = append(all, "server refuses to read history, though it is configured")
	}
	if until := l.own.leaf; until != nil && until.NotAfter.Sub(l.deps.Now()) < ownWarning {
		all = append(all, fmt.Sprintf("our certificate %s ends on %s", thumbprint(until), until.NotAfter.Format(time.DateOnly)))
	}
	for _, w := range l.watches {
		if w.created && w.track != nil && w.track.item != nil && l.cfg.Cycle > 0 && w.revised > l.cfg.Cycle/2 && w.track.item.Pattern != PatternSample {
			all = append(all, fmt.Sprintf("server looks at %s each %s, too seldom for a cycle of %s", w.track.name, w.revised, l.cfg.Cycle))
		}
	}
	return all[:min(len(all), 20)]
}
