package agent

import (
	"bytes"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAgent_Replay(t *testing.T) {
	r := newRig(t)
	r.result("1", "61.2")
	r.result("2", "45.0")
	r.drained()
	// The epoch, two characteristics, and a safety failure, which goes up twice: ahead of its lane and in its place.
	first := r.read(5)
	order := localapi.Replay{Lane: event.LaneQuality, From: time.Now().Add(-time.Hour), To: time.Now(), Rate: 1000}

	t.Run("dry run", func(t *testing.T) {
		updates := r.replay(order)
		if len(updates) != 1 || updates[0].Plan == nil {
			t.Fatalf("answer is %+v", updates)
		}
		plan := *updates[0].Plan
		want := []localapi.Count{
			{Type: "agent.epoch.opened.v1", Records: 1}, {Type: "quality.characteristic.recorded.v1", Records: 2}, {Type: "quality.safety.failed.v1", Records: 1},
		}
		if diff := cmp.Diff(want, plan.Types); diff != "" || plan.Records != 4 || plan.Bytes < 1000 || plan.Plant != "p1" {
			t.Errorf("plan is %+v\n%s", plan, diff)
		}
		if plan.First.Before(order.From) || plan.Last.Before(plan.First) || !plan.Last.Before(order.To) {
			t.Errorf("first is %s, last %s", plan.First, plan.Last)
		}
		r.read(len(first))
	})

	t.Run("ErrNoReason", func(t *testing.T) {
		bad := order
		bad.Execute = true
		err := r.client.Replay(t.Context(), bad, func(localapi.Update) {})
		if problem.CodeOf(err) != problem.ReasonNeeded {
			t.Errorf("error is %v: want %s", err, problem.ReasonNeeded)
		}
	})

	t.Run("execute", func(t *testing.T) {
		run := order
		run.Execute, run.Reason = true, "the cloud was restored"
		updates := r.replay(run)
		last := updates[len(updates)-1]
		if last.Done == nil || *last.Done != (localapi.Progress{Sent: 4, Total: 4}) {
			t.Fatalf("last line is %+v", last)
		}
		r.drained()
		if acked := must(r.client.Queue(t.Context()))(t).Lanes[0].Acked.Seq; acked != 5 {
			t.Errorf("acked is %d: want 5, the act", acked)
		}
		r.checkAgain(first, r.read(len(first)+4+1))
	})
}

// replay returns all lines of an answer.
func (r *rig) replay(order localapi.Replay) []localapi.Update {
	r.t.Helper()
	var updates []localapi.Update
	if err := r.client.Replay(r.t.Context(), order, func(u localapi.Update) { updates = append(updates, u) }); err != nil {
		r.t.Fatal(err)
	}
	return updates
}

// checkAgain checks that what came after the first records is each of them once more, byte for byte, and the act.
func (r *rig) checkAgain(first, all []*kgo.Record) {
	r.t.Helper()
	before, after := byID(first), byID(all)
	for id, records := range before {
		again := after[id]
		if len(again) != len(records)+1 {
			r.t.Errorf("event %s stands %d times in the topic: want %d", id, len(again), len(records)+1)
		}
		for _, record := range again {
			if !bytes.Equal(record.Value, records[0].Value) || !bytes.Equal(record.Key, records[0].Key) || !slices.EqualFunc(record.Headers, records[0].Headers, sameHeader) {
				r.t.Errorf("event %s came again with another content", id)
			}
		}
		delete(after, id)
	}
	if len(after) != 1 {
		r.t.Fatalf("%d other events: want the act alone", len(after))
	}
	for _, records := range after {
		data := must(event.DecodeData(event.TypeActRecorded, records[0].Value))(r.t).(*event.ActRecorded)
		me := must(user.Current())(r.t).Username
		if data.Act != "replay" || string(data.Principal) != me || data.Reason != "the cloud was restored" || data.Detail["records"] != "4" || data.Detail["lane"] != "quality" {
			r.t.Errorf("act is %+v", data)
		}
	}
}

func sameHeader(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }

func byID(records []*kgo.Record) map[string][]*kgo.Record {
	all := map[string][]*kgo.Record{}
	for _, r := range records {
		for _, h := range r.Headers {
			if h.Key == event.HeaderID {
				all[string(h.Value)] = append(all[string(h.Value)], r)
			}
		}
	}
	return all
}

func TestOperator_Replay(t *testing.T) {
	r := newRig(t)
	r.drained()
	r.until("the link is up", func() bool { return r.agent.uplink.Status().Up })
	o := &operator{agent: r.agent}
	refused := func(t *testing.T, why string) {
		order := localapi.Replay{Lane: event.LaneQuality, From: time.Now().Add(-time.Hour), To: time.Now(), Rate: 10, Reason: "why", Execute: true}
		_, err := o.Replay(t.Context(), localapi.Act{Principal: "jo", Order: order}, func(localapi.Progress) {})
		if problem.CodeOf(err) != problem.RuleRefused || !strings.Contains(err.Error(), why) {
			t.Errorf("error is %v: want %s with %q", err, problem.RuleRefused, why)
		}
		if _, seq := r.agent.quality.Last(); seq != 1 {
			t.Errorf("last seq is %d: an act was recorded that did not happen", seq)
		}
	}
	t.Run("ErrRunning", func(t *testing.T) {
		o.replaying.Lock()
		defer o.replaying.Unlock()
		refused(t, "another replay")
	})
	t.Run("ErrLinkDown", func(t *testing.T) {
		r.kafka.Close()
		r.until("the link is down", func() bool { return !r.agent.uplink.Status().Up })
		refused(t, "the link to Kafka is down")
	})
}
