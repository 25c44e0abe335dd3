package mqtt

import (
	"context"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// calm finds out when all that waited at the broker is stored. MQTT 3.1.1 does not say so, and a message does not say when
// it was published. But a broker sends what waits as soon as it may, in order, and answers requests in order: when all
// that came is acknowledged, nothing has come for a while, and a request has made its way there and back without a
// message before its answer, nothing waits any more. The zero calm asks for nothing.
type calm struct {
	pace  pace
	since time.Time   // of the subscription
	heard time.Time   // when something was stored last
	next  *time.Timer // to the next look; nil = nothing is asked for

	asked paho.Token // nil = no question is open
	at    time.Time  // of the question
	seen  uint64     // PUBLISH packets before it
}

// beats is how often in a settling time it is looked at.
const beats = 5

func newCalm(p pace) calm {
	now := time.Now()
	return calm{pace: p, since: now, heard: now, next: time.NewTimer(p.settle / beats)}
}

// beat returns the channel that says when to look; nil while nothing is asked for.
func (k *calm) beat() <-chan time.Time {
	if k.next == nil {
		return nil
	}
	return k.next.C
}

// answer returns the channel that says when a question is answered; nil while none is open.
func (k *calm) answer() <-chan struct{} {
	if k.asked == nil {
		return nil
	}
	return k.asked.Done()
}

// quiet tells whether nothing has come for long enough to ask. A source that is never silent is asked all the same after
// a while: then only between a question and its answer nothing may come.
func (k *calm) quiet() bool {
	return time.Since(k.heard) >= k.pace.settle || time.Since(k.since) >= k.pace.busy
}

// ask asks the broker something, if that may tell that nothing waits any more.
func (c *connection) ask() error {
	k := &c.calm
	k.next.Reset(k.pace.settle / beats)
	seen := c.guard.publishes.Load()
	switch {
	case k.asked == nil && k.quiet() && len(c.in) == 0 && c.arrived.Load() == seen: // all that came is stored
		// Nobody can have subscribed to this. A broker has to answer all the same [MQTT-3.10.4-5].
		k.asked, k.at, k.seen = c.client.Unsubscribe("holdfast/fence/"+c.Source.client), time.Now(), seen
	case k.asked != nil && min(time.Since(k.at), time.Since(k.heard)) >= c.pace.answer: // and we were not busy with storing
		return problem.New(problem.SourceDown, "broker %s does not answer what it has to", c.address.Host)
	}
	return nil
}

// settle takes an answer in, and says that nothing is missing where it proves that nothing waits any more.
func (c *connection) settle(ctx context.Context, emit source.Emit) error {
	k := &c.calm
	failed := k.asked.Error()
	k.asked = nil
	if failed != nil || c.guard.publishes.Load() != k.seen {
		return nil // the end of the connection is judged elsewhere
	}
	k.next.Stop()
	c.calm = calm{}
	var b source.Batch
	if c.super.Explain(&b, closedBySession, int64(c.stored)); len(b.Closed) == 0 {
		return nil
	}
	return c.super.Emit(ctx, emit, b)
}
