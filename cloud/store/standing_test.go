package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// What an agent says about itself is kept with its newest head, and counts as a change for those who look.
func TestTx_Standings(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		const e1, e2 = event.Epoch("00112233445566778899aabbccddeeff"), event.Epoch("ffeeddccbbaa99887766554433221100")
		said := &event.AgentStatus{
			Version: "1.4.0", Started: event.At(noon), LinkSince: event.At(noon), Urgent: 2, Clock: event.HostClock{Synchronised: true, Offset: "-0.002"},
			Backlog: []event.LaneBacklog{{Lane: event.LaneQuality, Events: 3, Bytes: 100, Oldest: event.At(noon), Drain: 4}},
			Sources: []event.SourceStanding{{ID: "press-4", State: "stale", Since: event.At(noon), Problem: "E-4003", Items: 3, Bad: 1}},
		}
		head := func(plant event.PlantID, epoch event.Epoch, at time.Time, said *event.AgentStatus) {
			t.Helper()
			update(t, s, func(tx *Tx) error {
				return tx.PutHead(&HeadRow{Plant: plant, Agent: "gw1", Epoch: epoch, At: at, Told: at.Add(-time.Second), Status: said, Stated: []event.HeadEpoch{{Epoch: epoch}}})
			})
		}
		marks := map[Mark]bool{}
		mark := func() {
			t.Helper()
			view(t, s, func(tx *Tx) error {
				m, err := tx.Newest()
				if marks[m] {
					t.Errorf("mark %+v does not tell of the newest head", m)
				}
				marks[m] = true
				return err
			})
		}
		mark()
		head("p1", e1, noon, nil)
		mark()
		head("p1", e1, noon.Add(30*time.Second), said)
		mark()
		head("p2", e2, noon.Add(31*time.Second), nil)
		mark()
		view(t, s, func(tx *Tx) error {
			all, err := tx.Standings("")
			if err != nil || len(all) != 2 {
				t.Fatalf("%+v, %v", all, err)
			}
			want := []Standing{{Plant: "p1", Agent: "gw1", Epoch: e1, At: noon.Add(30 * time.Second), Told: noon.Add(29 * time.Second), Status: said}}
			one, err := tx.Standings("p1")
			if diff := cmp.Diff(want, one); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			return err
		})
		head("p1", e1, noon.Add(time.Minute), nil)
		view(t, s, func(tx *Tx) error {
			one, err := tx.Standings("p1")
			if one[0].Status != nil {
				t.Errorf("what an older head said is left: %+v", one[0])
			}
			return err
		})
	})
}

func TestTx_CountKept(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		for _, d := range []DeadletterRow{
			{State: Quarantined, Plant: "p1"}, {State: Parked, Plant: "p1"}, {State: Waiting, Plant: "p2"}, {State: Redriven, Plant: "p2"}, {State: Replaced, Plant: "p3"},
		} {
			update(t, s, func(tx *Tx) error { d.At, d.Updated = noon, noon; return tx.AddDeadletter(&d) })
		}
		view(t, s, func(tx *Tx) error {
			got, err := tx.CountKept()
			if diff := cmp.Diff(map[event.PlantID]int64{"p1": 2, "p2": 1}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			return err
		})
	})
}
