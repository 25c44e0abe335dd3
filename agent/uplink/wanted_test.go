package uplink

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestUplink_SendWanted(t *testing.T) {
	r, cloud := headRig(t)
	r.topics("quality", "telemetry")
	r.add(r.quality, 20, false)
	stop := r.run()
	r.until("all is sent", r.acked(20))
	again := event.Wanted{Epoch: testEpoch, Lane: event.LaneQuality, FromSeq: 4, ToSeq: 6}
	cloud.set(event.ControlSet{Version: 1, Wanted: []event.Wanted{
		again, {Epoch: testEpoch, Lane: event.LaneQuality, FromSeq: 9, ToSeq: 8}, {Epoch: testEpoch, Lane: event.LaneTelemetry, ToSeq: 5},
	}})
	r.until("they are sent again", func() bool { return r.stored() == 23 })
	cloud.set(event.ControlSet{Version: 2, Wanted: []event.Wanted{again}}) // the cloud has not seen them yet
	wider := event.Wanted{Epoch: testEpoch, Lane: event.LaneQuality, FromSeq: 5, ToSeq: 7}
	cloud.set(event.ControlSet{Version: 3, Wanted: []event.Wanted{wider, {Epoch: testEpoch, Lane: event.LaneQuality, ToSeq: 1}}})
	ids := r.sent(25)
	stop()
	want := map[string]int{"id-4": 2, "id-5": 2, "id-6": 2, "id-7": 2, "id-1": 2}
	for id, n := range ids {
		if n != max(want[id], 1) {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if acked := r.quality.Acked().Seq; acked != 20 {
		t.Errorf("acked is %d", acked)
	}
}

// stored counts the records of the quality topic.
func (r *rig) stored() (n int64) {
	for _, p := range r.kafka.Cluster().PartitionInfos("holdfast.p1.quality.v1") {
		n += p.HighWatermark
	}
	return n
}

// TestUplink_SendWanted_Retry proves that a range that could not be sent is not forgotten.
func TestUplink_SendWanted_Retry(t *testing.T) {
	r, cloud := headRig(t)
	r.topics("quality", "telemetry")
	r.add(r.quality, 5, false)
	stop := r.run()
	r.until("all is sent", r.acked(5))
	refused := r.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "holdfast.p1.quality.v1", Err: kerr.MessageTooLarge, Count: 1})
	cloud.set(event.ControlSet{Version: 1, Wanted: []event.Wanted{{Epoch: testEpoch, Lane: event.LaneQuality, FromSeq: 2, ToSeq: 2}}})
	r.until("it failed", func() bool {
		cloud.set(event.ControlSet{Version: 2, Wanted: []event.Wanted{{Epoch: testEpoch, Lane: event.LaneQuality, FromSeq: 2, ToSeq: 2}}})
		return r.stored() >= 6
	})
	stop()
	if ids := r.sent(6); ids["id-2"] != 2 {
		t.Errorf("sent are %v", ids)
	}
	if refused.Hits() != 1 {
		t.Errorf("the broker refused %d times: nothing was tried again", refused.Hits())
	}
}

// TestDue takes what was sent out of what is wanted.
func TestDue(t *testing.T) {
	const e, q = testEpoch, event.LaneQuality
	of := func(from, to int64) event.Wanted { return event.Wanted{Epoch: e, Lane: q, FromSeq: from, ToSeq: to} }
	for _, c := range []struct {
		name         string
		wanted, sent []event.Wanted
		want         []event.Wanted
	}{
		{"nothing was sent", []event.Wanted{of(3, 9)}, nil, []event.Wanted{of(3, 9)}},
		{"all was sent", []event.Wanted{of(3, 9)}, []event.Wanted{of(1, 20)}, nil},
		{"the front was sent", []event.Wanted{of(3, 9)}, []event.Wanted{of(1, 5)}, []event.Wanted{of(6, 9)}},
		{"the middle was sent, in two parts", []event.Wanted{of(3, 9)}, []event.Wanted{of(5, 5), of(6, 7)}, []event.Wanted{of(3, 4), of(8, 9)}},
		{"what was sent lies beside", []event.Wanted{of(3, 9)}, []event.Wanted{of(1, 2), of(10, 11)}, []event.Wanted{of(3, 9)}},
		{"another lane was sent", []event.Wanted{of(3, 9)}, []event.Wanted{{Epoch: e, Lane: event.LaneTelemetry, FromSeq: 1, ToSeq: 20}}, []event.Wanted{of(3, 9)}},
		{"ranges without records", []event.Wanted{of(9, 8), of(0, 0)}, nil, nil},
		{"from the first", []event.Wanted{of(0, 2)}, nil, []event.Wanted{of(1, 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent []resent
			for _, w := range c.sent {
				sent = append(sent, resent{w, time.Now()})
			}
			if got := due(&event.ControlSet{Wanted: c.wanted}, sent); !slices.Equal(got, c.want) {
				t.Errorf("due are %v, want %v", got, c.want)
			}
		})
	}
	if got := due(nil, nil); got != nil {
		t.Errorf("without a control record %v are due", got)
	}
}
