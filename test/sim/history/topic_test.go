package history

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// TestOfTopics writes what an agent does into two topics and reads it back.
func TestOfTopics(t *testing.T) {
	kafka, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const quality, telemetry, empty = "holdfast.p1.quality.v1", "holdfast.p1.telemetry.v1", "holdfast.p2.quality.v1"
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 3, 1, nil, quality, telemetry, empty); err != nil {
		t.Fatal(err)
	}
	head := event.Head{Plant: "p1", Agent: "gw1", Epoch: epoch, Prev: event.NoPrev, Time: moments(9), Barrier: 418, Epochs: []event.HeadEpoch{{Epoch: epoch, Quality: 7, Telemetry: 3}}}
	for i, m := range []struct {
		topic     string
		partition int32
		message   event.Message
	}{
		{quality, 0, message(t, 1)}, {quality, 2, message(t, 2)}, {quality, 2, message(t, 3)}, {telemetry, 1, head.Message()},
		{quality, 1, event.Message{Key: []byte("odd"), Value: []byte("odd")}},
	} {
		r := &kgo.Record{Topic: m.topic, Partition: m.partition, Key: m.message.Key, Value: m.message.Value}
		for _, h := range m.message.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	h, err := OfTopics(ctx, kafka.Addrs(), quality, telemetry, empty)
	if err != nil {
		t.Fatal(err)
	}
	seqs := map[int64]*Fact{}
	for _, f := range h.Of(Put) {
		seqs[f.Origin.Seq] = f
	}
	if f := seqs[3]; len(seqs) != 4 || f == nil || f.Lot != lot || !f.Urgent || f.Type != event.TypeSafetyFailed || f.Origin.Epoch != epoch || f.Origin.Lane != event.LaneQuality ||
		f.Place != (Place{quality, 2, 1}) || f.AgentID() != "p1/gw1" || f.Hash == "" || f.Bytes == "" || !f.At.Equal(moments(5)) {
		t.Errorf("%d puts, %+v", len(seqs), f)
	}
	if f := seqs[0]; f == nil || f.Origin.Epoch != "" || f.Key != "odd" {
		t.Errorf("a record that no agent wrote: %+v", f)
	}
	wanted := &event.EffectRequested{
		MayLot: event.MayLot{Lot: lot}, CommandID: "cmd:w2:x:usage:3", EffectRef: event.Name(Reference("cmd:w2:x:usage:3")), Kind: "erp.lot_usage.set", System: "s4", Object: string(lot), Wanted: "blocked",
		Traced: event.Traced{Provenance: event.Provenance{Source: "holdfast"}},
	}
	e := &event.Event{ID: event.NaturalID("", "holdfast", []string{"x"}, wanted.Type(), 0), Source: "/holdfast", Time: moments(1), Recorded: moments(1), Data: wanted}
	if err := e.Seal(""); err != nil {
		t.Fatal(err)
	}
	m := e.Message()
	r := &kgo.Record{Topic: "holdfast.effect.v1", Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if f := OfRecord(r); f.Kind != Intent || f.By != Announced || f.Reference != Reference("cmd:w2:x:usage:3") || f.System != "s4" || f.Lot != lot || f.Detail != "blocked" {
		t.Errorf("an effect that was wanted: %+v", f)
	}
	heads := h.Of(Head)
	if len(heads) != 1 || heads[0].Barrier != 418 || len(heads[0].Heads) != 1 || heads[0].Heads[0].Quality != 7 || heads[0].AgentID() != "p1/gw1" {
		t.Errorf("heads %+v", heads)
	}
}

// message returns an event as the uplink sends it.
func message(t *testing.T, seq uint64) event.Message {
	t.Helper()
	e := &event.Event{
		ID: event.NaturalID("p1", "mes1", []string{"x"}, event.TypeSafetyFailed, int(seq)), Source: "/p1/mes1", Time: moments(4), Recorded: moments(5), Plant: "p1",
		Origin: event.Origin{Agent: "gw1", Epoch: epoch, Prev: event.NoPrev, Lane: event.LaneQuality, Seq: seq},
		Data: &event.SafetyFailed{
			OfLot: event.OfLot{Lot: lot}, Characteristic: "torque", Evaluation: event.Fail, Value: "61.2", Unit: "N.m", USL: "50", Equipment: "press1", MeasuredAt: event.At(moments(4)),
			Traced: event.Traced{Provenance: event.Provenance{Source: "press1"}},
		},
	}
	if err := e.Seal("gw1"); err != nil {
		t.Fatal(err)
	}
	return e.Message()
}
