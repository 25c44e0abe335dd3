package badinput

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// foreign is a producer that is no agent of ours, but may write to the plant's topic.
type foreign struct {
	*kgo.Client
	epoch event.Epoch
	agent string
	seq   uint64
}

func stranger(t *testing.T, r *rig, agent string) *foreign {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Kafka.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &foreign{Client: client, agent: agent, epoch: event.Epoch(sum([]byte(agent + t.Name()))[:32])}
}

// send produces a record as it is.
func (f *foreign) send(t *testing.T, m event.Message) {
	t.Helper()
	f.sendTo(t, topicQuality, m)
}

func (f *foreign) sendTo(t *testing.T, topic string, m event.Message) {
	t.Helper()
	rec := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := f.ProduceSync(ctx, rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// measured returns a sound record of an agent's lane quality, the next of its epoch.
func (f *foreign) measured(t *testing.T, p plant.Result, change ...func(*event.Event)) event.Message {
	t.Helper()
	at, err := time.Parse(time.RFC3339, p.At)
	if err != nil {
		t.Fatal(err)
	}
	lot, err := event.NewLotKey("", p.Material, p.Lot)
	if err != nil {
		t.Fatal(err)
	}
	f.seq++
	data := &event.CharacteristicRecorded{
		OfLot: event.OfLot{Lot: lot}, InspectionID: event.ObjectID("inspection:mes1:" + p.Inspection), Characteristic: event.Name(p.Characteristic),
		SampleNo: int64(p.Sample), Kind: "variable", Value: event.Name(p.Value), Unit: event.Unit(p.Unit), LSL: event.Decimal(p.LSL),
		USL: event.Decimal(p.USL), Evaluation: event.Pass, Equipment: "press4", MeasuredAt: event.At(at),
	}
	data.Provenance.Source, data.Provenance.RawSHA256 = "press4", event.Hash(sum(encode(t, p)))
	e := &event.Event{
		ID: event.NaturalID("p1", "mes1", []string{"stranger", p.Record}, data.Type(), 0), Source: "/p1/mes1", Time: at, Recorded: at,
		Plant: "p1", Data: data,
		Origin: event.Origin{Agent: f.agent, Epoch: f.epoch, Prev: event.NoPrev, Lane: event.LaneQuality, Seq: f.seq},
	}
	for _, c := range change {
		c(e)
	}
	if err := e.Seal(f.agent); err != nil {
		t.Fatal(err)
	}
	return e.Message()
}

// setHeader returns a message in which a header has another value; "" leaves it out.
func setHeader(m event.Message, key, value string) event.Message {
	headers := []event.Header{}
	for _, h := range m.Headers {
		if h.Key != key {
			headers = append(headers, h)
		} else if value != "" {
			headers = append(headers, event.Header{Key: key, Value: []byte(value)})
		}
	}
	m.Headers = headers
	return m
}

// kept waits for the open dead letter with these raw bytes, and returns its id.
func (r *rig) kept(t *testing.T, state string, code problem.Code, value []byte) (id int) {
	t.Helper()
	eventually(t, fmt.Sprintf("a record is %s for %s", state, code), func() bool {
		err := r.db.QueryRowContext(t.Context(), `SELECT id FROM deadletter WHERE state = ? AND code = ? AND value = ? ORDER BY id DESC LIMIT 1`, state, string(code), value).Scan(&id)
		if err != nil && err != sql.ErrNoRows {
			t.Fatal(err)
		}
		return err == nil
	})
	return id
}

// TestB013_FutureVersion is an event of a major version that is not known: kept until an upgrade, then redriven.
func TestB013_FutureVersion(t *testing.T) {
	r := broken(t)
	f := stranger(t, r, "gw13")
	m := setHeader(f.measured(t, r.result()), event.HeaderType, "quality.characteristic.recorded.v2")
	m = setHeader(m, "ce_dataschema", "https://holdfast.example/schemas/quality.characteristic.recorded.v2.json")
	f.send(t, m)
	id := r.kept(t, "quarantined", problem.EventUnknown, m.Value)
	var answer struct {
		Results []struct{ Outcome, Code string }
		Left    int
	}
	status, body := r.call(t, http.MethodPost, fmt.Sprintf("/deadletters/%d/redrive", id), []byte(`{"reason":"tried again"}`), nil)
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("redrive gives %d: %s", status, body)
	}
	if len(answer.Results) != 1 || answer.Results[0].Outcome != "quarantined" || answer.Results[0].Code != string(problem.EventUnknown) {
		t.Errorf("redrive before the upgrade gives %s", body)
	}
	r.kept(t, "quarantined", problem.EventUnknown, m.Value)
}

func TestB064_RecordOfNobody(t *testing.T) {
	r := broken(t)
	f := stranger(t, r, "gw64")
	before := counter(t, r.Cloud, outcomes("quarantined"))
	sent := 0
	for _, c := range []struct {
		name string
		code problem.Code
		make func() event.Message
	}{
		{"NoHeaders", problem.EventInvalid, func() event.Message { return event.Message{Key: []byte("x"), Value: []byte("no headers")} }},
		{"Nothing", problem.EventInvalid, func() event.Message { return event.Message{Value: []byte{}} }},
		{"NotJSON", problem.EventInvalid, func() event.Message {
			m := f.measured(t, r.result())
			m.Value = []byte("\xff not JSON")
			return m
		}},
		{"UnknownType", problem.EventUnknown, func() event.Message {
			return setHeader(f.measured(t, r.result()), event.HeaderType, "quality.weather.changed.v1")
		}},
		{"OtherSpecVersion", problem.EventInvalid, func() event.Message { return setHeader(f.measured(t, r.result()), "ce_specversion", "2.0") }},
		{"NoOrigin", problem.EventInvalid, func() event.Message {
			return f.measured(t, r.result(), func(e *event.Event) { e.Origin = event.Origin{} })
		}},
		{"HashOfOtherData", problem.EventInvalid, func() event.Message {
			return setHeader(f.measured(t, r.result()), event.HeaderHash, strings.Repeat("ab", 32))
		}},
		{"KeyOfOtherLot", problem.EventInvalid, func() event.Message {
			m := f.measured(t, r.result())
			m.Key = []byte("lot::MAT-100:L-2")
			return m
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.make()
			f.send(t, m)
			r.kept(t, "quarantined", c.code, m.Value)
		})
		sent++
	}
	if n := counter(t, r.Cloud, outcomes("quarantined")) - before; n != float64(sent) {
		t.Errorf("%v records were counted as quarantined: want %d", n, sent)
	}
	r.flows(t)
}

// TestB064_UrgentHolds is a hold that cannot be read: what its key names is held.
func TestB064_UrgentHolds(t *testing.T) {
	r := broken(t)
	f := stranger(t, r, "gw64")
	m := event.Message{Key: []byte("lot::MAT-100:L-held"), Value: []byte(`{"unreadable`)}
	m.Headers = []event.Header{{Key: event.HeaderType, Value: []byte(event.TypeHoldPlaced)}}
	f.send(t, m)
	r.kept(t, "quarantined", problem.EventInvalid, m.Value)
	eventually(t, "batch L-held is restricted in the ERP", func() bool { return r.SAP.Restricted("MAT-100", "L-held") })
}

func TestB065_OtherPlantInside(t *testing.T) {
	r := broken(t)
	f := stranger(t, r, "gw65")
	m := f.measured(t, r.result(), func(e *event.Event) { e.Plant = "p2" })
	f.send(t, m)
	r.kept(t, "quarantined", problem.EventForeign, m.Value)
	if n := r.number(t, `SELECT COUNT(*) FROM epoch WHERE agent = 'gw65'`); n != 0 {
		t.Error("the origin of a foreign record was believed")
	}
	alarmed := false
	for _, l := range logLines(t, r.Path("cloud.log")) {
		alarmed = alarmed || strings.Contains(l.Error, string(problem.EventForeign)) && l.Level == "warn"
	}
	if !alarmed {
		t.Error("the log names no foreign event")
	}
	r.flows(t)
}

func TestB068_KnownIDOtherContent(t *testing.T) {
	r := broken(t)
	t.Run("OtherReading", func(t *testing.T) {
		first := r.result()
		good := encode(t, first)
		if err := r.press.SendRaw(plant.TopicResult, good); err != nil {
			t.Fatal(err)
		}
		r.inbox(t, event.TypeCharacteristicRecorded, good)
		second := first
		second.Value = "46.2"
		if err := r.press.Send(plant.TopicResult, second); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the second is quarantined", func() bool {
			return r.number(t, `SELECT COUNT(*) FROM deadletter WHERE state = 'quarantined' AND code = ? AND CAST(value AS TEXT) LIKE '%46.2%'`, string(problem.EventConflict)) == 1
		})
		if d := r.inbox(t, event.TypeCharacteristicRecorded, good).(*event.CharacteristicRecorded); d.Value != event.Name(first.Value) {
			t.Errorf("value is now %s: the first does not stand", d.Value)
		}
	})
	t.Run("SameReadingByANewerMapping", func(t *testing.T) {
		f := stranger(t, r, "gw68")
		part := r.result()
		f.send(t, f.measured(t, part))
		first := r.inbox(t, event.TypeCharacteristicRecorded, encode(t, part)).(*event.CharacteristicRecorded)
		before := counter(t, r.Cloud, outcomes("duplicate"))
		m := f.measured(t, part, func(e *event.Event) {
			d := e.Data.(*event.CharacteristicRecorded)
			d.Evaluation, d.Provenance.MappingVersion = event.Indeterminate, 2
		})
		f.send(t, m)
		eventually(t, "the second is counted as a duplicate", func() bool { return counter(t, r.Cloud, outcomes("duplicate")) == before+1 })
		if n := r.number(t, `SELECT COUNT(*) FROM deadletter WHERE value = ?`, m.Value); n != 0 {
			t.Error("the second is in quarantine")
		}
		if now := r.inbox(t, event.TypeCharacteristicRecorded, encode(t, part)).(*event.CharacteristicRecorded); now.Evaluation != first.Evaluation {
			t.Errorf("evaluation is now %s: the first does not stand", now.Evaluation)
		}
	})
}

// TestB069_OldEventsAgain sends all events of the plant's topic that were accepted once more.
func TestB069_OldEventsAgain(t *testing.T) {
	r := broken(t)
	part := r.result()
	part.Value, part.Safety = "61.2", true
	if err := r.press.Send(plant.TopicResult, part); err != nil {
		t.Fatal(err)
	}
	settled := `SELECT COUNT(*) FROM effect WHERE state <> 'settled'`
	eventually(t, "the batch is restricted and all effects are settled", func() bool { return r.SAP.Restricted("MAT-100", "L-1") && r.number(t, settled) == 0 })
	records := r.topic(t, topicQuality)
	inbox := r.number(t, `SELECT COUNT(*) FROM inbox WHERE door = 'P'`)
	erp, qms := len(r.SAP.Book()), len(r.QMS.Book())
	before := counter(t, r.Cloud, outcomes("duplicate"))
	f := stranger(t, r, "gw69")
	sent := 0
	for _, m := range records {
		if known := r.number(t, `SELECT COUNT(*) FROM inbox WHERE id = ? AND hash = ?`, m.Header(event.HeaderID), m.Header(event.HeaderHash)); known == 1 {
			f.send(t, m)
			sent++
		}
	}
	eventually(t, "all are counted as duplicates", func() bool { return counter(t, r.Cloud, outcomes("duplicate")) >= before+float64(sent) })
	r.flows(t)
	if n := r.number(t, `SELECT COUNT(*) FROM inbox WHERE door = 'P'`); sent == 0 || n != inbox+1 {
		t.Errorf("%d replayed events: the inbox went from %d to %d, want one more", sent, inbox, n)
	}
	if n := r.number(t, settled); n != 0 || len(r.SAP.Book()) != erp || len(r.QMS.Book()) != qms {
		t.Errorf("the replay made effects: %d wait, ERP %d -> %d, QMS %d -> %d", n, erp, len(r.SAP.Book()), qms, len(r.QMS.Book()))
	}
}

// topic reads all records of a topic.
func (r *rig) topic(t *testing.T, topic string) (all []event.Message) {
	t.Helper()
	left := map[int32]int64{}
	start := map[int32]kgo.Offset{}
	for _, p := range r.cluster().PartitionInfos(topic) {
		if p.HighWatermark > p.LogStartOffset {
			left[p.Partition], start[p.Partition] = p.HighWatermark, kgo.NewOffset().At(p.LogStartOffset)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Kafka.Addrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			m := event.Message{Key: rec.Key, Value: rec.Value}
			for _, h := range rec.Headers {
				m.Headers = append(m.Headers, event.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, m)
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		})
	}
	return all
}
