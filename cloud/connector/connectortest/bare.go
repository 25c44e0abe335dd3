package connectortest

import (
	"context"
	"errors"
	"sync"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/dispatch"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Bare is a settler without a store: the dispatcher's own write protocol, with effects of one object taken one after
// the other, as a lease does it.
type Bare struct {
	// Delay waits until a timed-out write has landed or never will; nil = no wait.
	Delay func()

	mu    sync.Mutex // guards locks
	locks map[string]*sync.Mutex
}

var _ Settler = (*Bare)(nil)

func (s *Bare) lease(object string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks == nil {
		s.locks = map[string]*sync.Mutex{}
	}
	if s.locks[object] == nil {
		s.locks[object] = &sync.Mutex{}
	}
	return s.locks[object]
}

// Settle takes an effect through the protocol.
func (s *Bare) Settle(ctx context.Context, system connector.System, e quality.Effect, decide func(quality.Effect) quality.Effect) event.Outcome {
	lease := s.lease(e.Object)
	lease.Lock()
	defer lease.Unlock()
	wrote := false
	for range dispatch.MostUnknown {
		p := &dispatch.Protocol{
			System: system, Effect: e, Wrote: wrote,
			Mark: func(context.Context) error { return nil },
			Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
				return decide(e), nil
			},
		}
		end, err := p.Run(ctx)
		if err == nil {
			return end.Outcome
		}
		wrote = p.Wrote
		var r connector.Result
		if !errors.As(err, &r) {
			return event.RetryLater
		}
		if r.Outcome != event.Unknown {
			return r.Outcome
		}
		if s.Delay != nil {
			s.Delay()
		}
	}
	return event.Rejected // a person decides
}

func outcomeOf(err error) event.Outcome {
	var r connector.Result
	if errors.As(err, &r) {
		return r.Outcome
	}
	return event.RetryLater
}

// look finds and reads what an effect acts on; a document that is not there yet is read as nothing.
func look(ctx context.Context, s connector.System, e quality.Effect) (connector.View, connector.Version, error) {
	o, err := target(ctx, s, e)
	if err != nil || o == nil {
		return connector.View{}, nil, err
	}
	return s.Read(ctx, *o)
}

// target returns the object that an effect reads and writes: the lot or its tasks, or the record that carries the
// reference. A document that is made out of a lot's stock is written on the lot's version, as long as it is not there.
func target(ctx context.Context, s connector.System, e quality.Effect) (*connector.Object, error) {
	kind, byReference := connector.ObjectOf(e.Kind)
	if !byReference {
		return &connector.Object{Kind: kind, Lot: e.Lot}, nil
	}
	refs, err := s.Find(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(refs) > 0 {
		return &connector.Object{Kind: kind, ID: refs[0].ID}, nil
	}
	if e.Kind == quality.StockTransfer {
		return &connector.Object{Kind: connector.ObjectLot, Lot: e.Lot}, nil
	}
	return nil, nil
}
