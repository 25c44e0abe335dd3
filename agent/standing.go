package agent

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// standing is the agent's status as it travels with a head: figures alone, no address and no message, which stay on the
// agent's own page.
func (a *Agent) standing() *event.AgentStatus {
	s := (&operator{agent: a}).Status()
	st := &event.AgentStatus{
		Version: event.Name(s.Build), Started: event.At(s.UpSince), LinkSince: event.At(s.Uplink.Since),
		Backlog: []event.LaneBacklog{}, Clock: a.hostClock(), Sources: []event.SourceStanding{},
	}
	for i := range s.Lanes {
		st.Backlog = append(st.Backlog, backlog(&s.Lanes[i]))
		st.Urgent += int64(s.Lanes[i].Urgent)
	}
	if all, err := a.certificates(s.AsOf); err == nil { // else their sources are refused and say why
		for _, c := range inUse(all) {
			if end := event.At(c.NotAfter); st.CertificatesEnd.IsZero() || end.Before(st.CertificatesEnd.Time) {
				st.CertificatesEnd = end
			}
		}
	}
	for i := range s.Sources {
		st.Sources = append(st.Sources, sourceStanding(&s.Sources[i]))
	}
	slices.SortStableFunc(st.Sources, func(a, b event.SourceStanding) int { return cmp.Compare(calm(&a), calm(&b)) })
	st.Fit()
	return st
}

func (a *Agent) hostClock() event.HostClock {
	t := a.clock.time()
	c := event.HostClock{Synchronised: t.synchronised}
	if t.offset != nil {
		c.Offset = event.Decimal(strconv.FormatFloat(t.offset.Seconds(), 'f', 6, 64))
	}
	return c
}

func backlog(l *localapi.Lane) event.LaneBacklog {
	b := event.LaneBacklog{
		Lane: event.Lane(l.Name), Events: int64(l.Depth), Bytes: max(l.Bytes-l.SentBytes, 0), Drain: max(l.DrainIn, 0), Full: max(l.FullIn, 0),
	}
	if l.Depth > 0 {
		b.Oldest = event.At(l.Oldest)
	} else {
		b.Bytes = 0
	}
	return b
}

var codePattern = regexp.MustCompile(`\bE-[0-9]{4}\b`)

func sourceStanding(s *localapi.Source) event.SourceStanding {
	st := event.SourceStanding{
		ID: event.Name(s.ID), State: event.Name(s.State), Since: event.At(s.Since), Last: event.At(s.LastSignal),
		Problem: event.Name(codePattern.FindString(s.Problem)), Items: int64(s.Items), OpenGaps: int64(s.OpenGaps),
	}
	good := s.Items - len(s.Troubled)
	if s.Signals != nil {
		good = s.Signals[source.Good]
	}
	st.Bad = int64(max(s.Items-good, 0))
	return st
}

// calm sorts what a person has to look at to the front.
func calm(s *event.SourceStanding) int {
	switch {
	case s.State == event.Name(source.Refused):
		return 0
	case s.State != event.Name(source.Live):
		return 1
	case s.Bad > 0 || s.OpenGaps > 0 || s.Problem != "":
		return 2
	}
	return 3
}
