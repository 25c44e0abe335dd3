package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// actReplay names the act in the ledger.
const actReplay = "replay"

// PlanReplay implements [localapi.Agent].
func (o *operator) PlanReplay(ctx context.Context, order localapi.Replay) (localapi.Plan, error) {
	plan := localapi.Plan{Plant: o.agent.cfg.Plant, Lane: order.Lane, Types: []localapi.Count{}}
	types := map[string]int64{}
	err := o.lane(order.Lane).Scan(ctx, queue.Range{From: order.From, To: order.To, SentOnly: true}, func(r queue.Record) error {
		plan.Records++
		plan.Bytes += size(&r)
		types[typeOf(&r)]++
		if plan.First.IsZero() || r.At.Before(plan.First) {
			plan.First = r.At
		}
		if r.At.After(plan.Last) {
			plan.Last = r.At
		}
		return nil
	})
	if err != nil {
		return plan, fmt.Errorf("count records of lane %s: %w", order.Lane, err)
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		plan.Types = append(plan.Types, localapi.Count{Type: t, Records: types[t]})
	}
	return plan, nil
}

// Replay implements [localapi.Agent].
func (o *operator) Replay(ctx context.Context, act localapi.Act, progress func(localapi.Progress)) (localapi.Progress, error) {
	order, done := act.Order, localapi.Progress{Total: act.Plan.Records}
	if !o.replaying.TryLock() {
		return done, problem.New(problem.RuleRefused, "another replay is running: wait for its end, or stop it with ^C where it was begun")
	}
	defer o.replaying.Unlock()
	if link := o.agent.uplink.Status(); !link.Up {
		return done, problem.New(problem.RuleRefused, "the link to Kafka is down: what waits goes first, replay when it is back")
	}
	from, to := order.From.UTC().Format(time.RFC3339Nano), order.To.UTC().Format(time.RFC3339Nano)
	detail := map[string]string{
		telemetry.KeyLane: string(order.Lane), "from": from, "to": to,
		"records": strconv.FormatInt(act.Plan.Records, 10), "rate": strconv.Itoa(order.Rate),
	}
	subject := fmt.Sprintf("lane %s from %s to %s", order.Lane, from, to)
	if err := o.agent.pipeline.act(ctx, actReplay, act.Principal, subject, order.Reason, detail); err != nil {
		return done, fmt.Errorf("record replay: %w", err)
	}
	r := queue.Range{From: order.From, To: order.To}
	sent, err := o.agent.uplink.Resend(ctx, order.Lane, r, order.Rate, func(sent, total int64) {
		done.Total = total
		progress(localapi.Progress{Sent: sent, Total: total})
	})
	done.Sent = sent
	return done, err
}

func (o *operator) lane(name event.Lane) *queue.Lane {
	if name == event.LaneTelemetry {
		return o.agent.signals
	}
	return o.agent.quality
}

// size is what a record takes on the wire, but for the origin and the protocol.
func size(r *queue.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

func typeOf(r *queue.Record) string {
	for _, h := range r.Headers {
		if h.Key == event.HeaderType {
			return string(h.Value)
		}
	}
	return "(none)"
}
