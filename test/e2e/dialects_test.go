package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestF09_FiveDialectsGiveTheSameEvents says each fact in the words of five plants and maps it by the mappings of five
// plants: ids, times and data are the same to the byte, but for where the fact was read. One lot number has more digits
// than any integer holds, and leading zeros.
func TestF09_FiveDialectsGiveTheSameEvents(t *testing.T) {
	const long = "000123456789012345678"
	data := map[string][][]byte{} // by fact, of each plant
	for _, site := range dialect.Sites() {
		mapper := plantMapper(t, site)
		for name, fact := range everyFact(long) {
			want, err := site.Events(fact)
			if err != nil {
				t.Fatal(err)
			}
			got := say(t, mapper, site, fact)
			if len(got) != len(want) {
				t.Errorf("%s: %s gives %d events, want %d", site.Plant, name, len(got), len(want))
				continue
			}
			for i := range got {
				if diff := cmp.Diff(fields(want[i]), fields(got[i])); diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", site.Plant, name, diff)
				}
				data[name] = append(data[name], bytes.ReplaceAll(body(got[i]), []byte(":"+site.System+":"), []byte(":mes:")))
			}
		}
	}
	for name, all := range data {
		each := len(all) / len(dialect.Sites())
		for i, one := range all {
			// The fifth plant numbers its lots for itself alone.
			if same := bytes.ReplaceAll(one, []byte("lot:p5:"), []byte("lot::")); !bytes.Equal(same, all[i%each]) {
				t.Errorf("%s: plant %d gives %s, plant 1 %s", name, i/each+1, one, all[i%each])
			}
		}
	}
}

// TestF09_FiveDialectsQuarantine proves that each plant's mappings refuse a unit that nobody knows, on its lot, and a
// message that broke off, on its machine.
func TestF09_FiveDialectsQuarantine(t *testing.T) {
	for _, site := range dialect.Sites() {
		mapper := plantMapper(t, site)
		reading := everyFact("L-1")["a part"].(dialect.Measured)
		reading.WrongUnit = true
		lot, err := site.LotKey(reading.Material, reading.Lot)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			fact dialect.Fact
			lot  event.LotKey
		}{
			"a unit that nobody knows": {reading, lot},
			"a message that broke off": {dialect.Garbled{Equipment: "press1", At: reading.At}, ""},
		} {
			got := say(t, mapper, site, c.fact)
			if len(got) != 1 {
				t.Errorf("%s: %s gives %d events, want a quarantine record", site.Plant, name, len(got))
				continue
			}
			d, ok := got[0].Data.(*event.RecordQuarantined)
			if !ok || d.Lot != c.lot || d.Equipment != "press1" {
				t.Errorf("%s: %s gives %s %+v, want a quarantine record of lot %q", site.Plant, name, got[0].Data.Type(), got[0].Data, c.lot)
			}
		}
	}
}

// TestF09_PressLine maps a part as a press line's controller reports it over OPC UA: the ids are those that were expected
// before the part was made.
func TestF09_PressLine(t *testing.T) {
	const node = "nsu=urn:example:plant:line1;s=Line1.CycleRecord"
	for _, site := range dialect.Sites() {
		if len(site.Lines) == 0 {
			continue
		}
		mapper := plantMapper(t, site)
		for _, torque := range []float64{45.1, 50.01} {
			part := plant.Part{Lot: "T000001", Material: "MAT-100", Seq: 7, Values: []float64{torque}}
			raw := fmt.Sprintf(`{"id":"x","node":%q,"value":{"Seq":%d,"LotId":%q,"PartId":"P7","Torque":%v,"TorqueLo":40,"TorqueHi":50,"Ok":true,`+
				`"At":"2026-11-24T06:30:00.125Z"},"quality":"good","status":"0x00000000","source_time":"2026-11-24T06:30:00.125Z","seq":7}`, node, part.Seq, part.LotID(), torque)
			result := mapper.Map(source.Signal{
				Source: "line1", System: site.System, Equipment: "line1", Transport: "opcua", Ref: node, Kind: source.KindRecord, Raw: []byte(raw), Quality: source.Good,
				Arrived: time.Date(2026, 11, 24, 6, 30, 1, 0, time.UTC), Clock: source.ClockState{Synchronised: true},
			}, mapping.View{State: &mapping.State{}})
			want := site.PartIDs("line1", &part)
			if result.Quarantine != nil || len(result.Events) != len(want) {
				t.Fatalf("%s: torque %v gives %d events and the quarantine record %+v", site.Plant, torque, len(result.Events), result.Quarantine)
			}
			for i, e := range result.Events {
				if e.ID != want[i].ID || e.Data.Type() != want[i].Data.Type() || e.Data.Concerns() != "lot::MAT-100:T000001" {
					t.Errorf("%s: torque %v gives %s %s of lot %s, want %s %s", site.Plant, torque, e.ID, e.Data.Type(), e.Data.Concerns(), want[i].ID, want[i].Data.Type())
				}
			}
		}
	}
}

// plantMapper loads the agent's configuration of a plant, as the agent itself does: mappings, tables and samples.
func plantMapper(t *testing.T, site dialect.Site) *mapping.Mapper {
	t.Helper()
	dir := t.TempDir()
	settings := stack.Gateway{Site: site, MQTT: "tcp://127.0.0.1:1883", Kafka: "127.0.0.1:9092", WAN: "127.0.0.1:9093"}
	if len(site.Lines) > 0 {
		settings.Line = "opc.tcp://127.0.0.1:4840"
	}
	if err := settings.Write(dir); err != nil {
		t.Fatal(err)
	}
	_, mapper, err := agent.Load(filepath.Join(dir, "agent.yaml"), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("%s: %v", site.Plant, err)
	}
	return mapper
}

// say maps the message about a fact. The quarantine record, if there is one, comes last.
func say(t *testing.T, mapper *mapping.Mapper, site dialect.Site, fact dialect.Fact) []*event.Event {
	t.Helper()
	m, err := site.Say(fact)
	if err != nil {
		t.Fatal(err)
	}
	sig := source.Signal{
		Source: "press1", System: site.System, Equipment: "press1", Transport: "mqtt", Ref: m.Topic, Kind: source.KindMessage,
		Raw: m.Payload, Quality: source.Uncertain, Arrived: fact.When().Add(time.Second), Clock: source.ClockState{Synchronised: true},
	}
	result := mapper.Map(sig, mapping.View{State: &mapping.State{}})
	if result.Quarantine != nil {
		result.Events = append(result.Events, result.Quarantine)
	}
	for _, e := range result.Events {
		if e.ID == "" {
			continue // the agent mints it
		}
		if err := e.Seal("gw1"); err != nil {
			t.Fatalf("%s: %v", site.Plant, err)
		}
	}
	return result.Events
}

// fields returns what must be the same of two events: all but how the fact was read.
func fields(e *event.Event) map[string]string {
	return map[string]string{
		"id": string(e.ID), "type": string(e.Data.Type()), "source": e.Source, "time": event.At(e.Time).String(), "plant": string(e.Plant),
		"correlation": e.Correlation, "causation": string(e.Causation), "hash": string(e.ContentHash), "body": string(body(e)),
	}
}

// body returns the encoded data in front of its provenance. Telemetry has no id yet, so that it is not sealed.
func body(e *event.Event) []byte {
	sealed := *e
	if sealed.ID == "" {
		sealed.ID = "00000000-0000-7000-8000-000000000000"
	}
	if err := sealed.Seal("gw1"); err != nil {
		return []byte(err.Error())
	}
	before, _, _ := bytes.Cut(sealed.Value, []byte(`"provenance":`))
	return before
}

// everyFact returns one fact of each kind about a lot.
func everyFact(lot string) map[string]dialect.Fact {
	at := time.Date(2026, 11, 24, 6, 30, 0, 125e6, time.UTC)
	of := func(n int) dialect.Of {
		return dialect.Of{Record: dialect.Record(4711 + n), Lot: lot, Material: "000000000000012345", At: at.Add(time.Duration(n) * time.Second)}
	}
	part := dialect.Measured{
		Of: of(5), Rev: 1, Inspection: "IP-1", Characteristic: "torque", Sample: 4, Value: "45.10", Unit: "N.m", LSL: "40.00", USL: "50.00",
		Safety: true, Equipment: "press1",
	}
	unsafe, other := part, part
	unsafe.Of, unsafe.Value = of(6), "61.20"
	other.Of, other.Rev, other.Characteristic, other.Value, other.Unit = of(7), 2, "flatness", "0.07", "mm"
	other.LSL, other.USL, other.Safety, other.Equipment = "0.00", "0.25", false, "lab1"
	return map[string]dialect.Fact{
		"a lot":                   dialect.Made{Of: of(1), Kilograms: "500.5", Order: "4711", Equipment: "press1"},
		"a run's beginning":       dialect.Ran{Of: of(2), Run: "RUN-1", Order: "4711", Equipment: "press1"},
		"a run's end":             dialect.Ran{Of: of(3), Run: "RUN-1", Order: "4711", Equipment: "press1", Ended: true},
		"a run in the laboratory": dialect.Ran{Of: of(14), Run: "RUN-2", Order: "4711", Equipment: "lab1"},
		"a planned inspection":    dialect.Planned{Of: of(4), Inspection: "IP-1", Type: "in_process", SpecRev: "3", Due: at.Add(24 * time.Hour)},
		"a part":                  part,
		"an unsafe part":          unsafe,
		"a corrected reading":     other,
		"a verdict":               dialect.Completed{Of: of(8), Inspection: "IP-1", Type: "final", SpecRev: "3", Verdict: "fail", Results: 8},
		"another inspection":      dialect.Superseded{Of: of(9), Inspection: "FI-1", By: "RE-1", Reason: "measured again"},
		"an operator's hold":      dialect.Held{Of: of(10), Hold: "H-1", Reason: "oil on the part", By: "operator 7"},
		"the lift of a hold":      dialect.Lifted{Of: of(11), Hold: "H-1", Reason: "cleaned and seen", By: "operator 7"},
		"a sampled value":         dialect.Sampled{Equipment: "press1", Tag: "force", Value: "812.50", Unit: "N", At: of(12).At},
		"a re-inspection's plan":  dialect.Planned{Of: of(13), Inspection: "RE-1", Type: "reinspection", SpecRev: "3", Due: at.Add(48 * time.Hour)},
	}
}
