package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// statusEvery is how often the service manager hears how much waits: often enough for somebody who looks, and nothing
// beside what a machine sends.
const statusEvery = 10 * time.Second

// inform tells the service manager that the agent is ready, how much waits, and that its queue still commits, until ctx
// ends; then that it stops.
func (a *Agent) inform(ctx context.Context) {
	if !a.Notifier.Listens() {
		return
	}
	defer a.tell(telemetry.NotifyStopping)
	a.tell(telemetry.NotifyReady, a.backlog())
	pulse := newPulse(a.quality, a.signals)
	tick := time.NewTicker(a.Notifier.Pace(statusEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if pulse.beats(ctx, a.Notifier.Pace(statusEvery)) {
			a.tell(a.backlog(), telemetry.NotifyAlive)
		} else if ctx.Err() == nil {
			a.tell(telemetry.NotifyStatus("the queue does not commit"))
		}
	}
}

// tell says something to the service manager.
func (a *Agent) tell(states ...string) { a.Notifier.Tell(&a.manager, states...) }

// notifyReloading says that a reload has begun. A manager that waits for its end tells it by the time from an older one.
func (a *Agent) notifyReloading() {
	states := []string{telemetry.NotifyReloading}
	if now := sinceBoot(); now > 0 {
		states = append(states, fmt.Sprintf("MONOTONIC_USEC=%d", now.Microseconds()))
	}
	a.tell(states...)
}

// notifyReloaded says that the agent works by the configuration that it has now, be it the new one or the one before.
func (a *Agent) notifyReloaded() { a.tell(telemetry.NotifyReady, a.backlog()) }

// backlog says in one line how much has not reached Kafka, how old it is, and why.
func (a *Agent) backlog() string {
	var depth uint64
	var urgent int
	var oldest time.Time
	for _, x := range a.lanes() {
		s := x.lane.Stat()
		depth += s.Depth
		urgent += s.Urgent
		if !s.Oldest.IsZero() && (oldest.IsZero() || s.Oldest.Before(oldest)) {
			oldest = s.Oldest
		}
	}
	link := "Kafka is reached"
	if up := a.uplink.Status(); !up.Up {
		link = fmt.Sprintf("Kafka is not reached since %s", up.Since.UTC().Format(time.DateTime+"Z"))
	}
	if r := a.refused.Load(); r != nil {
		link += fmt.Sprintf("; the configuration as it is now was refused (%s)", problem.CodeOf(r.err))
	}
	if depth == 0 {
		return telemetry.NotifyStatus("nothing waits; " + link)
	}
	return telemetry.NotifyStatus(fmt.Sprintf("%d events wait (%d urgent), oldest %s; %s",
		depth, urgent, max(0, a.now().Sub(oldest)).Truncate(time.Second), link))
}

// pulse tells whether lanes go on committing. A clock alone would let an agent live on whose disk has stopped to answer.
type pulse struct {
	lanes    []*queue.Lane
	received []uint64 // of each lane, when it was last looked at
}

func newPulse(lanes ...*queue.Lane) *pulse {
	p := &pulse{lanes: lanes, received: make([]uint64, len(lanes))}
	for i, l := range lanes {
		p.received[i] = l.Stat().Received
	}
	return p
}

// beats tells whether each lane has committed something since the last call or, having nothing to commit, would: it
// answers within limit.
func (p *pulse) beats(ctx context.Context, limit time.Duration) bool {
	all := true
	for i, l := range p.lanes {
		received := l.Stat().Received
		moved := received != p.received[i]
		p.received[i] = received
		if !moved {
			ctx, cancel := context.WithTimeout(ctx, limit)
			moved = l.Probe(ctx) == nil
			cancel()
		}
		all = all && moved
	}
	return all
}
