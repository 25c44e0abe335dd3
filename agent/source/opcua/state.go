package opcua

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// troubled shows the items that are not read. The source is live all the same.
func (s *Source) troubled(watches []*watch) {
	var all []string
	for _, w := range watches {
		if w.trouble != nil && w.track != nil {
			all = append(all, fmt.Sprintf("%s: %v", w.track.name, w.trouble))
		}
	}
	s.super.Update(func(st *source.Status) { st.Troubled = all[:min(len(all), 10)] })
	if s.Status().State != source.Live {
		return
	}
	var err error
	if len(all) > 0 {
		err = problem.New(problem.NodeMissing, "%d of %d items are not read, the first is %s", len(all), len(s.tracks), all[0])
	}
	s.super.Set(source.Live, err)
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
