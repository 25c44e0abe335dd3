package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// reader reads one source until it is stopped.
type reader struct {
	cfg    Source
	source source.Source
	turn   chan struct{} // of one: held by a batch on its way to disk, or while the configuration is replaced
	begun  chan struct{} // closed when what the source may have missed before is on disk
	ended  chan struct{} // closed when it is stopped
	stop   context.CancelFunc
}

// readers are the sources that are read, in the order of the configuration. They belong to the goroutine of [Agent.read].
type readers struct {
	agent *Agent
	ctx   context.Context // of all readers
	fail  context.CancelCauseFunc
	all   []*reader
}

// read runs the sources until ctx ends. Before any of them reads, each records what it may have missed while the agent
// did not run, and only then may the uplink say how far this agent knows: else a release could be granted for want of
// what waits at a broker that was not asked yet. Where the queue has no room for it, the uplink makes some meanwhile.
func (a *Agent) read(ctx context.Context, fail context.CancelCauseFunc) {
	rs := &readers{agent: a, ctx: ctx, fail: fail}
	defer func() { wait(rs.all) }()
	f := a.inForce()
	for i, s := range f.sources {
		rs.all = append(rs.all, rs.start(f.cfg.Sources[i], s))
	}
	if err := a.pipeline.endRemoved(ctx, a.open, f.sources); err != nil {
		if ctx.Err() == nil {
			fail(err)
		}
		return
	}
	for _, r := range rs.all {
		select {
		case <-r.begun:
		case <-r.ended:
			return // ctx has ended
		}
	}
	close(a.begun)
	rs.obey()
}

// start reads a source on a goroutine of its own.
func (rs *readers) start(cfg Source, s source.Source) *reader {
	ctx, stop := context.WithCancel(rs.ctx)
	r := &reader{cfg: cfg, source: s, turn: make(chan struct{}, 1), begun: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	go func() {
		defer close(r.ended)
		defer stop()
		emit := r.emit(rs.agent.pipeline.emit)
		if err := s.Begin(ctx, emit); err != nil {
			return // ctx has ended
		}
		close(r.begun)
		if err := s.Run(ctx, emit); err != nil {
			rs.fail(fmt.Errorf("source %s: %w", s.ID(), err))
		}
	}()
	return r
}

// emit takes the reader's turn for each batch.
func (r *reader) emit(to source.Emit) source.Emit {
	return func(ctx context.Context, b source.Batch) error {
		if err := r.take(ctx); err != nil {
			return err
		}
		defer r.give()
		return to(ctx, b)
	}
}

func (r *reader) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reader) give() { <-r.turn }

// wait waits for readers that have been stopped.
func wait(all []*reader) {
	for _, r := range all {
		<-r.ended
	}
}

// of returns the reader of a source; nil = it is not read.
func (rs *readers) of(id string) *reader {
	if i := slices.IndexFunc(rs.all, func(r *reader) bool { return r.cfg.ID == id }); i >= 0 {
		return rs.all[i]
	}
	return nil
}
