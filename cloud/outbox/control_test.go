package outbox

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestPublisher_Control(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	epoch := event.Epoch(strings.Repeat("1", 32))
	ask := func(version int64) {
		b.update(func(tx *store.Tx) error {
			if _, err := tx.NextBarrier(b.clock); err != nil {
				return err
			}
			if err := tx.PutEpoch(&store.EpochRow{Plant: "p1", Agent: "gw1", Epoch: epoch, Prev: event.NoPrev, FirstSeen: b.clock}); err != nil {
				return err
			}
			row, err := tx.AgentRow("p1", "gw1")
			if err != nil {
				return err
			}
			row.Version = version
			if err := tx.PutAgent(&row); err != nil {
				return err
			}
			return tx.MarkOutbox("control/p1", "gw1")
		})
	}
	read := func(r *kgo.Record) *event.ControlSet {
		d, err := event.DecodeData(event.TypeControlSet, r.Value)
		if err != nil || string(r.Key) != "gw1" {
			t.Fatalf("record of %s: %v", r.Key, err)
		}
		return d.(*event.ControlSet)
	}
	ask(7)
	ask(9)
	publish(t, p, 1) // two questions, one record, of the state of now
	b.update(func(tx *store.Tx) error {
		return tx.AddCoverage(store.CoverageKey{Plant: "p1", Agent: "gw1", Epoch: epoch, Lane: event.LaneQuality}, store.Ranges{{From: 1, To: 4}, {From: 6, To: 9}})
	})
	b.clock = b.clock.Add(time.Minute)
	ask(10)
	publish(t, p, 1)
	all := b.read(b.cfg.Control("p1"), 2)
	first, second := read(all[0]), read(all[1])
	if first.Barrier < 2 || first.Version != 9 || second.Barrier <= first.Barrier || second.Version != 10 {
		t.Errorf("records are %+v and %+v", first, second)
	}
	if c := second.Covered; len(c) != 2 || c[0].Seq != 4 || c[0].Epoch != epoch {
		t.Errorf("covered is %+v", c)
	}
	if got := header(all[1], event.HeaderPlant); got != "p1" {
		t.Errorf("the record's plant is %q", got)
	}
}

// TestPublisher_Control_AfterTheStatus: an agent takes a control record's time for that of the lot status it has read.
func TestPublisher_Control_AfterTheStatus(t *testing.T) {
	// told tells of which plants control records were sent.
	told := func(b *bench) (plants []string) {
		b.t.Helper()
		b.update(func(tx *store.Tx) error {
			for _, plant := range []string{"p1", "p2"} {
				if err := tx.MarkOutbox("control/"+plant, "gw1"); err != nil {
					return err
				}
			}
			return nil
		})
		if _, _, err := b.publisher("a").publish(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		rows := map[string]bool{}
		if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
			left, err := tx.OutboxControl(math.MaxInt64, page, store.OutboxExcept{})
			for _, r := range left {
				rows[r.Topic] = true
			}
			return err
		}); err != nil {
			b.t.Fatal(err)
		}
		for _, plant := range []string{"p1", "p2"} {
			if !rows["control/"+plant] {
				plants = append(plants, plant)
			}
		}
		return plants
	}
	t.Run("more lot status than a page", func(t *testing.T) {
		b := newBench(t)
		b.update(func(tx *store.Tx) error {
			for i := range page + 1 {
				if err := tx.MarkOutbox("lot-status/p1", fmt.Sprintf("lot::M:%d", i)); err != nil {
					return err
				}
			}
			return nil
		})
		if got := told(b); !slices.Equal(got, []string{"p2"}) {
			t.Errorf("while lot status of p1 waits, control records of %v were sent", got)
		}
		if got := told(b); !slices.Equal(got, []string{"p1", "p2"}) {
			t.Errorf("with the last lot status of p1, control records of %v were sent", got)
		}
	})
	t.Run("a lot status that does not fit its schema", func(t *testing.T) {
		b := newBench(t)
		b.unfit(1)
		if got := told(b); !slices.Equal(got, []string{"p1", "p2"}) {
			t.Errorf("control records of %v were sent: the plant waits for one lot", got)
		}
	})
	t.Run("lot status that has no topic", func(t *testing.T) {
		b := newBench(t)
		b.lose(b.cfg.PlantLotStatus("p1"))
		b.change(1)
		if got := told(b); !slices.Equal(got, []string{"p2"}) {
			t.Errorf("control records of %v were sent", got)
		}
	})
	t.Run("the time is that of the look, not that of the sending", func(t *testing.T) {
		b := newBench(t)
		looked := b.clock
		p := b.publisher("a")
		p.cfg.Now = func() time.Time { b.clock = b.clock.Add(time.Second); return b.clock }
		b.update(func(tx *store.Tx) error { return tx.MarkOutbox("control/p1", "gw1") })
		publish(t, p, 1)
		if got := header(b.read(b.cfg.Control("p1"), 1)[0], event.HeaderTime); got != event.At(looked.Add(time.Second)).String() {
			t.Errorf("the record is of %s, the look was at %s", got, looked.Add(time.Second))
		}
	})
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestPublisher_Alert(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	data := &event.AlertRaised{Alert: event.Alert{Code: "agent_silent", About: "p1/gw1", Since: event.At(b.clock), Owner: "operator", NextStep: "look"}}
	data.ReadBy().Source = "holdfast"
	e := &event.Event{ID: event.NaturalID("", "holdfast", []string{"1"}, data.Type(), 0), Source: "/holdfast", Time: b.clock, Recorded: b.clock, Data: data}
	if err := e.Seal("holdfast"); err != nil {
		t.Fatal(err)
	}
	b.update(func(tx *store.Tx) error { return tx.PutOutbox("alert", e.Message()) })
	publish(t, p, 1)
	if r := b.read(b.cfg.Alert(), 1)[0]; string(r.Key) != "p1/gw1" || header(r, event.HeaderType) != string(event.TypeAlertRaised) {
		t.Errorf("record is %s %s", r.Key, header(r, event.HeaderType))
	}
}

func TestPublisher_StatusForAllWhoFollow(t *testing.T) {
	b := newBench(t)
	p := b.publisher("a")
	b.change(3)
	b.update(func(tx *store.Tx) error { return tx.MarkOutbox("lot-status", "lot::M:1") })
	publish(t, p, 2)
	plant, all := b.read(b.cfg.PlantLotStatus("p1"), 1)[0], b.read(b.cfg.LotStatus(), 1)[0]
	if header(plant, event.HeaderPlant) != "p1" || header(all, event.HeaderPlant) != "" || version(t, plant) != 3 || version(t, all) != 3 {
		t.Errorf("records are %+v and %+v", plant, all)
	}
}
