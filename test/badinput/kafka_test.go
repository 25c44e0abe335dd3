package badinput

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const (
	topicQuality   = "holdfast.p1.quality.v1"
	topicTelemetry = "holdfast.p1.telemetry.v1"
)

// broken returns the plant whose Kafka tests disturb.
func broken(t *testing.T) *rig {
	t.Helper()
	return world.kafka.get(t, func() (*rig, error) { return newRig("kafka", stack.Config{}, nil) })
}

// refuse makes the broker answer the plant's producers with an error until the test ends or Remove is called.
func (r *rig) refuse(t *testing.T, topic string, err *kerr.Error) *kfake.FaultHandle {
	t.Helper()
	f := r.cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: err, Count: -1})
	t.Cleanup(f.Remove)
	return f
}

// hit waits until a fault has struck.
func hit(t *testing.T, f *kfake.FaultHandle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := f.Wait(ctx, 1); err != nil {
		t.Fatalf("the fault did not strike: %v", err)
	}
}

// keeps asserts that a lane has something unsent.
func (r *rig) keeps(t *testing.T, lane event.Lane) {
	t.Helper()
	if l := laneOf(r.status(t), lane); l.Depth == 0 {
		t.Errorf("lane %s keeps nothing: %+v", lane, l)
	}
}

// TestB060_BrokerRefusesForATime covers a leader that moved, replicas that are missing, and a broker that is gone.
func TestB060_BrokerRefusesForATime(t *testing.T) {
	r := broken(t)
	for _, err := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.LeaderNotAvailable, kerr.KafkaStorageError} {
		t.Run(err.Message, func(t *testing.T) {
			f := r.refuse(t, topicQuality, err)
			good := encode(t, r.result())
			if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
				t.Fatal(err)
			}
			hit(t, f)
			r.keeps(t, event.LaneQuality)
			f.Remove()
			r.inbox(t, event.TypeCharacteristicRecorded, good)
		})
	}
	t.Run("BrokerGone", func(t *testing.T) {
		r.WAN.Cut()
		defer r.WAN.Heal()
		good := encode(t, r.result())
		if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the status says that the link is down", func() bool { return !r.status(t).Uplink.Up })
		r.keeps(t, event.LaneQuality)
		r.WAN.Heal()
		r.inbox(t, event.TypeCharacteristicRecorded, good)
	})
}

// TestB061_TopicMissing deletes the topic of one lane. It waits, and the other lane goes on.
func TestB061_TopicMissing(t *testing.T) {
	r := broken(t)
	if err := r.cluster().DeleteTopic(topicTelemetry); err != nil {
		t.Fatal(err)
	}
	const n = 2500 // more than is sent before the first answer
	var waits []func() error
	for i := range n {
		waits = append(waits, r.press.Start(plant.TopicSignal, encode(t, plant.Signal{Tag: "pressure", Value: fmt.Sprint(i), Unit: "bar", At: plant.Stamp(time.Now())})))
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the signals are queued", func() bool { return laneOf(r.status(t), event.LaneTelemetry).Depth >= n })
	eventually(t, "the status names the missing topic", func() bool {
		u := r.status(t).Uplink
		return strings.Contains(u.LastError, topicTelemetry) && strings.Contains(u.LastError, string(problem.KafkaTopic))
	})
	r.flows(t)
	if err := r.cluster().CreateTopic(topicTelemetry, 6, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the signals are sent once the topic is there", func() bool { return laneOf(r.status(t), event.LaneTelemetry).Depth == 0 })
	eventually(t, "the cloud says that it is another topic", func() bool {
		return counter(t, r.Cloud, `holdfast_cloud_intake_stopped{topic="`+topicTelemetry+`"}`) == 1
	})
	r.flows(t)
	if shed := laneOf(r.status(t), event.LaneTelemetry).Shed; shed != 0 {
		t.Errorf("%d records were shed", shed)
	}
}

// TestB061_OtherPartitionCount starts a cloud on a topic whose keys would land elsewhere than its specification says.
func TestB061_OtherPartitionCount(t *testing.T) {
	r := broken(t)
	if err := r.cluster().CreateTopic("other.p1.quality.v1", 5, nil); err != nil {
		t.Fatal(err)
	}
	cfg := r.changed(t, "cloud.yaml", "kafka: {", "kafka: { prefix: other,", "cloud-data/", "cloud-other/", "ledger.key", "other.key", "anchors.jsonl", "other.jsonl")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := stack.Start(ctx, "other-cloud", r.Path(""), world.bin+"/holdfast-cloud", nil, "run", "--config", cfg)
	if err == nil || !strings.Contains(err.Error(), "it has 5 partitions, not 6") || !strings.Contains(err.Error(), string(problem.KafkaTopic)) {
		t.Errorf("a cloud on a topic with 5 partitions gave %v", err)
	}
}

func TestB062_AuthorisationFailed(t *testing.T) {
	r := broken(t)
	f := r.refuse(t, topicQuality, kerr.TopicAuthorizationFailed)
	good := encode(t, r.result())
	if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
		t.Fatal(err)
	}
	hit(t, f)
	eventually(t, "the status says that Kafka refuses us", func() bool {
		u := r.status(t).Uplink
		return strings.Contains(u.LastError, string(problem.KafkaRefused))
	})
	r.keeps(t, event.LaneQuality)
	f.Remove()
	r.inbox(t, event.TypeCharacteristicRecorded, good)
}

// TestB063_RecordTooLarge sends messages that the source's limit lets pass and an event would not.
func TestB063_RecordTooLarge(t *testing.T) {
	r := broken(t)
	long := strings.Repeat("x", 950<<10)
	hold := plant.Hold{Record: "H-long", Lot: "L-1", Material: "MAT-100", Reason: long, By: "operator 7", At: plant.Stamp(time.Now())}
	r.quarantined(t, bad{topic: plant.TopicHold, payload: encode(t, hold), reason: ""}, r.press.SendRaw)
	part := r.result()
	part.Characteristic = long
	r.quarantined(t, bad{topic: plant.TopicResult, payload: encode(t, part), reason: ""}, r.press.SendRaw)
	r.flows(t)
	if u := r.status(t).Uplink; !u.Up {
		t.Errorf("the link stands: %+v", u)
	}
}

// TestB066_Poison is a lot in a unit that its material does not have.
func TestB066_Poison(t *testing.T) {
	r := broken(t)
	lot := plant.Lot{Record: "lot-poison", Lot: "L-poison", Material: "MAT-100", Qty: "500", Unit: "m", Order: "1", Equipment: "press4", At: plant.Stamp(time.Now())}
	if err := r.press.Send(plant.TopicLot, lot); err != nil {
		t.Fatal(err)
	}
	parked := `SELECT COUNT(*) FROM deadletter WHERE state = 'parked' AND lot = 'lot::MAT-100:L-poison' AND code = ?`
	eventually(t, "the lot is parked", func() bool { return r.number(t, parked, string(problem.EventPoison)) == 1 })
	if err := r.press.Send(plant.TopicResult, result("behind-poison", "L-poison")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what comes behind it waits", func() bool { return r.number(t, parked, string(problem.EventParked)) == 1 })
	r.flows(t)
	hold := plant.Hold{Record: "H-poison", Lot: "L-poison", Material: "MAT-100", Reason: "oil on the part", By: "operator 7", At: plant.Stamp(time.Now())}
	if err := r.press.Send(plant.TopicHold, hold); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hold passes it", func() bool { return r.SAP.Restricted("MAT-100", "L-poison") })
	if counter(t, r.Cloud, outcomes("parked")) == 0 {
		t.Error("no parked record was counted")
	}
}

// TestB070_AnotherProcessMovedTheOffset is what a rebalance in mid-transaction leaves: the stored offset is no longer the
// one that the process counts on. It stops, and nothing was stored twice or skipped.
func TestB070_AnotherProcessMovedTheOffset(t *testing.T) {
	r := broken(t)
	r.flows(t)
	db, err := sql.Open("sqlite", "file:"+r.Path("cloud-data/holdfast.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	move := func(by int) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), `UPDATE kafka_offset SET next = next + ? WHERE topic = ?`, by, topicQuality); err != nil {
			t.Fatal(err)
		}
	}
	move(1)
	good := encode(t, r.result())
	if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.Cloud.Done():
	case <-time.After(limit):
		t.Fatal("the cloud works on")
	}
	if text := r.Cloud.Tail(); !strings.Contains(text, string(problem.OffsetFence)) {
		t.Errorf("the cloud's last words do not name %s:\n%s", problem.OffsetFence, text)
	}
	if n := r.number(t, `SELECT COUNT(*) FROM inbox WHERE raw_sha256 = ?`, sum(good)); n != 0 {
		t.Error("the event was stored without its offset")
	}
	move(-1)
	r.startCloud(t)
	r.inbox(t, event.TypeCharacteristicRecorded, good)
}

func (r *rig) startCloud(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := r.StartCloud(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestB067_OffsetOutOfRange is the last of its rig, whose others stand above and in foreign_test.go: a partition stands
// still from then on. While the cloud is down its next record is deleted in one partition; and a plant appears whose topic
// has no stored offset, which starts at exactly 0.
func TestB067_OffsetOutOfRange(t *testing.T) {
	r := broken(t)
	r.flows(t)
	if _, err := r.Cloud.Stop(limit); err != nil {
		t.Fatal(err)
	}
	f := stranger(t, r, "gw67")
	lost, kept := f.measured(t, r.result()), f.measured(t, r.result())
	f.send(t, lost)
	f.send(t, kept)
	partition, end := int32(-1), int64(0)
	for _, p := range r.cluster().PartitionInfos(topicQuality) {
		var next int64
		err := r.db.QueryRowContext(t.Context(), `SELECT next FROM kafka_offset WHERE topic = ? AND part = ?`, topicQuality, p.Partition).Scan(&next)
		if err == nil && p.HighWatermark >= next+2 {
			partition, end = p.Partition, p.HighWatermark
		}
	}
	if partition < 0 {
		t.Fatal("no partition has records behind the stored offset")
	}
	if err := r.cluster().DeleteRecords(topicQuality, partition, end-1); err != nil {
		t.Fatal(err)
	}
	const early = "holdfast.p7.quality.v1"
	if err := r.cluster().CreateTopic(early, 6, nil); err != nil {
		t.Fatal(err)
	}
	m := f.measured(t, r.result(), func(e *event.Event) { e.Plant = "p2" })
	f.sendTo(t, early, m)

	r.startCloud(t)
	t.Run("NoOffsetMeansZero", func(t *testing.T) { r.kept(t, "quarantined", problem.EventForeign, m.Value) })
	t.Run("StandsStill", func(t *testing.T) {
		stopped := `holdfast_cloud_intake_stopped{topic="` + topicQuality + `"}`
		eventually(t, "the alarm", func() bool { return counter(t, r.Cloud, stopped) == 1 })
		named := false
		for _, l := range logLines(t, r.Path("cloud.log")) {
			named = named || l.Level == "error" && strings.Contains(l.Error, string(problem.OffsetRange)) && l.Topic == topicQuality
		}
		if !named {
			t.Error("the log does not say why the partition stands still")
		}
		if n := r.number(t, `SELECT COUNT(*) FROM inbox WHERE id = ?`, kept.Header(event.HeaderID)); n != 0 {
			t.Error("what stands behind the missing records was applied")
		}
	})
}
