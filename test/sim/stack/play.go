package stack

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// inFlight is how many messages may wait for the broker's acknowledgement. At 100 a second it bridges two seconds in
// which the broker is slow.
const inFlight = 200

// Play publishes a plant's messages, each at its offset from start, and returns when the broker has acknowledged them
// all, or when ctx ends. Messages of other plants are passed over.
func Play(ctx context.Context, out *plant.Publisher, plantID string, start time.Time, messages []company.Message) error {
	var unacknowledged []func() error
	settle := func(most int) error {
		for ; len(unacknowledged) > most; unacknowledged = unacknowledged[1:] {
			if err := unacknowledged[0](); err != nil {
				return fmt.Errorf("plant %s: %w", plantID, err)
			}
		}
		return nil
	}
	for i := range messages {
		m := &messages[i]
		if m.Plant != plantID {
			continue
		}
		if err := Until(ctx, start.Add(m.Offset)); err != nil {
			return err
		}
		unacknowledged = append(unacknowledged, out.Start(m.Topic, m.Payload))
		if err := settle(inFlight); err != nil {
			return err
		}
	}
	return settle(0)
}

// PlayLine lets a press line make a plant's parts, each at its offset from start. Parts of other plants are passed over.
func PlayLine(ctx context.Context, line *opcua.Press, plantID string, start time.Time, parts []company.Part) error {
	for i := range parts {
		p := &parts[i]
		if p.Plant != plantID {
			continue
		}
		if err := Until(ctx, start.Add(p.Offset)); err != nil {
			return err
		}
		line.Part(p.Part.LotID(), p.Part.Values...)
	}
	return nil
}

// Until waits for a point in time. Its error is that of ctx.
func Until(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
