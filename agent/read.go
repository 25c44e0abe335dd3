package agent

import (
	"context"
	"fmt"
	"sync"
)

// read runs the sources until ctx ends. Before any of them reads, each records what it may have missed while the agent
// did not run, and only then may the uplink say how far this agent knows: else a release could be granted for want of
// what waits at a broker that was not asked yet. Where the queue has no room for it, the uplink makes some meanwhile.
func (a *Agent) read(ctx context.Context, fail context.CancelCauseFunc) {
	var sources sync.WaitGroup
	defer sources.Wait()
	begun := make(chan bool, len(a.sources))
	for _, s := range a.sources {
		sources.Go(func() {
			err := s.Begin(ctx, a.pipeline.emit)
			if begun <- err == nil; err != nil {
				return // ctx has ended
			}
			if err := s.Run(ctx, a.pipeline.emit); err != nil {
				fail(fmt.Errorf("source %s: %w", s.ID(), err))
			}
		})
	}
	if err := a.pipeline.endRemoved(ctx, a.open, a.sources); err != nil {
		if ctx.Err() == nil {
			fail(err)
		}
		return
	}
	for range a.sources {
		if !<-begun {
			return
		}
	}
	close(a.begun)
}
