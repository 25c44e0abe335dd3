package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// OfTopics returns what stands in topics of a cluster: of the plants, what agents had on disk and sent, and their heads;
// of the cloud, each effect that it wanted. It reads each topic from its beginning to the end that it has now.
func OfTopics(ctx context.Context, brokers []string, topics ...string) (History, error) {
	// A partition may end in a transaction's marker, which has an offset and is no record.
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	if err := ends.Error(); err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	left := map[Place]int64{} // end of each partition that is not read yet
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[Place{Topic: o.Topic, Partition: o.Partition}] = o.Offset
		}
	})
	var h History
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read topics: %d partitions are not read to their end: %w", len(left), err)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("read topic %s: %w", errs[0].Topic, errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				h = append(h, OfRecord(r))
			}
			at := Place{Topic: r.Topic, Partition: r.Partition}
			if r.Offset+1 >= left[at] {
				delete(left, at)
			}
		})
	}
	return h, nil
}

// OfRecord returns what a record says: a head, that an agent has an event on disk, or that the cloud wants an effect. One
// that no agent could have written has no origin.
func OfRecord(r *kgo.Record) Fact {
	m := event.Message{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	place := Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	if event.IsHead(m) {
		f := Fact{At: r.Timestamp.UTC(), Kind: Head, Plant: m.Header(event.HeaderPlant), Agent: m.Header(event.HeaderAgent), Place: place}
		f.By = f.AgentID()
		head, err := event.DecodeHead(m)
		if err != nil {
			f.Reason = err.Error()
			return f
		}
		f.Origin.Epoch, f.Barrier, f.Time = head.Epoch, int64(head.Barrier), head.Time
		for _, e := range head.Epochs {
			f.Heads = append(f.Heads, Stated{Epoch: e.Epoch, Quality: int64(e.Quality), Telemetry: int64(e.Telemetry)})
		}
		return f
	}
	if m.Header(event.HeaderType) == string(event.TypeEffectRequested) {
		return requested(r, place)
	}
	f := Fact{
		At: r.Timestamp.UTC(), Kind: Put, Plant: m.Header(event.HeaderPlant), Agent: m.Header(event.HeaderAgent),
		Event: event.ID(m.Header(event.HeaderID)), Type: event.Type(m.Header(event.HeaderType)), Key: string(r.Key),
		Hash: event.Hash(m.Header(event.HeaderHash)), Bytes: sum(r.Value), Place: place,
		Origin: Origin{Epoch: event.Epoch(m.Header(event.HeaderEpoch)), Lane: event.Lane(m.Header(event.HeaderLane))},
	}
	f.By = f.AgentID()
	f.Origin.Seq, _ = strconv.ParseInt(m.Header(event.HeaderSeq), 10, 64) // 0 where an agent wrote none
	f.Time, _ = time.Parse(time.RFC3339Nano, m.Header(event.HeaderTime))
	if recorded, err := time.Parse(time.RFC3339Nano, m.Header(event.HeaderRecorded)); err == nil {
		f.At = recorded
	}
	if strings.HasPrefix(string(r.Key), "lot:") {
		f.Lot = event.LotKey(r.Key)
	}
	spec, _ := event.Lookup(f.Type)
	f.Urgent = spec.Urgent
	if data, err := event.DecodeData(f.Type, r.Value); err == nil {
		f.Raw = data.ReadBy().RawSHA256
	}
	return f
}

// Announced is who says that the cloud wanted an effect, where each of them is known and not only the newest of an object.
const Announced = "effect topic"

func requested(r *kgo.Record, place Place) Fact {
	f := Fact{At: r.Timestamp.UTC(), Kind: Intent, By: Announced, Place: place, Key: string(r.Key)}
	data, err := event.DecodeData(event.TypeEffectRequested, r.Value)
	d, ok := data.(*event.EffectRequested)
	if err != nil || !ok {
		f.Reason = fmt.Sprint(err)
		return f
	}
	f.System, f.Effect, f.Object, f.Lot = string(d.System), string(d.Kind), d.Object, d.Lot
	f.Command, f.Reference, f.Detail = string(d.CommandID), string(d.EffectRef), d.Wanted
	return f
}

func sum(value []byte) event.Hash {
	s := sha256.Sum256(value)
	return event.Hash(hex.EncodeToString(s[:]))
}
