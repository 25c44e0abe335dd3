package agent

import (
	"context"
	"encoding/json"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	// tapBehind is how far a tap may fall behind before it leaves events out: it reads what the disk has, so that a slow
	// terminal holds nothing up, and yet should show what is happening now.
	tapBehind = 5000
	// tapWaiting is how many events of both lanes wait for the caller.
	tapWaiting = 100
)

// Tap implements [localapi.Agent]. It reads the queue, never the sources, so that what it shows is on disk.
func (o *operator) Tap(ctx context.Context, tap localapi.Tap, show func(localapi.Tapped) error) error {
	g, ctx := errgroup.WithContext(ctx)
	events := make(chan localapi.Tapped, tapWaiting)
	for _, x := range o.agent.lanes() {
		if tap.Lane == "" || tap.Lane == x.name {
			epoch, seq := x.lane.Last()
			g.Go(func() error { return follow(ctx, x, queue.Position{Epoch: epoch, Seq: seq}, tap, events) })
		}
	}
	g.Go(func() error {
		for {
			select {
			case e := <-events:
				if err := show(e); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follow hands over what a lane gets after a position, until ctx ends.
func follow(ctx context.Context, x namedLane, at queue.Position, tap localapi.Tap, events chan<- localapi.Tapped) error {
	for {
		records, err := x.lane.Next(ctx, at, 0, 0)
		if err != nil {
			return err
		}
		for i := range records {
			e := tapped(x.name, &records[i])
			at = records[i].Position()
			if !tap.Wants(&e) {
				continue
			}
			if err := hand(ctx, events, e); err != nil {
				return err
			}
		}
		epoch, last := x.lane.Last()
		if epoch == at.Epoch && last > at.Seq+tapBehind {
			skipped := last - at.Seq
			at.Seq = last
			if err := hand(ctx, events, localapi.Tapped{Lane: x.name, Skipped: skipped}); err != nil {
				return err
			}
		}
	}
}

func hand(ctx context.Context, events chan<- localapi.Tapped, e localapi.Tapped) error {
	select {
	case events <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tapped shows a record. One that this version cannot read has no more than its envelope.
func tapped(lane event.Lane, r *queue.Record) localapi.Tapped {
	m := event.Message{}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, event.Header(h))
	}
	e := localapi.Tapped{
		Lane: lane, Epoch: r.Epoch, Seq: r.Seq, Urgent: r.Urgent, ID: r.ID, Type: m.Header(event.HeaderType), Recorded: r.At, Data: json.RawMessage(r.Value),
	}
	if at, err := event.ParseTime(m.Header(event.HeaderTime)); err == nil {
		e.Time = at.Time
	}
	data, err := event.DecodeData(event.Type(e.Type), r.Value)
	if err != nil {
		return e
	}
	from := data.ReadBy()
	e.Lot, e.Source, e.Item, e.Clock = string(data.Concerns()), string(from.Source), from.Item, string(from.TimeQuality)
	switch d := data.(type) {
	case *event.ValueSampled:
		e.Quality = string(d.Status)
	case *event.RecordQuarantined:
		e.Quality = localapi.Unread
	}
	return e
}
